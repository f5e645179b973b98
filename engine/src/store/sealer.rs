//! The seal's doing, the flush-commit in one function: build segments, publish their files,
//! commit one catalog edit, swap the view, trim the log. A file is complete, synced and named
//! before the catalog knows it; the catalog is synced before the view shows it; the log lets go
//! only then. This thread is the catalog's only writer; purge goes through it too.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use super::Shared;
use super::committer::Commit;
use crate::batch::Batch;
use crate::catalog::edit::Change;
use crate::catalog::registry::RegisteredColumn;
use crate::catalog::state::{CatalogState, SegmentEntry};
use crate::catalog::store::CatalogStore;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::seal::{self, Part, Reason};
use crate::segment::{self, Input};
use crate::tenancy::Tenancy;
use crate::view::{CatalogView, LiveSegment};

/// How often due seals are looked for.
const TICK: Duration = Duration::from_millis(100);
/// Pause after a failed seal, in nanoseconds.
const RETRY_AFTER: u64 = 5_000_000_000;

/// What this thread is told.
pub(super) enum Task {
    Flush(SyncSender<Result<()>>),
    Purge(SyncSender<Result<()>>),
    /// Seal what is due.
    Due(SyncSender<Result<()>>),
    /// Seal everything, once more.
    Shutdown(SyncSender<Result<()>>),
    Stop,
}

pub(super) struct Sealer<'a> {
    shared: &'a Shared,
    catalog: CatalogStore,
    next_segment: u64,
    commits: SyncSender<Commit>,
    /// Monotonic time before which no seal is tried on our own account.
    paused_until: u64,
}

/// Segments written and not yet in the catalog.
struct Written {
    entries: Vec<SegmentEntry>,
    /// Columns that they are the first to have.
    columns: Vec<RegisteredColumn>,
    duplicates: u64,
}

impl<'a> Sealer<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        catalog: CatalogStore,
        next_segment: u64,
        commits: SyncSender<Commit>,
    ) -> Self {
        Self { shared, catalog, next_segment, commits, paused_until: 0 }
    }

    /// The thread's body.
    pub(super) fn run(mut self, tasks: &Receiver<Task>) {
        loop {
            let next = match self.shared.options.seal_by_itself {
                true => tasks.recv_timeout(TICK),
                false => tasks.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(Task::Flush(reply)) => drop(reply.send(self.seal_all(Reason::Flush))),
                Ok(Task::Shutdown(reply)) => drop(reply.send(self.seal_all(Reason::Shutdown))),
                Ok(Task::Purge(reply)) => drop(reply.send(self.purge())),
                Ok(Task::Due(reply)) => {
                    self.seal_due();
                    drop(reply.send(Ok(())));
                }
                Ok(Task::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => self.seal_due(),
            }
        }
    }

    fn seal_due(&mut self) {
        let clock = &self.shared.world.clock;
        if clock.monotonic() < self.paused_until {
            return;
        }
        let state = self.shared.views.current();
        let wal_bytes = self.shared.wal_bytes.load(Ordering::Acquire);
        let due = seal::due(&state.head, clock.now(), wal_bytes, &self.shared.options);
        drop(state);
        for (tenancy, reason) in due {
            if let Err(error) = self.seal(&tenancy, reason) {
                let cause = error.to_string();
                self.shared.options.observer.observe(&Event::SealFailed { cause });
                self.paused_until = self.shared.world.clock.monotonic() + RETRY_AFTER;
            }
        }
    }

    fn seal_all(&mut self, reason: Reason) -> Result<()> {
        let state = self.shared.views.current();
        let tenancies: Vec<Tenancy> =
            state.head.iter().map(|(tenancy, _)| tenancy.clone()).collect();
        drop(state);
        tenancies.iter().try_for_each(|tenancy| self.seal(tenancy, reason))
    }

    /// Seals everything of a tenancy up to the present end of the log.
    fn seal(&mut self, tenancy: &Tenancy, reason: Reason) -> Result<()> {
        // What cannot be committed is not worth writing.
        self.catalog.check()?;
        let began = self.shared.world.clock.monotonic();
        let state = self.shared.views.publish(|state| state.head.begin_seal(tenancy));
        let through = state.sequence;
        let Some(head) = state.head.get(tenancy) else { return Ok(()) };
        let chunks: Vec<&Batch> = head.sealing().iter().map(|chunk| chunk.batch()).collect();
        let width = state.catalog.state.partition_width;
        let (parts, duplicates) = seal::plan(&chunks, state.catalog.segments(tenancy), width)?;
        let spans = parts.iter().map(|p| p.order.len() as u64).sum();
        let mut written = Written { entries: Vec::new(), columns: Vec::new(), duplicates };
        if let Err(error) = self.write(tenancy, &chunks, parts, &mut written) {
            self.discard(&written.entries);
            return Err(error);
        }
        drop(chunks);
        drop(state);
        let entries = written.entries.clone();
        let (segments, bytes) = (entries.len() as u64, entries.iter().map(|e| e.facts.bytes).sum());
        if let Err(error) = self.adopt(tenancy, through, written) {
            // Where the edit's fate is unknown, the next start may find it done.
            if self.catalog.check().is_ok() {
                self.discard(&entries);
            }
            return Err(error);
        }
        self.shared.options.observer.observe(&Event::Sealed {
            tenancy: tenancy.to_string(),
            reason: reason.word(),
            spans,
            duplicates,
            segments,
            bytes,
            took: self.shared.world.clock.monotonic().saturating_sub(began),
        });
        Ok(())
    }

    /// Builds and publishes one file a part.
    fn write(
        &mut self,
        tenancy: &Tenancy,
        chunks: &[&Batch],
        parts: Vec<Part>,
        written: &mut Written,
    ) -> Result<()> {
        let mut registry = self.catalog.state().columns.clone();
        for Part { partition, order } in parts {
            let built = segment::build(&Input {
                sources: chunks,
                order: &order,
                registry: &registry,
                sequences: None,
            })?;
            for column in built.columns {
                registry.add(&column)?;
                written.columns.push(column);
            }
            let state = self.catalog.state();
            let name = state.segment_name(tenancy, partition, self.next_segment);
            self.next_segment += 1;
            let put = || {
                let mut file = self.shared.world.files.create(&name)?;
                file.append(&built.bytes)?;
                file.publish()
            };
            put().map_err(|e| Error::io("writing segment", &name, e))?;
            let (tenancy, facts) = (tenancy.clone(), built.facts);
            written.entries.push(SegmentEntry { name, tenancy, partition, facts });
        }
        Ok(())
    }

    /// Files that no edit will name: removed now, or at the next start where that fails too.
    fn discard(&self, entries: &[SegmentEntry]) {
        for entry in entries {
            drop(self.shared.world.files.remove(&entry.name));
        }
    }

    /// One catalog edit adds the segments with `sealed_through`; then one swap takes the sealed
    /// rows out of the head; then the log is trimmed.
    fn adopt(&mut self, tenancy: &Tenancy, through: u64, written: Written) -> Result<()> {
        let files = &self.shared.world.files;
        let opened: Vec<Arc<LiveSegment>> = written
            .entries
            .iter()
            .map(|entry| LiveSegment::open(files, entry.clone(), &self.shared.cache))
            .collect::<Result<_>>()?;
        let current = self.shared.views.current();
        let unsealed = current.head.oldest_sequence_without(tenancy).unwrap_or(u64::MAX);
        let log_start = unsealed.min(current.sequence + 1);
        drop(current);
        let writer = self.catalog.state().writer.clone();
        let mut changes: Vec<Change> =
            written.columns.into_iter().map(|column| Change::AddColumn { column }).collect();
        changes.extend(written.entries.into_iter().map(|segment| Change::AddSegment { segment }));
        let tenancy_sealed = Change::SealedThrough {
            tenancy: tenancy.clone(),
            writer: writer.clone(),
            sequence: through,
        };
        changes.extend([tenancy_sealed, Change::LogStart { writer, sequence: log_start }]);
        let state = self.commit(changes)?;
        let view = self.shared.views.publish(|view| {
            let open = view.catalog.all().cloned().chain(opened).collect();
            view.catalog = Arc::new(CatalogView::new(state, open));
            view.head.end_seal(tenancy);
        });
        self.shared.duplicate_spans.fetch_add(written.duplicates, Ordering::AcqRel);
        self.shared.head_bytes.store(view.head.bytes(), Ordering::Release);
        self.trim(log_start);
        Ok(())
    }

    /// The log lets go of what is sealed or purged; when this returns, it has. Nothing is lost
    /// where its thread is gone: the next start trims.
    fn trim(&self, log_start: u64) {
        let (done, trimmed) = mpsc::sync_channel(1);
        if self.commits.send(Commit::Trim(log_start, done)).is_ok() {
            let _ = trimmed.recv();
        }
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<Arc<CatalogState>> {
        let expected = self.catalog.state().version;
        let committed = self.catalog.commit(expected, self.shared.world.clock.now(), changes);
        self.shared.catalog_bytes.store(self.catalog.bytes(), Ordering::Release);
        if let Err(unknown) = self.catalog.check() {
            self.shared.close_gate(committed.as_ref().err().unwrap_or(&unknown).to_string());
        }
        committed
    }

    /// Drops every segment and everything of the head up to the present end of the log.
    fn purge(&mut self) -> Result<()> {
        let current = self.shared.views.current();
        let sequence = current.sequence;
        let catalog = self.catalog.state();
        let writer = catalog.writer.clone();
        let mut changes: Vec<Change> = catalog
            .segments
            .keys()
            .map(|name| Change::DropSegment { name: name.clone() })
            .collect();
        changes.push(Change::Purged { writer: writer.clone(), sequence });
        changes.push(Change::LogStart { writer, sequence: sequence + 1 });
        let state = self.commit(changes)?;
        let view = self.shared.views.publish(|view| {
            view.catalog = Arc::new(CatalogView::new(state, Vec::new()));
            view.head.purge(sequence);
        });
        // The files go with their last reader, which may be `current`.
        current.catalog.all().for_each(|segment| segment.doom());
        self.shared.head_bytes.store(view.head.bytes(), Ordering::Release);
        self.trim(sequence + 1);
        Ok(())
    }
}
