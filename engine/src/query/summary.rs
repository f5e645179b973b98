//! A trace in one line, over all its spans (jaeger-contract §4; the reference is Jaeger's
//! `querysvc/summary.go`). Rows in, a summary out; pure.

use std::collections::{BTreeMap, HashSet};

use super::request::{ServiceSummary, TraceSummary};
use crate::span::{SpanRow, TraceId};

/// Summarises a trace's rows; payload is not needed.
pub(crate) fn summarise(trace_id: TraceId, rows: &[SpanRow]) -> TraceSummary {
    let ids: HashSet<_> = rows.iter().map(|r| r.span_id).collect();
    let root = rows.iter().filter(|r| r.parent.is_none()).min_by_key(|r| (r.start, r.span_id));
    let mut services: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let counts = services.entry(&row.resource.service).or_default();
        counts.0 += 1;
        counts.1 += u64::from(row.is_error());
    }
    let orphan = |r: &&SpanRow| r.parent.is_some_and(|parent| !ids.contains(&parent));
    TraceSummary {
        trace_id,
        root_service: root.map_or_else(String::new, |r| r.resource.service.to_string()),
        root_operation: root
            .map_or_else(String::new, |r| String::from_utf8_lossy(&r.name).into_owned()),
        min_start: rows.iter().map(|r| r.start).min().unwrap_or(0),
        max_end: rows.iter().map(|r| r.end).max().unwrap_or(0),
        span_count: rows.len() as u64,
        error_span_count: rows.iter().filter(|r| r.is_error()).count() as u64,
        orphan_span_count: rows.iter().filter(orphan).count() as u64,
        services: services
            .into_iter()
            .map(|(name, (span_count, error_span_count))| ServiceSummary {
                name: name.to_owned(),
                span_count,
                error_span_count,
            })
            .collect(),
    }
}
