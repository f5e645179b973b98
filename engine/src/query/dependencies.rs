//! Who calls whom: cross-service calls, one per child span. The caller of a span is the CLIENT
//! span that shares its id when the span itself is SERVER (Zipkin's shared spans), else the span
//! of the same trace that its parent id names; where that id is shared by several, the one in the
//! span's own service, else the SERVER side, else the least by (start, span bytes). A parent that
//! is not there draws no edge. Counted live, over whole traces: traces that lie in one segment
//! are counted as they stream by, torn ones are read together first.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::Counters;
use super::request::{Cancel, Dependency};
use super::trace::locate;
use crate::error::Result;
use crate::segment::{Columns, Segment, fingerprint};
use crate::span::{SpanId, SpanKind, SpanRow};
use crate::tenancy::Tenancy;
use crate::view::State;

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

    fn overlaps(self, start_min: u64, start_max: u64) -> bool {
        start_max >= self.start && self.end.is_none_or(|end| start_min < end)
    }
}

/// Calls by (parent, child).
#[derive(Default)]
struct Edges(BTreeMap<(Arc<str>, Arc<str>), u64>);

/// Counts the window's calls.
///
/// # Errors
/// Cancelled, Corrupted, Io.
pub(crate) fn dependencies(
    state: &State,
    tenancy: &Tenancy,
    window: Window,
    cancel: &Cancel,
    counters: &Counters,
) -> Result<Vec<Dependency>> {
    let torn = torn_fingerprints(state, tenancy);
    let mut edges = Edges::default();
    let mut together = HashSet::new();
    for chunk in state.head.get(tenancy).into_iter().flat_map(|head| head.chunks()) {
        counters.scanned(chunk.rows.len());
        together.extend(chunk.rows.iter().filter(|r| window.holds(r.start)).map(|r| r.trace_id));
    }
    for live in state.catalog.segments(tenancy) {
        let facts = &live.entry.facts;
        if !window.overlaps(facts.start_min, facts.start_max) {
            continue;
        }
        counters.scanned(live.segment.rows() as usize);
        each_trace(&live.segment, cancel, &mut |rows, at| {
            let Some(id) = rows.first().map(|r| r.trace_id) else { return Ok(()) };
            if !rows.iter().any(|r| window.holds(r.start)) {
                return Ok(());
            }
            if torn.contains(&fingerprint(&id)) {
                together.insert(id);
                return Ok(());
            }
            if is_ambiguous(rows) {
                let range = at..at + rows.len() as u32;
                edges.add(&live.segment.read(range, Columns::Payload)?, window);
            } else {
                edges.add(rows, window);
            }
            Ok(())
        })?;
    }
    for id in together {
        cancel.check()?;
        let rows = locate(state, tenancy, id)?.all(Columns::Payload)?;
        edges.add(&rows, window);
    }
    Ok(edges.into_answer())
}

/// Fingerprints of traces that lie in more than one place.
fn torn_fingerprints(state: &State, tenancy: &Tenancy) -> HashSet<u64> {
    let mut all: Vec<u64> = Vec::new();
    for live in state.catalog.segments(tenancy) {
        all.extend(live.segment.traces().map(|(fingerprint, _)| fingerprint));
    }
    for chunk in state.head.get(tenancy).into_iter().flat_map(|head| head.chunks()) {
        // The head's own traces are read together in any case; here they mark the segments'.
        let traces = chunk.rows.chunk_by(|a, b| a.trace_id == b.trace_id);
        all.extend(traces.filter_map(|rows| rows.first()).map(|r| fingerprint(&r.trace_id)));
    }
    all.sort_unstable();
    all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect()
}

/// Calls `visit` with the fixed columns of each trace of a segment and its first row's number,
/// reading block by block.
fn each_trace(
    segment: &Segment,
    cancel: &Cancel,
    visit: &mut dyn FnMut(&[SpanRow], u32) -> Result<()>,
) -> Result<()> {
    let mut pending: Vec<SpanRow> = Vec::new();
    let mut at = 0;
    for block in segment.blocks() {
        cancel.check()?;
        let rows = segment.read(block.first_row..block.first_row + block.rows, Columns::Fixed)?;
        for row in rows {
            if pending.last().is_some_and(|last| last.trace_id != row.trace_id) {
                visit(&pending, at)?;
                at += pending.len() as u32;
                pending.clear();
            }
            pending.push(row);
        }
    }
    visit(&pending, at)
}

/// True where the caller rule may have to compare span bytes: some id is shared by spans of
/// equal start.
fn is_ambiguous(rows: &[SpanRow]) -> bool {
    let mut seen = HashSet::with_capacity(rows.len());
    !rows.iter().all(|r| seen.insert((r.span_id, r.start)))
}

impl Edges {
    /// Counts one whole trace.
    fn add(&mut self, rows: &[SpanRow], window: Window) {
        let mut by_id: HashMap<SpanId, Vec<&SpanRow>> = HashMap::with_capacity(rows.len());
        for row in rows {
            by_id.entry(row.span_id).or_default().push(row);
        }
        for child in rows.iter().filter(|r| window.holds(r.start)) {
            let Some(caller) = caller(child, &by_id) else { continue };
            let (parent, child) = (&caller.resource.service, &child.resource.service);
            if parent != child {
                *self.0.entry((Arc::clone(parent), Arc::clone(child))).or_default() += 1;
            }
        }
    }

    fn into_answer(self) -> Vec<Dependency> {
        let entries = self.0.into_iter();
        entries
            .map(|((parent, child), call_count)| Dependency {
                parent: parent.to_string(),
                child: child.to_string(),
                call_count,
            })
            .collect()
    }
}

fn caller<'a>(child: &SpanRow, by_id: &HashMap<SpanId, Vec<&'a SpanRow>>) -> Option<&'a SpanRow> {
    let kind = |row: &SpanRow| SpanKind::from_number(row.kind);
    let least = |rows: Vec<&'a SpanRow>| {
        rows.into_iter().min_by(|a, b| a.start.cmp(&b.start).then_with(|| a.span.cmp(&b.span)))
    };
    if kind(child) == SpanKind::Server {
        let twins = by_id.get(&child.span_id).into_iter().flatten().copied();
        let clients: Vec<_> = twins.filter(|r| kind(r) == SpanKind::Client).collect();
        if let Some(client) = least(clients) {
            return Some(client);
        }
    }
    let named = by_id.get(&child.parent?)?;
    let own: Vec<_> =
        named.iter().copied().filter(|r| r.resource.service == child.resource.service).collect();
    let servers: Vec<_> = named.iter().copied().filter(|r| kind(r) == SpanKind::Server).collect();
    [own, servers, named.clone()].into_iter().find(|rows| !rows.is_empty()).and_then(least)
}
