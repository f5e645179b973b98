//! Builds a segment in memory: rows of batches in, the bytes of one file and its [`Facts`] out.
//! The file is written front to back: row groups, blob, footer; only the footer's own checksum is
//! set at the end.

use parquet::basic::Compression;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;

use super::blob::{self, Part};
use super::codec::Encoder;
use super::gather::{Gather, Gathered, Limits};
use super::pages::TableWriter;
use super::plan::{Input, Plan};
use super::{
    Facts, SEGMENT_FORMAT, choose, directory, footer, index, rates, rollup, schema, tables, terms,
};
use crate::catalog::registry::RegisteredColumn;
use crate::error::{Error, Result};

/// A segment, ready to be published.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) bytes: Vec<u8>,
    pub(crate) facts: Facts,
    /// Columns that were not registered before: to be added to the catalog with the segment.
    pub(crate) columns: Vec<RegisteredColumn>,
}

/// Builds a segment.
///
/// # Errors
/// `Internal` where the rows are none, out of order, or more than a segment holds.
pub(crate) fn build(input: &Input<'_>) -> Result<Built> {
    build_within(input, Limits::default())
}

pub(super) fn build_within(input: &Input<'_>, limits: Limits) -> Result<Built> {
    if input.order.is_empty() || i32::try_from(input.order.len()).is_err() {
        return Err(Error::internal(format!("a segment cannot have {} rows", input.order.len())));
    }
    let plan = Plan::of(input)?;
    let mut facts = facts_of(input, plan.traces.len());
    let (mut bytes, blob_end) = write_file(input, &plan, &facts, limits)
        .map_err(|e| Error::internal(format!("building a segment: {e}")).with_source(e))?;
    footer::seal(&mut bytes, blob_end)
        .map_err(|what| Error::internal(format!("sealing a segment: {what}")))?;
    facts.bytes = bytes.len() as u64;
    Ok(Built { bytes, facts, columns: plan.added })
}

fn facts_of(input: &Input<'_>, traces: usize) -> Facts {
    let mut facts = Facts {
        format: SEGMENT_FORMAT,
        spans: input.order.len() as u64,
        traces: traces as u64,
        bytes: 0,
        start_min: u64::MAX,
        start_max: 0,
        end_max: 0,
        sequence_min: u64::MAX,
        sequence_max: 0,
    };
    for at in 0..input.order.len() {
        let (batch, _, row) = input.row(at);
        facts.start_min = facts.start_min.min(batch.start[row]);
        facts.start_max = facts.start_max.max(batch.start[row]);
        facts.end_max = facts.end_max.max(batch.end[row]);
        let sequence = batch.sequence.get(row).copied().unwrap_or_default();
        facts.sequence_min = facts.sequence_min.min(sequence);
        facts.sequence_max = facts.sequence_max.max(sequence);
    }
    if let Some(known) = input.sequences {
        (facts.sequence_min, facts.sequence_max) = known;
    }
    facts
}

/// The file, and where its blob ends.
fn write_file(
    input: &Input<'_>,
    plan: &Plan,
    facts: &Facts,
    limits: Limits,
) -> ParquetResult<(Vec<u8>, usize)> {
    let schema = schema::descriptor(&plan.layout, &plan.registered)?;
    let mut file =
        SerializedFileWriter::new(Vec::new(), schema.root_schema_ptr(), file_properties())?;
    let mut table = TableWriter::default();
    let mut encoder = Encoder::default();
    let mut gather = Gather::new(*input, plan, limits);
    let mut first = 0;
    while first < input.order.len() {
        let data = gather.group(first);
        first += data.rows as usize;
        let mut group = file.next_row_group()?;
        table.group(data.rows as usize);
        let leaves = plan.layout.leaves.iter().zip(&data.leaves).zip(schema.columns());
        for ((leaf, values), column) in leaves {
            let encoded = choose::encode(&mut encoder, *leaf, &data, values)?;
            table.chunk(&encoded);
            group.append_column(&encoded.bytes, encoded.close(column.clone())?)?;
        }
        group.close()?;
    }
    let blob = blob_of(input, plan, facts, gather.finish(), table.finish())?;
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

/// Pages are found by our own table.
pub(super) fn file_properties() -> WriterPropertiesPtr {
    let properties = WriterProperties::builder()
        .set_created_by("spanlake".to_owned())
        .set_compression(Compression::ZSTD(Default::default()))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .build();
    properties.into()
}

fn blob_of(
    input: &Input<'_>,
    plan: &Plan,
    facts: &Facts,
    mut gathered: Gathered,
    pages: Vec<u8>,
) -> std::io::Result<Vec<u8>> {
    let blocks = gathered.blocks.len() as u32;
    gathered.terms.append(&mut gathered.slow_terms);
    let mut blob = blob::Writer::default();
    blob.plain(Part::Facts, &index::encode_facts(facts));
    blob.packed(Part::Pages, &pages)?;
    blob.packed(Part::Blocks, &index::encode_blocks(&gathered.blocks))?;
    blob.packed(Part::Columns, &plan.layout.encode())?;
    blob.packed(Part::Shapes, &plan.shapes.encode())?;
    blob.packed(Part::Resources, &tables::encode_resources(&gathered.resources))?;
    blob.packed(Part::Scopes, &tables::encode_scopes(&gathered.scopes))?;
    blob.packed(Part::Contexts, &gathered.contexts.encode())?;
    blob.packed(Part::Operations, &tables::encode_operations(&gathered.operations))?;
    blob.plain(Part::Directory, &directory::encode(&plan.traces));
    blob.plain(Part::Terms, &terms::encode(&mut gathered.terms, blocks)?);
    if let Some(kept) = input.rollup {
        blob.plain(Part::Calls, &rollup::encode(&kept.calls)?);
        blob.plain(Part::Rates, &rates::encode(&kept.rates)?);
    }
    Ok(blob.finish())
}
