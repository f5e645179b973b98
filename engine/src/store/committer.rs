//! The append, in one function: log, sync, publish, acknowledge. One thread gathers what arrived
//! while the last sync ran and commits it as one group; there is no timer, an idle log syncs at
//! once. Durable before visible before acknowledged. When a write or sync fails in a way that
//! leaves the disk unknown the gate closes: nothing is acknowledged any more until a restart.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};

use bytes::Bytes;

use super::{Ingested, Shared};
use crate::batch::Batch;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Event;
use crate::limits::GROUP_BYTES_MAX;
use crate::tenancy::Tenancy;
use crate::wal::writer::{Entry, Failure, LogWriter};

type Done = Box<dyn FnOnce(Result<Ingested>) + Send>;

/// An admitted Export on its way into the log.
pub(super) struct Pending {
    pub(super) tenancy: Tenancy,
    pub(super) dropped: Vec<u32>,
    pub(super) payload: Bytes,
    pub(super) batch: Batch,
    /// Memory it is charged for.
    pub(super) bytes: u64,
    pub(super) outcome: Ingested,
    pub(super) done: Option<Done>,
}

impl Pending {
    pub(super) fn answer(self, result: Result<()>) {
        if let Some(done) = self.done {
            done(result.map(|()| self.outcome));
        }
    }
}

/// What the log's thread is told.
pub(super) enum Commit {
    Export(Box<Pending>),
    /// Frames below this sequence are sealed; answered when they are let go.
    Trim(u64, SyncSender<()>),
    /// Answered when everything queued before is; what comes later is refused.
    Close(SyncSender<Result<()>>),
    Stop,
}

/// The thread's body.
pub(super) fn run(shared: &Shared, mut log: LogWriter, queue: &Receiver<Commit>) {
    let mut next = queue.recv().ok();
    let mut is_closed = false;
    while let Some(message) = next.take() {
        match message {
            Commit::Stop => return,
            Commit::Trim(log_start, done) => {
                log.trim(log_start);
                shared.wal_bytes.store(log.live_bytes(), Ordering::Release);
                let _ = done.send(());
            }
            Commit::Close(reply) => {
                is_closed = true;
                drop(reply.send(Ok(())));
            }
            // Admitted before the store closed and queued after: the log may be another's by now.
            Commit::Export(late) if is_closed => {
                shared.pending_bytes.fetch_sub(late.bytes, Ordering::AcqRel);
                late.answer(Err(super::closed()));
            }
            Commit::Export(first) => {
                let mut bytes = first.payload.len();
                let mut group = vec![*first];
                while bytes < GROUP_BYTES_MAX && next.is_none() {
                    match queue.try_recv() {
                        Ok(Commit::Export(one)) => {
                            bytes += one.payload.len();
                            group.push(*one);
                        }
                        Ok(other) => next = Some(other),
                        Err(_) => break,
                    }
                }
                commit(shared, &mut log, group);
            }
        }
        shared.wal_bytes.store(log.live_bytes(), Ordering::Release);
        if next.is_none() {
            next = queue.recv().ok();
        }
    }
}

/// One group: durable, then visible, then acknowledged.
fn commit(shared: &Shared, log: &mut LogWriter, mut group: Vec<Pending>) {
    let charged: u64 = group.iter().map(|p| p.bytes).sum();
    let result = match shared.write_available.load(Ordering::Acquire) {
        true => shared.check_disk(charged).and_then(|()| append(shared, log, &mut group)),
        false => Err(gate_closed()),
    };
    if result.is_ok() {
        shared.wal_batches.fetch_add(group.len() as u64, Ordering::AcqRel);
    }
    shared.pending_bytes.fetch_sub(charged, Ordering::AcqRel);
    // Before the answers: who has one may look at the log.
    shared.wal_bytes.store(log.live_bytes(), Ordering::Release);
    group.into_iter().for_each(|one| one.answer(result.clone()));
}

fn append(shared: &Shared, log: &mut LogWriter, group: &mut [Pending]) -> Result<()> {
    let clock = &shared.world.clock;
    let entries: Vec<Entry<'_>> = group
        .iter()
        .map(|p| Entry { tenancy: &p.tenancy, dropped: &p.dropped, payload: &p.payload })
        .collect();
    let (arrival, began) = (clock.now(), clock.monotonic());
    let first = log.commit(arrival, &entries).map_err(|failure| refused(shared, failure))?;
    shared.options.observer.observe(&Event::Synced {
        took: clock.monotonic().saturating_sub(began),
        batches: group.len() as u64,
        bytes: group.iter().map(|p| p.payload.len() as u64).sum(),
    });
    let mut batches: BTreeMap<Tenancy, Vec<Batch>> = BTreeMap::new();
    let mut last = first;
    for (sequence, one) in (first..).zip(group) {
        let mut batch = std::mem::take(&mut one.batch);
        batch.sequence.fill(sequence);
        batches.entry(one.tenancy.clone()).or_default().push(batch);
        last = sequence;
    }
    shared.publish(|state| {
        for (tenancy, batches) in batches {
            state.head.add(&tenancy, batches, arrival);
        }
        state.sequence = last;
    });
    Ok(())
}

fn refused(shared: &Shared, failure: Failure) -> Error {
    match failure {
        Failure::Full(cause) => Error::new(
            ErrorKind::Exhausted,
            format!("the disk of the data directory is full ({cause}); free space or enlarge it"),
        )
        .retry_after(5000)
        .with_source(cause),
        Failure::Broken(cause) => {
            shared.close_gate(cause.to_string());
            gate_closed().with_source(cause)
        }
    }
}

/// The answer once the gate is closed.
pub(super) fn gate_closed() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the log or the catalog could not be written, so nothing more is accepted; reads go on. \
         Check the disk, then restart: what was acknowledged is recovered",
    )
}
