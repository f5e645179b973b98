//! How a leaf of a row group is stored: its encoding, and where its pages end. Both by its values
//! alone, and numbers by trial. Pages hold whole blocks and at least [`PAGE_BYTES`] before
//! compression: a point read decompresses one page a column, and small pages compress badly.
//!
//! Measured on astronomy, 64,151 spans, whole file, and a trace of 9 spans read whole, warm:
//! pages of 16 KiB 39.5 B/span and 1.5 ms, 8 KiB 40.0 and 1.4, 4 KiB 40.8 and 0.8, 2 KiB 41.8 and
//! 0.6, 1 KiB 43.2 and 0.45. Zstd level 1 instead of 3 costs 0.2 B/span, 6 saves 0.4 and a third
//! more build time. Start times: delta 3.4 B/span, split 3.2, plain 2.9; durations: delta 3.8,
//! plain 3.5, split 3.0. On nezha split is best for both, and level 6 on its log lines saves 0.7.

use hashbrown::HashMap;
use parquet::errors::Result;

use super::BLOCK_ROWS;
use super::codec::{
    Chunk, Dictionary, Encoded, Encoder, Encoding, Levels, Packing, Source, Strings,
};
use super::columns::{Data, GroupData, LeafData, ListData, VALUES_PER_ENTRY};
use super::layout::{Fixed, Leaf, Remainder};
use crate::batch::Field;

const ZSTD_LEVEL: i32 = 3;
/// Of strings that are no dictionary codes, where it pays: prose, but not ids.
const ZSTD_LEVEL_TEXT: i32 = 6;
const PAGE_BYTES: u64 = 2 << 10;
/// Of columns that only other readers read.
const PAGE_BYTES_OTHERS: u64 = 64 << 10;
/// Values that encodings are tried on.
const TRIAL_VALUES: usize = 16 << 10;
const TRIAL_STRINGS: usize = 1 << 10;
/// A page of giant values ends with the row that reaches this.
const PAGE_BYTES_MAX: u64 = 4 << 20;
/// A larger dictionary is given up: every point read that misses the cache decodes it.
const DICTIONARY_BYTES_MAX: usize = 256 << 10;

/// Encodes one leaf.
pub(super) fn encode(
    encoder: &mut Encoder,
    leaf: Leaf,
    group: &GroupData,
    values: &LeafData,
) -> Result<Encoded> {
    let numbers = Numbers::of(leaf, &values.data);
    let strings;
    let (source, encoding, bits) = match (&values.data, &numbers) {
        (_, Numbers::I32 { codes, dictionary }) => {
            let dictionary = Dictionary::I32(dictionary);
            (Source::Codes { codes, dictionary }, Encoding::Dictionary, None)
        }
        (_, Numbers::I64 { codes, dictionary }) => {
            let dictionary = Dictionary::I64(dictionary);
            (Source::Codes { codes, dictionary }, Encoding::Dictionary, None)
        }
        (_, Numbers::F64 { codes, dictionary }) => {
            let dictionary = Dictionary::F64(dictionary);
            (Source::Codes { codes, dictionary }, Encoding::Dictionary, None)
        }
        (Data::Bool(values), _) => (Source::Bool(values), Encoding::Plain, Some(1)),
        (Data::I32(values), _) => {
            let trial = Source::I32(&values[..values.len().min(TRIAL_VALUES)]);
            (Source::I32(values), best(encoder, trial, &ENCODINGS)?, Some(32))
        }
        (Data::I64(values), _) => {
            let trial = Source::I64(&values[..values.len().min(TRIAL_VALUES)]);
            (Source::I64(values), best(encoder, trial, &ENCODINGS)?, Some(64))
        }
        (Data::F64(values), _) => {
            let trial = Source::F64(&values[..values.len().min(TRIAL_VALUES)]);
            (Source::F64(values), best(encoder, trial, &ENCODINGS[..2])?, Some(64))
        }
        (Data::Fixed { width, data }, _) => {
            (Source::Fixed { width: *width, data }, Encoding::Plain, Some(u64::from(*width) * 8))
        }
        (Data::Text { codes, dictionary }, _) => {
            let pays = dictionary.is_distinct()
                && dictionary.len() * VALUES_PER_ENTRY <= codes.len()
                && dictionary.bytes() <= DICTIONARY_BYTES_MAX;
            if pays || matches!(leaf, Leaf::Fixed(Fixed::Resource | Fixed::Scope)) {
                let dictionary = Dictionary::Bytes(dictionary.strings());
                (Source::Codes { codes, dictionary }, Encoding::Dictionary, None)
            } else {
                strings = codes.iter().map(|&code| dictionary.get(code)).collect::<Vec<_>>();
                let strings = Strings::Slices(&strings);
                (Source::Bytes(strings), Encoding::Plain, None)
            }
        }
    };
    let costs = Costs { group, leaf, values, source: &source, bits };
    let pages = costs.pages();
    let (list, definition);
    let levels = match group.list(leaf.frame()) {
        None if leaf.is_optional() => Levels::At(&values.at),
        None => Levels::Required,
        Some(of) => {
            list = of;
            definition = definition_levels(leaf, list, values);
            Levels::List {
                max_definition: leaf.max_definition(),
                definition: &definition,
                repetition: &list.repetition,
            }
        }
    };
    let packing = packing(encoder, leaf, source)?;
    encoder.encode(&Chunk {
        values: source,
        levels,
        pages: &pages,
        encoding,
        packing,
        // So that other readers skip row groups by time.
        statistics: leaf == Leaf::Fixed(Fixed::Start),
    })
}

/// Of numbers; doubles have the first two.
const ENCODINGS: [Encoding; 3] = [Encoding::Split, Encoding::Plain, Encoding::Delta];

/// The encoding in which these numbers take the least room.
fn best(encoder: &mut Encoder, values: Source<'_>, encodings: &[Encoding]) -> Result<Encoding> {
    let mut found = (usize::MAX, Encoding::Plain);
    for &encoding in encodings {
        let bytes = try_out(encoder, values, encoding, ZSTD_LEVEL)?;
        if bytes < found.0 {
            found = (bytes, encoding);
        }
    }
    Ok(found.1)
}

/// Bytes of these values in blocks.
fn try_out(
    encoder: &mut Encoder,
    values: Source<'_>,
    encoding: Encoding,
    level: i32,
) -> Result<usize> {
    let count = match values {
        Source::I32(values) => values.len(),
        Source::I64(values) => values.len(),
        Source::F64(values) => values.len(),
        Source::Bytes(Strings::Slices(strings)) => strings.len(),
        _ => 0,
    };
    let pages: Vec<u32> =
        (0..count).step_by(BLOCK_ROWS).map(|first| BLOCK_ROWS.min(count - first) as u32).collect();
    let encoded = encoder.encode(&Chunk {
        values,
        levels: Levels::Required,
        pages: &pages,
        encoding,
        packing: Packing::Zstd(level),
        statistics: false,
    })?;
    Ok(encoded.bytes.len())
}

fn packing(encoder: &mut Encoder, leaf: Leaf, values: Source<'_>) -> Result<Packing> {
    Ok(match (leaf, values) {
        // Random.
        (Leaf::Fixed(Fixed::SpanId), _) => Packing::None,
        (_, Source::Bytes(Strings::Slices(strings))) => {
            let trial =
                Source::Bytes(Strings::Slices(&strings[..strings.len().min(TRIAL_STRINGS)]));
            let fast = try_out(encoder, trial, Encoding::Plain, 1)?;
            let small = try_out(encoder, trial, Encoding::Plain, ZSTD_LEVEL_TEXT)?;
            Packing::Best(if small * 100 < fast * 95 { ZSTD_LEVEL_TEXT } else { 1 })
        }
        _ => Packing::Best(ZSTD_LEVEL),
    })
}

pub(super) fn definition_levels(leaf: Leaf, list: &ListData, values: &LeafData) -> Vec<u8> {
    let mut levels = list.definition.clone();
    if leaf.is_optional() {
        values.at.iter().for_each(|&entry| levels[entry as usize] = 2);
    }
    levels
}

/// Numbers that are worth a dictionary.
enum Numbers {
    No,
    I32 { codes: Vec<u32>, dictionary: Vec<i32> },
    I64 { codes: Vec<u32>, dictionary: Vec<i64> },
    F64 { codes: Vec<u32>, dictionary: Vec<u64> },
}

impl Numbers {
    fn of(leaf: Leaf, data: &Data) -> Self {
        // Times: a dictionary of them compresses worse than they do.
        if matches!(
            leaf,
            Leaf::Fixed(Fixed::Start | Fixed::Duration) | Leaf::Field(Field::EventTime)
        ) {
            return Self::No;
        }
        let found = match data {
            Data::I32(values) => {
                distinct(values).map(|(codes, dictionary)| Self::I32 { codes, dictionary })
            }
            Data::I64(values) => {
                distinct(values).map(|(codes, dictionary)| Self::I64 { codes, dictionary })
            }
            Data::F64(values) => {
                distinct(values).map(|(codes, dictionary)| Self::F64 { codes, dictionary })
            }
            Data::Bool(_) | Data::Fixed { .. } | Data::Text { .. } => None,
        };
        found.unwrap_or(Self::No)
    }
}

/// Codes and dictionary, where a dictionary pays.
fn distinct<T: Copy + Eq + std::hash::Hash>(values: &[T]) -> Option<(Vec<u32>, Vec<T>)> {
    let most = (values.len() / VALUES_PER_ENTRY).min(DICTIONARY_BYTES_MAX / size_of::<T>());
    let mut dictionary = Vec::new();
    let mut codes = Vec::with_capacity(values.len());
    let mut known: HashMap<T, u32> = HashMap::new();
    let mut last: Option<(T, u32)> = None;
    for &value in values {
        let code = match last {
            Some((same, code)) if same == value => code,
            _ => *known.entry(value).or_insert_with(|| {
                dictionary.push(value);
                (dictionary.len() - 1) as u32
            }),
        };
        if dictionary.len() > most {
            return None;
        }
        last = Some((value, code));
        codes.push(code);
    }
    (!values.is_empty()).then_some((codes, dictionary))
}

/// What a leaf's rows take before compression.
struct Costs<'a> {
    group: &'a GroupData,
    leaf: Leaf,
    values: &'a LeafData,
    source: &'a Source<'a>,
    /// Of each value, where it is fixed.
    bits: Option<u64>,
}

impl Costs<'_> {
    /// Rows of each page.
    fn pages(&self) -> Vec<u32> {
        let rows = self.group.rows as usize;
        let all = self.bits_of_all() / 8;
        let is_giant = |bits: &u64| bits / 8 > PAGE_BYTES_MAX;
        if all > PAGE_BYTES_MAX && self.bits_by(BLOCK_ROWS).iter().any(is_giant) {
            return cut(&self.bits_by(1));
        }
        let each = all / rows.div_ceil(BLOCK_ROWS).max(1) as u64;
        let wanted = if self.is_for_others() { PAGE_BYTES_OTHERS } else { PAGE_BYTES };
        let in_page = wanted.div_ceil(each.max(1)).next_power_of_two();
        let page_rows = usize::try_from(in_page).unwrap_or(rows).saturating_mul(BLOCK_ROWS);
        (0..rows).step_by(page_rows).map(|first| page_rows.min(rows - first) as u32).collect()
    }

    /// True where our own reads never look: shapes and contexts say the same.
    fn is_for_others(&self) -> bool {
        matches!(
            self.leaf,
            Leaf::Fixed(Fixed::Service)
                | Leaf::Remainder(Remainder::Owner | Remainder::Key | Remainder::Type)
        ) || self.values.data.len() == 0 && self.leaf != Leaf::Fixed(Fixed::SpanRaw)
    }

    /// Bits of a value, where all have so many.
    fn width(&self) -> Option<u64> {
        match self.source {
            Source::Codes { dictionary, .. } => {
                Some((usize::BITS - dictionary_len(dictionary).leading_zeros()).into())
            }
            _ => self.bits,
        }
    }

    /// Bits of all rows: values, and levels of one bit or two, more or less.
    fn bits_of_all(&self) -> u64 {
        let levels = match self.group.list(self.leaf.frame()) {
            Some(list) => list.rows.len() as u64 * 2,
            None => u64::from(self.group.rows) * u64::from(self.leaf.is_optional()),
        };
        let values = match (self.width(), self.source) {
            (Some(width), _) => self.values.data.len() as u64 * width,
            (None, Source::Bytes(Strings::Slices(strings))) => {
                strings.iter().map(|string| (string.len() as u64 + 4) * 8).sum()
            }
            _ => 0,
        };
        levels + values
    }

    /// Bits of each run of `run` rows.
    fn bits_by(&self, run: usize) -> Vec<u64> {
        let rows = self.group.rows as usize;
        let mut bits = vec![0u64; rows.div_ceil(run)];
        let list = self.group.list(self.leaf.frame());
        // Levels: a bit each, more or less.
        match list {
            Some(list) => list.rows.iter().for_each(|&row| bits[row as usize / run] += 2),
            None if self.leaf.is_optional() => bits.iter_mut().for_each(|b| *b += run as u64),
            None => {}
        }
        let row_of = |value: usize| -> usize {
            let entry = match self.leaf.is_optional() {
                true => self.values.at[value] as usize,
                false => value,
            };
            list.map_or(entry, |list| list.rows[entry] as usize)
        };
        // Elements of a list without optional values: entries that are elements.
        let elements: Vec<usize>;
        let value_rows: &dyn Fn(usize) -> usize = match list {
            Some(list) if !self.leaf.is_optional() => {
                elements = list
                    .rows
                    .iter()
                    .zip(&list.definition)
                    .filter(|(_, definition)| **definition > 0)
                    .map(|(row, _)| *row as usize)
                    .collect();
                &|value| elements[value]
            }
            _ => &row_of,
        };
        match (self.width(), self.source) {
            (Some(width), _) => {
                (0..self.values.data.len()).for_each(|v| bits[value_rows(v) / run] += width);
            }
            (None, Source::Bytes(Strings::Slices(strings))) => {
                for (value, string) in strings.iter().enumerate() {
                    bits[value_rows(value) / run] += (string.len() as u64 + 4) * 8;
                }
            }
            _ => {}
        }
        bits
    }
}

fn dictionary_len(dictionary: &Dictionary<'_>) -> usize {
    match dictionary {
        Dictionary::I32(values) => values.len(),
        Dictionary::I64(values) => values.len(),
        Dictionary::F64(values) => values.len(),
        Dictionary::Bytes(Strings::Packed { ends, .. }) => ends.len(),
        Dictionary::Bytes(Strings::Slices(strings)) => strings.len(),
    }
}

/// Pages of giant values: each ends with the row that fills it.
fn cut(row_bits: &[u64]) -> Vec<u32> {
    let mut pages = Vec::new();
    let (mut rows, mut bits) = (0, 0);
    for &row in row_bits {
        rows += 1;
        bits += row;
        if bits / 8 >= PAGE_BYTES_MAX {
            pages.push(rows);
            (rows, bits) = (0, 0);
        }
    }
    if rows > 0 {
        pages.push(rows);
    }
    pages
}
