//! A segment's index in memory: the blob, decoded and checked against itself. Bytes under a right
//! checksum in, facts, tables and filters out; no I/O.

use std::sync::Arc;

use bytes::Bytes;

use super::blob::{Blob, Cursor, Parsed, Part};
use super::bloom::Blooms;
use super::directory::Directory;
use super::pages::PageTable;
use super::{BLOCK_ROWS, Block, Facts, SEGMENT_FORMAT, tables};
use crate::query::request::Operation;
use crate::span::{ResourceContext, ScopeContext};

/// The blob, decoded.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) facts: Facts,
    pub(super) rows: u32,
    pub(super) pages: PageTable,
    pub(super) blocks: Vec<Block>,
    pub(super) blooms: Blooms,
    pub(super) directory: Directory,
    pub(super) resources: Vec<Arc<ResourceContext>>,
    pub(super) scopes: Vec<Arc<ScopeContext>>,
    pub(super) operations: Vec<(Arc<str>, Operation)>,
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
