//! The search: the newest N traces by (latest start of a matching span descending, trace id
//! ascending), exactly, whatever the arrival order and the number of segments. Units (head
//! chunks and segment blocks) are walked newest first; the walk stops only when the N-th key is
//! strictly newer than anything the remaining units can hold.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use super::matching::Matcher;
use super::request::{Cancel, FoundTrace, TraceQuery};
use super::{Counters, SEARCH_DEPTH_MAX};
use crate::error::Result;
use crate::head::Chunk;
use crate::segment::{Columns, Segment};
use crate::span::{SpanRow, TraceId};
use crate::tenancy::Tenancy;
use crate::view::State;

/// What is walked in one step.
enum Unit<'a> {
    Chunk(&'a Chunk),
    Block(&'a Segment, usize),
}

/// The best N traces so far.
struct Newest {
    limit: usize,
    keys: HashMap<TraceId, u64>,
    order: BTreeSet<(Reverse<u64>, TraceId)>,
}

impl Newest {
    fn new(limit: usize) -> Self {
        Self { limit, keys: HashMap::new(), order: BTreeSet::new() }
    }

    /// The N-th key, once there are N.
    fn worst(&self) -> Option<(Reverse<u64>, TraceId)> {
        self.order.last().copied().filter(|_| self.order.len() >= self.limit)
    }

    /// True where a matching span of this start and trace would change the answer.
    fn wants(&self, start: u64, trace: TraceId) -> bool {
        match self.keys.get(&trace) {
            Some(&key) => start > key,
            None => self.worst().is_none_or(|worst| (Reverse(start), trace) < worst),
        }
    }

    fn offer(&mut self, start: u64, trace: TraceId) {
        if !self.wants(start, trace) {
            return;
        }
        if let Some(old) = self.keys.insert(trace, start) {
            self.order.remove(&(Reverse(old), trace));
        }
        self.order.insert((Reverse(start), trace));
        if self.order.len() > self.limit
            && let Some((_, dropped)) = self.order.pop_last()
        {
            self.keys.remove(&dropped);
        }
    }
}

/// Answers a search over one state.
///
/// # Errors
/// Cancelled, Corrupted, Io.
pub(crate) fn newest_traces(
    state: &State,
    tenancy: &Tenancy,
    query: &TraceQuery,
    cancel: &Cancel,
    counters: &Counters,
) -> Result<Vec<FoundTrace>> {
    let mut matcher = Matcher::new(query);
    let mut newest = Newest::new(query.limit.clamp(1, SEARCH_DEPTH_MAX));
    let terms = matcher.terms();
    for (bound, unit) in units(state, tenancy, &matcher) {
        if newest.worst().is_some_and(|(Reverse(key), _)| key > bound) {
            break;
        }
        cancel.check()?;
        match unit {
            Unit::Chunk(chunk) => {
                counters.scanned(chunk.rows.len());
                for row in &chunk.rows {
                    consider(row, &mut matcher, &mut newest);
                }
            }
            Unit::Block(segment, block) => {
                let possible = |any: &Vec<u64>| any.iter().any(|&t| segment.may_contain(block, t));
                if terms.iter().all(possible) {
                    scan_block(segment, block, &mut matcher, &mut newest, counters)?;
                }
            }
        }
    }
    let found = newest.order.into_iter();
    Ok(found
        .map(|(Reverse(newest_match), trace_id)| FoundTrace { trace_id, newest_match })
        .collect())
}

/// Units that may hold a match, newest first, each with the latest start a match in it can have.
fn units<'a>(state: &'a State, tenancy: &Tenancy, matcher: &Matcher) -> Vec<(u64, Unit<'a>)> {
    let bound = |start_max: u64| start_max.min(matcher.start_max());
    let mut units = Vec::new();
    for chunk in state.head.get(tenancy).into_iter().flat_map(|head| head.chunks()) {
        if matcher.overlaps(chunk.start_min, chunk.start_max) {
            units.push((bound(chunk.start_max), Unit::Chunk(chunk)));
        }
    }
    for live in state.catalog.segments(tenancy) {
        let facts = &live.entry.facts;
        if !matcher.overlaps(facts.start_min, facts.start_max) {
            continue;
        }
        for (index, block) in live.segment.blocks().iter().enumerate() {
            if matcher.overlaps(block.start_min, block.start_max) {
                units.push((bound(block.start_max), Unit::Block(&live.segment, index)));
            }
        }
    }
    units.sort_by_key(|(bound, _)| Reverse(*bound));
    units
}

fn consider(row: &SpanRow, matcher: &mut Matcher, newest: &mut Newest) {
    if newest.wants(row.start, row.trace_id)
        && matcher.fixed_match(row)
        && matcher.attributes_match(row)
    {
        newest.offer(row.start, row.trace_id);
    }
}

/// Reads the fixed columns of a block, and the payload only of the stretch that needs it.
fn scan_block(
    segment: &Segment,
    block: usize,
    matcher: &mut Matcher,
    newest: &mut Newest,
    counters: &Counters,
) -> Result<()> {
    let Some(block) = segment.blocks().get(block) else { return Ok(()) };
    let rows = segment.read(block.first_row..block.first_row + block.rows, Columns::Fixed)?;
    counters.scanned(rows.len());
    let candidate =
        |row: &SpanRow| newest.wants(row.start, row.trace_id) && matcher.fixed_match(row);
    if !matcher.needs_payload() {
        for row in &rows {
            if newest.wants(row.start, row.trace_id) && matcher.fixed_match(row) {
                newest.offer(row.start, row.trace_id);
            }
        }
        return Ok(());
    }
    let Some(first) = rows.iter().position(&candidate) else { return Ok(()) };
    let last = rows.iter().rposition(candidate).unwrap_or(first);
    let stretch = block.first_row + first as u32..block.first_row + last as u32 + 1;
    for row in segment.read(stretch, Columns::Payload)? {
        consider(&row, matcher, newest);
    }
    Ok(())
}
