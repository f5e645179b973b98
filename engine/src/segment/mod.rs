//! Segments, format 1: one immutable Parquet file with our index as a blob behind its last row
//! group. Rows of batches flow in, in segment order, and become the bytes of one file
//! ([`build`]); an open file gives batches, traces and pruning facts back ([`Segment`]). Nothing
//! here knows the catalog's state, the log, tenants or queries; nothing changes a file; nothing
//! that a file says is believed before its CRC-32C and its bounds are checked.
//!
//! Any Parquet reader opens the file as it is. We do not read it through the Parquet footer: that
//! has no checksum. The footer's key-value metadata only locates the blob ([`footer`]); the blob
//! ([`blob`]) holds a table of all pages with their checksums ([`pages`]), which columns and
//! shapes there are ([`layout`], [`shapes`]), the trace directory ([`directory`]), the term index
//! ([`terms`]), the resources and scopes ([`tables`]) and the rollups ([`rollup`], [`rates`]). Pages themselves are the business of
//! [`codec`].

mod blob;
mod cache;
mod choose;
mod codec;
mod columns;
mod cursors;
mod directory;
mod footer;
mod gather;
mod index;
mod layout;
mod pages;
mod plan;
mod prints;
mod rates;
mod read;
mod recount;
mod rollup;
mod rows;
mod schema;
mod shapes;
mod tables;
mod terms;
mod thrift;
mod verify;
mod write;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

pub(crate) use cache::DictionaryCache;
pub(crate) use directory::fingerprint;
pub(crate) use plan::Input;
pub(crate) use prints::{PRINTS_SEGMENTS, Prints};
#[cfg(test)]
pub(crate) use rates::PackedRates;
pub(crate) use read::Segment;
pub(crate) use rollup::PackedCalls;
pub(crate) use terms::BlockSet;
pub(crate) use write::build;

/// The format this build writes, and the only one it reads.
pub(crate) const SEGMENT_FORMAT: u32 = 1;
/// Rows of a block, the unit of pruning; the last block may have fewer.
pub(crate) const BLOCK_ROWS: usize = 1024;
/// Most rows of a Parquet row group: each has dictionaries of its own.
const GROUP_ROWS: usize = 128 * BLOCK_ROWS;

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

/// A run of [`BLOCK_ROWS`] rows and bounds of its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first_row: u32,
    pub(crate) rows: u32,
    pub(crate) start_min: u64,
    pub(crate) start_max: u64,
    /// Of `end - start`, 0 where a span ends before it starts.
    pub(crate) duration_max: u64,
}

fn damaged(name: &str, what: impl std::fmt::Display) -> Error {
    Error::corrupted(format!(
        "segment file {name} is damaged: {what}; restore the file from a backup"
    ))
}

fn unknown_format(name: &str, format: &str) -> Error {
    let way_out = match format {
        "0" => {
            "format 0 was announced as a start that would not stay; use the version of spanlake \
             that wrote it, or begin with an empty data directory"
        }
        _ => "use the version of spanlake that wrote it",
    };
    Error::new(
        ErrorKind::Format,
        format!(
            "segment file {name} has format {format:?}, this build reads format {SEGMENT_FORMAT} \
             only: {way_out}"
        ),
    )
}
