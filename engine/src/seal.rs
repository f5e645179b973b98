//! The seal: a head becomes segments. Planning is pure: rows in, one list a segment out, in
//! segment order, without copies that are stored already. The doing (build, publish, commit,
//! swap, trim) stands once, in [`crate::store::sealer`].

use std::collections::{BTreeMap, HashMap};

use crate::catalog::partition::Partition;
use crate::error::Result;
use crate::head::Head;
use crate::options::Options;
use crate::repeats;
use crate::span::{SpanRow, TraceId};
use crate::tenancy::Tenancy;
use crate::view::LiveSegment;

/// Rows from which a partition is worth a segment of its own; fewer go into the mixed one.
const OWN_SEGMENT_ROWS: usize = 1024;
/// Most partition segments one seal writes: 8,192 odd timestamps open one file, not 8,192.
const PARTITION_SEGMENTS_MAX: usize = 16;

/// Why a head is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Bytes,
    Age,
    Idle,
    Wal,
    Memory,
    Flush,
    Shutdown,
}

impl Reason {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Age => "age",
            Self::Idle => "idle",
            Self::Wal => "wal",
            Self::Memory => "memory",
            Self::Flush => "flush",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Which heads to seal now, and why. Pure.
pub(crate) fn due(
    head: &Head,
    now: u64,
    wal_bytes: u64,
    options: &Options,
) -> Vec<(Tenancy, Reason)> {
    let oldest = head.oldest_sequence();
    let crowded = head.bytes() >= options.memory_limit / 2;
    let largest = head.iter().map(|(_, h)| h.active_bytes()).max().unwrap_or(0);
    let reason = |(tenancy, one): (&Tenancy, &crate::head::TenancyHead)| {
        let holds_log = oldest.is_some() && one.oldest_sequence() == oldest;
        let reason = if one.active_bytes() >= options.seal_bytes {
            Reason::Bytes
        } else if wal_bytes >= options.wal_bytes_max && holds_log {
            Reason::Wal
        } else if crowded && one.active_bytes() == largest {
            Reason::Memory
        } else if now.saturating_sub(one.oldest_arrival) >= options.seal_age {
            Reason::Age
        } else if now.saturating_sub(one.newest_arrival) >= options.seal_idle {
            Reason::Idle
        } else {
            return None;
        };
        Some((tenancy.clone(), reason))
    };
    head.iter().filter_map(reason).collect()
}

/// Rows of one segment to be written, in segment order.
pub(crate) struct Part {
    /// `None` for the mixed segment.
    pub(crate) partition: Option<Partition>,
    pub(crate) rows: Vec<SpanRow>,
}

/// Cuts a head's rows into segments. Returns the parts and how many copies were dropped.
///
/// # Errors
/// Those of reading the segments that may hold copies.
pub(crate) fn plan(
    mut rows: Vec<SpanRow>,
    present: &[std::sync::Arc<LiveSegment>],
    width: u64,
) -> Result<(Vec<Part>, u64)> {
    let mut dropped = repeats::collapse(&mut rows);
    let mut by_partition: BTreeMap<Partition, Vec<SpanRow>> = BTreeMap::new();
    for row in rows {
        by_partition.entry(Partition::of(row.start, width)).or_default().push(row);
    }
    for (partition, rows) in &mut by_partition {
        // Equal spans start at the same time, hence lie in this partition or a mixed segment.
        let kin = present.iter().filter(|s| s.entry.partition.is_none_or(|p| p == *partition));
        dropped += subtract_present(rows, kin)?;
    }
    by_partition.retain(|_, rows| !rows.is_empty());
    Ok((cut(by_partition), dropped))
}

fn cut(by_partition: BTreeMap<Partition, Vec<SpanRow>>) -> Vec<Part> {
    let alone = by_partition.len() == 1;
    let mut sizes: Vec<usize> = by_partition.values().map(Vec::len).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let smallest = sizes.get(PARTITION_SEGMENTS_MAX).map_or(OWN_SEGMENT_ROWS, |size| size + 1);
    let mut parts = Vec::new();
    let mut mixed = Vec::new();
    for (partition, rows) in by_partition {
        if alone || rows.len() >= smallest.max(OWN_SEGMENT_ROWS) {
            parts.push(Part { partition: Some(partition), rows });
        } else {
            mixed.extend(rows);
        }
    }
    if !mixed.is_empty() {
        parts.push(Part { partition: None, rows: mixed });
    }
    for part in &mut parts {
        segment_order(&mut part.rows);
    }
    parts
}

/// Takes away copies that segments hold already.
fn subtract_present<'a>(
    rows: &mut Vec<SpanRow>,
    present: impl Iterator<Item = &'a std::sync::Arc<LiveSegment>>,
) -> Result<u64> {
    let mut dropped = 0;
    for live in present {
        let mut traces: Vec<TraceId> = rows.iter().map(|r| r.trace_id).collect();
        traces.dedup();
        for trace in traces {
            if !live.segment.may_hold(&trace) {
                continue;
            }
            let Some(range) = live.segment.locate(&trace)? else { continue };
            let mut copies = Vec::new();
            let possible = |old: &SpanRow| {
                let key = (old.trace_id, old.span_id, old.start);
                rows.binary_search_by_key(&key, |r| (r.trace_id, r.span_id, r.start)).is_ok()
            };
            live.pick(range, &possible, &mut |found| copies.push(found))?;
            for found in copies {
                dropped += repeats::subtract(rows, &found);
            }
        }
    }
    Ok(dropped)
}

/// Traces contiguous, by their earliest start; spans in a trace by start.
fn segment_order(rows: &mut [SpanRow]) {
    let mut first: HashMap<TraceId, u64> = HashMap::new();
    for row in rows.iter() {
        let start = first.entry(row.trace_id).or_insert(row.start);
        *start = (*start).min(row.start);
    }
    let key = |row: &SpanRow| {
        let first = first.get(&row.trace_id).copied().unwrap_or(row.start);
        (first, row.trace_id, row.start, row.span_id)
    };
    rows.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.span.cmp(&b.span)));
}
