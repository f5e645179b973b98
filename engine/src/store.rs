//! The front door (skeleton; the bodies follow).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::Result;
use crate::options::Options;
use crate::query::View;
use crate::tenancy::Tenancy;
use crate::world::World;

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
    /// A sentence for people, naming what was wrong with the first one.
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
    /// Bytes of the catalog's files.
    pub catalog_bytes: u64,
    /// Segments left out because they cannot be read.
    pub quarantined_segments: u64,
    /// Copies dropped at seal since open.
    pub duplicate_spans: u64,
    /// Earliest start among sealed spans, ns since 1970; 0 where there is none.
    pub oldest_span: u64,
    /// Rows looked at by queries since open.
    pub spans_scanned: u64,
    /// False from the first failed log write on.
    pub write_available: bool,
    /// Bytes free on the volume.
    pub disk_free: u64,
}

/// An open data directory. Clones share it; the last one closes it.
#[derive(Debug, Clone)]
pub struct Store {
    _inner: Arc<()>,
}

impl Store {
    /// Opens (or creates) the data directory at `path`, recovering what the log holds.
    ///
    /// # Errors
    /// [`Locked`](crate::ErrorKind::Locked) when another process has it,
    /// [`Format`](crate::ErrorKind::Format) when it is of a newer version,
    /// [`Corrupted`](crate::ErrorKind::Corrupted) when the catalog cannot be read,
    /// [`Io`](crate::ErrorKind::Io) for the system's faults; each names the path.
    pub fn open(_path: impl AsRef<Path>, _options: Options) -> Result<Store> {
        unimplemented!()
    }

    /// [`Store::open`] in a world of the caller's making. Takes no lock.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_in(_world: World, _options: Options) -> Result<Store> {
        unimplemented!()
    }

    /// Stores one OTLP `ExportTraceServiceRequest` (or `TracesData`: the wire is the same).
    /// When it returns, the spans are on disk and every later read sees them. Blocks for one
    /// log sync.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for undecodable bytes,
    /// [`Exhausted`](crate::ErrorKind::Exhausted) under pressure,
    /// [`Unavailable`](crate::ErrorKind::Unavailable) once the log cannot be written or the
    /// store closes. A bad span is no error: see [`Ingested::rejected`].
    pub fn ingest(&self, _tenancy: &Tenancy, _otlp: Bytes) -> Result<Ingested> {
        unimplemented!()
    }

    /// [`Store::ingest`] without waiting for the sync: walks the bytes on this thread (CPU work),
    /// queues them, and calls `done` once, from this thread when refused or from the log's
    /// thread when durable and visible. `done` must be quick and must not block.
    pub fn submit(
        &self,
        _tenancy: &Tenancy,
        _otlp: Bytes,
        _done: impl FnOnce(Result<Ingested>) + Send + 'static,
    ) {
        unimplemented!()
    }

    /// One consistent state; everything asked of it answers from the same spans.
    pub fn view(&self) -> View {
        unimplemented!()
    }

    /// Seals every head now and returns when the segments are in the catalog.
    ///
    /// # Errors
    /// The seal's.
    pub fn flush(&self) -> Result<()> {
        unimplemented!()
    }

    /// Removes everything of every tenancy; returns when it is durable and invisible.
    ///
    /// # Errors
    /// The catalog's.
    pub fn purge(&self) -> Result<()> {
        unimplemented!()
    }

    /// Refuses new ingest, seals the heads as far as `deadline` allows and releases the
    /// directory. What is not sealed stays in the log. Returns false where the deadline cut it.
    ///
    /// # Errors
    /// The last seal's; the log still holds what it would have sealed.
    pub fn close(&self, _deadline: Duration) -> Result<bool> {
        unimplemented!()
    }

    /// Figures of this moment; cheap.
    pub fn stats(&self) -> Stats {
        unimplemented!()
    }
}
