//! Happenings: one value each, told to the embedder's observer, which turns them into log lines
//! and metrics. The engine itself prints nothing.

use std::fmt;

/// Something an operator may want to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Another process holds the directory; its release is waited for.
    Waiting {
        /// What the holder wrote of itself: host, pid, start.
        holder: String,
        /// Nanoseconds until it is given up.
        timeout: u64,
    },
    /// Recovery works on the log: bytes read so far and in all.
    Recovering {
        /// Bytes read.
        bytes_done: u64,
        /// Bytes to read.
        bytes_total: u64,
    },
    /// Recovery is done.
    Recovered {
        /// Batches replayed from the log.
        batches: u64,
        /// Spans replayed from the log.
        spans: u64,
        /// Bytes of a torn tail that were cut; never acknowledged.
        torn_bytes: u64,
        /// Nanoseconds it took.
        took: u64,
    },
    /// Acknowledged log frames cannot be read; they were copied to `quarantine/`.
    LogDamaged {
        /// The log file.
        file: String,
        /// Offset of the first bad byte.
        offset: u64,
        /// First and last sequence that are missing.
        missing: (u64, u64),
        /// Where the bytes were copied.
        quarantined: String,
    },
    /// The log was synced.
    Synced {
        /// Nanoseconds the sync took.
        took: u64,
        /// Batches made durable by it.
        batches: u64,
        /// Bytes written.
        bytes: u64,
    },
    /// Log or catalog could not be written or synced, or another process took over; no batch is
    /// acknowledged from here on. Told once.
    WriteFailed {
        /// What failed, with the system's words.
        cause: String,
    },
    /// Heads were sealed into segments.
    Sealed {
        /// Whose.
        tenancy: String,
        /// Why: `bytes`, `age`, `idle`, `wal`, `flush`, `shutdown`.
        reason: &'static str,
        /// Spans written.
        spans: u64,
        /// Copies that were already in a segment, or repeated by a retry, and were dropped.
        duplicates: u64,
        /// Segments written.
        segments: u64,
        /// Bytes of these segments.
        bytes: u64,
        /// Nanoseconds it took.
        took: u64,
    },
    /// A seal failed; the log still holds the spans and the seal is tried again.
    SealFailed {
        /// What failed.
        cause: String,
    },
}

/// Listens to [`Event`]s, on the thread where they happen: it must be quick and must not block.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Called for each event.
    fn observe(&self, event: &Event);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deaf;

impl Observer for Deaf {
    fn observe(&self, _: &Event) {}
}
