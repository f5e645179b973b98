//! An open segment: its index in memory, its pages in the file. Rows flow out; every page is
//! checked before it is decoded. Nothing here writes.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::schema::types::SchemaDescPtr;

use super::blob::{Blob, Cursor, Parsed, Part};
use super::bloom::Blooms;
use super::column::decode;
use super::directory::Directory;
use super::footer::{self, Located, Lost};
use super::pages::{FetchError, Fetched, Group, PageTable, fetch};
use super::payload::{Fixed, put_together};
use super::schema::{self, Column};
use super::tables;
use super::{BLOCK_ROWS, Block, Columns, Facts, SEGMENT_FORMAT, damaged, fingerprint};
use crate::error::{Error, Result};
use crate::query::request::Operation;
use crate::span::{ResourceContext, ScopeContext, SpanId, SpanRow, TraceId};
use crate::world::ReadFile;

/// Read from the end of a file at once; footers are about 1 KiB a row group.
const TAIL_BYTES: u64 = 32 << 10;

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    name: String,
    file: Arc<dyn ReadFile>,
    schema: SchemaDescPtr,
    index: Index,
}

/// The blob, decoded.
#[derive(Debug)]
struct Index {
    facts: Facts,
    rows: u32,
    pages: PageTable,
    blocks: Vec<Block>,
    blooms: Blooms,
    directory: Directory,
    resources: Vec<Arc<ResourceContext>>,
    scopes: Vec<Arc<ScopeContext>>,
    operations: Vec<(Arc<str>, Operation)>,
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
        let names: &[Column] = match columns {
            Columns::Fixed => &FIXED_COLUMNS,
            Columns::Payload => &PAYLOAD_COLUMNS,
        };
        let mut decoded = self.fetch(group, rows.clone(), names)?;
        let rows = FixedRows::decode(&mut decoded, rows.len())?;
        let bytes = match columns {
            Columns::Fixed => None,
            Columns::Payload => {
                Some((decoded.bytes(Column::Rest)?, decoded.optional(Column::SpanRaw)?))
            }
        };
        rows.assemble(self, bytes, out)
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
        let columns = columns.iter().copied().zip(fetched.into_iter().map(Some)).collect();
        Ok(Fetching { segment: self, columns })
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

impl Index {
    fn parse(bytes: &Bytes, offset: u64, file_length: u64) -> Parsed<Self> {
        let blob = Blob::parse(bytes)?;
        let facts = decode_facts(&blob.part(Part::Facts)?, file_length)?;
        let rows = u32::try_from(facts.spans)
            .ok()
            .filter(|&rows| rows > 0 && rows <= i32::MAX as u32)
            .ok_or("it has an absurd number of rows")?;
        let blocks = decode_blocks(&blob.part(Part::Blocks)?, rows)?;
        let directory = Directory::decode(&blob.part(Part::Directory)?, rows)?;
        if directory.len() as u64 != facts.traces {
            return Err("its traces differ in number");
        }
        Ok(Self {
            rows,
            pages: PageTable::decode(&blob.part(Part::Pages)?, rows, offset)?,
            blooms: Blooms::decode(&blob.part(Part::Blooms)?, blocks.len())?,
            resources: tables::decode_resources(&blob.part(Part::Resources)?)?,
            scopes: tables::decode_scopes(&blob.part(Part::Scopes)?)?,
            operations: tables::decode_operations(&blob.part(Part::Operations)?)?,
            facts,
            blocks,
            directory,
        })
    }

    fn memory_bytes(&self) -> usize {
        let resources: usize =
            self.resources.iter().map(|r| r.bytes.len() + size_of::<ResourceContext>() + 24).sum();
        let scopes: usize =
            self.scopes.iter().map(|s| s.bytes.len() + size_of::<ScopeContext>() + 24).sum();
        let operations: usize = self
            .operations
            .iter()
            .map(|(_, o)| o.name.capacity() + size_of::<(Arc<str>, Operation)>())
            .sum();
        self.pages.memory_bytes()
            + self.blocks.capacity() * size_of::<Block>()
            + self.blooms.memory_bytes()
            + self.directory.memory_bytes()
            + resources
            + scopes
            + operations
    }
}

fn decode_facts(bytes: &[u8], file_length: u64) -> Parsed<Facts> {
    let mut cursor = Cursor::new(bytes);
    let facts = Facts {
        format: SEGMENT_FORMAT,
        bytes: file_length,
        spans: cursor.u64()?,
        traces: cursor.u64()?,
        start_min: cursor.u64()?,
        start_max: cursor.u64()?,
        end_max: cursor.u64()?,
        sequence_min: cursor.u64()?,
        sequence_max: cursor.u64()?,
    };
    cursor.finish()?;
    Ok(facts)
}

fn decode_blocks(bytes: &[u8], rows: u32) -> Parsed<Vec<Block>> {
    let mut cursor = Cursor::new(bytes);
    let mut blocks = Vec::new();
    for first_row in (0..rows).step_by(BLOCK_ROWS) {
        let start_min = cursor.u64()?;
        let spread = cursor.varint()?;
        let start_max = start_min.checked_add(spread).ok_or("a block has an absurd start")?;
        let rows = (rows - first_row).min(BLOCK_ROWS as u32);
        blocks.push(Block { first_row, rows, start_min, start_max });
    }
    cursor.finish()?;
    Ok(blocks)
}

const FIXED_COLUMNS: [Column; 11] = [
    Column::TraceId,
    Column::SpanId,
    Column::Parent,
    Column::Start,
    Column::Duration,
    Column::Name,
    Column::Kind,
    Column::Status,
    Column::Resource,
    Column::Scope,
    Column::NameRaw,
];

/// In file order, so that neighbours are read together.
const PAYLOAD_COLUMNS: [Column; 13] = [
    Column::TraceId,
    Column::SpanId,
    Column::Parent,
    Column::Start,
    Column::Duration,
    Column::Name,
    Column::Kind,
    Column::Status,
    Column::Resource,
    Column::Scope,
    Column::Rest,
    Column::NameRaw,
    Column::SpanRaw,
];

/// Pages in memory, waiting to be decoded.
pub(super) struct Fetching<'a> {
    segment: &'a Segment,
    columns: Vec<(Column, Option<Fetched>)>,
}

impl Fetching<'_> {
    fn take<T: DataType>(&mut self, column: Column) -> Result<(Vec<T::T>, Vec<i16>)> {
        let fetched = self.columns.iter_mut().find(|(c, _)| *c == column);
        let fetched = fetched
            .and_then(|(_, fetched)| fetched.take())
            .ok_or_else(|| Error::internal(format!("column {column:?} was not fetched")))?;
        let descriptor = self.segment.schema.column(column as usize);
        let Fetched { pages, skip, take } = fetched;
        decode::<T>(&descriptor, column.compression(), pages, skip, take)
            .map_err(|e| self.segment.damaged(format_args!("column {column:?}: {e}")))
    }

    fn ints(&mut self, column: Column) -> Result<Vec<i32>> {
        self.take::<Int32Type>(column).map(|(values, _)| values)
    }

    fn longs(&mut self, column: Column) -> Result<Vec<i64>> {
        self.take::<Int64Type>(column).map(|(values, _)| values)
    }

    pub(super) fn bytes(&mut self, column: Column) -> Result<Vec<ByteArray>> {
        self.take::<ByteArrayType>(column).map(|(values, _)| values)
    }

    fn fixed<const N: usize>(&mut self, column: Column) -> Result<Vec<[u8; N]>> {
        let (values, _) = self.take::<FixedLenByteArrayType>(column)?;
        values.iter().map(|id| self.id(id.data())).collect()
    }

    fn id<const N: usize>(&self, bytes: &[u8]) -> Result<[u8; N]> {
        bytes.try_into().map_err(|_| self.segment.damaged("an id has a wrong length"))
    }

    fn parents(&mut self) -> Result<Vec<Option<SpanId>>> {
        let (values, present) = self.take::<FixedLenByteArrayType>(Column::Parent)?;
        spread(values, &present)
            .map(|id| id.map(|id| self.id(id.data()).map(SpanId)).transpose())
            .collect()
    }

    fn optional(&mut self, column: Column) -> Result<Vec<Option<ByteArray>>> {
        let (values, present) = self.take::<ByteArrayType>(column)?;
        Ok(spread(values, &present).collect())
    }
}

/// Puts nulls between the values.
fn spread<T>(values: Vec<T>, present: &[i16]) -> impl Iterator<Item = Option<T>> {
    let mut values = values.into_iter();
    present.iter().map(move |&level| if level > 0 { values.next() } else { None })
}

/// The decoded columns that every read needs; all of one length.
struct FixedRows {
    trace_ids: Vec<[u8; 16]>,
    span_ids: Vec<[u8; 8]>,
    /// As the message had them, zeros included.
    parents: Vec<Option<SpanId>>,
    starts: Vec<i64>,
    durations: Vec<i64>,
    names: Vec<Bytes>,
    kinds: Vec<i32>,
    statuses: Vec<i32>,
    resources: Vec<i32>,
    scopes: Vec<i32>,
}

impl FixedRows {
    fn decode(columns: &mut Fetching<'_>, rows: usize) -> Result<Self> {
        let decoded = Self {
            trace_ids: columns.fixed(Column::TraceId)?,
            span_ids: columns.fixed(Column::SpanId)?,
            parents: columns.parents()?,
            starts: columns.longs(Column::Start)?,
            durations: columns.longs(Column::Duration)?,
            names: names(&columns.bytes(Column::Name)?, columns.optional(Column::NameRaw)?),
            kinds: columns.ints(Column::Kind)?,
            statuses: columns.ints(Column::Status)?,
            resources: columns.ints(Column::Resource)?,
            scopes: columns.ints(Column::Scope)?,
        };
        if decoded.parents.len() == rows && decoded.names.len() == rows {
            // The others have a value for each row: `decode` checks that.
            return Ok(decoded);
        }
        Err(columns.segment.damaged("its columns differ in length"))
    }

    /// Makes rows; `bytes` are the rest and the whole messages where the payload is wanted.
    fn assemble(
        self,
        segment: &Segment,
        bytes: Option<(Vec<ByteArray>, Vec<Option<ByteArray>>)>,
        out: &mut Vec<SpanRow>,
    ) -> Result<()> {
        let table = |what| move || segment.damaged(format_args!("a row's {what} is not listed"));
        for (at, name) in self.names.iter().enumerate() {
            let start = self.starts[at] as u64;
            let fixed = Fixed {
                trace_id: TraceId(self.trace_ids[at]),
                span_id: SpanId(self.span_ids[at]),
                parent: self.parents[at],
                name,
                kind: self.kinds[at],
                start,
                end: start.wrapping_add(self.durations[at] as u64),
            };
            let span = match &bytes {
                None => Bytes::new(),
                Some((rest, raw)) => match raw.get(at).and_then(Option::as_ref) {
                    Some(raw) => Bytes::copy_from_slice(raw.data()),
                    None => rest
                        .get(at)
                        .and_then(|rest| put_together(&fixed, rest.data()))
                        .ok_or_else(|| segment.damaged("a span cannot be put together"))?,
                },
            };
            let resource = segment.index.resources.get(self.resources[at] as usize);
            let scope = segment.index.scopes.get(self.scopes[at] as usize);
            out.push(SpanRow {
                trace_id: fixed.trace_id,
                span_id: fixed.span_id,
                parent: fixed.parent.filter(|id| *id != SpanId::default()),
                start,
                end: fixed.end,
                kind: fixed.kind,
                status: self.statuses[at],
                name: name.clone(),
                resource: Arc::clone(resource.ok_or_else(table("resource"))?),
                scope: Arc::clone(scope.ok_or_else(table("scope"))?),
                span,
                sequence: 0,
            });
        }
        Ok(())
    }
}

/// Names as sent. Values of one dictionary entry lie at one address and become one allocation.
fn names(names: &[ByteArray], raw: Vec<Option<ByteArray>>) -> Vec<Bytes> {
    let mut shared: HashMap<(*const u8, usize), Bytes> = HashMap::new();
    let one = |(name, raw): (&ByteArray, Option<ByteArray>)| match raw {
        Some(raw) => Bytes::copy_from_slice(raw.data()),
        None => {
            let data = name.data();
            let key = (data.as_ptr(), data.len());
            shared.entry(key).or_insert_with(|| Bytes::copy_from_slice(data)).clone()
        }
    };
    names.iter().zip(raw).map(one).collect()
}
