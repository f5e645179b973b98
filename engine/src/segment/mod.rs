//! Segments, format 0: one immutable Parquet file that carries its own index as a blob.
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::query::request::Operation;
use crate::span::{SpanRow, TraceId};
use crate::world::ReadFile;

/// The format this build writes and the only one it reads.
pub(crate) const SEGMENT_FORMAT: u32 = 0;
/// Rows of a block: the unit of pruning and of reading.
pub(crate) const BLOCK_ROWS: usize = 1024;

/// A segment, ready to be published.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) bytes: Vec<u8>,
    pub(crate) facts: Facts,
}

/// What the catalog keeps of a segment.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    pub(crate) format: u32,
    pub(crate) spans: u64,
    pub(crate) traces: u64,
    pub(crate) bytes: u64,
    pub(crate) start_min: u64,
    pub(crate) start_max: u64,
    pub(crate) end_max: u64,
    pub(crate) sequence_min: u64,
    pub(crate) sequence_max: u64,
}

pub(crate) fn build(
    _rows: &[SpanRow],
    _terms: &mut dyn FnMut(&SpanRow, &mut dyn FnMut(u64)),
) -> Result<Built> {
    unimplemented!("being written")
}

#[derive(Debug)]
pub(crate) struct Segment {
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first_row: u32,
    pub(crate) rows: u32,
    pub(crate) start_min: u64,
    pub(crate) start_max: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    /// Everything but the span's bytes.
    Fixed,
    /// All.
    Payload,
}

/// A trace's fingerprint in the directory.
pub(crate) fn fingerprint(trace: &TraceId) -> u64 {
    twox_hash::XxHash3_64::oneshot(&trace.0)
}

impl Segment {
    pub(crate) fn open(_file: Arc<dyn ReadFile>, _name: &str) -> Result<Segment> {
        unimplemented!("being written")
    }
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
    pub(crate) fn rows(&self) -> u32 {
        0
    }
    pub(crate) fn memory_bytes(&self) -> usize {
        0
    }
    pub(crate) fn blocks(&self) -> &[Block] {
        &[]
    }
    pub(crate) fn may_contain(&self, _block: usize, _term: u64) -> bool {
        true
    }
    pub(crate) fn read(&self, _rows: Range<u32>, _columns: Columns) -> Result<Vec<SpanRow>> {
        unimplemented!("being written")
    }
    pub(crate) fn locate(&self, _trace: &TraceId) -> Result<Option<Range<u32>>> {
        unimplemented!("being written")
    }
    pub(crate) fn traces(&self) -> impl Iterator<Item = (u64, Range<u32>)> {
        std::iter::empty()
    }
    pub(crate) fn may_hold(&self, _trace: &TraceId) -> bool {
        true
    }
    pub(crate) fn operations(&self) -> &[(Arc<str>, Operation)] {
        &[]
    }
    pub(crate) fn verify(&self) -> Result<()> {
        unimplemented!("being written")
    }
}
