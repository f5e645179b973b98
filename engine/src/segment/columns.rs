//! The values of one row group, leaf by leaf, between batches and pages: what the writer gathers
//! and encodes, and what verification gathers again and compares. Plain data; no I/O.

use hashbrown::HashTable;
use twox_hash::XxHash3_64;

use super::codec::{Physical, Strings};
use super::layout::{Fixed, Frame, Layout, Remainder};

/// Distinct strings after which a dictionary asks whether it pays.
const PROBATION: usize = 4096;
/// Of so many values at most one may be distinct, else a dictionary does not pay.
pub(super) const VALUES_PER_ENTRY: usize = 3;

/// The leaves of some rows.
#[derive(Debug)]
pub(super) struct GroupData {
    pub(super) rows: u32,
    /// By ordinal.
    pub(super) leaves: Vec<LeafData>,
    /// Of events, links and the remainder.
    pub(super) lists: [ListData; 3],
    /// About how many bytes it takes in memory.
    pub(super) weight: usize,
}

/// The values of a leaf.
#[derive(Debug)]
pub(super) struct LeafData {
    /// Which entries have a value (rows, or entries of the list), where not all must.
    pub(super) at: Vec<u32>,
    pub(super) data: Data,
}

#[derive(Debug)]
pub(super) enum Data {
    Bool(Vec<bool>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    /// Bits.
    F64(Vec<u64>),
    Fixed {
        width: u32,
        data: Vec<u8>,
    },
    Text {
        codes: Vec<u32>,
        dictionary: Dictionary,
    },
}

/// The entries of a list column. A row without elements has one entry.
#[derive(Debug, Default)]
pub(super) struct ListData {
    /// 1 for an element.
    pub(super) definition: Vec<u8>,
    /// 0 where a row begins.
    pub(super) repetition: Vec<u8>,
    /// The row of each entry.
    pub(super) rows: Vec<u32>,
}

impl GroupData {
    pub(super) fn new(layout: &Layout) -> Self {
        let leaves = layout
            .leaves
            .iter()
            .map(|leaf| LeafData { at: Vec::new(), data: Data::new(leaf.physical()) })
            .collect();
        Self { rows: 0, leaves, lists: Default::default(), weight: 0 }
    }

    pub(super) fn fixed(&mut self, layout: &Layout, fixed: Fixed) -> &mut LeafData {
        &mut self.leaves[layout.fixed(fixed)]
    }

    pub(super) fn remainder(&mut self, layout: &Layout, column: Remainder) -> &mut LeafData {
        &mut self.leaves[layout.remainder(column)]
    }

    /// `None` for rows.
    pub(super) fn list(&self, frame: Frame) -> Option<&ListData> {
        Some(match frame {
            Frame::Row => return None,
            Frame::Events => &self.lists[0],
            Frame::Links => &self.lists[1],
            Frame::Remainder => &self.lists[2],
        })
    }
}

impl Data {
    fn new(physical: Physical) -> Self {
        match physical {
            Physical::Bool => Self::Bool(Vec::new()),
            Physical::I32 => Self::I32(Vec::new()),
            Physical::I64 => Self::I64(Vec::new()),
            Physical::F64 => Self::F64(Vec::new()),
            Physical::Fixed(width) => Self::Fixed { width, data: Vec::new() },
            Physical::Bytes => Self::Text { codes: Vec::new(), dictionary: Dictionary::default() },
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bool(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::Fixed { width, data } => data.len() / (*width).max(1) as usize,
            Self::Text { codes, .. } => codes.len(),
        }
    }

    /// Adds a cell; what does not fit the type is dropped, which the layout rules out.
    pub(super) fn push_number(&mut self, cell: u64) {
        match self {
            Self::Bool(values) => values.push(cell != 0),
            Self::I32(values) => values.push(cell as u32 as i32),
            Self::I64(values) => values.push(cell as i64),
            Self::F64(values) => values.push(cell),
            Self::Fixed { .. } | Self::Text { .. } => {}
        }
    }

    pub(super) fn push_fixed(&mut self, bytes: &[u8]) {
        if let Self::Fixed { data, .. } = self {
            data.extend_from_slice(bytes);
        }
    }

    pub(super) fn push_code(&mut self, code: u32) {
        if let Self::Text { codes, .. } = self {
            codes.push(code);
        }
    }

    /// From now on a string is not looked up among those that are there.
    pub(super) fn append_only(&mut self) {
        if let Self::Text { dictionary, .. } = self {
            dictionary.append_only();
        }
    }

    /// The code of a string, which is added where it is new.
    pub(super) fn intern(&mut self, text: &[u8]) -> u32 {
        match self {
            Self::Text { codes, dictionary } => dictionary.intern(text, codes.len()),
            _ => 0,
        }
    }
}

impl ListData {
    /// Adds an entry and gives its number.
    pub(super) fn push(&mut self, row: u32, is_element: bool) -> u32 {
        let begins = self.rows.last() != Some(&row);
        self.definition.push(is_element.into());
        self.repetition.push((!begins).into());
        self.rows.push(row);
        (self.rows.len() - 1) as u32
    }
}

/// Distinct strings of a leaf in a row group, or all of them where nearly each differs.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    data: Vec<u8>,
    ends: Vec<u32>,
    hashes: Vec<u64>,
    table: HashTable<u32>,
    appends: bool,
}

impl Dictionary {
    /// `values` were given a code so far.
    pub(super) fn intern(&mut self, text: &[u8], values: usize) -> u32 {
        if self.appends {
            return self.append(text);
        }
        let hash = XxHash3_64::oneshot(text);
        let found = self.table.find(hash, |&code| self.get(code) == text);
        if let Some(&code) = found {
            return code;
        }
        let code = self.append(text);
        self.hashes.push(hash);
        let hashes = &self.hashes;
        let rehash = |&code: &u32| hashes.get(code as usize).copied().unwrap_or_default();
        self.table.insert_unique(hash, code, rehash);
        if self.ends.len() >= PROBATION && self.ends.len() * VALUES_PER_ENTRY > values {
            self.append_only();
        }
        code
    }

    /// From now on strings are not looked up: codes may repeat.
    pub(super) fn append_only(&mut self) {
        self.appends = true;
        (self.table, self.hashes) = (HashTable::new(), Vec::new());
    }

    /// False where equal strings may have several codes.
    pub(super) fn is_distinct(&self) -> bool {
        !self.appends
    }

    fn append(&mut self, text: &[u8]) -> u32 {
        self.data.extend_from_slice(text);
        self.ends.push(self.data.len() as u32);
        (self.ends.len() - 1) as u32
    }

    pub(super) fn get(&self, code: u32) -> &[u8] {
        let code = code as usize;
        let start = code.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(code).copied().unwrap_or_default();
        self.data.get(start.unwrap_or_default() as usize..end as usize).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.data.len()
    }

    pub(super) fn strings(&self) -> Strings<'_> {
        Strings::Packed { ends: &self.ends, data: &self.data }
    }
}
