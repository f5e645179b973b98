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
use super::room::Reserve;
use crate::batch::Batch;
use crate::catalog::edit::{Change, SegmentEntry};
use crate::catalog::registry::RegisteredColumn;
use crate::catalog::state::CatalogState;
use crate::catalog::store::CatalogStore;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Event;
use crate::query::places::Shelf;
use crate::seal::rollup::{New, rollups};
use crate::seal::{self, Part, Reason};
use crate::segment::{self, Input, fingerprint};
use crate::tenancy::Tenancy;
use crate::view::{CatalogView, LiveSegment};

/// How often due seals are looked for.
const TICK: Duration = Duration::from_millis(100);
/// Pause after a failed seal, in nanoseconds.
const RETRY_AFTER: u64 = 5_000_000_000;
/// How often the epoch and the reserve are looked after, in nanoseconds.
const LOOK_EVERY: u64 = 1_000_000_000;

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
    reserve: Reserve,
    commits: SyncSender<Commit>,
    /// Monotonic time of the next look at epoch and reserve.
    look_at: u64,
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
        reserve: Reserve,
        commits: SyncSender<Commit>,
    ) -> Self {
        Self { shared, catalog, next_segment, reserve, commits, look_at: 0, paused_until: 0 }
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
                // The last it does, also where it fails: the directory may be another's next.
                Ok(Task::Shutdown(reply)) => {
                    drop(reply.send(self.seal_all(Reason::Shutdown)));
                    return;
                }
                Ok(Task::Purge(reply)) => drop(reply.send(self.purge())),
                Ok(Task::Due(reply)) => {
                    self.look_after();
                    self.seal_due();
                    drop(reply.send(Ok(())));
                }
                Ok(Task::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    self.look_after();
                    self.seal_due();
                }
            }
        }
    }

    /// Stops acknowledging where another process took over, and makes the reserve anew when there
    /// is room again.
    fn look_after(&mut self) {
        let now = self.shared.world.clock.monotonic();
        if now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_EVERY;
        if let Err(error) = self.catalog.check_epoch() {
            self.lost(&error);
        }
        self.reserve.restore();
    }

    /// Closes the gate where the error means that nothing can be committed any more.
    fn lost(&self, error: &Error) {
        if error.kind() == ErrorKind::Locked || self.catalog.is_lost() {
            self.shared.close_gate(error.to_string());
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
        // What follows would be in vain.
        self.catalog.check_epoch().inspect_err(|error| self.lost(error))?;
        let began = self.shared.world.clock.monotonic();
        let state = self.shared.views.publish(|state| state.head.begin_seal(tenancy));
        let through = state.sequence;
        let Some(head) = state.head.get(tenancy) else { return Ok(()) };
        let chunks: Vec<&Batch> = head.sealing().iter().map(|chunk| chunk.batch()).collect();
        let width = state.catalog.state.partition_width;
        let (parts, duplicates) = seal::plan(&chunks, state.catalog.segments(tenancy), width)?;
        let spans = parts.iter().map(|p| p.order.len() as u64).sum();
        let mut written = Written { entries: Vec::new(), columns: Vec::new(), duplicates };
        let present = state.catalog.shelf(tenancy);
        if let Err(error) = self.write(tenancy, &chunks, parts, &present, &mut written) {
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
        present: &Shelf,
        written: &mut Written,
    ) -> Result<()> {
        let mut registry = self.catalog.state().columns.clone();
        let names = self.names(tenancy, &parts);
        let news: Vec<New<'_>> =
            parts.iter().zip(&names).map(|(part, name)| New { name, order: &part.order }).collect();
        let rollups = rollups(chunks, &news, present, fingerprint)?;
        for ((Part { partition, order }, name), rollup) in
            parts.iter().zip(names.clone()).zip(rollups)
        {
            let built = segment::build(&Input {
                sources: chunks,
                order,
                registry: &registry,
                sequences: None,
                rollup: Some(&rollup),
            })?;
            for column in built.columns {
                registry.add(&column)?;
                written.columns.push(column);
            }
            let put = || {
                let mut file = self.shared.world.files.create(&name)?;
                file.append(&built.bytes)?;
                file.publish()
            };
            put().map_err(|e| Error::io("writing segment", &name, e))?;
            let (tenancy, facts, partition) = (tenancy.clone(), built.facts, *partition);
            written.entries.push(SegmentEntry { name, tenancy, partition, facts });
        }
        Ok(())
    }

    /// A new name for each part.
    fn names(&mut self, tenancy: &Tenancy, parts: &[Part]) -> Vec<String> {
        let catalog = self.catalog.state();
        let mut names = Vec::with_capacity(parts.len());
        for part in parts {
            let name = loop {
                let name = catalog.segment_name(tenancy, part.partition, self.next_segment);
                self.next_segment += 1;
                // A store that we took over may have published it since our start, in vain.
                if self.shared.world.files.open(&name).is_err() {
                    break name;
                }
            };
            names.push(name);
        }
        names
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
        // Nobody else changes the catalog, so that this can be made before anybody has to wait.
        let catalog = Arc::new(self.shared.views.current().catalog.with(state, opened));
        self.shared.publish(|view| {
            view.catalog = catalog;
            view.head.end_seal(tenancy);
        });
        self.shared.duplicate_spans.fetch_add(written.duplicates, Ordering::AcqRel);
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
        self.reserve.give_up_if_short();
        let committed = self.catalog.commit(expected, self.shared.world.clock.now(), changes);
        self.shared.catalog_bytes.store(self.catalog.bytes(), Ordering::Release);
        if let Err(error) = &committed {
            self.lost(error);
        }
        // A commit may succeed and be the last.
        if let Err(unknown) = self.catalog.check() {
            self.shared.close_gate(unknown.to_string());
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
        self.shared.publish(|view| {
            view.catalog = Arc::new(CatalogView::new(state, Vec::new()));
            view.head.purge(sequence);
        });
        // The files go with their last reader, which may be `current`.
        current.catalog.all().for_each(|segment| segment.doom());
        self.trim(sequence + 1);
        Ok(())
    }
}
