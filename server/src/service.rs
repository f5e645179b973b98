//! The narrow waist between the doors (gRPC, HTTP) and the store. Every protocol comes through
//! here, so tenancy, limits, cancellation, drain and counting are decided once. In flow raw OTLP
//! and questions in the engine's words, out flow verdicts, answers and [`Refusal`]s. No protocol
//! message passes it, and no async thread ever waits for the engine.
//!
//! [`Refusal`]: crate::status::Refusal

mod budget;
mod count;
mod export;
mod meter;
mod question;
mod read;
mod rejections;
mod slow;
mod tenancy;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use spanlake::Store;
use tokio::sync::Semaphore;

pub use budget::Share;
pub use meter::{Meter, NoMeter};
pub use question::Question;
pub use read::Chunks;
pub use tenancy::tenancy;

/// Largest Export and largest HTTP body, compressed or not.
pub const EXPORT_BYTES_MAX: usize = 64 << 20;

/// How long a request waits for its share of a limit before it is refused.
const PATIENCE: Duration = Duration::from_secs(2);

/// What may be in flight at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of Exports between their first byte and their verdict, default 256 MiB. Past it an
    /// Export waits for two seconds, then is refused.
    pub export_bytes: usize,
    /// Reads on blocking threads at once, default four for each CPU. A slow client holds none.
    pub reads: usize,
    /// Answers that are being streamed at once, default 128; each holds at most a few pieces of
    /// 1 MiB. Past it a question waits for two seconds, then is refused.
    pub streams: usize,
    /// How long a client may leave a piece untaken before its stream ends with an error, default
    /// one minute: what it pins is needed by others.
    pub stall: Duration,
    /// How long a question takes before it is logged as slow, default one second; zero = none is.
    pub slow_query: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            export_bytes: 256 << 20,
            reads: cpus * 4,
            streams: 128,
            stall: Duration::from_secs(60),
            slow_query: Duration::from_secs(1),
        }
    }
}

/// The waist itself; share it in an `Arc`.
#[derive(Debug)]
pub struct Service {
    store: Store,
    meter: Arc<dyn Meter>,
    limits: Limits,
    draining: AtomicBool,
    export_budget: Arc<budget::Budget>,
    read_slots: Arc<Semaphore>,
    stream_slots: Arc<Semaphore>,
    rejections: rejections::Rejections,
    slow: Arc<slow::SlowLog>,
}

impl Service {
    /// Serves `store`, telling `meter`.
    pub fn new(store: Store, meter: Arc<dyn Meter>, limits: Limits) -> Self {
        Self {
            store,
            meter,
            limits,
            draining: AtomicBool::new(false),
            export_budget: budget::Budget::new(limits.export_bytes),
            read_slots: Arc::new(Semaphore::new(limits.reads.max(1))),
            stream_slots: Arc::new(Semaphore::new(limits.streams.max(1))),
            rejections: rejections::Rejections::default(),
            slow: Arc::new(slow::SlowLog::new(limits.slow_query)),
        }
    }

    /// The store behind the waist, for life cycle and administration.
    pub fn store(&self) -> &Store {
        &self.store
    }
}
