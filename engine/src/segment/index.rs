//! A segment's index in memory: the blob, decoded and checked against itself. Bytes under a right
//! checksum in, facts, tables, directory and terms out; no I/O.

use std::sync::Arc;

use bytes::Bytes;

use super::blob::{Blob, Cursor, Parsed, Part, put_u64, put_varint};
use super::directory::Directory;
use super::layout::Layout;
use super::pages::PageTable;
use super::rates::PackedRates;
use super::rollup::PackedCalls;
use super::shapes::ShapeTree;
use super::tables::{self, Contexts};
use super::terms::TermIndex;
use super::{BLOCK_ROWS, Block, Facts, SEGMENT_FORMAT};
use crate::query::request::Operation;
use crate::span::{ResourceContext, ScopeContext};

/// The blob, decoded.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) facts: Facts,
    pub(super) rows: u32,
    pub(super) layout: Layout,
    pub(super) shapes: ShapeTree,
    pub(super) pages: PageTable,
    pub(super) blocks: Vec<Block>,
    pub(super) terms: TermIndex,
    pub(super) directory: Directory,
    pub(super) resources: Vec<Arc<ResourceContext>>,
    pub(super) scopes: Vec<Arc<ScopeContext>>,
    pub(super) contexts: Contexts,
    pub(super) operations: Vec<(Arc<str>, Operation)>,
    /// Older files have none.
    pub(super) calls: Option<PackedCalls>,
    pub(super) rates: Option<PackedRates>,
}

impl Index {
    /// `offset` is where the blob begins in a file of `file_length` bytes.
    pub(super) fn parse(bytes: &Bytes, offset: u64, file_length: u64) -> Parsed<Self> {
        let blob = Blob::parse(bytes)?;
        let facts = decode_facts(&blob.part(Part::Facts)?, file_length)?;
        let rows = u32::try_from(facts.spans)
            .ok()
            .filter(|&rows| rows > 0 && rows <= i32::MAX as u32)
            .ok_or("it has an absurd number of rows")?;
        let layout = Layout::decode(&blob.part(Part::Columns)?)?;
        let shapes = ShapeTree::decode(&blob.part(Part::Shapes)?, layout.columns.len())?;
        let pages = PageTable::decode(&blob.part(Part::Pages)?, rows, layout.leaves.len(), offset)?;
        let blocks = decode_blocks(&blob.part(Part::Blocks)?, rows)?;
        let directory = Directory::decode(&blob.part(Part::Directory)?, rows)?;
        if directory.len() as u64 != facts.traces {
            return Err("its traces differ in number");
        }
        let resources = tables::decode_resources(&blob.part(Part::Resources)?)?;
        let scopes = tables::decode_scopes(&blob.part(Part::Scopes)?)?;
        let contexts = Contexts::decode(
            &blob.part(Part::Contexts)?,
            pages.groups().len(),
            resources.len(),
            scopes.len(),
        )?;
        let calls = blob.part_if_there(Part::Calls)?;
        let rates = blob.part_if_there(Part::Rates)?;
        Ok(Self {
            calls: calls.map(|bytes| PackedCalls::decode(&bytes, rows)).transpose()?,
            rates: rates.map(|bytes| PackedRates::decode(&bytes)).transpose()?,
            rows,
            terms: TermIndex::decode(&blob.part(Part::Terms)?, blocks.len() as u32)?,
            operations: tables::decode_operations(&blob.part(Part::Operations)?)?,
            facts,
            layout,
            shapes,
            pages,
            blocks,
            directory,
            resources,
            scopes,
            contexts,
        })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let resources: usize =
            self.resources.iter().map(|r| r.bytes.len() + size_of::<ResourceContext>() + 24).sum();
        let scopes: usize =
            self.scopes.iter().map(|s| s.bytes.len() + size_of::<ScopeContext>() + 24).sum();
        let operations: usize = self
            .operations
            .iter()
            .map(|(_, o)| o.name.capacity() + size_of::<(Arc<str>, Operation)>())
            .sum();
        self.layout.memory_bytes()
            + self.shapes.memory_bytes()
            + self.pages.memory_bytes()
            + self.blocks.capacity() * size_of::<Block>()
            + self.terms.memory_bytes()
            + self.directory.memory_bytes()
            + self.contexts.memory_bytes()
            + self.calls.as_ref().map_or(0, PackedCalls::memory_bytes)
            + self.rates.as_ref().map_or(0, PackedRates::memory_bytes)
            + resources
            + scopes
            + operations
    }
}

/// All but `format`, which the footer has, and `bytes`, which the file itself has.
pub(super) fn encode_facts(facts: &Facts) -> Vec<u8> {
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

pub(super) fn encode_blocks(blocks: &[Block]) -> Vec<u8> {
    let mut out = Vec::with_capacity(blocks.len() * 20);
    for block in blocks {
        put_u64(&mut out, block.start_min);
        put_varint(&mut out, block.start_max - block.start_min);
        put_varint(&mut out, block.duration_max);
    }
    out
}

fn decode_blocks(bytes: &[u8], rows: u32) -> Parsed<Vec<Block>> {
    let mut cursor = Cursor::new(bytes);
    let mut blocks = Vec::new();
    for first_row in (0..rows).step_by(BLOCK_ROWS) {
        let start_min = cursor.u64()?;
        let spread = cursor.varint()?;
        let start_max = start_min.checked_add(spread).ok_or("a block has an absurd start")?;
        let duration_max = cursor.varint()?;
        let rows = (rows - first_row).min(BLOCK_ROWS as u32);
        blocks.push(Block { first_row, rows, start_min, start_max, duration_max });
    }
    cursor.finish()?;
    Ok(blocks)
}
