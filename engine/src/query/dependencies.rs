//! Who calls whom: cross-service calls, one per child span. The caller of a span is the CLIENT
//! span that shares its id when the span itself is SERVER (Zipkin's shared spans), else the span
//! of the same trace that its parent id names; where that id is shared by several, the one in the
//! span's own service, else the SERVER side, else the least by (start, span bytes). A parent that
//! is not there draws no edge. Counted live, over whole traces: traces that lie in one segment
//! are counted as they stream by, torn ones are read together first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::places::{Places, STRIDE_ROWS, Stored};
use super::trace;
use crate::batch::{Batch, Projection};
use crate::error::Result;
use crate::query::request::{Cancel, Dependency};
use crate::span::{SpanId, SpanKind, TraceId};

/// Rows read at once; a longer trace is read whole.
const RUN_ROWS: u32 = 16 * STRIDE_ROWS;

/// Child starts that count: `[start, end)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) start: u64,
    /// `None` = open.
    pub(crate) end: Option<u64>,
}

impl Window {
    fn holds(self, start: u64) -> bool {
        start >= self.start && self.end.is_none_or(|end| start < end)
    }

    fn overlaps(self, (start_min, start_max): (u64, u64)) -> bool {
        start_max >= self.start && self.end.is_none_or(|end| start_min < end)
    }
}

/// What telling callers needs of a row, as long as their bytes need not be compared.
fn projection() -> Projection {
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
    fingerprint: fn(&TraceId) -> u32,
    cancel: &Cancel,
) -> Result<Vec<Dependency>> {
    let torn = torn_fingerprints(places, fingerprint);
    let mut edges = Edges::default();
    let mut together = BTreeSet::new();
    for chunk in &places.chunks {
        cancel.work().chunks_scanned(1);
        cancel.work().rows_scanned(chunk.rows());
        let batch = chunk.batch();
        let starts = batch.trace_id.iter().zip(&batch.start);
        together.extend(starts.filter(|(_, start)| window.holds(**start)).map(|(id, _)| *id));
    }
    for segment in &places.segments {
        cancel.work().segments_considered(1);
        if !window.overlaps(segment.starts()) {
            cancel.work().segments_pruned_by_time(1);
            continue;
        }
        let mut learned = None;
        each_trace(&**segment, window, cancel, &mut |batch, rows, first_row| {
            if learned.replace(first_row) != Some(first_row) {
                edges.learn_services(batch);
            }
            let Some(id) = batch.trace_id.get(rows.start).copied() else { return Ok(()) };
            let starts = batch.start.get(rows.clone()).unwrap_or_default();
            if !starts.iter().any(|start| window.holds(*start)) {
                return Ok(());
            }
            if torn.binary_search(&fingerprint(&id)).is_ok() {
                together.insert(id);
                return Ok(());
            }
            if !edges.add(batch, rows.clone(), window) {
                let there = first_row + rows.start as u32..first_row + rows.end as u32;
                let whole = segment.read(there, &Projection::all())?;
                let all: Vec<(&Batch, usize)> = (0..whole.rows()).map(|r| (&whole, r)).collect();
                edges.add_whole(&all, window);
            }
            Ok(())
        })?;
    }
    let ids = together.into_iter();
    let mut ambiguous = Vec::new();
    trace::each_trace(places, ids, &projection(), cancel, &mut |id, rows| {
        let all: Vec<(&Batch, usize)> = rows.iter().collect();
        match is_ambiguous(&all) {
            true => ambiguous.push(id),
            false => edges.add_whole(&all, window),
        }
    })?;
    let everything = Projection::all();
    trace::each_trace(places, ambiguous.into_iter(), &everything, cancel, &mut |_, rows| {
        edges.add_whole(&rows.iter().collect::<Vec<_>>(), window);
    })?;
    Ok(edges.into_answer())
}

/// True where the rule may have to compare span bytes: some id is shared by spans of equal start.
fn is_ambiguous(rows: &[(&Batch, usize)]) -> bool {
    let key = |(batch, row): &(&Batch, usize)| {
        (batch.span_id.get(*row).copied(), batch.start.get(*row).copied())
    };
    let mut keys: Vec<_> = rows.iter().map(key).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Fingerprints of traces that lie in more than one place, sorted.
fn torn_fingerprints(places: &Places, fingerprint: fn(&TraceId) -> u32) -> Vec<u32> {
    let mut all: Vec<u32> = Vec::new();
    for segment in &places.segments {
        all.extend(segment.traces().map(|(fingerprint, _)| fingerprint));
    }
    for chunk in &places.chunks {
        // The head's own traces are read together in any case; here they mark the segments'.
        let ids = &chunk.batch().trace_id;
        let of = |row: &u32| ids.get(*row as usize).copied().unwrap_or_default();
        let traces = chunk.order().chunk_by(|a, b| of(a) == of(b));
        all.extend(traces.filter_map(|rows| rows.first()).map(|row| fingerprint(&of(row))));
    }
    all.sort_unstable();
    let mut torn: Vec<u32> =
        all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    torn.dedup();
    torn
}

type Visit<'v> = dyn FnMut(&Batch, Range<usize>, u32) -> Result<()> + 'v;

/// Calls `visit` with each trace of a segment: a batch, the trace's rows in it, and the batch's
/// first row in the segment, which tells batches apart. Ends where no start is left that lies in
/// the window.
fn each_trace(
    segment: &dyn Stored,
    window: Window,
    cancel: &Cancel,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let rows = segment.rows();
    let (mut from, mut run) = (0, RUN_ROWS);
    while from < rows {
        cancel.check()?;
        let to = rows.min(from.saturating_add(run));
        let batch = segment.read(from..to, &projection())?;
        cancel.work().rows_scanned(batch.rows());
        let ids = &batch.trace_id;
        let mut traces = ids.chunk_by(|a, b| a == b).peekable();
        let mut at = 0;
        while let Some(trace) = traces.next() {
            // The last one may go on behind the batch.
            if traces.peek().is_none() && to < rows {
                break;
            }
            visit(&batch, at..at + trace.len(), from)?;
            at += trace.len();
        }
        if at == 0 {
            run = run.saturating_mul(2);
            continue;
        }
        run = RUN_ROWS;
        from = from.saturating_add(at as u32);
        if !anything_left(segment, from, window) {
            return Ok(());
        }
    }
    Ok(())
}

fn anything_left(segment: &dyn Stored, from: u32, window: Window) -> bool {
    let blocks = segment.blocks();
    let first = blocks.partition_point(|block| block.first_row + block.rows <= from);
    let left = blocks.get(first..).unwrap_or_default();
    left.iter().any(|block| window.overlaps((block.start_min, block.start_max)))
}

/// Calls by (caller, called), both as numbers of services.
#[derive(Debug, Default)]
struct Edges {
    counts: HashMap<(u32, u32), u64>,
    /// The edge that was counted last: spans that follow each other mostly repeat it.
    last: ((u32, u32), u64),
    services: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
    /// By number of resource in the batch at hand: its service.
    of_resource: Vec<u32>,
    /// The trace's rows by span id, used again and again.
    by_id: Vec<(SpanId, u32)>,
}

impl Edges {
    fn service(&mut self, name: &Arc<str>) -> u32 {
        if let Some(&number) = self.services.get(name) {
            return number;
        }
        let number = self.names.len() as u32;
        self.names.push(Arc::clone(name));
        self.services.insert(Arc::clone(name), number);
        number
    }

    fn count(&mut self, edge: (u32, u32)) {
        if edge.0 == edge.1 {
            return;
        }
        if self.last.0 != edge {
            self.settle();
            self.last = (edge, 0);
        }
        self.last.1 += 1;
    }

    fn settle(&mut self) {
        if self.last.1 > 0 {
            *self.counts.entry(self.last.0).or_default() += self.last.1;
        }
    }

    /// Counts a whole trace of the batch at hand, whose span ids are unique; false, with nothing
    /// counted, where they are not.
    fn add(&mut self, batch: &Batch, rows: Range<usize>, window: Window) -> bool {
        let mut by_id = std::mem::take(&mut self.by_id);
        by_id.clear();
        let ids = batch.span_id.get(rows.clone()).unwrap_or_default();
        by_id.extend(ids.iter().copied().zip(rows.start as u32..));
        by_id.sort_unstable();
        let unique = by_id.windows(2).all(|pair| pair[0].0 != pair[1].0);
        if unique {
            for child in rows.filter(|&row| batch.start.get(row).is_some_and(|s| window.holds(*s)))
            {
                let parent = batch.parent.get(child).copied().unwrap_or_default();
                if parent == SpanId::default() {
                    continue;
                }
                let Ok(at) = by_id.binary_search_by_key(&parent, |(id, _)| *id) else { continue };
                let Some(&(_, caller)) = by_id.get(at) else { continue };
                let service = |row: usize| {
                    let resource = batch.resource.get(row).copied().unwrap_or_default();
                    self.of_resource.get(resource as usize).copied().unwrap_or_default()
                };
                let edge = (service(caller as usize), service(child));
                self.count(edge);
            }
        }
        self.by_id = by_id;
        unique
    }

    /// Translates the resources of a batch, before its traces are added.
    fn learn_services(&mut self, batch: &Batch) {
        self.of_resource = batch.resources.iter().map(|r| self.service(&r.service)).collect();
    }

    /// Counts a whole trace by the full rule; rows that share id and start have all that they are.
    fn add_whole(&mut self, rows: &[(&Batch, usize)], window: Window) {
        let mut by_id: HashMap<SpanId, Vec<(&Batch, usize)>> = HashMap::with_capacity(rows.len());
        for &(batch, row) in rows {
            let id = batch.span_id.get(row).copied().unwrap_or_default();
            by_id.entry(id).or_default().push((batch, row));
        }
        for &(batch, row) in rows {
            if !batch.start.get(row).is_some_and(|start| window.holds(*start)) {
                continue;
            }
            let Some((their_batch, caller)) = caller(batch, row, &by_id) else { continue };
            let (Some(from), Some(to)) = (their_batch.resource(caller), batch.resource(row)) else {
                continue;
            };
            let edge = (self.service(&from.service), self.service(&to.service));
            self.count(edge);
        }
    }

    fn into_answer(mut self) -> Vec<Dependency> {
        self.settle();
        let name = |number: u32| self.names.get(number as usize).map_or("", |name| name);
        let sorted: BTreeMap<(&str, &str), u64> =
            self.counts.iter().map(|(&(a, b), &count)| ((name(a), name(b)), count)).collect();
        sorted
            .into_iter()
            .map(|((parent, child), call_count)| Dependency {
                parent: parent.to_owned(),
                child: child.to_owned(),
                call_count,
            })
            .collect()
    }
}

type Spans<'a> = Vec<(&'a Batch, usize)>;

fn caller<'a>(
    batch: &Batch,
    row: usize,
    by_id: &HashMap<SpanId, Spans<'a>>,
) -> Option<(&'a Batch, usize)> {
    let kind = |batch: &Batch, row: usize| {
        SpanKind::from_number(batch.kind.get(row).copied().unwrap_or_default())
    };
    if kind(batch, row) == SpanKind::Server {
        let own = batch.span_id.get(row)?;
        let twins = by_id.get(own).into_iter().flatten().copied();
        let clients: Spans<'a> = twins.filter(|(b, r)| kind(b, *r) == SpanKind::Client).collect();
        if let Some(client) = least(&clients) {
            return Some(client);
        }
    }
    let parent = batch.parent.get(row).filter(|parent| **parent != SpanId::default())?;
    let named = by_id.get(parent)?;
    let service = batch.service(row);
    let own: Spans<'a> = named.iter().copied().filter(|(b, r)| b.service(*r) == service).collect();
    if !own.is_empty() {
        return least(&own);
    }
    let servers: Spans<'a> =
        named.iter().copied().filter(|(b, r)| kind(b, *r) == SpanKind::Server).collect();
    if servers.is_empty() { least(named) } else { least(&servers) }
}

/// The first by (start, span bytes).
fn least<'a>(rows: &[(&'a Batch, usize)]) -> Option<(&'a Batch, usize)> {
    let start = |(batch, row): &(&Batch, usize)| batch.start.get(*row).copied();
    let first = rows.iter().map(start).min()?;
    let mut ties = rows.iter().copied().filter(|row| start(row) == first);
    let one = ties.next()?;
    let Some(second) = ties.next() else { return Some(one) };
    let bytes = |(batch, row): &(&Batch, usize)| {
        let mut out = Vec::new();
        batch.write_span(*row, &mut out);
        out
    };
    [one, second].into_iter().chain(ties).min_by_key(bytes)
}
