//! An open segment: its index in memory, its pages in the file. Rows flow out; every page is
//! checked before it is decoded. Nothing here writes.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::schema::types::SchemaDescPtr;

use super::footer::{self, Located, Lost};
use super::index::Index;
use super::pages::{FetchError, Group, fetch};
use super::rows::{self, Fetching};
use super::schema::{self, Column};
use super::{Block, Columns, Facts, damaged, fingerprint};
use crate::error::{Error, Result};
use crate::query::request::Operation;
use crate::span::{SpanRow, TraceId};
use crate::world::ReadFile;

/// Read from the end of a file at once; footers are about 1 KiB a row group.
const TAIL_BYTES: u64 = 32 << 10;

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    name: String,
    file: Arc<dyn ReadFile>,
    pub(super) schema: SchemaDescPtr,
    pub(super) index: Index,
}

impl Segment {
    /// Opens a file; reads its footer and index, no rows.
    ///
    /// # Errors
    /// `Format` for a file of another format, `Corrupted` for a damaged one, both naming it.
    pub(crate) fn open(file: Arc<dyn ReadFile>, name: &str) -> Result<Segment> {
        let located = locate(&*file, name)?;
        let blob = read_one(&*file, name, located.blob.clone())?;
        if crc32c::crc32c(&blob) != located.blob_crc {
            return Err(damaged(name, "the checksum of its index is wrong"));
        }
        let index = Index::parse(&blob, located.blob.start, file.len())
            .map_err(|what| damaged(name, format_args!("in its index, {what}")))?;
        let schema = schema::descriptor().map_err(|e| Error::internal(e.to_string()))?;
        Ok(Segment { name: name.to_owned(), file, schema, index })
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

    /// What this holds in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.index.memory_bytes() + self.name.capacity() + size_of::<Self>()
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.index.blocks
    }

    /// False only where no row of the block has the term.
    pub(crate) fn may_contain(&self, block: usize, term: u64) -> bool {
        self.index.blooms.may_contain(block, term)
    }

    /// Distinct (service, operation), sorted by service and name; names as UTF-8, what is not
    /// replaced.
    pub(crate) fn operations(&self) -> &[(Arc<str>, Operation)] {
        &self.index.operations
    }

    /// All traces as (fingerprint, rows), by fingerprint.
    pub(crate) fn traces(&self) -> impl Iterator<Item = (u64, Range<u32>)> {
        self.index.directory.iter()
    }

    /// False where the trace is not here; true nearly always means that it is. No I/O.
    pub(crate) fn may_hold(&self, trace: &TraceId) -> bool {
        self.index.directory.find(fingerprint(trace)).next().is_some()
    }

    /// The rows of a trace; reads no file for a trace that is not here.
    ///
    /// # Errors
    /// `Io`, `Corrupted`.
    pub(crate) fn locate(&self, trace: &TraceId) -> Result<Option<Range<u32>>> {
        for rows in self.index.directory.find(fingerprint(trace)) {
            let first = rows.start..rows.start + 1;
            let Some((group, first)) = self.index.pages.groups_of(first).next() else { continue };
            let mut columns = self.fetch(group, first, &[Column::TraceId])?;
            if columns.fixed::<16>(Column::TraceId)? == [trace.0] {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    /// Rows in order, `sequence` 0; resources and scopes are shared.
    ///
    /// # Errors
    /// `Io`, `Corrupted`; `Internal` for rows that are not there.
    pub(crate) fn read(&self, rows: Range<u32>, columns: Columns) -> Result<Vec<SpanRow>> {
        if rows.start > rows.end || rows.end > self.rows() {
            return Err(Error::internal(format!(
                "rows {rows:?} of segment file {}, which has {}",
                self.name,
                self.rows()
            )));
        }
        let mut out = Vec::with_capacity(rows.len());
        for (group, part) in self.index.pages.groups_of(rows) {
            self.read_group(group, part, columns, &mut out)?;
        }
        Ok(out)
    }

    fn read_group(
        &self,
        group: &Group,
        rows: Range<u32>,
        columns: Columns,
        out: &mut Vec<SpanRow>,
    ) -> Result<()> {
        let fetched = self.fetch(group, rows, rows::columns_of(columns))?;
        fetched.into_rows(columns, out)
    }

    pub(super) fn fetch(
        &self,
        group: &Group,
        rows: Range<u32>,
        columns: &[Column],
    ) -> Result<Fetching<'_>> {
        let wanted: Vec<_> = columns.iter().map(|&c| (group.chunk(c), rows.clone())).collect();
        let fetched = fetch(&*self.file, &wanted).map_err(|e| match e {
            FetchError::Io(e) => io_error(&self.name, e),
            FetchError::Damaged(what) => damaged(&self.name, what),
        })?;
        Ok(Fetching::new(self, rows.len(), columns.iter().copied().zip(fetched)))
    }

    pub(super) fn damaged(&self, what: impl std::fmt::Display) -> Error {
        damaged(&self.name, what)
    }

    pub(super) fn file(&self) -> &Arc<dyn ReadFile> {
        &self.file
    }

    pub(super) fn groups_of(&self, rows: Range<u32>) -> impl Iterator<Item = (&Group, Range<u32>)> {
        self.index.pages.groups_of(rows)
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
