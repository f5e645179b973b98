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
use crate::segment::{PRINTS_SEGMENTS, Prints};
use crate::span::TraceId;

/// Rows read at once where a trace or a segment is read from end to end.
pub(crate) const STRIDE_ROWS: u32 = 1024;

/// Chunks and segments of one tenancy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    pub(crate) chunks: Vec<Arc<Chunk>>,
    pub(crate) segments: Shelf,
}

/// The segments of one tenancy, and what is known of all of them in one place: with hundreds, to
/// ask each would cost more than to answer. Cheap to clone; grows by a new one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf(Arc<Shelved>);

#[derive(Debug, Default)]
struct Shelved {
    segments: Vec<Arc<dyn Stored>>,
    /// Of each.
    starts: Vec<(u64, u64)>,
    /// Of the first [`PRINTS_SEGMENTS`], of the next, …; the last few have none yet.
    prints: Vec<Arc<Prints>>,
}

impl Shelf {
    /// With more segments behind those that are there.
    pub(crate) fn with(&self, more: impl IntoIterator<Item = Arc<dyn Stored>>) -> Self {
        let mut segments = self.0.segments.clone();
        segments.extend(more);
        let starts = segments.iter().map(|segment| segment.starts()).collect();
        let mut prints = self.0.prints.clone();
        let full = segments.chunks_exact(PRINTS_SEGMENTS).skip(prints.len());
        prints.extend(
            full.map(|group| {
                Arc::new(Prints::of(group.iter().map(|segment| segment.fingerprints())))
            }),
        );
        Self(Arc::new(Shelved { segments, starts, prints }))
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Arc<dyn Stored>> {
        self.0.segments.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.segments.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Arc<dyn Stored>> {
        self.0.segments.get(at)
    }

    /// The earliest and the latest start of each.
    pub(crate) fn starts(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.starts.iter().copied()
    }

    /// Where a trace may lie, in order; nearly always where it does. No I/O.
    pub(crate) fn holding(&self, trace: &TraceId) -> Vec<(Arc<dyn Stored>, Range<u32>)> {
        let Shelved { segments, prints, .. } = &*self.0;
        let print = segments.first().map_or(0, |segment| segment.fingerprint(trace));
        let named = prints.iter().zip(segments.chunks_exact(PRINTS_SEGMENTS));
        let named =
            named.flat_map(move |(of, group)| of.find(print).filter_map(|at| group.get(at)));
        let others = segments.get(prints.len() * PRINTS_SEGMENTS..).unwrap_or_default();
        let mut found = Vec::new();
        for segment in named.chain(others) {
            segment.suspects(print, &mut |rows| found.push((Arc::clone(segment), rows)));
        }
        found
    }

    /// What it holds in memory beside the segments.
    pub(crate) fn memory_bytes(&self) -> usize {
        let each = size_of::<Arc<dyn Stored>>() + size_of::<(u64, u64)>();
        self.len() * each + self.0.prints.iter().map(|prints| prints.memory_bytes()).sum::<usize>()
    }
}

impl<'a> IntoIterator for &'a Shelf {
    type Item = &'a Arc<dyn Stored>;
    type IntoIter = std::slice::Iter<'a, Arc<dyn Stored>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
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
    /// What [`Stored::traces`] knows a trace by; the same in all segments of a store.
    fn fingerprint(&self, trace: &TraceId) -> u32;
    /// Of all traces, in any order.
    fn fingerprints(&self) -> Box<dyn Iterator<Item = u32> + '_>;
    /// Gives the rows of each trace of this fingerprint. No I/O.
    fn suspects(&self, fingerprint: u32, take: &mut dyn FnMut(Range<u32>));
    /// The rows of all ranges, which must be ascending and apart.
    fn read_ranges(&self, ranges: &[Range<u32>], projection: &Projection) -> Result<Batch>;
    /// What its calls add up to, packed; none in files of before rollups.
    fn calls(&self) -> Option<&PackedCalls>;
    /// The same unpacked.
    fn unpack_calls(&self) -> Result<Option<CallRollup>>;
    /// What its spans come to.
    fn unpack_rates(&self) -> Result<Option<RateRollup>>;
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
