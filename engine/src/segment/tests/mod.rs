//! Segments as a whole: what goes in comes out, whatever the spans look like and whatever happens
//! to the file in between. The parts have tests of their own beside them.

mod damage;
mod made;
mod others;
mod rollups;
mod round_trip;
mod size;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::{fmt, io};

use bytes::Bytes;

use super::gather::Limits;
use super::write::{Built, build_within};
use super::{DictionaryCache, Input, Segment, build, fingerprint};
use crate::batch::{Batch, Projection};
use crate::catalog::registry::Registry;
use crate::query::places::Shelf;
use crate::rollup::Rollup;
use crate::seal::rollup::{New, rollups};
use crate::world::ReadFile;

/// A file in memory.
struct MemoryFile(Bytes);

impl fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl ReadFile for MemoryFile {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_many(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        let one = |range: &Range<u64>| {
            assert!(range.start <= range.end);
            if range.end > self.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(self.0.slice(range.start as usize..range.end as usize))
        };
        ranges.iter().map(one).collect()
    }
}

fn open(bytes: &[u8]) -> crate::Result<Segment> {
    let cache = Arc::new(DictionaryCache::new(1 << 20));
    Segment::open(Arc::new(MemoryFile(Bytes::copy_from_slice(bytes))), "default/7.parquet", &cache)
}

/// The order of all rows in a segment.
fn order(sources: &[&Batch]) -> Vec<(u32, u32)> {
    let mut first = HashMap::new();
    let mut rows = Vec::new();
    for (source, batch) in (0u32..).zip(sources) {
        for row in 0..batch.rows() {
            let start = first.entry(batch.trace_id[row]).or_insert(batch.start[row]);
            *start = batch.start[row].min(*start);
            rows.push((source, row as u32));
        }
    }
    rows.sort_by_cached_key(|&(source, row)| {
        let (batch, row) = (sources[source as usize], row as usize);
        let trace = batch.trace_id[row];
        let mut bytes = Vec::new();
        batch.write_span(row, &mut bytes);
        (first[&trace], trace, batch.start[row], batch.span_id[row], bytes)
    });
    rows
}

fn built(sources: &[&Batch], order: &[(u32, u32)]) -> Built {
    let new = New { name: "default/7.parquet", order };
    let made = rollups(sources, &[new], &Shelf::default(), fingerprint).unwrap();
    built_with(sources, order, &made[0])
}

fn built_with(sources: &[&Batch], order: &[(u32, u32)], rollup: &Rollup) -> Built {
    let (registry, rollup) = (Registry::default(), Some(rollup));
    build(&Input { sources, order, registry: &registry, sequences: None, rollup }).unwrap()
}

/// Without a rollup, as an older build wrote it.
fn built_within(sources: &[&Batch], order: &[(u32, u32)], limits: Limits) -> Built {
    let registry = Registry::default();
    let input = Input { sources, order, registry: &registry, sequences: None, rollup: None };
    build_within(&input, limits).unwrap()
}

/// What a row says, whatever batch it stands in.
fn span(batch: &Batch, row: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    batch.write_span(row, &mut bytes);
    bytes
}

/// Rows `first..` of the segment as they were sent.
fn assert_same(read: &Batch, first: usize, sources: &[&Batch], order: &[(u32, u32)]) {
    for row in 0..read.rows() {
        let (source, sent_row) = order[first + row];
        let (sent, sent_row) = (sources[source as usize], sent_row as usize);
        assert_eq!(read.trace_id[row], sent.trace_id[sent_row]);
        assert_eq!(read.span_id[row], sent.span_id[sent_row]);
        assert_eq!(read.parent[row], sent.parent[sent_row]);
        assert_eq!(read.start[row], sent.start[sent_row]);
        assert_eq!(read.end[row], sent.end[sent_row]);
        assert_eq!(read.kind[row], sent.kind[sent_row]);
        assert_eq!(read.status[row], sent.status[sent_row]);
        let lossy = |batch: &Batch, row| String::from_utf8_lossy(batch.name(row)).into_owned();
        assert_eq!(lossy(read, row), lossy(sent, sent_row));
        assert_eq!(read.resource(row), sent.resource(sent_row));
        assert_eq!(read.scope(row), sent.scope(sent_row));
        assert_eq!(span(read, row), span(sent, sent_row), "row {}", first + row);
    }
}
