//! Who calls whom, over a window. Whole minutes are summed from the rollups of segments; the
//! minutes that the window cuts, and whatever no rollup can tell, are counted from rows by the
//! same rule ([`crate::rollup::calls`]), over whole traces: traces with rows in the head, in
//! segments without a rollup, or torn over a segment that is no longer there. Exact either way.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::parts::{Fingerprint, Located, Part, Wanted};
use super::places::{Places, STRIDE_ROWS, Source, Stored};
use crate::batch::{Cells, Projection};
use crate::error::{Error, Result};
use crate::query::request::{Cancel, Dependency};
use crate::rollup::calls::{Call, Member, Rule};
use crate::rollup::{CallRollup, Counts, Edge, MINUTE, MINUTES, Services, Torn};
use crate::span::TraceId;

/// Rows looked at once for their starts.
const RUN_ROWS: u32 = 16 * STRIDE_ROWS;
/// Traces whose ids are read at once.
const IDS_AT_ONCE: usize = 4096;

/// Child starts that count: `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: u64,
    /// `None` = open.
    pub(crate) end: Option<u64>,
}

/// A stretch of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stretch {
    /// Whole minutes, from the first to before the second.
    Minutes(u32, u32),
    /// Less than a minute at either end, or a window that has no whole minute.
    Rows(Window),
}

impl Window {
    pub(super) fn holds(self, start: u64) -> bool {
        start >= self.start && self.end.is_none_or(|end| start < end)
    }

    pub(super) fn overlaps(self, (start_min, start_max): (u64, u64)) -> bool {
        start_max >= self.start && self.end.is_none_or(|end| start_min < end)
    }

    pub(super) fn of_minutes(from: u32, to: u32) -> Self {
        let end = (to < MINUTES).then(|| u64::from(to) * MINUTE);
        Self { start: u64::from(from) * MINUTE, end }
    }

    /// What can be told from rollups, and the rest.
    pub(super) fn cut(self) -> Vec<Stretch> {
        let from = self.start.div_ceil(MINUTE) as u32;
        let to = self.end.map_or(MINUTES, |end| (end / MINUTE) as u32);
        if from >= to {
            let is_empty = self.end.is_some_and(|end| end <= self.start);
            return if is_empty { Vec::new() } else { vec![Stretch::Rows(self)] };
        }
        let whole = Self::of_minutes(from, to);
        let before = Self { start: self.start, end: Some(whole.start) };
        let after = whole.end.map(|start| Self { start, end: self.end });
        let rest = [Some(before), after].into_iter().flatten();
        let rest = rest.filter(|rest| rest.end.is_none_or(|end| end > rest.start));
        rest.map(Stretch::Rows).chain([Stretch::Minutes(from, to)]).collect()
    }
}

/// What telling callers needs of a row, as long as their bytes need not be compared.
pub(crate) fn projection() -> Projection {
    let none = Projection::default();
    Projection { span_id: true, parent: true, kind: true, resource: true, ..none }
}

/// Counts the window's calls.
///
/// # Errors
/// Cancelled, Corrupted, Io.
pub(crate) fn dependencies(
    places: &Places,
    window: Window,
    fingerprint: Fingerprint,
    cancel: &Cancel,
) -> Result<Vec<Dependency>> {
    let mut count = Count {
        places,
        fingerprint,
        cancel,
        services: Services::default(),
        counts: Counts::default(),
        lowest: HashMap::new(),
        rule: Rule::default(),
        found: Vec::new(),
    };
    for segment in &places.segments {
        cancel.work().segments_considered(1);
        if !window.overlaps(segment.starts()) {
            cancel.work().segments_pruned_by_time(1);
        }
    }
    for stretch in window.cut() {
        match stretch {
            Stretch::Minutes(from, to) => count.minutes(from, to)?,
            Stretch::Rows(window) => count.rows(window)?,
        }
    }
    count.into_answer()
}

/// A trace's rows in a segment, by places: the segment's, and its first row there.
type Counted = HashSet<(u32, u32)>;

struct Count<'a> {
    places: &'a Places,
    fingerprint: Fingerprint,
    cancel: &'a Cancel,
    services: Services,
    /// All in minute 0: the answer has no minutes.
    counts: Counts,
    /// Each edge's lowest correction and the segment that has it: where a sum is absurd.
    lowest: HashMap<(u32, u32), (i64, u32)>,
    rule: Rule,
    /// A trace's calls, and what its rollups say of them.
    found: Vec<(Call, i64)>,
}

impl<'a> Count<'a> {
    /// From rows alone.
    fn rows(&mut self, window: Window) -> Result<()> {
        let ids = starting_in(self.places, window, self.cancel)?;
        let located = self.locate(ids);
        self.recount(&located, window, None)
    }

    fn locate(&self, ids: Vec<TraceId>) -> Located<'a> {
        let places = self.places;
        let wanted = Wanted::new(ids, self.fingerprint);
        Located::new(&places.segments, wanted, self.cancel.work())
    }

    /// Whole minutes: the sums of rollups, put right for the traces that they cannot tell.
    fn minutes(&mut self, from: u32, to: u32) -> Result<()> {
        let window = Window::of_minutes(from, to);
        let mut ids = self.without_sums()?;
        for chunk in &self.places.chunks {
            ids.extend(&chunk.batch().trace_id);
        }
        let located = self.locate(ids);
        let mut counted = Counted::new();
        self.recount(&located, window, Some(&mut counted))?;
        for (number, segment) in (0u32..).zip(&self.places.segments) {
            self.cancel.check()?;
            let minutes = segment.calls().and_then(|calls| calls.minutes);
            if minutes.is_some_and(|(least, most)| least < to && most >= from)
                && let Some(rollup) = segment.unpack_calls()?
            {
                self.sum(number, &rollup, from..to, &counted);
            }
        }
        Ok(())
    }

    /// Traces that rollups cannot tell, those in the head apart.
    fn without_sums(&self) -> Result<Vec<TraceId>> {
        let segments = &self.places.segments;
        let live: HashSet<&str> = segments.iter().map(|segment| segment.name()).collect();
        let mut ids = Vec::new();
        for segment in segments {
            let Some(calls) = segment.calls() else {
                // Whenever its rows start: they may be the callers of others.
                let first_rows = segment.traces().map(|(_, rows)| rows.start).collect();
                self.read_ids(&**segment, first_rows, &mut ids)?;
                continue;
            };
            let stands: Vec<bool> =
                calls.bases.iter().map(|base| live.contains(base.as_str())).collect();
            if !calls.is_lacking && stands.iter().all(|stands| *stands) {
                continue;
            }
            let Some(rollup) = segment.unpack_calls()? else { continue };
            let stands = |base: &u32| stands.get(*base as usize).is_some_and(|stands| *stands);
            let falls = |torn: &&Torn| torn.bases.is_empty() || !torn.bases.iter().all(stands);
            let first_rows = rollup.torn.iter().filter(falls).map(|torn| torn.first_row).collect();
            self.read_ids(&**segment, first_rows, &mut ids)?;
        }
        Ok(ids)
    }

    /// The traces that these rows are of.
    fn read_ids(
        &self,
        segment: &dyn Stored,
        mut rows: Vec<u32>,
        ids: &mut Vec<TraceId>,
    ) -> Result<()> {
        rows.sort_unstable();
        for rows in rows.chunks(IDS_AT_ONCE) {
            self.cancel.check()?;
            let ranges: Vec<_> = rows.iter().map(|row| *row..row + 1).collect();
            ids.extend(segment.read_ranges(&ranges, &Projection::default())?.trace_id);
        }
        Ok(())
    }

    /// Adds what these traces come to over all their rows. With `counted`, takes away what
    /// rollups count for them in `alone`, and notes their parts, so that nobody adds their
    /// corrections.
    fn recount(
        &mut self,
        located: &Located<'_>,
        window: Window,
        mut counted: Option<&mut Counted>,
    ) -> Result<()> {
        let (cancel, all) = (self.cancel, 0..located.ids().len() as u32);
        let mut fails = |_, error| Err(error);
        let mut unknown = Vec::new();
        let narrow = projection();
        located.each(all, &narrow, cancel, &mut fails, &mut |trace, parts| {
            if !self.trace(located, trace, &parts, &narrow, window, counted.as_deref_mut())? {
                unknown.push(trace);
            }
            Ok(())
        })?;
        let whole = Projection::all();
        let unknown = unknown.into_iter();
        located.each(unknown, &whole, cancel, &mut fails, &mut |trace, parts| match self.trace(
            located,
            trace,
            &parts,
            &whole,
            window,
            counted.as_deref_mut(),
        )? {
            true => Ok(()),
            false => Err(Error::internal("a whole trace does not tell who called whom")),
        })
    }

    /// One trace of [`Count::recount`]; false, with nothing done, where its rows must be read
    /// whole.
    fn trace(
        &mut self,
        located: &Located<'_>,
        trace: u32,
        parts: &[Part],
        projection: &Projection,
        window: Window,
        counted: Option<&mut Counted>,
    ) -> Result<bool> {
        let is_whole = projection.cells == Cells::All;
        let rows = located.join(self.places, trace, parts, projection)?;
        let mut members = Vec::with_capacity(rows.rows.len());
        for &(source, row) in &rows.rows {
            let Some(source) = rows.sources.get(source as usize) else { continue };
            let is_whole = is_whole || matches!(source, Source::Chunk(_));
            let batch = source.batch();
            let Some(resource) = batch.resource(row as usize) else { continue };
            let service = self.services.number(&resource.service);
            members.push(Member::new(batch, row as usize, service, is_whole));
        }
        self.found.clear();
        let Ok(calls) = self.rule.calls(&members, &self.services) else { return Ok(false) };
        self.found.extend(calls.iter().map(|call| (*call, 1)));
        if let Some(counted) = counted {
            for part in parts {
                let segment = self.places.segments.get(part.segment as usize);
                if segment.is_none_or(|segment| segment.calls().is_none()) {
                    continue;
                }
                let mut members = Vec::with_capacity(part.rows.len());
                for row in part.rows.clone() {
                    let Some(resource) = part.batch.resource(row) else { continue };
                    let service = self.services.number(&resource.service);
                    members.push(Member::new(&part.batch, row, service, is_whole));
                }
                let Ok(calls) = self.rule.calls(&members, &self.services) else {
                    return Ok(false);
                };
                self.found.extend(calls.iter().map(|call| (*call, -1)));
            }
            counted.extend(parts.iter().map(|part| (part.segment, part.first_row)));
        }
        for (call, more) in self.found.iter().filter(|(call, _)| window.holds(call.start)) {
            let edge = Edge { minute: 0, caller: call.caller, called: call.called };
            self.counts.add(edge, *more);
        }
        Ok(true)
    }

    /// Adds a segment's rollup, without the corrections of traces that were counted otherwise.
    fn sum(
        &mut self,
        segment: u32,
        rollup: &CallRollup,
        minutes: std::ops::Range<u32>,
        counted: &Counted,
    ) {
        let numbers: Vec<u32> =
            rollup.services.iter().map(|name| self.services.number(name)).collect();
        let number = |service: u32| numbers.get(service as usize).copied().unwrap_or_default();
        let ours = |edge: &Edge| Edge {
            minute: 0,
            caller: number(edge.caller),
            called: number(edge.called),
        };
        for (edge, count) in rollup.alone.iter().filter(|(e, _)| minutes.contains(&e.minute)) {
            self.counts.add(ours(edge), *count);
        }
        let torn = rollup.torn.iter().filter(|t| !counted.contains(&(segment, t.first_row)));
        let corrections = torn.flat_map(|torn| &torn.corrections);
        for (edge, more) in corrections.filter(|(edge, _)| minutes.contains(&edge.minute)) {
            let edge = ours(edge);
            self.counts.add(edge, *more);
            let lowest = self.lowest.entry((edge.caller, edge.called)).or_insert((0, segment));
            *lowest = (*lowest).min((*more, segment));
        }
    }

    fn into_answer(self) -> Result<Vec<Dependency>> {
        let mut sorted: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for (edge, sum) in self.counts.sorted() {
            let names = (self.services.name(edge.caller), self.services.name(edge.called));
            let Ok(sum) = u64::try_from(sum) else {
                let lowest = self.lowest.get(&(edge.caller, edge.called)).map_or(0, |l| l.1);
                let segment = self.places.segments.get(lowest as usize);
                return Err(Error::corrupted(format!(
                    "segment file {} is damaged: with its rollup, calls from {:?} to {:?} come to \
                     {sum}; restore the file from a backup",
                    segment.map_or("", |segment| segment.name()),
                    names.0,
                    names.1,
                )));
            };
            sorted.insert(names, sum);
        }
        let answer = sorted.into_iter().map(|((parent, child), call_count)| Dependency {
            parent: parent.to_owned(),
            child: child.to_owned(),
            call_count,
        });
        Ok(answer.collect())
    }
}

/// The traces with a row that starts in the window.
fn starting_in(places: &Places, window: Window, cancel: &Cancel) -> Result<Vec<TraceId>> {
    let mut ids = BTreeSet::new();
    for chunk in &places.chunks {
        cancel.work().chunks_scanned(1);
        if !window.overlaps((chunk.start_min, chunk.start_max)) {
            continue;
        }
        cancel.work().rows_scanned(chunk.rows());
        let starts = chunk.batch().trace_id.iter().zip(&chunk.batch().start);
        ids.extend(starts.filter(|(_, start)| window.holds(**start)).map(|(id, _)| *id));
    }
    for segment in places.segments.iter().filter(|segment| window.overlaps(segment.starts())) {
        each_overlapping(&**segment, window, &Projection::default(), cancel, &mut |batch| {
            let starts = batch.trace_id.iter().zip(&batch.start);
            ids.extend(starts.filter(|(_, start)| window.holds(**start)).map(|(id, _)| *id));
        })?;
    }
    Ok(ids.into_iter().collect())
}

/// Reads the blocks of a segment that may have starts in the window, some at once.
pub(super) fn each_overlapping(
    segment: &dyn Stored,
    window: Window,
    projection: &Projection,
    cancel: &Cancel,
    visit: &mut dyn FnMut(&crate::batch::Batch),
) -> Result<()> {
    let blocks = segment.blocks().iter();
    let inside = blocks.filter(|block| window.overlaps((block.start_min, block.start_max)));
    let mut ranges: Vec<std::ops::Range<u32>> = Vec::new();
    for block in inside {
        let rows = block.first_row..block.first_row + block.rows;
        match ranges.last_mut() {
            Some(last) if last.end == rows.start && last.len() < RUN_ROWS as usize => {
                last.end = rows.end;
            }
            _ => ranges.push(rows),
        }
    }
    for range in ranges {
        cancel.check()?;
        let batch = segment.read(range, projection)?;
        cancel.work().rows_scanned(batch.rows());
        visit(&batch);
    }
    Ok(())
}
