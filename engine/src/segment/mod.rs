//! Segments, format 0: one immutable Parquet file with our index as a blob behind its last row
//! group. Sorted [`SpanRow`]s flow in and become the bytes of one file ([`build`]); an open file
//! gives rows, traces and pruning facts back ([`Segment`]). Nothing here knows the catalog, the
//! log, tenants or queries; nothing changes a file; nothing that a file says is believed before
//! its CRC-32C and its bounds are checked.
//!
//! Any Parquet reader opens the file as it is. We do not read it through the Parquet footer: that
//! has no checksum. The footer's key-value metadata only locates the blob ([`footer`]); the blob
//! ([`blob`]) holds a table of all pages with their checksums ([`pages`]), the trace directory
//! ([`directory`]), one filter a block ([`bloom`]) and the resources and scopes ([`tables`]).

mod blob;
mod bloom;
mod column;
mod directory;
mod footer;
mod index;
mod page;
mod pages;
mod payload;
mod read;
mod rows;
mod schema;
mod tables;
mod thrift;
mod verify;
mod write;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::span::TraceId;

pub(crate) use read::Segment;
pub(crate) use write::build;

/// The format this build writes, and the only one it reads.
pub(crate) const SEGMENT_FORMAT: u32 = crate::formats::SEGMENT;
/// Rows of a block, the unit of pruning and of reading; the last block may have fewer.
pub(crate) const BLOCK_ROWS: usize = 1024;
/// Blocks of a Parquet row group: each has dictionaries of its own, which a point read decodes.
const GROUP_BLOCKS: usize = 32;

/// A segment, ready to be published.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) bytes: Vec<u8>,
    pub(crate) facts: Facts,
}

/// What the catalog keeps of a segment.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    pub(crate) format: u32,
    pub(crate) spans: u64,
    pub(crate) traces: u64,
    /// Length of the file.
    pub(crate) bytes: u64,
    pub(crate) start_min: u64,
    pub(crate) start_max: u64,
    pub(crate) end_max: u64,
    pub(crate) sequence_min: u64,
    pub(crate) sequence_max: u64,
}

/// A run of [`BLOCK_ROWS`] rows and the bounds of its start times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first_row: u32,
    pub(crate) rows: u32,
    pub(crate) start_min: u64,
    pub(crate) start_max: u64,
}

/// What a read brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    /// Everything but the span's bytes, which stay empty.
    Fixed,
    /// Everything.
    Payload,
}

/// What the directory knows a trace by.
pub(crate) fn fingerprint(trace: &TraceId) -> u64 {
    twox_hash::XxHash3_64::oneshot(&trace.0)
}

fn damaged(name: &str, what: impl std::fmt::Display) -> Error {
    Error::corrupted(format!(
        "segment file {name} is damaged: {what}; restore the file from a backup"
    ))
}

fn unknown_format(name: &str, format: &str) -> Error {
    Error::new(
        ErrorKind::Format,
        format!(
            "segment file {name} has format {format:?}, this build reads format {SEGMENT_FORMAT} \
             only: use the version of spanlake that wrote it"
        ),
    )
}
