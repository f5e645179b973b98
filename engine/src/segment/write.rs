//! Builds a segment in memory: sorted rows in, the bytes of one file and its [`Facts`] out. The
//! file is written front to back: row groups, blob, footer; only the footer's own checksum is set
//! at the end.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int32Type,
    Int64Type,
};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescPtr;

use super::blob::{self, Part, put_u64, put_varint};
use super::bloom::Blooms;
use super::column::{Encoded, encode};
use super::pages::TableWriter;
use super::schema::{self, Column};
use super::tables::{self, Interner, Operations};
use super::{
    BLOCK_ROWS, Built, Facts, GROUP_BLOCKS, SEGMENT_FORMAT, directory, fingerprint, footer, payload,
};
use crate::error::{Error, Result};
use crate::span::{ResourceContext, ScopeContext, SpanRow};

/// Gives the hashes a row can be looked up by.
pub(crate) type TermsOf<'a> = dyn FnMut(&SpanRow, &mut dyn FnMut(u64)) + 'a;

/// Builds a segment of rows in segment order: traces contiguous, by (earliest start, trace id);
/// the spans of a trace by (start, span id, span bytes). `terms` may repeat a hash.
///
/// # Errors
/// `Internal` where the rows are none, out of order, or more than a segment holds.
pub(crate) fn build(rows: &[SpanRow], terms: &mut TermsOf<'_>) -> Result<Built> {
    if rows.is_empty() || i32::try_from(rows.len()).is_err() {
        return Err(Error::internal(format!("a segment cannot have {} rows", rows.len())));
    }
    let traces = traces_in_order(rows)?;
    let mut facts = facts_of(rows, traces.len());
    let shared = Shared::of(rows);
    let (bytes, blob_end) = write_file(rows, &traces, &facts, &shared, terms)
        .map_err(|e| Error::internal(format!("building a segment: {e}")).with_source(e))?;
    let bytes = seal(bytes, blob_end)?;
    facts.bytes = bytes.len() as u64;
    Ok(Built { bytes, facts })
}

/// (fingerprint, rows) of each trace.
fn traces_in_order(rows: &[SpanRow]) -> Result<Vec<(u64, u32)>> {
    let mut traces = Vec::new();
    let mut last = None;
    let mut seen = HashSet::new();
    for trace in rows.chunk_by(|a, b| a.trace_id == b.trace_id) {
        let Some(first) = trace.first() else { continue };
        let key = (first.start, first.trace_id);
        let sorted = trace
            .is_sorted_by(|a, b| (a.start, a.span_id, &a.span) <= (b.start, b.span_id, &b.span));
        if !sorted || last.is_some_and(|last| last >= key) || !seen.insert(first.trace_id) {
            return Err(Error::internal(format!(
                "rows for a segment are out of order at trace {}",
                first.trace_id
            )));
        }
        last = Some(key);
        traces.push((fingerprint(&first.trace_id), trace.len() as u32));
    }
    Ok(traces)
}

fn facts_of(rows: &[SpanRow], traces: usize) -> Facts {
    let starts = || rows.iter().map(|row| row.start);
    let sequences = || rows.iter().map(|row| row.sequence);
    Facts {
        format: SEGMENT_FORMAT,
        spans: rows.len() as u64,
        traces: traces as u64,
        bytes: 0,
        start_min: starts().min().unwrap_or_default(),
        start_max: starts().max().unwrap_or_default(),
        end_max: rows.iter().map(|row| row.end).max().unwrap_or_default(),
        sequence_min: sequences().min().unwrap_or_default(),
        sequence_max: sequences().max().unwrap_or_default(),
    }
}

/// What rows share, and each row's ordinals.
struct Shared<'a> {
    resources: Interner<'a, ResourceContext>,
    scopes: Interner<'a, ScopeContext>,
    ordinals: Vec<(i32, i32)>,
    operations: Operations,
}

impl<'a> Shared<'a> {
    fn of(rows: &'a [SpanRow]) -> Self {
        let mut resources = Interner::default();
        let mut scopes = Interner::default();
        let mut operations = BTreeSet::new();
        let mut ordinals = Vec::with_capacity(rows.len());
        for row in rows {
            ordinals.push((resources.ordinal(&row.resource), scopes.ordinal(&row.scope)));
            operations.insert((&row.resource.service, &row.name, tables::kind_number(row.kind)));
        }
        let operations = operations
            .into_iter()
            .map(|(service, name, kind)| {
                (Arc::clone(service), String::from_utf8_lossy(name).into_owned(), kind)
            })
            .collect();
        Self { resources, scopes, ordinals, operations }
    }
}

/// The file, and where its blob ends.
fn write_file(
    rows: &[SpanRow],
    traces: &[(u64, u32)],
    facts: &Facts,
    shared: &Shared<'_>,
    terms: &mut TermsOf<'_>,
) -> ParquetResult<(Vec<u8>, usize)> {
    let schema = schema::descriptor()?;
    let mut file =
        SerializedFileWriter::new(Vec::new(), schema.root_schema_ptr(), schema::file_properties())?;
    let mut table = TableWriter::default();
    let encoder = Encoder::new(schema, &shared.resources.things);
    let group_rows = BLOCK_ROWS * GROUP_BLOCKS;
    for (rows, ordinals) in rows.chunks(group_rows).zip(shared.ordinals.chunks(group_rows)) {
        let mut group = file.next_row_group()?;
        table.group(rows.len());
        for column in encoder.columns(rows, ordinals) {
            let column = column?;
            table.chunk(&column);
            group.append_column(&column.bytes, column.close)?;
        }
        group.close()?;
    }
    let blob = index(rows, traces, facts, shared, table.finish(), terms)?;
    let offset = file.bytes_written();
    file.write_all(&blob)?;
    let located = footer::blob_value(offset, blob.len(), crc32c::crc32c(&blob));
    for (key, value) in [
        (footer::FORMAT_KEY, SEGMENT_FORMAT.to_string()),
        (footer::BLOB_KEY, located),
        (footer::TAIL_KEY, footer::TAIL_ZEROS.to_owned()),
    ] {
        file.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }
    Ok((file.into_inner()?, offset + blob.len()))
}

fn seal(mut bytes: Vec<u8>, blob_end: usize) -> Result<Vec<u8>> {
    footer::seal(&mut bytes, blob_end)
        .map_err(|what| Error::internal(format!("sealing a segment: {what}")))?;
    Ok(bytes)
}

/// The blob.
fn index(
    rows: &[SpanRow],
    traces: &[(u64, u32)],
    facts: &Facts,
    shared: &Shared<'_>,
    pages: Vec<u8>,
    terms: &mut TermsOf<'_>,
) -> std::io::Result<Vec<u8>> {
    let (blocks, blooms) = blocks(rows, terms);
    let mut blob = blob::Writer::default();
    blob.plain(Part::Facts, &encode_facts(facts));
    blob.packed(Part::Pages, &pages)?;
    blob.packed(Part::Blocks, &blocks)?;
    blob.packed(Part::Resources, &tables::encode_resources(&shared.resources.things))?;
    blob.packed(Part::Scopes, &tables::encode_scopes(&shared.scopes.things))?;
    blob.packed(Part::Operations, &tables::encode_operations(&shared.operations))?;
    blob.plain(Part::Directory, &directory::encode(traces));
    blob.plain(Part::Blooms, &blooms.encode());
    Ok(blob.finish())
}

/// All but `format`, which the footer has, and `bytes`, which the file itself has.
fn encode_facts(facts: &Facts) -> Vec<u8> {
    let mut out = Vec::with_capacity(7 * 8);
    for number in [
        facts.spans,
        facts.traces,
        facts.start_min,
        facts.start_max,
        facts.end_max,
        facts.sequence_min,
        facts.sequence_max,
    ] {
        put_u64(&mut out, number);
    }
    out
}

/// Start bounds of each block, and its filter.
fn blocks(rows: &[SpanRow], terms: &mut TermsOf<'_>) -> (Vec<u8>, Blooms) {
    let mut bounds = Vec::new();
    let mut blooms = Blooms::default();
    let mut hashes = Vec::new();
    for block in rows.chunks(BLOCK_ROWS) {
        let starts = || block.iter().map(|row| row.start);
        let (min, max) = (starts().min().unwrap_or_default(), starts().max().unwrap_or_default());
        put_u64(&mut bounds, min);
        put_varint(&mut bounds, max - min);
        hashes.clear();
        block.iter().for_each(|row| terms(row, &mut |hash| hashes.push(hash)));
        blooms.push(&mut hashes);
    }
    (bounds, blooms)
}

/// Turns rows into columns.
struct Encoder {
    schema: SchemaDescPtr,
    dense: WriterPropertiesPtr,
    sparse: WriterPropertiesPtr,
    /// By ordinal of the resource.
    services: Vec<ByteArray>,
}

/// The parts of a row group's rows that do not stand in the rows as they are.
struct Parts {
    parents: Optional<FixedLenByteArray>,
    names: Vec<ByteArray>,
    names_raw: Optional<ByteArray>,
    rest: Vec<ByteArray>,
    spans_raw: Optional<ByteArray>,
}

/// Values that are there, and a level for each row.
struct Optional<T> {
    values: Vec<T>,
    levels: Vec<i16>,
}

impl<T> Optional<T> {
    fn with_capacity(rows: usize) -> Self {
        Self { values: Vec::new(), levels: Vec::with_capacity(rows) }
    }

    fn push(&mut self, value: Option<T>) {
        self.levels.push(value.is_some().into());
        self.values.extend(value);
    }
}

impl Parts {
    fn of(rows: &[SpanRow]) -> Self {
        let mut parts = Self {
            parents: Optional::with_capacity(rows.len()),
            names: Vec::with_capacity(rows.len()),
            names_raw: Optional::with_capacity(rows.len()),
            rest: Vec::with_capacity(rows.len()),
            spans_raw: Optional::with_capacity(rows.len()),
        };
        for row in rows {
            let (parent, rest, raw) = match payload::take_apart(row) {
                Some(apart) => (apart.parent, apart.rest, None),
                None => (row.parent, Bytes::new(), Some(row.span.clone())),
            };
            parts.parents.push(parent.map(|id| id.0.to_vec().into()));
            parts.rest.push(rest.into());
            parts.spans_raw.push(raw.map(ByteArray::from));
            match str::from_utf8(&row.name) {
                Ok(_) => parts.names.push(row.name.clone().into()),
                Err(_) => {
                    let lossy = String::from_utf8_lossy(&row.name).into_owned();
                    parts.names.push(lossy.into_bytes().into());
                }
            }
            let raw = str::from_utf8(&row.name).is_err().then(|| row.name.clone().into());
            parts.names_raw.push(raw);
        }
        parts
    }
}

impl Encoder {
    fn new(schema: SchemaDescPtr, resources: &[&ResourceContext]) -> Self {
        let services = resources.iter().map(|r| r.service.as_bytes().to_vec().into()).collect();
        let dense = schema::properties(&schema, false);
        let sparse = schema::properties(&schema, true);
        Self { schema, dense, sparse, services }
    }

    /// The columns of a row group, in order; each is encoded when it is asked for.
    fn columns(
        &self,
        rows: &[SpanRow],
        ordinals: &[(i32, i32)],
    ) -> impl Iterator<Item = ParquetResult<Encoded>> {
        let parts = Parts::of(rows);
        Column::ALL.into_iter().map(move |column| self.column(column, rows, ordinals, &parts))
    }

    fn column(
        &self,
        column: Column,
        rows: &[SpanRow],
        ordinals: &[(i32, i32)],
        parts: &Parts,
    ) -> ParquetResult<Encoded> {
        let int32 = |value: fn(&SpanRow) -> i32| {
            self.required::<Int32Type>(column, &rows.iter().map(value).collect::<Vec<_>>())
        };
        let int64 = |value: fn(&SpanRow) -> u64| {
            let values: Vec<i64> = rows.iter().map(|row| value(row) as i64).collect();
            self.required::<Int64Type>(column, &values)
        };
        match column {
            Column::TraceId => {
                let ids = fixed(rows.iter().map(|row| row.trace_id.0));
                self.required::<FixedLenByteArrayType>(column, &ids)
            }
            Column::SpanId => {
                let ids = fixed(rows.iter().map(|row| row.span_id.0));
                self.required::<FixedLenByteArrayType>(column, &ids)
            }
            Column::Parent => self.optional::<FixedLenByteArrayType>(column, &parts.parents),
            Column::Start => int64(|row| row.start),
            Column::Duration => int64(|row| row.end.wrapping_sub(row.start)),
            Column::Service => self.required::<ByteArrayType>(column, &self.services(ordinals)),
            Column::Name => self.required::<ByteArrayType>(column, &parts.names),
            Column::Kind => int32(|row| row.kind),
            Column::Status => int32(|row| row.status),
            Column::Resource => {
                let values: Vec<i32> = ordinals.iter().map(|o| o.0).collect();
                self.required::<Int32Type>(column, &values)
            }
            Column::Scope => {
                let values: Vec<i32> = ordinals.iter().map(|o| o.1).collect();
                self.required::<Int32Type>(column, &values)
            }
            Column::Rest => self.required::<ByteArrayType>(column, &parts.rest),
            Column::NameRaw => self.optional::<ByteArrayType>(column, &parts.names_raw),
            Column::SpanRaw => self.optional::<ByteArrayType>(column, &parts.spans_raw),
        }
    }

    fn services(&self, ordinals: &[(i32, i32)]) -> Vec<ByteArray> {
        let service = |&(resource, _): &(i32, i32)| self.services.get(resource as usize).cloned();
        ordinals.iter().filter_map(service).collect()
    }

    fn required<T: DataType>(&self, column: Column, values: &[T::T]) -> ParquetResult<Encoded> {
        encode::<T>(self.schema.column(column as usize), self.properties(column), values, None)
    }

    fn optional<T: DataType>(
        &self,
        column: Column,
        values: &Optional<T::T>,
    ) -> ParquetResult<Encoded> {
        let (descriptor, properties) =
            (self.schema.column(column as usize), self.properties(column));
        encode::<T>(descriptor, properties, &values.values, Some(&values.levels))
    }

    fn properties(&self, column: Column) -> WriterPropertiesPtr {
        Arc::clone(if column.is_sparse() { &self.sparse } else { &self.dense })
    }
}

/// Ids as slices of one allocation.
fn fixed<const N: usize>(ids: impl Iterator<Item = [u8; N]>) -> Vec<FixedLenByteArray> {
    let all = Bytes::from(ids.flatten().collect::<Vec<u8>>());
    (0..all.len()).step_by(N).map(|at| ByteArray::from(all.slice(at..at + N)).into()).collect()
}
