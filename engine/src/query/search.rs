//! The search: the newest traces by (latest start of a matching span descending, trace id
//! ascending), exactly, whatever the arrival order and the number of segments. Chunks, segments
//! and their blocks are walked newest first; the walk stops only when the last key that counts is
//! strictly newer than anything left can hold. With a cursor it goes on behind it: a trace whose
//! true key, over all its places, is not behind the cursor is passed over.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::evaluate::Evaluator;
use super::explain::{Fate, Recorder};
use super::places::{Block, BlockSet, Places, STRIDE_ROWS, Stored};
use super::predicate::{Bounds, Predicate, Required};
use super::rowset::RowSet;
use super::trace::Parts;
use super::work::Work;
use crate::batch::{Batch, Projection};
use crate::error::Result;
use crate::query::request::{Cancel, Cursor, FoundTrace};
use crate::span::TraceId;

/// What comes first is the least.
type Key = (Reverse<u64>, TraceId);

/// What is asked.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) predicate: &'a Predicate,
    /// Starts that count, both inclusive.
    pub(crate) window: (u64, u64),
    pub(crate) limit: usize,
    pub(crate) after: Option<Cursor>,
}

/// What is walked in one step.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Block { segment: usize, block: usize },
    Segment(usize),
    Chunk(usize),
}

/// The best traces so far.
#[derive(Debug)]
struct Newest {
    limit: usize,
    keys: HashMap<TraceId, u64>,
    order: BTreeSet<Key>,
}

impl Newest {
    fn new(limit: usize) -> Self {
        Self { limit, keys: HashMap::new(), order: BTreeSet::new() }
    }

    /// The last key that counts, once there are enough.
    fn worst(&self) -> Option<Key> {
        self.order.last().copied().filter(|_| self.order.len() >= self.limit)
    }

    /// True where a matching span of this start and trace would change the answer.
    fn wants(&self, start: u64, trace: TraceId) -> bool {
        match self.keys.get(&trace) {
            Some(&key) => start > key,
            None => self.worst().is_none_or(|worst| (Reverse(start), trace) < worst),
        }
    }

    fn insert(&mut self, start: u64, trace: TraceId) {
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

/// A search under way.
struct Search<'a> {
    places: &'a Places,
    question: &'a Question<'a>,
    cancel: &'a Cancel,
    evaluator: Evaluator<'a>,
    newest: Newest,
    /// What a match's times must be; with a cursor, no later than it.
    bounds: Bounds,
    required: Vec<Required>,
    fixed: Projection,
    rest: Projection,
    /// By trace: is its true key at or above the cursor?
    above: HashMap<TraceId, bool>,
    record: &'a mut Recorder,
}

/// Answers a search.
///
/// # Errors
/// Cancelled, Corrupted, Io.
pub(crate) fn newest_traces(
    places: &Places,
    question: &Question<'_>,
    cancel: &Cancel,
    record: &mut Recorder,
) -> Result<Vec<FoundTrace>> {
    let predicate = question.predicate;
    let mut bounds = predicate.bounds(question.window);
    if let Some(cursor) = question.after {
        bounds.start.1 = bounds.start.1.min(cursor.newest_match);
    }
    let required = predicate.required();
    record.required(&required);
    let search = Search {
        places,
        question,
        cancel,
        evaluator: Evaluator::new(predicate),
        newest: Newest::new(question.limit),
        bounds,
        fixed: predicate.fixed_projection(),
        rest: predicate.rest_projection(),
        required,
        above: HashMap::new(),
        record,
    };
    search.run()
}

impl Search<'_> {
    fn work(&self) -> &Work {
        self.cancel.work()
    }

    fn overlaps(&self, (start_min, start_max): (u64, u64)) -> bool {
        start_min <= self.bounds.start.1 && start_max >= self.bounds.start.0
    }

    /// The latest start a match can have in something that ends with this one.
    fn bound(&self, start_max: u64) -> u64 {
        start_max.min(self.bounds.start.1)
    }

    fn run(mut self) -> Result<Vec<FoundTrace>> {
        let mut steps = BinaryHeap::new();
        for (at, chunk) in self.places.chunks.iter().enumerate() {
            let may_hold = chunk.duration_max >= self.bounds.duration_min;
            if may_hold && self.overlaps((chunk.start_min, chunk.start_max)) {
                steps.push((self.bound(chunk.start_max), Unit::Chunk(at)));
            }
        }
        let segments = &self.places.segments;
        let mut outside = 0;
        for (at, (starts, segment)) in segments.starts().zip(segments).enumerate() {
            if self.overlaps(starts) {
                steps.push((self.bound(starts.1), Unit::Segment(at)));
            } else {
                outside += 1;
                self.record.fate(&**segment, Fate::OutsideTimes);
            }
        }
        self.work().segments_considered(segments.len());
        self.work().segments_pruned_by_time(outside);
        while let Some((bound, unit)) = steps.pop() {
            if self.newest.worst().is_some_and(|(Reverse(key), _)| key > bound) {
                self.give_up(std::iter::once(unit).chain(steps.into_iter().map(|(_, unit)| unit)));
                break;
            }
            self.cancel.check()?;
            match unit {
                Unit::Chunk(at) => self.scan_chunk(at)?,
                Unit::Segment(at) => self.open_segment(at, &mut steps),
                Unit::Block { segment, block } => self.scan_block(segment, block)?,
            }
        }
        let found = self.newest.order.into_iter();
        Ok(found
            .map(|(Reverse(newest_match), trace_id)| FoundTrace { trace_id, newest_match })
            .collect())
    }

    /// Nothing of these can change the answer.
    fn give_up(&mut self, units: impl Iterator<Item = Unit>) {
        for unit in units {
            if let Unit::Segment(at) = unit
                && let Some(segment) = self.places.segments.get(at)
            {
                self.work().segments_not_reached(1);
                self.record.fate(&**segment, Fate::NotReached);
            }
        }
    }

    /// Adds those blocks of a segment that may hold a match.
    fn open_segment(&mut self, at: usize, steps: &mut BinaryHeap<(u64, Unit)>) {
        let Some(segment) = self.places.segments.get(at) else { return };
        let blocks = segment.blocks();
        self.work().blocks_considered(blocks.len());
        let candidates = match self.candidates(&**segment) {
            Ok(candidates) => candidates,
            Err(term) => {
                self.work().segments_pruned_by_index(1);
                self.work().blocks_pruned_by_index(blocks.len());
                self.record.fate(&**segment, Fate::WithoutTerm(term));
                return;
            }
        };
        let (mut by_index, mut by_time) = (0, 0);
        for (number, block) in blocks.iter().enumerate() {
            let in_time = self.overlaps((block.start_min, block.start_max))
                && block.duration_max >= self.bounds.duration_min;
            if !in_time {
                by_time += 1;
            } else if candidates.as_ref().is_some_and(|set| !set.contains(number as u32)) {
                by_index += 1;
            } else {
                let unit = Unit::Block { segment: at, block: number };
                steps.push((self.bound(block.start_max), unit));
            }
        }
        self.work().blocks_pruned_by_time(by_time);
        self.work().blocks_pruned_by_index(by_index);
        let opened = Fate::Opened {
            blocks: blocks.len(),
            outside_times: by_time,
            without_terms: by_index,
            read: 0,
        };
        self.record.fate(&**segment, opened);
    }

    /// Blocks that may hold every required term, `None` = all; `Err` names what none has.
    fn candidates(&mut self, segment: &dyn Stored) -> Result<Option<RoaringBitmap>, String> {
        let mut sets: Vec<RoaringBitmap> = Vec::new();
        for required in &self.required {
            let any = any_of(segment, &required.terms);
            self.record.term(segment, &required.text, any.as_ref().map(RoaringBitmap::len));
            match any {
                None => {}
                Some(set) if set.is_empty() => return Err(required.text.clone()),
                Some(set) => sets.push(set),
            }
        }
        sets.sort_by_key(RoaringBitmap::len);
        let mut sets = sets.into_iter();
        let Some(mut least) = sets.next() else { return Ok(None) };
        sets.for_each(|set| least &= set);
        if least.is_empty() {
            return Err("all terms in one block".to_owned());
        }
        Ok(Some(least))
    }

    fn scan_chunk(&mut self, at: usize) -> Result<()> {
        let Some(chunk) = self.places.chunks.get(at).map(Arc::clone) else { return Ok(()) };
        self.work().chunks_scanned(1);
        self.work().rows_scanned(chunk.rows());
        let batch = chunk.batch();
        let mut rows = RowSet::full(batch.rows());
        self.keep_in_time(batch, &mut rows);
        self.evaluator.keep_fixed(batch, &mut rows);
        self.evaluator.keep_rest(batch, &mut rows);
        self.consider(batch, &rows)
    }

    fn scan_block(&mut self, segment: usize, number: usize) -> Result<()> {
        let Some(segment) = self.places.segments.get(segment).map(Arc::clone) else {
            return Ok(());
        };
        let Some(&block) = segment.blocks().get(number) else { return Ok(()) };
        self.work().blocks_read(1);
        self.work().rows_scanned(block.rows as usize);
        self.record.read(&*segment);
        let whole = block.first_row..block.first_row + block.rows;
        if self.reads_at_once() {
            let batch = segment.read(whole, &self.fixed.union(&self.rest))?;
            let mut rows = self.in_time(&batch, &block);
            self.evaluator.keep_fixed(&batch, &mut rows);
            self.evaluator.keep_rest(&batch, &mut rows);
            return self.consider(&batch, &rows);
        }
        let batch = segment.read(whole, &self.fixed)?;
        let mut rows = self.in_time(&batch, &block);
        self.evaluator.keep_fixed(&batch, &mut rows);
        self.keep_wanted(&batch, &mut rows);
        let Some((first, last)) = rows.span() else { return Ok(()) };
        let stretch = block.first_row + first as u32..block.first_row + last as u32 + 1;
        let batch = segment.read(stretch, &self.rest)?;
        let mut stretched = RowSet::full(batch.rows());
        stretched.retain(|row| rows.contains(first + row));
        self.evaluator.keep_rest(&batch, &mut stretched);
        self.consider(&batch, &stretched)
    }

    /// Cells are read together with fixed columns where there are none of the latter to ask
    /// first, or none of the former at all, or where the index has said already that the block is
    /// likely to hold a match.
    fn reads_at_once(&self) -> bool {
        let predicate = self.question.predicate;
        predicate.fixed == 0 || !predicate.needs_cells() || !self.required.is_empty()
    }

    fn in_time(&self, batch: &Batch, block: &Block) -> RowSet {
        let mut rows = RowSet::full(batch.rows());
        let (low, high) = (self.floor(), self.bounds.start.1);
        if block.start_min < low || block.start_max > high {
            self.keep_in_time(batch, &mut rows);
        }
        rows
    }

    /// The earliest start that still counts.
    fn floor(&self) -> u64 {
        let worst = self.newest.worst().map_or(0, |(Reverse(start), _)| start);
        worst.max(self.bounds.start.0)
    }

    fn keep_in_time(&self, batch: &Batch, rows: &mut RowSet) {
        let (low, high) = (self.floor(), self.bounds.start.1);
        rows.retain(|row| batch.start.get(row).is_some_and(|s| (low..=high).contains(s)));
    }

    /// The row's key, where a match there might change the answer.
    fn wanted(&self, batch: &Batch, row: usize) -> Option<Key> {
        let key = (Reverse(*batch.start.get(row)?), *batch.trace_id.get(row)?);
        let behind = self
            .question
            .after
            .is_none_or(|cursor| key > (Reverse(cursor.newest_match), cursor.trace_id));
        (behind && self.newest.worst().is_none_or(|worst| key < worst)).then_some(key)
    }

    fn keep_wanted(&self, batch: &Batch, rows: &mut RowSet) {
        rows.retain(|row| self.wanted(batch, row).is_some());
    }

    /// Takes in the rows that match, best first: so most need not even be sorted, and few are
    /// asked about the cursor or pushed out again.
    fn consider(&mut self, batch: &Batch, rows: &RowSet) -> Result<()> {
        self.work().rows_matched(rows.count());
        let keys: Vec<_> =
            rows.iter().filter_map(|row| self.wanted(batch, row)).map(Reverse).collect();
        let mut keys = BinaryHeap::from(keys);
        while let Some(Reverse(key)) = keys.pop() {
            if self.newest.worst().is_some_and(|worst| key >= worst) {
                break;
            }
            let (Reverse(start), trace) = key;
            if self.newest.wants(start, trace) && !self.is_above_cursor(trace)? {
                self.newest.insert(start, trace);
            }
        }
        Ok(())
    }

    /// True where a match of this trace, in whatever place, lies at or above the cursor: then an
    /// earlier page has delivered it, or it has risen since.
    fn is_above_cursor(&mut self, trace: TraceId) -> Result<bool> {
        let Some(cursor) = self.question.after else { return Ok(false) };
        if let Some(&known) = self.above.get(&trace) {
            return Ok(known);
        }
        // Of equal starts, the least id is first.
        let first_above = match trace <= cursor.trace_id {
            true => Some(cursor.newest_match),
            false => cursor.newest_match.checked_add(1),
        };
        let above = match first_above {
            Some(low) if low <= self.question.window.1 => {
                self.work().cursor_checks(1);
                self.matches_between(trace, low, self.question.window.1)?
            }
            _ => false,
        };
        self.above.insert(trace, above);
        Ok(above)
    }

    /// True where a span of this trace that starts within these bounds matches.
    fn matches_between(&mut self, trace: TraceId, low: u64, high: u64) -> Result<bool> {
        let parts = Parts::locate(self.places, trace, self.cancel.work())?;
        for (chunk, rows) in parts.head_rows() {
            let batch = chunk.batch();
            let mut set = RowSet::empty(batch.rows());
            rows.iter().for_each(|&row| set.insert(row as usize));
            if self.any_matches(batch, set, low, high) {
                return Ok(true);
            }
        }
        let all = self.fixed.union(&self.rest);
        for (segment, range) in parts.segments() {
            let mut from = range.start;
            while from < range.end {
                self.cancel.check()?;
                let to = range.end.min(from.saturating_add(STRIDE_ROWS));
                let blocks = segment.blocks().iter();
                let may_hold = blocks
                    .filter(|b| b.first_row < to && b.first_row + b.rows > from)
                    .any(|b| b.start_max >= low && b.start_min <= high);
                if may_hold {
                    let batch = segment.read(from..to, &all)?;
                    self.work().rows_scanned(batch.rows());
                    let set = RowSet::full(batch.rows());
                    if self.any_matches(&batch, set, low, high) {
                        return Ok(true);
                    }
                }
                from = to;
            }
        }
        Ok(false)
    }

    fn any_matches(&mut self, batch: &Batch, mut rows: RowSet, low: u64, high: u64) -> bool {
        rows.retain(|row| batch.start.get(row).is_some_and(|s| (low..=high).contains(s)));
        self.evaluator.keep_fixed(batch, &mut rows);
        self.evaluator.keep_rest(batch, &mut rows);
        !rows.is_empty()
    }
}

/// Blocks that may hold one of the terms; `None` = all.
fn any_of(segment: &dyn Stored, terms: &[u64]) -> Option<RoaringBitmap> {
    let mut any = RoaringBitmap::new();
    for &term in terms {
        match segment.blocks_of(term) {
            BlockSet::None => {}
            BlockSet::One(block) => drop(any.insert(block)),
            BlockSet::Some(blocks) => any |= blocks,
            BlockSet::All => return None,
        }
    }
    Some(any)
}
