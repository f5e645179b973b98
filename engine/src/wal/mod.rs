//! The write-ahead log: what an acknowledged Export rests on. Frames of raw OTLP go in, in
//! sequence; after a crash the same frames come out, whole, up to the last one that was synced.
//! The log knows frames and sequences, never a span. Formats are version 1 and final
//! (docs/format.md).

pub(crate) mod file;
pub(crate) mod frame;
pub(crate) mod recover;
pub(crate) mod writer;

#[cfg(test)]
mod tests;

/// Directory of the log files.
pub(crate) const DIRECTORY: &str = "wal";

/// Name of the log file in a slot. Files are recycled, so a slot's name says nothing of its age:
/// the generation in its header does.
pub(crate) fn file_name(slot: u32) -> String {
    format!("{DIRECTORY}/{slot:08}.log")
}

/// The slot of a log file's name.
pub(crate) fn slot_of(name: &str) -> Option<u32> {
    name.strip_prefix(DIRECTORY)?.strip_prefix('/')?.strip_suffix(".log")?.parse().ok()
}
