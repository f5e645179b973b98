//! Every hard limit, named, with its unit and its reason.

/// Bytes of one Export, decompressed. A default Jaeger batch of 8,192 spans is 5 MB; this is
/// what the server's transports allow.
pub const INGEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Spans of one Export, refused ones included: a span of two bytes on the wire takes a hundred
/// in memory, so bytes alone do not bound it.
pub const INGEST_SPANS_MAX: u32 = 1_000_000;

/// Attributes, events, links and rare fields of one Export: one of two bytes on the wire takes up
/// to fifty in memory. An Export of 64 MiB in the usual shape has half of this.
pub(crate) const INGEST_CELLS_MAX: usize = 4_000_000;

/// Bytes one group commit gathers at most, so that one sync never waits for gigabytes.
pub(crate) const GROUP_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes at which the log turns to the next file, where nothing else is asked for.
pub(crate) const LOG_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of catalog edits before a new checkpoint is worth writing, where nothing else is asked
/// for.
pub(crate) const CATALOG_EDIT_BYTES: u64 = 64 * 1024;

/// Free log files kept for recycling; more are removed.
pub(crate) const FREE_LOG_FILES_MAX: usize = 2;
