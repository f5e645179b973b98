//! The front door: [`Store`]. Wires the rooms together; decides only what is admitted (size,
//! memory, room on the disk) and in which order a store ends. Two named threads
//! do the writing: `spanlake-log` appends, syncs, publishes and acknowledges; `spanlake-seal`
//! turns heads into segments and is the catalog's only writer. Reads run on their callers'
//! threads.

mod committer;
mod directory;
mod open;
mod room;
pub(crate) mod sealer;
mod verify;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;

use crate::catalog::listing::SegmentInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Event;
use crate::limits::INGEST_BYTES_MAX;
use crate::options::Options;
use crate::otlp::walk::{self, Interner, Refused};
use crate::query::work::{Counts, Work};
use crate::reads::View;
use crate::segment::DictionaryCache;
use crate::tenancy::Tenancy;
use crate::view::{State, Views};
use crate::world::World;
use committer::{Commit, Pending};
use sealer::Task;

pub use verify::{Finding, VerifyReport, verify};

const HOUR: u64 = 3600 * 1_000_000_000;
/// Spans that start this long before their arrival count as late.
const LATE: u64 = HOUR;
/// Spans that start this long after their arrival count as future.
const FUTURE: u64 = HOUR / 6;
/// Exports that may wait for the log's thread.
const QUEUE_EXPORTS_MAX: usize = 16_384;

/// What became of an Export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Spans accepted: durable and visible.
    pub accepted: u64,
    /// Spans refused, by reason; the rest of the batch is stored.
    pub rejected: Vec<Rejection>,
    /// Accepted spans that start more than an hour before their arrival.
    pub late: u64,
    /// Accepted spans that start more than ten minutes after their arrival.
    pub future: u64,
}

/// Spans of one Export refused for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Stable word for metrics, for instance `trace_id_length`.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
    /// A sentence for people.
    pub detail: String,
    /// Service of the first one.
    pub service: String,
}

/// Figures of one moment.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Spans in heads.
    pub head_spans: u64,
    /// Bytes of heads.
    pub head_bytes: u64,
    /// Bytes of log files on disk that hold live frames.
    pub wal_bytes: u64,
    /// Arrival of the oldest frame not yet sealed, ns since 1970; 0 where there is none.
    pub wal_oldest: u64,
    /// Batches committed since open.
    pub wal_batches: u64,
    /// Live segments.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Their spans.
    pub segment_spans: u64,
    /// Bytes of what segments keep in memory: directories, filters, page tables.
    pub segment_memory_bytes: u64,
    /// Bytes of the catalog's file.
    pub catalog_bytes: u64,
    /// Copies dropped at seal since open.
    pub duplicate_spans: u64,
    /// Earliest start among sealed spans, ns since 1970; 0 where there is none.
    pub oldest_span: u64,
    /// Rows looked at by queries since open.
    pub spans_scanned: u64,
    /// What reads did since open.
    pub reads: Counts,
    /// False from the first failed write of log or catalog on, and while the volume is too full.
    pub write_available: bool,
    /// Bytes free on the volume.
    pub disk_free: u64,
}

/// What the threads and the door share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) world: World,
    pub(crate) options: Options,
    pub(crate) views: Views,
    interner: Interner,
    /// Decoded dictionaries of all segments.
    cache: Arc<DictionaryCache>,
    /// What all reads did.
    reads: Arc<Work>,
    /// Bytes of Exports that wait for the log.
    pending_bytes: AtomicU64,
    head_bytes: AtomicU64,
    wal_bytes: AtomicU64,
    wal_batches: AtomicU64,
    catalog_bytes: AtomicU64,
    duplicate_spans: AtomicU64,
    /// The gate: false once the log's or catalog's state on disk is unknown.
    write_available: AtomicBool,
    closing: AtomicBool,
}

/// Closes the gate where a writing thread ends in a panic: the step it was in is unknown.
struct Latch<'a>(&'a Shared);

impl Drop for Latch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = std::thread::current().name().unwrap_or("a writing thread").to_owned();
            self.0.close_gate(format!("{name} ended in a bug; please report it"));
        }
    }
}

/// Owns the threads; the last clone of a store drops it.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    commits: SyncSender<Commit>,
    tasks: SyncSender<Task>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Released when the store closes.
    lock: Mutex<Option<directory::Lock>>,
}

/// An open data directory. Clones share it; dropping the last one stops its threads and leaves
/// what is not sealed in the log. See [`Store::close`] for an orderly end.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use spanlake::{Options, Store, Tenancy, TraceId};
///
/// let store = Store::open(dir.path(), Options::default())?;
/// // An ExportTraceServiceRequest with one span, as any OTLP exporter sends it.
/// let otlp = b"\x0a\x22\x12\x20\x12\x1e\x0a\x10ABCDEFGHIJKLMNOP\x12\x08abcdefgh\x2a\x00";
/// assert_eq!(store.ingest(&Tenancy::default(), otlp.to_vec().into())?.accepted, 1);
///
/// let id = TraceId(*b"ABCDEFGHIJKLMNOP");
/// let mut trace = store.view().get_traces(&Tenancy::default(), vec![id], Default::default());
/// assert_eq!(trace.next_chunk(1 << 20)?.unwrap().spans, 1);
/// # Ok::<(), spanlake::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    owner: Arc<Owner>,
}

impl Store {
    /// Opens (or creates) the data directory at `path`, recovering what the log holds.
    ///
    /// # Errors
    /// [`Locked`](ErrorKind::Locked) when another process has it, [`Format`](ErrorKind::Format)
    /// when it is of a newer version, [`Corrupted`](ErrorKind::Corrupted) when the catalog or a
    /// segment cannot be read, [`Io`](ErrorKind::Io) for the system's faults; each names the path.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Store> {
        let (world, lock) =
            directory::open(path.as_ref(), options.lock_timeout, &*options.observer)?;
        Self::start(world, options, Some(lock))
    }

    /// [`Store::open`] in a world of the caller's making. Takes no lock.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_in(world: World, options: Options) -> Result<Store> {
        Self::start(world, options, None)
    }

    fn start(world: World, options: Options, lock: Option<directory::Lock>) -> Result<Store> {
        let opened = open::open(&world, &options)?;
        let shared = Arc::new(Shared {
            head_bytes: AtomicU64::new(opened.state.head.bytes()),
            wal_bytes: AtomicU64::new(opened.log.live_bytes()),
            catalog_bytes: AtomicU64::new(opened.catalog.bytes()),
            views: Views::new(opened.state),
            interner: opened.interner,
            cache: opened.cache,
            world,
            options,
            reads: Arc::default(),
            pending_bytes: AtomicU64::new(0),
            wal_batches: AtomicU64::new(0),
            duplicate_spans: AtomicU64::new(0),
            write_available: AtomicBool::new(true),
            closing: AtomicBool::new(false),
        });
        let (commits, commit_queue) = mpsc::sync_channel(QUEUE_EXPORTS_MAX);
        let (tasks, task_queue) = mpsc::sync_channel(64);
        let log = spawn("spanlake-log", {
            let shared = Arc::clone(&shared);
            move || {
                let latch = Latch(&shared);
                committer::run(&shared, opened.log, &commit_queue);
                drop(latch);
            }
        })?;
        let seal = spawn("spanlake-seal", {
            let (shared, commits) = (Arc::clone(&shared), commits.clone());
            let (catalog, next_segment) = (opened.catalog, opened.next_segment);
            let reserve = opened.reserve;
            move || {
                let latch = Latch(&shared);
                sealer::Sealer::new(&shared, catalog, next_segment, reserve, commits)
                    .run(&task_queue);
                drop(latch);
            }
        })?;
        let threads = Mutex::new(vec![log, seal]);
        let owner = Owner { shared, commits, tasks, threads, lock: Mutex::new(lock) };
        Ok(Store { owner: Arc::new(owner) })
    }

    /// Stores one OTLP `ExportTraceServiceRequest` (or `TracesData`: the wire is the same).
    /// When it returns, the spans are on disk and every later read sees them. Blocks for one
    /// log sync.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for undecodable bytes,
    /// [`Exhausted`](ErrorKind::Exhausted) under pressure,
    /// [`Unavailable`](ErrorKind::Unavailable) once the log cannot be written or the store
    /// closes. A bad span is no error: see [`Ingested::rejected`].
    pub fn ingest(&self, tenancy: &Tenancy, otlp: Bytes) -> Result<Ingested> {
        let (done, outcome) = mpsc::sync_channel(1);
        self.submit(tenancy, otlp, move |result| drop(done.send(result)));
        outcome.recv().unwrap_or_else(|_| Err(closed()))
    }

    /// [`Store::ingest`] without waiting for the sync: walks the bytes on this thread (CPU work),
    /// queues them, and calls `done` once, from this thread when refused or from the log's
    /// thread when durable and visible. `done` must be quick and must not block.
    pub fn submit(
        &self,
        tenancy: &Tenancy,
        otlp: Bytes,
        done: impl FnOnce(Result<Ingested>) + Send + 'static,
    ) {
        match self.admit(tenancy, otlp) {
            Err(error) => done(Err(error)),
            // Nothing to store: nothing to wait for.
            Ok(pending) if pending.batch.rows() == 0 => done(Ok(pending.outcome)),
            Ok(mut pending) => {
                pending.done = Some(Box::new(done));
                self.enqueue(pending);
            }
        }
    }

    /// Everything that may refuse comes here, before the append.
    fn admit(&self, tenancy: &Tenancy, otlp: Bytes) -> Result<Pending> {
        let shared = &self.owner.shared;
        if shared.closing.load(Ordering::Acquire) {
            return Err(closed());
        }
        if !shared.write_available.load(Ordering::Acquire) {
            return Err(committer::gate_closed());
        }
        if otlp.len() > INGEST_BYTES_MAX {
            return Err(Error::invalid(format!(
                "an Export of {} bytes is over the limit of {INGEST_BYTES_MAX}; send smaller batches",
                otlp.len()
            )));
        }
        shared.check_memory(otlp.len() as u64)?;
        let walked = walk::admit(&otlp, &shared.interner)?;
        let now = shared.world.clock.now();
        let started = |test: &dyn Fn(u64) -> bool| {
            walked.batch.start.iter().filter(|start| test(**start)).count() as u64
        };
        let outcome = Ingested {
            accepted: walked.batch.rows() as u64,
            late: started(&|start| start < now.saturating_sub(LATE)),
            future: started(&|start| start > now.saturating_add(FUTURE)),
            rejected: rejections(&walked.refused),
        };
        let bytes = (otlp.len() + walked.batch.memory_bytes()) as u64;
        shared.check_memory(bytes)?;
        Ok(Pending {
            tenancy: tenancy.clone(),
            dropped: walked.refused.iter().map(|r| r.ordinal).collect(),
            bytes,
            payload: otlp,
            batch: walked.batch,
            outcome,
            done: None,
        })
    }

    fn enqueue(&self, pending: Pending) {
        let bytes = pending.bytes;
        self.owner.shared.pending_bytes.fetch_add(bytes, Ordering::AcqRel);
        let refused = match self.owner.commits.try_send(Commit::Export(Box::new(pending))) {
            Ok(()) => return,
            Err(TrySendError::Full(refused)) => (refused, busy("the log's queue is full")),
            Err(TrySendError::Disconnected(refused)) => (refused, closed()),
        };
        self.owner.shared.pending_bytes.fetch_sub(bytes, Ordering::AcqRel);
        if let (Commit::Export(pending), error) = refused {
            pending.answer(Err(error));
        }
    }

    /// One consistent state; everything asked of it answers from the same spans.
    pub fn view(&self) -> View {
        let shared = &self.owner.shared;
        let clock = Arc::clone(&shared.world.clock);
        View::new(shared.views.current(), Arc::clone(&shared.reads), clock)
    }

    /// Seals every head now and returns when the segments are in the catalog.
    ///
    /// # Errors
    /// The seal's; the log still holds what it would have sealed.
    pub fn flush(&self) -> Result<()> {
        self.ask(Task::Flush)
    }

    /// Returns when no background work is due. Today that is [`Store::flush`], which is answered
    /// when the log has let go of what is sealed; compaction will be waited for here. Exports that
    /// arrive meanwhile are not.
    ///
    /// # Errors
    /// As [`Store::flush`].
    pub fn settle(&self) -> Result<()> {
        // A seal is answered when the log has let go.
        self.flush()
    }

    /// Seals the heads that are due, as the store's own thread does all the time unless
    /// [`Options::seal_by_itself`] forbids it; returns when they are sealed. A seal that fails is
    /// an [`Event::SealFailed`] and is tried again later.
    ///
    /// # Errors
    /// `Unavailable` where the store closes.
    pub fn seal_due(&self) -> Result<()> {
        self.ask(Task::Due)
    }

    /// The segments of this moment's catalog.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.owner.shared.views.current().catalog.state.listing()
    }

    /// SQL for DuckDB that makes a view `spans` over the tenancy's segments of this moment, every
    /// attribute included; `None` where nothing is sealed. `directory` is where this store's data
    /// directory is for whoever runs the SQL.
    ///
    /// # Errors
    /// `Invalid` where the directory's name cannot stand in SQL.
    pub fn duckdb_view(&self, tenancy: &Tenancy, directory: &Path) -> Result<Option<String>> {
        crate::duckdb::view_of(&self.owner.shared.views.current().catalog, tenancy, directory)
    }

    /// Removes everything of every tenancy; returns when it is durable and invisible.
    ///
    /// # Errors
    /// The catalog's.
    pub fn purge(&self) -> Result<()> {
        self.ask(Task::Purge)
    }

    fn ask(&self, task: impl FnOnce(SyncSender<Result<()>>) -> Task) -> Result<()> {
        if self.owner.shared.closing.load(Ordering::Acquire) {
            return Err(closed());
        }
        let (reply, answer) = mpsc::sync_channel(1);
        self.owner.tasks.send(task(reply)).map_err(|_| closed())?;
        answer.recv().unwrap_or_else(|_| Err(closed()))
    }

    /// Refuses new ingest, lets what waits for the log finish, seals the heads as far as
    /// `deadline` allows and releases the directory. What is not sealed stays in the log.
    /// Returns false where the deadline cut it.
    ///
    /// # Errors
    /// The last seal's; the log still holds what it would have sealed.
    pub fn close(&self, deadline: Duration) -> Result<bool> {
        let owner = &self.owner;
        owner.shared.closing.store(true, Ordering::Release);
        let (reply, answer) = mpsc::sync_channel(1);
        // The log's thread answers everything queued before this, and then says so.
        drop(owner.commits.send(Commit::Close(reply.clone())));
        let began = owner.shared.world.clock.monotonic();
        let left = || {
            let spent = owner.shared.world.clock.monotonic().saturating_sub(began);
            deadline.saturating_sub(Duration::from_nanos(spent))
        };
        let drained = answer.recv_timeout(left()).is_ok();
        let sealed = drained
            .then(|| owner.tasks.send(Task::Shutdown(reply)).ok())
            .flatten()
            .and_then(|()| answer.recv_timeout(left()).ok());
        // A seal that outlives the deadline still writes: the directory stays ours until we end.
        let Some(result) = sealed else { return Ok(false) };
        owner.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.map(|()| true)
    }

    /// Figures of this moment; cheap.
    pub fn stats(&self) -> Stats {
        let shared = &self.owner.shared;
        let state = shared.views.current();
        let sum = |of: &dyn Fn(&crate::view::LiveSegment) -> u64| {
            state.catalog.all().map(|s| of(s)).sum::<u64>()
        };
        let load = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        Stats {
            head_spans: state.head.spans(),
            head_bytes: state.head.bytes(),
            wal_bytes: load(&shared.wal_bytes),
            wal_oldest: state.head.oldest_arrival(),
            wal_batches: load(&shared.wal_batches),
            segments: state.catalog.all().count() as u64,
            segment_bytes: sum(&|s| s.entry.facts.bytes),
            segment_spans: sum(&|s| s.entry.facts.spans),
            segment_memory_bytes: sum(&|s| s.segment.memory_bytes() as u64)
                + (state.catalog.shelves_bytes() + shared.cache.memory_bytes()) as u64,
            catalog_bytes: load(&shared.catalog_bytes),
            duplicate_spans: load(&shared.duplicate_spans),
            oldest_span: state.catalog.all().map(|s| s.entry.facts.start_min).min().unwrap_or(0),
            spans_scanned: shared.reads.counts().rows_scanned,
            reads: shared.reads.counts(),
            write_available: shared.write_available.load(Ordering::Acquire)
                && shared.check_disk(0).is_ok(),
            disk_free: shared.world.files.free_space().map_or(0, |(free, _)| free),
        }
    }
}

impl Shared {
    /// Publishes a change of the state together with what admission asks of it.
    fn publish(&self, change: impl FnOnce(&mut State)) {
        self.views.publish(|state| {
            change(state);
            // In here, where publishers follow one another: a late figure would be an old one.
            self.head_bytes.store(state.head.bytes(), Ordering::Release);
        });
    }

    /// From here on nothing is acknowledged: what the disk holds of log or catalog is unknown, or
    /// not ours any more.
    fn close_gate(&self, cause: String) {
        if self.write_available.swap(false, Ordering::AcqRel) {
            self.options.observer.observe(&Event::WriteFailed { cause });
        }
    }

    /// What is acknowledged must find room to be sealed; `bytes` are to be logged.
    fn check_disk(&self, bytes: u64) -> Result<()> {
        let Ok((free, total)) = self.world.files.free_space() else { return Ok(()) };
        let floor = room::floor(total, self.head_bytes.load(Ordering::Acquire));
        // Some file systems in user space do not tell.
        if total == 0 || free >= floor.saturating_add(bytes) {
            return Ok(());
        }
        let [free, total, floor] = [free, total, floor].map(mebibytes);
        Err(Error::new(
            ErrorKind::Exhausted,
            format!(
                "the disk of the data directory is nearly full: {free} of {total} are free and \
                 {floor} are kept for what must be written; free space or enlarge the volume, \
                 ingest then goes on by itself"
            ),
        )
        .retry_after(5000))
    }

    /// The cap (invariant 9): what heads and queues hold, with this Export, must fit.
    fn check_memory(&self, bytes: u64) -> Result<()> {
        let held =
            self.head_bytes.load(Ordering::Acquire) + self.pending_bytes.load(Ordering::Acquire);
        if held + bytes > self.options.memory_limit {
            return Err(busy(&format!(
                "memory.limit: heads and queues hold {held} of {} bytes and this Export has {bytes}",
                self.options.memory_limit
            )));
        }
        Ok(())
    }
}

/// Binary units, as `df -h` shows them.
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn busy(what: &str) -> Error {
    Error::new(ErrorKind::Exhausted, format!("{what}; retry when a seal has freed memory"))
        .retry_after(1000)
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the store is closing; retry against its successor")
        .retry_after(1000)
}

fn rejections(refused: &[Refused]) -> Vec<Rejection> {
    let mut out: Vec<Rejection> = Vec::new();
    for one in refused {
        let reason = one.reason.word();
        match out.iter_mut().find(|r| r.reason == reason) {
            Some(rejection) => rejection.count += 1,
            None => out.push(Rejection {
                reason,
                count: 1,
                detail: one.reason.sentence().to_owned(),
                service: one.service.to_string(),
            }),
        }
    }
    out
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|e| Error::io("starting thread", name, e))
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        let threads = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner);
        let threads = std::mem::take(threads);
        let lock = self.lock.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let (commits, tasks) = (self.commits.clone(), self.tasks.clone());
        let here = std::thread::current().id();
        let is_own = threads.iter().any(|thread| thread.thread().id() == here);
        let end = move || {
            drop(commits.send(Commit::Stop));
            drop(tasks.send(Task::Stop));
            // A thread that panicked has told its story on stderr.
            threads.into_iter().for_each(|thread| drop(thread.join()));
            drop(lock);
        };
        if is_own {
            // The last clone died in a `done` on the log's thread, which has to go on to end.
            drop(spawn("spanlake-end", end));
        } else {
            end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks the sealing thread from within, by an observer that panics.
    #[derive(Debug)]
    struct Saboteur;

    impl crate::events::Observer for Saboteur {
        fn observe(&self, event: &Event) {
            assert!(!matches!(event, Event::Sealed { .. }), "sabotage");
        }
    }

    const ONE_SPAN: &[u8] =
        b"\x0a\x22\x12\x20\x12\x1e\x0a\x10ABCDEFGHIJKLMNOP\x12\x08abcdefgh\x2a\x00";

    #[test]
    fn a_settled_store_has_everything_in_listed_segments_and_an_empty_log() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Options::default()).unwrap();
        store.settle().unwrap();
        assert_eq!(store.segments(), []);
        let idle = store.stats().wal_bytes;
        store.ingest(&Tenancy::default(), Bytes::from_static(ONE_SPAN)).unwrap();
        assert!(store.stats().wal_bytes > idle);
        store.settle().unwrap();
        let stats = store.stats();
        assert_eq!((stats.head_spans, stats.wal_oldest, stats.wal_bytes), (0, 0, idle));
        let [segment] = store.segments().try_into().unwrap();
        assert_eq!((segment.spans, segment.traces), (1, 1));
        assert_eq!((segment.start_min, segment.partition.as_str()), (0, "1970-01-01T00"));
        assert_eq!(segment.tenancy, "default/default");
        let file = directory.path().join(&segment.name);
        assert_eq!(file.metadata().unwrap().len(), segment.bytes);
    }

    #[test]
    fn the_last_clone_may_die_on_the_logs_own_thread() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Options::default()).unwrap();
        let (last, (told, heard)) = (store.clone(), mpsc::sync_channel(1));
        store.submit(&Tenancy::default(), Bytes::from_static(ONE_SPAN), move |result| {
            drop(last);
            let _ = told.send(result.is_ok());
        });
        drop(store);
        assert!(heard.recv().unwrap());
        // The lock is free once both threads have ended.
        let options = Options { lock_timeout: 20_000_000_000, ..Options::default() };
        let store = Store::open(directory.path(), options).unwrap();
        assert_eq!(store.stats().head_spans, 1);
    }

    #[test]
    fn a_closed_store_lets_nothing_more_into_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Options::default()).unwrap();
        let late = store.admit(&Tenancy::default(), Bytes::from_static(ONE_SPAN)).unwrap();
        assert!(store.close(Duration::from_secs(60)).unwrap());
        let (told, heard) = mpsc::sync_channel(1);
        let done: Box<dyn FnOnce(Result<Ingested>) + Send> =
            Box::new(move |result| drop(told.send(result)));
        store.enqueue(Pending { done: Some(done), ..late });
        assert_eq!(heard.recv().unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
        let next = Store::open(directory.path(), Options::default()).unwrap();
        assert_eq!(next.stats().head_spans + next.stats().segment_spans, 0);
    }

    #[test]
    fn a_writing_thread_that_panics_closes_the_gate() {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { observer: Arc::new(Saboteur), ..Options::default() };
        let store = Store::open(directory.path(), options).unwrap();
        let ingest = || store.ingest(&Tenancy::default(), Bytes::from_static(ONE_SPAN));
        ingest().unwrap();
        assert!(store.flush().is_err());
        // The flush is answered by the thread's unwinding, perhaps before its latch.
        while store.stats().write_available {
            std::thread::yield_now();
        }
        assert_eq!(ingest().unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
