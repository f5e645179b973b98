//! Parts of many traces: which segments hold them, and their rows, each segment read once for all
//! the traces of a group. Ids and segments flow in, batches flow out; who asks decides what the
//! rows mean. A group bounds what is in memory; a single trace larger than one comes alone.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::places::{Places, Shelf, Source};
use super::trace::{self, Rows};
use super::work::Work;
use crate::batch::{Batch, Cells, Projection};
use crate::error::{Error, Result};
use crate::query::request::Cancel;
use crate::span::TraceId;

/// Rows of the traces that are read together.
const GROUP_ROWS: usize = 1 << 16;
/// The same where cells are read too.
const GROUP_WHOLE_ROWS: usize = 1 << 12;
/// Traces that are read together.
const GROUP_TRACES: usize = 1 << 14;
/// Traces of a segment for each one wanted, above which they are asked for one by one.
const PROBE_SHARE: usize = 64;
/// Bits of the filter for each wanted trace: one in sixteen that are not wanted passes.
const FILTER_BITS: usize = 16;

/// What segments know a trace by.
pub(crate) type Fingerprint = fn(&TraceId) -> u32;

/// Some traces.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// In order, each once.
    ids: Vec<TraceId>,
    /// Fingerprint and place among `ids`, in order.
    prints: Vec<(u32, u32)>,
    /// A bit for the upper bits of each fingerprint.
    filter: Vec<u64>,
    shift: u32,
}

impl Wanted {
    pub(crate) fn new(mut ids: Vec<TraceId>, fingerprint: Fingerprint) -> Self {
        ids.sort_unstable();
        ids.dedup();
        let mut prints: Vec<(u32, u32)> = ids.iter().map(fingerprint).zip(0u32..).collect();
        prints.sort_unstable();
        let bits = (ids.len().max(4) * FILTER_BITS).next_power_of_two().min(1 << 26);
        let mut wanted = Self { ids, prints, filter: vec![0; bits / 64], shift: 32 - bits.ilog2() };
        for at in 0..wanted.prints.len() {
            let bit = wanted.prints.get(at).map_or(0, |(print, _)| print >> wanted.shift) as usize;
            if let Some(word) = wanted.filter.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
        wanted
    }

    pub(crate) fn ids(&self) -> &[TraceId] {
        &self.ids
    }

    /// Those with this fingerprint, as places among the ids.
    fn of(&self, print: u32) -> &[(u32, u32)] {
        let bit = (print >> self.shift) as usize;
        if self.filter.get(bit / 64).is_none_or(|word| word & (1 << (bit % 64)) == 0) {
            return &[];
        }
        let from = self.prints.partition_point(|(other, _)| *other < print);
        let rest = self.prints.get(from..).unwrap_or_default();
        let length = rest.partition_point(|(other, _)| *other == print);
        rest.get(..length).unwrap_or_default()
    }
}

/// Rows of a segment that are a wanted trace's, or of one with its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    /// Place among the ids.
    trace: u32,
    /// Place among the segments.
    segment: u32,
    rows: Range<u32>,
}

/// Rows of a trace in one segment.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Place among the segments.
    pub(crate) segment: u32,
    /// Its first row there.
    pub(crate) first_row: u32,
    pub(crate) batch: Arc<Batch>,
    /// In the batch.
    pub(crate) rows: Range<usize>,
}

/// Where wanted traces may lie.
#[derive(Debug)]
pub(crate) struct Located<'a> {
    segments: &'a Shelf,
    wanted: Wanted,
    /// By trace, segment and row.
    candidates: Vec<Candidate>,
}

/// What is done where a segment cannot be read.
pub(crate) type OnError<'e> = dyn FnMut(u32, Error) -> Result<()> + 'e;

impl<'a> Located<'a> {
    /// Looks into the directories of all segments. No I/O.
    pub(crate) fn new(segments: &'a Shelf, wanted: Wanted, work: &Work) -> Self {
        let mut candidates = Vec::new();
        for (number, segment) in (0u32..).zip(segments) {
            let mut add = |trace: u32, rows: Range<u32>| {
                candidates.push(Candidate { trace, segment: number, rows });
            };
            if wanted.ids.len() * PROBE_SHARE < segment.rows() as usize {
                work.trace_probes(wanted.ids.len());
                for (print, trace) in &wanted.prints {
                    segment.suspects(*print, &mut |rows| add(*trace, rows));
                }
            } else {
                for (print, rows) in segment.traces() {
                    wanted.of(print).iter().for_each(|(_, trace)| add(*trace, rows.clone()));
                }
            }
        }
        candidates.sort_unstable_by_key(|c| (c.trace, c.segment, c.rows.start));
        Self { segments, wanted, candidates }
    }

    /// The ids, in order.
    pub(crate) fn ids(&self) -> &[TraceId] {
        self.wanted.ids()
    }

    /// The name of a segment.
    pub(crate) fn name(&self, segment: u32) -> Option<&str> {
        self.segments.get(segment as usize).map(|segment| segment.name())
    }

    /// How many segments may hold a trace, and how many rows of it.
    pub(crate) fn extent(&self, trace: u32) -> (usize, usize) {
        let candidates = self.of(trace);
        (candidates.len(), candidates.iter().map(|c| c.rows.len()).sum())
    }

    /// The segments that may hold it, as places among the segments.
    pub(crate) fn segments_of(&self, trace: u32) -> impl Iterator<Item = u32> {
        self.of(trace).iter().map(|candidate| candidate.segment)
    }

    fn of(&self, trace: u32) -> &[Candidate] {
        let from = self.candidates.partition_point(|c| c.trace < trace);
        let rest = self.candidates.get(from..).unwrap_or_default();
        let length = rest.partition_point(|c| c.trace == trace);
        rest.get(..length).unwrap_or_default()
    }

    /// Reads the parts of these traces (places among the ids) and visits each trace once, those
    /// near each other one after another. `on_error` may go on without a segment's parts.
    ///
    /// # Errors
    /// Those of `on_error` and `visit`; Cancelled.
    pub(crate) fn each(
        &self,
        traces: impl Iterator<Item = u32>,
        projection: &Projection,
        cancel: &Cancel,
        on_error: &mut OnError<'_>,
        visit: &mut dyn FnMut(u32, Vec<Part>) -> Result<()>,
    ) -> Result<()> {
        // By where they begin: then a group touches few segments, and few pages of each.
        let mut order: Vec<(u32, u32, u32)> = traces
            .map(|trace| {
                let first = self.of(trace).first();
                first.map_or((0, 0, trace), |c| (c.segment, c.rows.start, trace))
            })
            .collect();
        order.sort_unstable();
        let group_rows = match projection.cells {
            Cells::None => GROUP_ROWS,
            _ => GROUP_WHOLE_ROWS,
        };
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            cancel.check()?;
            let mut rows = 0;
            let fits = |(_, _, trace): &&(u32, u32, u32)| {
                rows += self.extent(*trace).1;
                rows <= group_rows
            };
            let length = rest.iter().take(GROUP_TRACES).take_while(fits).count().max(1);
            let (group, others) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = others;
            let parts = self.read(group, projection, cancel, on_error)?;
            for ((_, _, trace), parts) in group.iter().zip(parts) {
                visit(*trace, parts)?;
            }
        }
        Ok(())
    }

    /// The parts of each trace of a group, by segment.
    fn read(
        &self,
        group: &[(u32, u32, u32)],
        projection: &Projection,
        cancel: &Cancel,
        on_error: &mut OnError<'_>,
    ) -> Result<Vec<Vec<Part>>> {
        let mut wanted: Vec<(usize, &Candidate)> = Vec::new();
        for (at, (_, _, trace)) in group.iter().enumerate() {
            wanted.extend(self.of(*trace).iter().map(|candidate| (at, candidate)));
        }
        wanted.sort_unstable_by_key(|(_, c)| (c.segment, c.rows.start));
        let mut out = vec![Vec::new(); group.len()];
        for here in wanted.chunk_by(|a, b| a.1.segment == b.1.segment) {
            cancel.check()?;
            let Some(number) = here.first().map(|(_, candidate)| candidate.segment) else {
                continue;
            };
            let Some(segment) = self.segments.get(number as usize) else { continue };
            // Two ids of one fingerprint want the same rows.
            let mut ranges: Vec<Range<u32>> = here.iter().map(|(_, c)| c.rows.clone()).collect();
            ranges.dedup();
            let batch = match segment.read_ranges(&ranges, projection) {
                Ok(batch) => Arc::new(batch),
                Err(error) => {
                    on_error(number, error)?;
                    continue;
                }
            };
            cancel.work().rows_scanned(batch.rows());
            let mut ranges = ranges.into_iter();
            let mut range = ranges.next();
            let mut at = 0;
            for (place, candidate) in here {
                if range.as_ref() != Some(&candidate.rows) {
                    at += range.map_or(0, |range| range.len());
                    range = ranges.next();
                }
                let rows = at..at + candidate.rows.len();
                let is_it = batch.trace_id.get(rows.start) == self.id(candidate.trace);
                if !is_it {
                    cancel.work().false_probes(1);
                    continue;
                }
                let (batch, first_row) = (Arc::clone(&batch), candidate.rows.start);
                let part = Part { segment: number, first_row, batch, rows };
                out.get_mut(*place).into_iter().for_each(|parts| parts.push(part.clone()));
            }
        }
        Ok(out)
    }

    fn id(&self, trace: u32) -> Option<&TraceId> {
        self.wanted.ids.get(trace as usize)
    }

    /// All rows of a trace with those in the head, each copy once.
    ///
    /// # Errors
    /// Corrupted, Io.
    pub(crate) fn join(
        &self,
        places: &Places,
        trace: u32,
        parts: &[Part],
        projection: &Projection,
    ) -> Result<Rows> {
        let id = self.id(trace).copied().unwrap_or_default();
        let stored = |part: &Part| {
            let segment = self.segments.get(part.segment as usize)?;
            let rows = part.first_row..part.first_row + part.rows.len() as u32;
            Some((Arc::clone(segment), rows))
        };
        let segments: VecDeque<_> = parts.iter().filter_map(stored).collect();
        let read = |part: &Part| (Source::Read(Arc::clone(&part.batch)), part.rows.clone());
        let read = parts.iter().map(read).collect();
        trace::Parts::known(places, id, segments).join(read, projection)
    }
}
