//! A trace in one line, over all its spans (jaeger-contract §4; the reference is Jaeger's
//! `querysvc/summary.go`). Rows in, a summary out; pure.

use std::collections::BTreeMap;

use super::trace::Rows;
use crate::batch::{Batch, Projection};
use crate::query::request::{ServiceSummary, TraceSummary};
use crate::span::{SpanId, TraceId};

/// What a summary needs of a row.
pub(crate) fn projection() -> Projection {
    Projection { kind: false, scope: false, ..Projection::fixed() }
}

/// Summarises a trace.
pub(crate) fn summarise(trace_id: TraceId, rows: &Rows) -> TraceSummary {
    let mut ids = Vec::with_capacity(rows.rows.len());
    let mut root: Option<(u64, SpanId, &Batch, usize)> = None;
    let mut by_resource: BTreeMap<(usize, u32), (u64, u64)> = BTreeMap::new();
    let (mut min_start, mut max_end, mut errors) = (u64::MAX, 0, 0);
    for (at, &(source, _)) in rows.iter().zip(&rows.rows) {
        let (batch, row) = at;
        let span_id = id(&batch.span_id, row);
        let start = batch.start.get(row).copied().unwrap_or_default();
        ids.push(span_id);
        min_start = min_start.min(start);
        max_end = max_end.max(batch.end.get(row).copied().unwrap_or_default());
        let is_root = id(&batch.parent, row) == SpanId::default();
        if is_root && root.is_none_or(|(s, i, ..)| (start, span_id) < (s, i)) {
            root = Some((start, span_id, batch, row));
        }
        let error = u64::from(batch.is_error(row));
        let resource = batch.resource.get(row).copied().unwrap_or_default();
        let counts = by_resource.entry((source as usize, resource)).or_default();
        *counts = (counts.0 + 1, counts.1 + error);
        errors += error;
    }
    ids.sort_unstable();
    let is_orphan = |&(batch, row): &(&Batch, usize)| {
        let parent = id(&batch.parent, row);
        parent != SpanId::default() && ids.binary_search(&parent).is_err()
    };
    TraceSummary {
        trace_id,
        root_service: root.map_or_else(String::new, |(.., b, row)| b.service(row).to_owned()),
        root_operation: root
            .map_or_else(String::new, |(.., b, row)| String::from_utf8_lossy(b.name(row)).into()),
        min_start: if ids.is_empty() { 0 } else { min_start },
        max_end,
        span_count: ids.len() as u64,
        error_span_count: errors,
        orphan_span_count: rows.iter().filter(is_orphan).count() as u64,
        services: services(rows, &by_resource),
    }
}

fn id(ids: &[SpanId], row: usize) -> SpanId {
    ids.get(row).copied().unwrap_or_default()
}

/// Several resources may be of one service.
fn services(rows: &Rows, by_resource: &BTreeMap<(usize, u32), (u64, u64)>) -> Vec<ServiceSummary> {
    let mut by_name: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (&(source, resource), &(spans, errors)) in by_resource {
        let batch = rows.sources.get(source).map(super::places::Source::batch);
        let context = batch.and_then(|batch| batch.resources.get(resource as usize));
        let counts = by_name.entry(context.map_or("", |c| &c.service)).or_default();
        *counts = (counts.0 + spans, counts.1 + errors);
    }
    let named = by_name.into_iter();
    named
        .map(|(name, (span_count, error_span_count))| ServiceSummary {
            name: name.to_owned(),
            span_count,
            error_span_count,
        })
        .collect()
}
