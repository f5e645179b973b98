//! The head: what is in the log and not yet in a segment. Immutable chunks, one per commit
//! group, merged by size like a small LSM tree so that their number stays logarithmic. A head is
//! a value: publishing makes a new one that shares its chunks. Batches flow in from the log's
//! thread, rows flow out to queries and to seals. No I/O, no lock, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::query::request::Operation;
use crate::span::{SpanKind, SpanRow, TraceId};
use crate::tenancy::Tenancy;

/// Bytes a row takes in memory beside its span's own bytes.
const ROW_BYTES: u64 = size_of::<SpanRow>() as u64;
/// Chunks of one size class that are merged into one of the next.
const FAN_IN: usize = 4;
/// Rows from which a chunk is merged no more: a merge must not hold up an ack.
const MERGE_ROWS_MAX: usize = 32_768;

/// Rows of one or more commit groups, sorted by (trace id, span id, start).
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) rows: Vec<SpanRow>,
    pub(crate) start_min: u64,
    pub(crate) start_max: u64,
    pub(crate) bytes: u64,
    operations: OnceLock<BTreeSet<(Arc<str>, Operation)>>,
}

impl Chunk {
    pub(crate) fn new(mut rows: Vec<SpanRow>) -> Self {
        rows.sort_by_key(|r| (r.trace_id, r.span_id, r.start));
        Self {
            start_min: rows.iter().map(|r| r.start).min().unwrap_or(u64::MAX),
            start_max: rows.iter().map(|r| r.start).max().unwrap_or(0),
            bytes: rows.iter().map(|r| r.span.len() as u64 + ROW_BYTES).sum(),
            operations: OnceLock::new(),
            rows,
        }
    }

    fn merged(chunks: &[Arc<Chunk>]) -> Self {
        Self::new(chunks.iter().flat_map(|c| c.rows.iter().cloned()).collect())
    }

    /// Where the trace's rows stand.
    pub(crate) fn trace(&self, id: TraceId) -> Range<usize> {
        let from = self.rows.partition_point(|r| r.trace_id < id);
        let rest = self.rows.get(from..).unwrap_or_default();
        from..from + rest.partition_point(|r| r.trace_id == id)
    }

    /// Distinct (service, operation), computed at first use.
    pub(crate) fn operations(&self) -> &BTreeSet<(Arc<str>, Operation)> {
        self.operations.get_or_init(|| {
            let mut seen = std::collections::HashSet::new();
            for row in &self.rows {
                seen.insert((&row.resource.service, &row.name, row.kind));
            }
            seen.into_iter()
                .map(|(service, name, kind)| {
                    let name = String::from_utf8_lossy(name).into_owned();
                    (Arc::clone(service), Operation { name, kind: SpanKind::from_number(kind) })
                })
                .collect()
        })
    }

    /// 0 for the smallest chunks; each class is four times the one before.
    fn class(&self) -> u32 {
        (self.rows.len() as u64 / 64 + 1).ilog2() / 2
    }
}

/// One tenancy's head.
#[derive(Debug, Clone, Default)]
pub(crate) struct TenancyHead {
    /// What new groups are added to.
    active: Vec<Arc<Chunk>>,
    /// What a seal has taken; it leaves when its segments are published.
    sealing: Vec<Arc<Chunk>>,
    /// Sequence of the oldest frame with rows in here.
    oldest_sequence: Option<u64>,
    /// Arrival of that frame and of the newest, ns since 1970.
    pub(crate) oldest_arrival: u64,
    pub(crate) newest_arrival: u64,
    active_oldest: Option<(u64, u64)>,
}

impl TenancyHead {
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.sealing.iter().chain(&self.active)
    }

    pub(crate) fn sealing(&self) -> &[Arc<Chunk>] {
        &self.sealing
    }

    pub(crate) fn active_bytes(&self) -> u64 {
        self.active.iter().map(|c| c.bytes).sum()
    }

    /// Sequence of the oldest frame with rows in here.
    pub(crate) fn oldest_sequence(&self) -> Option<u64> {
        self.oldest_sequence
    }

    fn bytes(&self) -> u64 {
        self.chunks().map(|c| c.bytes).sum()
    }

    fn spans(&self) -> u64 {
        self.chunks().map(|c| c.rows.len() as u64).sum()
    }

    fn is_empty(&self) -> bool {
        self.active.is_empty() && self.sealing.is_empty()
    }

    /// Adds a group's rows, all of `arrival`.
    fn add(&mut self, rows: Vec<SpanRow>, arrival: u64) {
        let Some(sequence) = rows.iter().map(|r| r.sequence).min() else { return };
        if self.is_empty() {
            (self.oldest_sequence, self.oldest_arrival) = (Some(sequence), arrival);
        }
        self.active_oldest.get_or_insert((sequence, arrival));
        self.newest_arrival = arrival;
        self.active.push(Arc::new(Chunk::new(rows)));
        while let Some(merged) = self.merge_tail() {
            self.active.truncate(self.active.len() - FAN_IN);
            self.active.push(Arc::new(merged));
        }
    }

    /// The last four chunks as one, where they are of one class and small enough.
    fn merge_tail(&self) -> Option<Chunk> {
        let tail = self.active.get(self.active.len().checked_sub(FAN_IN)?..)?;
        let class = tail.first()?.class();
        let rows: usize = tail.iter().map(|c| c.rows.len()).sum();
        (rows <= MERGE_ROWS_MAX && tail.iter().all(|c| c.class() <= class))
            .then(|| Chunk::merged(tail))
    }

    /// Hands the active chunks to a seal; those of a failed one stay with them.
    fn begin_seal(&mut self) {
        self.sealing.append(&mut self.active);
        self.active_oldest = None;
    }

    fn end_seal(&mut self) {
        self.sealing.clear();
        self.oldest_sequence = self.active_oldest.map(|(sequence, _)| sequence);
        self.oldest_arrival = self.active_oldest.map_or(0, |(_, arrival)| arrival);
    }

    /// Drops rows up to `horizon`.
    fn purge(&mut self, horizon: u64) {
        let keep: Vec<SpanRow> = self
            .chunks()
            .flat_map(|c| c.rows.iter().filter(|r| r.sequence > horizon).cloned())
            .collect();
        let arrival = self.newest_arrival;
        *self = Self::default();
        self.add(keep, arrival);
    }
}

/// All heads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    tenancies: BTreeMap<Tenancy, TenancyHead>,
}

impl Head {
    pub(crate) fn get(&self, tenancy: &Tenancy) -> Option<&TenancyHead> {
        self.tenancies.get(tenancy)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Tenancy, &TenancyHead)> {
        self.tenancies.iter()
    }

    pub(crate) fn add(&mut self, tenancy: &Tenancy, rows: Vec<SpanRow>, arrival: u64) {
        if !rows.is_empty() {
            self.tenancies.entry(tenancy.clone()).or_default().add(rows, arrival);
        }
    }

    pub(crate) fn begin_seal(&mut self, tenancy: &Tenancy) {
        if let Some(head) = self.tenancies.get_mut(tenancy) {
            head.begin_seal();
        }
    }

    pub(crate) fn end_seal(&mut self, tenancy: &Tenancy) {
        if let Some(head) = self.tenancies.get_mut(tenancy) {
            head.end_seal();
        }
        self.tenancies.retain(|_, head| !head.is_empty());
    }

    pub(crate) fn purge(&mut self, horizon: u64) {
        self.tenancies.values_mut().for_each(|head| head.purge(horizon));
        self.tenancies.retain(|_, head| !head.is_empty());
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.tenancies.values().map(TenancyHead::bytes).sum()
    }

    pub(crate) fn spans(&self) -> u64 {
        self.tenancies.values().map(TenancyHead::spans).sum()
    }

    /// The lowest sequence whose rows are only in a head.
    pub(crate) fn oldest_sequence(&self) -> Option<u64> {
        self.tenancies.values().filter_map(|h| h.oldest_sequence).min()
    }

    /// The same as if `tenancy`'s sealing rows were gone.
    pub(crate) fn oldest_sequence_without(&self, sealed: &Tenancy) -> Option<u64> {
        let oldest = |(tenancy, head): (&Tenancy, &TenancyHead)| match tenancy == sealed {
            true => head.active_oldest.map(|(sequence, _)| sequence),
            false => head.oldest_sequence,
        };
        self.tenancies.iter().filter_map(oldest).min()
    }

    /// Arrival of the oldest frame not yet sealed; 0 where there is none.
    pub(crate) fn oldest_arrival(&self) -> u64 {
        self.tenancies.values().map(|h| h.oldest_arrival).min().unwrap_or(0)
    }
}
