//! The seal: a head becomes segments. Planning is pure: batches in, one list of row numbers a
//! segment out, in segment order, without copies that are stored already. The doing (build, publish, commit,
//! swap, trim) stands once, in [`crate::store::sealer`].

pub(crate) mod rollup;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::batch::Batch;
use crate::catalog::partition::Partition;
use crate::error::Result;
use crate::head::Head;
use crate::options::Options;
use crate::repeats::{self, At};
use crate::span::{SpanId, TraceId};
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

/// A row of one of the chunks that are sealed.
#[derive(Debug, Clone, Copy)]
struct Row {
    trace: TraceId,
    start: u64,
    span: SpanId,
    /// Which chunk, and which of its rows.
    place: (u32, u32),
}

/// Rows of one segment to be written: (chunk, row) in segment order.
pub(crate) struct Part {
    /// `None` for the mixed segment.
    pub(crate) partition: Option<Partition>,
    pub(crate) order: Vec<(u32, u32)>,
}

/// Cuts chunks into segments. Returns the parts and how many copies were dropped.
///
/// # Errors
/// Those of reading the segments that may hold copies.
pub(crate) fn plan(
    chunks: &[&Batch],
    present: &[Arc<LiveSegment>],
    width: u64,
) -> Result<(Vec<Part>, u64)> {
    let mut by_partition: BTreeMap<Partition, Vec<Row>> = BTreeMap::new();
    let (rows, mut dropped) = collapsed(chunks);
    for row in rows {
        by_partition.entry(Partition::of(row.start, width)).or_default().push(row);
    }
    for (partition, rows) in &mut by_partition {
        // Equal spans start at the same time, hence lie in this partition or a mixed segment.
        let kin = present.iter().filter(|s| s.entry.partition.is_none_or(|p| p == *partition));
        for live in kin {
            dropped += subtract_present(chunks, rows, live)?;
        }
    }
    by_partition.retain(|_, rows| !rows.is_empty());
    Ok((cut(chunks, by_partition), dropped))
}

/// All rows by (trace id, start, span id), each copy once, and how many copies were dropped.
fn collapsed(chunks: &[&Batch]) -> (Vec<Row>, u64) {
    let mut rows: Vec<Row> = Vec::with_capacity(chunks.iter().map(|c| c.rows()).sum());
    for (chunk, batch) in (0u32..).zip(chunks) {
        let ids = batch.trace_id.iter().zip(&batch.span_id).zip(&batch.start);
        rows.extend((0u32..).zip(ids).map(|(row, ((&trace, &span), &start))| Row {
            trace,
            start,
            span,
            place: (chunk, row),
        }));
    }
    rows.sort_unstable_by(|a, b| {
        (a.trace, a.start, a.span, a.place).cmp(&(b.trace, b.start, b.span, b.place))
    });
    let twins = |a: &Row, b: &Row| a.trace == b.trace && a.start == b.start && a.span == b.span;
    if rows.windows(2).all(|pair| !twins(&pair[0], &pair[1])) {
        return (rows, 0);
    }
    let mut kept = Vec::with_capacity(rows.len());
    let mut dropped = 0;
    for group in rows.chunk_by(twins) {
        if group.len() == 1 {
            kept.extend_from_slice(group);
            continue;
        }
        let mut copies = at(chunks, group);
        dropped += repeats::collapse(&mut copies);
        keep(chunks, group, &copies, &mut kept);
    }
    (kept, dropped)
}

fn at<'a>(chunks: &[&'a Batch], rows: &[Row]) -> Vec<At<'a>> {
    let one = |row: &Row| {
        let batch = chunks.get(row.place.0 as usize)?;
        Some(At { batch, row: row.place.1 as usize })
    };
    rows.iter().filter_map(one).collect()
}

/// Adds to `kept` those of `group` that `left` still names.
fn keep(chunks: &[&Batch], group: &[Row], left: &[At<'_>], kept: &mut Vec<Row>) {
    if left.len() == group.len() {
        kept.extend_from_slice(group);
        return;
    }
    let left: HashSet<(*const Batch, usize)> =
        left.iter().map(|at| (std::ptr::from_ref(at.batch), at.row)).collect();
    let is_left = |row: &&Row| {
        let batch = chunks.get(row.place.0 as usize);
        batch.is_some_and(|b| left.contains(&(std::ptr::from_ref(*b), row.place.1 as usize)))
    };
    kept.extend(group.iter().filter(is_left));
}

fn cut(chunks: &[&Batch], by_partition: BTreeMap<Partition, Vec<Row>>) -> Vec<Part> {
    let alone = by_partition.len() == 1;
    let mut sizes: Vec<usize> = by_partition.values().map(Vec::len).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let smallest = sizes.get(PARTITION_SEGMENTS_MAX).map_or(OWN_SEGMENT_ROWS, |size| size + 1);
    let mut parts = Vec::new();
    let mut mixed = Vec::new();
    for (partition, rows) in by_partition {
        if alone || rows.len() >= smallest.max(OWN_SEGMENT_ROWS) {
            parts.push(Part { partition: Some(partition), order: segment_order(chunks, &rows) });
        } else {
            mixed.extend(rows);
        }
    }
    if !mixed.is_empty() {
        mixed.sort_unstable_by_key(|row| (row.trace, row.start, row.span));
        parts.push(Part { partition: None, order: segment_order(chunks, &mixed) });
    }
    parts
}

/// Takes away copies that a segment holds already.
fn subtract_present(chunks: &[&Batch], rows: &mut Vec<Row>, live: &LiveSegment) -> Result<u64> {
    let mut dropped = 0;
    let mut kept: Option<Vec<Row>> = None;
    let mut from = 0;
    while from < rows.len() {
        let Some(trace) = rows.get(from).map(|r| r.trace) else { break };
        let length =
            rows.get(from..).map_or(0, |r| r.iter().take_while(|r| r.trace == trace).count());
        let group = rows.get(from..from + length).unwrap_or_default();
        let range = match live.segment.may_hold(&trace) {
            true => live.segment.locate(&trace)?,
            false => None,
        };
        let mut left = group.to_vec();
        if let Some(range) = range {
            let key = |r: &Row| (r.start, r.span);
            let wanted = |start, span| group.binary_search_by_key(&(start, span), key).is_ok();
            live.pick(range, &wanted, &mut |found| {
                dropped += subtract_found(chunks, &mut left, found);
            })?;
        }
        if left.len() != length && kept.is_none() {
            kept = Some(rows.get(..from).unwrap_or_default().to_vec());
        }
        if let Some(kept) = &mut kept {
            kept.append(&mut left);
        }
        from += length;
    }
    if let Some(kept) = kept {
        *rows = kept;
    }
    Ok(dropped)
}

/// Takes from `rows` of one trace what equals rows of `found`.
fn subtract_found(chunks: &[&Batch], rows: &mut Vec<Row>, found: &Batch) -> u64 {
    let mut dropped = 0;
    let mut kept = Vec::with_capacity(rows.len());
    for group in rows.chunk_by(|a, b| (a.start, a.span) == (b.start, b.span)) {
        let Some(key) = group.first().map(|r| (r.start, r.span)) else { continue };
        let same = |row: &usize| {
            (found.start.get(*row), found.span_id.get(*row)) == (Some(&key.0), Some(&key.1))
        };
        let present = (0..found.rows()).filter(same).map(|row| At { batch: found, row });
        let mut copies = at(chunks, group);
        dropped += repeats::subtract(&mut copies, present);
        keep(chunks, group, &copies, &mut kept);
    }
    *rows = kept;
    dropped
}

/// Traces contiguous, by their earliest start; spans in a trace by start, span id and bytes.
/// `rows` are by (trace id, start, span id).
fn segment_order(chunks: &[&Batch], rows: &[Row]) -> Vec<(u32, u32)> {
    let mut traces: Vec<&[Row]> = rows.chunk_by(|a, b| a.trace == b.trace).collect();
    traces.sort_unstable_by_key(|rows| rows.first().map(|r| (r.start, r.trace)));
    let mut order = Vec::with_capacity(rows.len());
    for group in
        traces.into_iter().flat_map(|t| t.chunk_by(|a, b| (a.start, a.span) == (b.start, b.span)))
    {
        if let [alone] = group {
            order.push(alone.place);
            continue;
        }
        let mut twins: Vec<(Vec<u8>, (u32, u32))> = Vec::with_capacity(group.len());
        for (row, at) in group.iter().zip(at(chunks, group)) {
            let mut bytes = Vec::new();
            at.batch.write_span(at.row, &mut bytes);
            twins.push((bytes, row.place));
        }
        twins.sort();
        order.extend(twins.into_iter().map(|(_, place)| place));
    }
    order
}
