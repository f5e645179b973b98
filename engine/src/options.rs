//! What an embedder may set. Few knobs; each says its unit, its default and its price.

use std::sync::Arc;

use crate::events::{Deaf, Observer};
use crate::limits::{CATALOG_EDIT_BYTES, LOG_FILE_BYTES};

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
    /// Log bytes at which the log turns to its next file, default 64 MiB.
    pub log_file_bytes: u64,
    /// Bytes of edits after which the catalog moves to a new file that begins with its state,
    /// default 64 KiB; a state larger than that is written anew when the edits have its size.
    pub catalog_edit_bytes: u64,
    /// Whether a thread of the store's own looks ten times a second which heads are due, default
    /// true. Without it [`crate::Store::seal_due`] looks when it is called: for those who choose
    /// the moment themselves, simulations among them.
    pub seal_by_itself: bool,
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
            log_file_bytes: LOG_FILE_BYTES,
            catalog_edit_bytes: CATALOG_EDIT_BYTES,
            seal_by_itself: true,
            lock_timeout: 0,
            observer: Arc::new(Deaf),
        }
    }
}
