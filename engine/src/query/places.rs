//! Where a tenancy's spans lie at one moment: chunks of the head, and segments as questions see
//! them. A value that a read holds while it lasts; it keeps what it shows readable.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use crate::batch::{Batch, Projection};
use crate::error::Result;
use crate::head::Chunk;
use crate::rollup::CallRollup;
use crate::rollup::rates::RateRollup;
pub(crate) use crate::segment::{Block, BlockSet, PackedCalls};
use crate::span::TraceId;

/// Rows read at once where a trace or a segment is read from end to end.
pub(crate) const STRIDE_ROWS: u32 = 1024;

/// Chunks and segments of one tenancy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    pub(crate) chunks: Vec<Arc<Chunk>>,
    pub(crate) segments: Vec<Arc<dyn Stored>>,
}

/// What questions ask of a segment.
pub(crate) trait Stored: Debug + Send + Sync {
    /// Its file's name.
    fn name(&self) -> &str;
    fn rows(&self) -> u32;
    /// The earliest and the latest start.
    fn starts(&self) -> (u64, u64);
    fn blocks(&self) -> &[Block];
    /// False only for blocks without the term.
    fn blocks_of(&self, term: u64) -> BlockSet;
    /// Rows in order; each trace's stand together, by start.
    fn read(&self, rows: Range<u32>, projection: &Projection) -> Result<Batch>;
    /// The rows of all ranges, which must be ascending and apart.
    fn read_ranges(&self, ranges: &[Range<u32>], projection: &Projection) -> Result<Batch>;
    /// The rows of each trace with its fingerprint. No I/O.
    fn find(&self, trace: &TraceId) -> Vec<Range<u32>>;
    /// What its calls add up to, packed; none in files of before rollups.
    fn calls(&self) -> Option<&PackedCalls>;
    /// The same unpacked.
    fn unpack_calls(&self) -> Result<Option<CallRollup>>;
    /// What its spans come to.
    fn unpack_rates(&self) -> Result<Option<RateRollup>>;
    /// False where the trace is not here. No I/O.
    fn may_hold(&self, trace: &TraceId) -> bool;
    /// The rows of a trace.
    fn locate(&self, trace: &TraceId) -> Result<Option<Range<u32>>>;
    /// All traces as (fingerprint, rows).
    fn traces(&self) -> Box<dyn Iterator<Item = (u32, Range<u32>)> + '_>;
}

/// A batch that is a chunk's, or was read.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Chunk(Arc<Chunk>),
    Read(Arc<Batch>),
}

impl Source {
    pub(crate) fn batch(&self) -> &Batch {
        match self {
            Self::Chunk(chunk) => chunk.batch(),
            Self::Read(batch) => batch,
        }
    }
}
