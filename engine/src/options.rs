//! What an embedder may set. Few knobs; each says its unit, its default and its price.

use std::sync::Arc;

use crate::events::{Deaf, Observer};

/// How a store behaves. `Options::default()` is right for most embedders.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes all heads and queued Exports together may hold, default 512 MiB; what seals, queries
    /// and open segments take comes on top. Past it an ingest is refused ([`crate::ErrorKind::Exhausted`]) until a seal frees memory.
    pub memory_limit: u64,
    /// Head bytes of one tenancy at which it is sealed, default 96 MiB. Larger heads make fewer,
    /// better compressed segments and cost memory and replay time.
    pub seal_bytes: u64,
    /// Nanoseconds after its first span at which a head is sealed, default 10 minutes.
    pub seal_age: u64,
    /// Nanoseconds without a new span after which a head is sealed, default 30 s.
    pub seal_idle: u64,
    /// Log bytes at which the tenancy that holds the log is sealed, default 1 GiB.
    pub wal_bytes_max: u64,
    /// Nanoseconds `Store::open` waits for another process to release the directory, default 0.
    pub lock_timeout: u64,
    /// Who hears of events, default nobody.
    pub observer: Arc<dyn Observer>,
}

impl Default for Options {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Self {
            memory_limit: 512 * 1024 * 1024,
            seal_bytes: 96 * 1024 * 1024,
            seal_age: 600 * SECOND,
            seal_idle: 30 * SECOND,
            wal_bytes_max: 1024 * 1024 * 1024,
            lock_timeout: 0,
            observer: Arc::new(Deaf),
        }
    }
}
