//! An open segment: its index in memory, its pages in the file. Batches flow out; every page is
//! checked before it is decoded. Nothing here writes.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::cache::{Dictionary, DictionaryCache};
use super::codec::{self, Decoded, PageCursor, Scratch};
use super::cursors::{Cells, dictionary_of};
use super::footer::{self, Located, Lost};
use super::index::Index;
use super::layout::Fixed;
use super::pages::{FetchError, Fetched, Wanted, fetch};
use super::rows::Rows;
use super::terms::BlockSet;
use super::{Block, Facts, damaged, fingerprint};
use crate::batch::{Batch, Level, Projection, Type, What};
use crate::error::{Error, Result};
use crate::query::request::Operation;
use crate::span::TraceId;
use crate::world::ReadFile;

/// Read from the end of a file at once: the footer of two or three row groups.
const TAIL_BYTES: u64 = 32 << 10;

thread_local! {
    /// A zstd context is dear to make.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    name: String,
    file: Arc<dyn ReadFile>,
    pub(super) index: Index,
    cache: Arc<DictionaryCache>,
    /// What the cache knows it by.
    instance: u64,
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.cache.forget(self.instance);
    }
}

impl Segment {
    /// Opens a file; reads its footer and index, no rows.
    ///
    /// # Errors
    /// `Format` for a file of another format, `Corrupted` for a damaged one, both naming it.
    pub(crate) fn open(
        file: Arc<dyn ReadFile>,
        name: &str,
        cache: &Arc<DictionaryCache>,
    ) -> Result<Segment> {
        let located = locate(&*file, name)?;
        let blob = read_one(&*file, name, located.blob.clone())?;
        if crc32c::crc32c(&blob) != located.blob_crc {
            return Err(damaged(name, "the checksum of its index is wrong"));
        }
        let index = Index::parse(&blob, located.blob.start, file.len())
            .map_err(|what| damaged(name, format_args!("in its index, {what}")))?;
        let instance = cache.instance();
        Ok(Segment { name: name.to_owned(), file, index, cache: Arc::clone(cache), instance })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn rows(&self) -> u32 {
        self.index.rows
    }

    /// As [`super::build`] gave them.
    pub(crate) fn facts(&self) -> &Facts {
        &self.index.facts
    }

    /// What this holds in memory, dictionaries in the cache apart.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.index.memory_bytes() + self.name.capacity() + size_of::<Self>()
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.index.blocks
    }

    /// The blocks that may have rows with the term; every block that has is among them.
    pub(crate) fn blocks_of(&self, term: u64) -> BlockSet {
        self.index.terms.blocks_of(term)
    }

    /// Distinct (service, operation), sorted by service and name; names as UTF-8, what is not
    /// replaced.
    pub(crate) fn operations(&self) -> &[(Arc<str>, Operation)] {
        &self.index.operations
    }

    /// Attributes that have a column of their own in this file.
    pub(crate) fn promoted(&self) -> impl Iterator<Item = (Level, &Bytes, Type)> {
        let ranked = self.index.layout.columns.iter().filter(|column| column.rank.is_some());
        ranked.filter_map(|column| match &column.what {
            What::Attribute { level, key, kind } => Some((*level, key, *kind)),
            What::Field(_) => None,
        })
    }

    /// All traces as (fingerprint, rows), by fingerprint.
    pub(crate) fn traces(&self) -> impl Iterator<Item = (u32, Range<u32>)> {
        self.index.directory.iter()
    }

    /// False where the trace is not here; true nearly always means that it is. No I/O.
    pub(crate) fn may_hold(&self, trace: &TraceId) -> bool {
        self.index.directory.find(fingerprint(trace)).next().is_some()
    }

    /// The rows of each trace of this fingerprint: mostly of none, or of one. No I/O.
    pub(crate) fn suspects(&self, fingerprint: u32) -> impl Iterator<Item = Range<u32>> {
        self.index.directory.find(fingerprint)
    }

    /// The rows of a trace; reads no file for a trace that is not here.
    ///
    /// # Errors
    /// `Io`, `Corrupted`.
    pub(crate) fn locate(&self, trace: &TraceId) -> Result<Option<Range<u32>>> {
        for rows in self.index.directory.find(fingerprint(trace)) {
            let first = rows.start..rows.start + 1;
            for (group, row) in self.index.pages.groups_of(first) {
                let id = self.fixed(group, Fixed::TraceId, std::slice::from_ref(&row))?;
                if id.text(0) == trace.0 {
                    return Ok(Some(rows));
                }
            }
        }
        Ok(None)
    }

    /// Rows in order; contexts and dictionaries are shared, `sequence` stays empty.
    ///
    /// # Errors
    /// `Io`, `Corrupted`; `Internal` for rows that are not there.
    pub(crate) fn read(&self, rows: Range<u32>, projection: &Projection) -> Result<Batch> {
        self.read_ranges(std::slice::from_ref(&rows), projection)
    }

    /// As [`Segment::read`] the rows of all ranges, which must be ascending and apart. A page that
    /// several of them need is read once.
    ///
    /// # Errors
    /// As [`Segment::read`].
    pub(crate) fn read_ranges(
        &self,
        ranges: &[Range<u32>],
        projection: &Projection,
    ) -> Result<Batch> {
        let mut end = 0;
        for rows in ranges {
            if rows.start < end || rows.start > rows.end || rows.end > self.rows() {
                return Err(Error::internal(format!(
                    "rows {rows:?} of segment file {}, which has {}",
                    self.name,
                    self.rows()
                )));
            }
            end = rows.end;
        }
        let mut out = Rows::new(self, projection);
        let mut parts = ranges.iter().flat_map(|rows| self.index.pages.groups_of(rows.clone()));
        let mut next = parts.next();
        while let Some((group, first)) = next {
            let mut here = vec![first];
            next = parts.next();
            while let Some((_, part)) = next.take_if(|(other, _)| *other == group) {
                here.push(part);
                next = parts.next();
            }
            out.read(group, &here)?;
        }
        Ok(out.finish())
    }

    /// The cells of these leaves in these rows of a row group.
    pub(super) fn cells(
        &self,
        group: usize,
        leaves: &[usize],
        rows: &[Range<u32>],
    ) -> Result<Vec<Cells>> {
        let known: Vec<Option<Dictionary>> = leaves
            .iter()
            .map(|&leaf| match self.index.pages.has_dictionary(group, leaf) {
                true => self.cache.get(&self.key(group, leaf)),
                false => None,
            })
            .collect();
        let wanted: Vec<Wanted<'_>> = leaves
            .iter()
            .zip(&known)
            .map(|(&leaf, known)| Wanted { group, leaf, rows, dictionary: known.is_none() })
            .collect();
        let fetched = self.fetch(&wanted)?;
        let mut cells = Vec::with_capacity(leaves.len());
        for ((&leaf, fetched), known) in leaves.iter().zip(fetched).zip(known) {
            let decoded = self
                .decode(group, leaf, rows, &fetched, known)
                .map_err(|what| self.damaged_leaf(leaf, what))?;
            cells.push(decoded);
        }
        Ok(cells)
    }

    pub(super) fn fetch(&self, wanted: &[Wanted<'_>]) -> Result<Vec<Fetched>> {
        fetch(&*self.file, &self.index.pages, wanted).map_err(|e| match e {
            FetchError::Io(e) => io_error(&self.name, e),
            FetchError::Damaged(what) => damaged(&self.name, what),
        })
    }

    fn key(&self, group: usize, leaf: usize) -> (u64, u32, u32) {
        (self.instance, group as u32, leaf as u32)
    }

    fn decode(
        &self,
        group: usize,
        leaf: usize,
        rows: &[Range<u32>],
        fetched: &Fetched,
        known: Option<Dictionary>,
    ) -> Result<Cells, &'static str> {
        let of = self.index.layout.leaves[leaf];
        let of = codec::Leaf {
            physical: of.physical(),
            max_definition: of.max_definition(),
            max_repetition: of.max_repetition(),
            compressed: self.index.pages.is_compressed(group, leaf),
        };
        SCRATCH.with_borrow_mut(|scratch| {
            let dictionary = match (known, &fetched.dictionary) {
                (Some(known), _) => Some(known),
                (None, None) => None,
                (None, Some(page)) => {
                    let dictionary = dictionary_of(codec::dictionary(page, &of, scratch)?);
                    self.cache.put(self.key(group, leaf), dictionary.clone());
                    Some(dictionary)
                }
            };
            let mut out = Decoded::default();
            for (page, first_row, page_rows) in &fetched.pages {
                let mut cursor = PageCursor::open(page, &of, scratch)?;
                let mut at = *first_row;
                let page_end = first_row + page_rows;
                let from = rows.partition_point(|rows| rows.end <= *first_row);
                for rows in rows.iter().skip(from).take_while(|rows| rows.start < page_end) {
                    let (from, to) = (rows.start.max(at), rows.end.min(page_end));
                    cursor.skip((from - at) as usize)?;
                    cursor.read((to - from) as usize, &mut out)?;
                    at = to;
                }
            }
            Cells::of(out, dictionary.as_ref())
        })
    }

    /// The cells of a fixed column.
    pub(super) fn fixed(&self, group: usize, fixed: Fixed, rows: &[Range<u32>]) -> Result<Cells> {
        let leaf = self.index.layout.fixed(fixed);
        let mut cells = self.cells(group, &[leaf], rows)?;
        cells.pop().ok_or_else(|| self.damaged("a column lacks"))
    }

    pub(super) fn damaged(&self, what: impl std::fmt::Display) -> Error {
        damaged(&self.name, what)
    }

    pub(super) fn damaged_leaf(&self, leaf: usize, what: &str) -> Error {
        let of = self.index.layout.leaves.get(leaf);
        self.damaged(format_args!("column {leaf} ({of:?}): {what}"))
    }

    pub(super) fn file(&self) -> &Arc<dyn ReadFile> {
        &self.file
    }

    pub(super) fn cache(&self) -> &Arc<DictionaryCache> {
        &self.cache
    }
}

/// The footer's word on where the blob lies, checked.
fn locate(file: &dyn ReadFile, name: &str) -> Result<Located> {
    let length = file.len();
    let mut tail = read_one(file, name, length.saturating_sub(TAIL_BYTES)..length)?;
    let closing = tail.len().saturating_sub(footer::CLOSING_BYTES);
    let footer = footer::footer_length(&tail[closing..]).map_err(|what| damaged(name, what))?;
    let needed = u64::from(footer) + footer::CLOSING_BYTES as u64;
    if needed > length {
        return Err(damaged(name, "its footer is longer than itself"));
    }
    if needed > tail.len() as u64 {
        tail = read_one(file, name, length - needed..length)?;
    }
    let located = footer::locate(&tail, length).map_err(|lost| match lost {
        Lost::Damaged(what) => damaged(name, what),
        Lost::Format(format) => super::unknown_format(name, &format),
    })?;
    if located.blob.end > length {
        return Err(damaged(name, "its index ends outside it"));
    }
    Ok(located)
}

fn read_one(file: &dyn ReadFile, name: &str, range: Range<u64>) -> Result<Bytes> {
    let wanted = range.end - range.start;
    let mut parts = file.read_many(&[range]).map_err(|e| io_error(name, e))?;
    match parts.pop() {
        Some(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
        _ => Err(damaged(name, "it came back short")),
    }
}

fn io_error(name: &str, e: std::io::Error) -> Error {
    if e.kind() == std::io::ErrorKind::UnexpectedEof {
        return damaged(name, "it is shorter than it was").with_source(e);
    }
    Error::io("reading segment file", name, e)
}
