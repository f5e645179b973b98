//! The head: what is in the log and not yet in a segment. Immutable chunks, one per commit
//! group, merged by size like a small LSM tree so that their number stays logarithmic. A head is
//! a value: publishing makes a new one that shares its chunks. Batches flow in from the log's
//! thread, rows flow out to queries and to seals. No I/O, no lock, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use crate::batch::{Batch, Remap};
use crate::query::request::Operation;
use crate::span::{SpanKind, TraceId};
use crate::tenancy::Tenancy;

/// Chunks of one size class that are merged into one of the next. By eights, up to 65,536 rows, the
/// thread that merges had 31 % of an ingest's CPU: each row was copied once more.
const FAN_IN: usize = 16;
/// Rows and bytes from which a chunk is merged no more: a merge must not take long.
const MERGE_ROWS_MAX: usize = 16_384;
const MERGE_BYTES_MAX: u64 = 64 << 20;

/// Rows of one or more commit groups.
#[derive(Debug)]
pub(crate) struct Chunk {
    batch: Batch,
    /// Row numbers by (trace id, span id, start).
    order: Vec<u32>,
    pub(crate) start_min: u64,
    pub(crate) start_max: u64,
    pub(crate) duration_max: u64,
    pub(crate) bytes: u64,
    operations: OnceLock<BTreeSet<(Arc<str>, Operation)>>,
}

impl Chunk {
    pub(crate) fn new(batch: Batch) -> Self {
        let order = in_order(&batch);
        Self {
            start_min: batch.start.iter().copied().min().unwrap_or(u64::MAX),
            start_max: batch.start.iter().copied().max().unwrap_or(0),
            duration_max: (0..batch.rows()).map(|row| batch.duration(row)).max().unwrap_or(0),
            bytes: (batch.memory_bytes() + order.capacity() * size_of::<u32>()) as u64,
            operations: OnceLock::new(),
            batch,
            order,
        }
    }

    fn merged<'a>(batches: impl Iterator<Item = &'a Batch> + Clone) -> Self {
        let mut merged = Batch::default();
        merged.reserve(batches.clone().map(Batch::rows).sum());
        for batch in batches {
            let mut remap = Remap::default();
            (0..batch.rows()).for_each(|row| merged.append(batch, row, &mut remap));
        }
        Self::new(merged)
    }

    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }

    pub(crate) fn rows(&self) -> usize {
        self.batch.rows()
    }

    /// The trace's rows, by (span id, start).
    pub(crate) fn trace(&self, id: TraceId) -> &[u32] {
        let trace_of = |row: &u32| self.batch.trace_id.get(*row as usize).copied();
        let from = self.order.partition_point(|row| trace_of(row) < Some(id));
        let rest = self.order.get(from..).unwrap_or_default();
        let length = rest.partition_point(|row| trace_of(row) == Some(id));
        rest.get(..length).unwrap_or_default()
    }

    /// Distinct (service, operation), computed at first use.
    pub(crate) fn operations(&self) -> &BTreeSet<(Arc<str>, Operation)> {
        self.operations.get_or_init(|| {
            let batch = &self.batch;
            let mut seen = std::collections::HashSet::new();
            for ((resource, name), kind) in batch.resource.iter().zip(&batch.name).zip(&batch.kind)
            {
                seen.insert((*resource, *name, *kind));
            }
            seen.into_iter()
                .filter_map(|(resource, name, kind)| {
                    let service = Arc::clone(&batch.resources.get(resource as usize)?.service);
                    let name = String::from_utf8_lossy(batch.names.get(name)).into_owned();
                    Some((service, Operation { name, kind: SpanKind::from_number(kind) }))
                })
                .collect()
        })
    }

    /// 0 for the smallest chunks; each class is sixteen times the one before.
    fn class(&self) -> u32 {
        (self.rows().max(1)).ilog2() / FAN_IN.ilog2()
    }
}

/// Row numbers by (trace id, span id, start). Ids are random, so nearly every comparison is
/// settled by the eight bytes that are sorted with the number.
fn in_order(batch: &Batch) -> Vec<u32> {
    let prefix = |id: &TraceId| u64::from_be_bytes(id.0.first_chunk().copied().unwrap_or_default());
    let mut keys: Vec<(u64, u32)> = batch.trace_id.iter().map(prefix).zip(0u32..).collect();
    let rest = |row: u32| {
        let row = row as usize;
        (batch.trace_id.get(row), batch.span_id.get(row), batch.start.get(row))
    };
    keys.sort_unstable_by(|a, b| {
        a.0.cmp(&b.0).then_with(|| rest(a.1).cmp(&rest(b.1))).then(a.1.cmp(&b.1))
    });
    keys.into_iter().map(|(_, row)| row).collect()
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
        self.chunks().map(|c| c.rows() as u64).sum()
    }

    fn is_empty(&self) -> bool {
        self.active.is_empty() && self.sealing.is_empty()
    }

    /// Adds a group's batches, all of `arrival`, their sequences set.
    fn add(&mut self, batches: Vec<Batch>, arrival: u64) {
        let sequences = batches.iter().flat_map(|b| b.sequence.first());
        let Some(sequence) = sequences.min().copied() else { return };
        if self.is_empty() {
            (self.oldest_sequence, self.oldest_arrival) = (Some(sequence), arrival);
        }
        self.active_oldest.get_or_insert((sequence, arrival));
        self.newest_arrival = arrival;
        let chunk = match <[Batch; 1]>::try_from(batches) {
            Ok([alone]) => Chunk::new(alone),
            Err(batches) => Chunk::merged(batches.iter()),
        };
        self.active.push(Arc::new(chunk));
        while let Some(merged) = self.merge_tail() {
            self.active.truncate(self.active.len() - FAN_IN);
            self.active.push(Arc::new(merged));
        }
    }

    /// The last sixteen chunks as one, where they are of one class and small enough.
    fn merge_tail(&self) -> Option<Chunk> {
        let tail = self.active.get(self.active.len().checked_sub(FAN_IN)?..)?;
        let class = tail.first()?.class();
        let rows: usize = tail.iter().map(|c| c.rows()).sum();
        let bytes: u64 = tail.iter().map(|c| c.bytes).sum();
        let fits = rows <= MERGE_ROWS_MAX && bytes <= MERGE_BYTES_MAX;
        (fits && tail.iter().all(|c| c.class() <= class))
            .then(|| Chunk::merged(tail.iter().map(|c| c.batch())))
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
        let mut keep = Batch::default();
        for chunk in self.chunks() {
            let mut remap = Remap::default();
            for (row, _) in
                chunk.batch.sequence.iter().enumerate().filter(|(_, sequence)| **sequence > horizon)
            {
                keep.append(&chunk.batch, row, &mut remap);
            }
        }
        let arrival = self.newest_arrival;
        *self = Self::default();
        self.add(vec![keep], arrival);
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

    /// Adds a group's batches; those without rows are passed over.
    pub(crate) fn add(&mut self, tenancy: &Tenancy, mut batches: Vec<Batch>, arrival: u64) {
        batches.retain(|batch| batch.rows() > 0);
        if !batches.is_empty() {
            self.tenancies.entry(tenancy.clone()).or_default().add(batches, arrival);
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
