//! Pages to values.

use super::header::{Coding, Header, Kind};
use super::levels::LevelReader;
use super::values::{Physical, ValueReader, Values};
use crate::segment::blob::{Cursor, Parsed};

/// What must be known of a column chunk to read its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) physical: Physical,
    /// 0 to 2; a value is there where an entry's level is this.
    pub(crate) max_definition: u8,
    /// 0 or 1.
    pub(crate) max_repetition: u8,
    /// Whether its pages are zstd.
    pub(crate) compressed: bool,
}

/// What cursors have read, page behind page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Decoded {
    /// A level an entry; empty where `max_definition` is 0.
    pub(crate) definition: Vec<u8>,
    /// A level an entry, 0 where a row begins; empty where `max_repetition` is 0.
    pub(crate) repetition: Vec<u8>,
    /// Of the entries at `max_definition`.
    pub(crate) values: Values,
}

/// A zstd context and a page's plain bytes, kept from page to page. One a thread is enough.
#[derive(Default)]
pub(crate) struct Scratch {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    plain: Vec<u8>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").field("bytes", &self.plain.capacity()).finish_non_exhaustive()
    }
}

/// A larger buffer is given back after its page.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// Zstd's smallest block (four bytes of a repeated byte) makes at most 128 KiB of them, so a page
/// that claims more than this for each of its bytes lies, and costs no memory.
const ZSTD_RATIO_MAX: usize = 32 << 10;

impl Scratch {
    /// The header and the plain body of a page.
    fn page<'p>(&'p mut self, page: &'p [u8], leaf: &Leaf) -> Parsed<(Header, &'p [u8])> {
        let (header, at) = Header::parse(page)?;
        let body = page.get(at..).unwrap_or_default();
        if !leaf.compressed {
            if header.plain != header.stored {
                return Err("a page does not hold what its header says");
            }
            return Ok((header, body));
        }
        if header.plain / ZSTD_RATIO_MAX > header.stored {
            return Err("a page claims more than its bytes can hold");
        }
        if self.plain.capacity() > KEPT_BYTES_MAX && header.plain <= KEPT_BYTES_MAX {
            self.plain = Vec::new();
        }
        self.plain.clear();
        self.plain.try_reserve_exact(header.plain).map_err(|_| "a page does not fit in memory")?;
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            slot => slot.insert(
                zstd::bulk::Decompressor::new().map_err(|_| "zstd finds no memory for itself")?,
            ),
        };
        zstd.decompress_to_buffer(body, &mut self.plain)
            .map_err(|_| "a page does not decompress")?;
        if self.plain.len() != header.plain {
            return Err("a page does not hold what its header says");
        }
        Ok((header, &self.plain))
    }
}

/// The values of a dictionary page (header and body).
pub(crate) fn dictionary(page: &[u8], leaf: &Leaf, scratch: &mut Scratch) -> Parsed<Values> {
    let (header, body) = scratch.page(page, leaf)?;
    let plain = matches!(header.coding, Coding::Plain | Coding::PlainDictionary);
    if header.kind != Kind::Dictionary || !plain || leaf.physical == Physical::Bool {
        return Err("a dictionary page is none");
    }
    let mut values = Values::None;
    let mut reader = ValueReader::Plain { bytes: body };
    reader.read(header.entries, leaf.physical, &mut values)?;
    match reader {
        ValueReader::Plain { bytes: [] } => Ok(values),
        _ => Err("a dictionary page is longer than what it holds"),
    }
}

/// Reads a data page, forwards.
#[derive(Debug)]
pub(crate) struct PageCursor<'p> {
    /// Entries not read yet.
    left: usize,
    repetition: Option<LevelReader<'p>>,
    definition: Option<LevelReader<'p>>,
    physical: Physical,
    values: ValueReader<'p>,
}

impl<'p> PageCursor<'p> {
    /// Takes a whole page, header and body; decompresses it into `scratch`.
    pub(crate) fn open(page: &'p [u8], leaf: &Leaf, scratch: &'p mut Scratch) -> Parsed<Self> {
        let (header, body) = scratch.page(page, leaf)?;
        if header.kind != Kind::Data {
            return Err("a dictionary page stands where values should");
        }
        let mut cursor = Cursor::new(body);
        let repetition = LevelReader::take(&mut cursor, leaf.max_repetition)?;
        let definition = LevelReader::take(&mut cursor, leaf.max_definition)?;
        let body = body.get(cursor.at()..).unwrap_or_default();
        let values = ValueReader::new(header.coding, body, leaf.physical)?;
        Ok(Self { left: header.entries, repetition, definition, physical: leaf.physical, values })
    }

    /// Passes over rows; an error where the page has fewer.
    pub(crate) fn skip(&mut self, rows: usize) -> Parsed<()> {
        if rows == 0 {
            return Ok(());
        }
        let entries = self.entries_of(rows)?;
        let values = match &mut self.definition {
            Some(levels) => levels.count(entries)?,
            None => entries,
        };
        self.values.skip(values, self.physical)
    }

    /// Reads rows and appends them to `out`; an error where the page has fewer. All pages that
    /// are read into one `out` must be of one column, and either all or none dictionary-encoded.
    pub(crate) fn read(&mut self, rows: usize, out: &mut Decoded) -> Parsed<()> {
        if rows == 0 {
            return Ok(());
        }
        let bookmark = self.repetition;
        let entries = self.entries_of(rows)?;
        if let Some(mut levels) = bookmark {
            levels.read(entries, &mut out.repetition)?;
        }
        let values = match &mut self.definition {
            Some(levels) => levels.read(entries, &mut out.definition)?,
            None => entries,
        };
        self.values.read(values, self.physical, &mut out.values)
    }

    /// Takes the entries of the next rows.
    fn entries_of(&mut self, rows: usize) -> Parsed<usize> {
        let entries = match &mut self.repetition {
            Some(levels) => levels.rows(rows, self.left)?,
            None => rows,
        };
        self.left = self.left.checked_sub(entries).ok_or("a page has too few rows")?;
        Ok(entries)
    }
}
