//! Segments as a whole: what goes in comes out, whatever the spans look like and whatever happens
//! to the file in between. The parts have tests of their own beside them.

mod damage;
mod made;
mod round_trip;
mod size;

use std::ops::Range;
use std::sync::Arc;
use std::{fmt, io};

use bytes::Bytes;

use super::{Built, Segment, build};
use crate::span::SpanRow;
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
    Segment::open(Arc::new(MemoryFile(Bytes::copy_from_slice(bytes))), "default/7.parquet")
}

/// A term a row: its span id and its name.
fn terms(row: &SpanRow, each: &mut dyn FnMut(u64)) {
    each(twox_hash::XxHash3_64::oneshot(&row.span_id.0));
    each(twox_hash::XxHash3_64::oneshot(&row.name));
}

fn built(rows: &[SpanRow]) -> Built {
    build(rows, &mut |row, each| terms(row, each)).unwrap()
}

/// Rows in segment order.
fn sorted(mut rows: Vec<SpanRow>) -> Vec<SpanRow> {
    let mut first = std::collections::HashMap::new();
    for row in &rows {
        let start = first.entry(row.trace_id).or_insert(row.start);
        *start = row.start.min(*start);
    }
    rows.sort_by(|a, b| {
        (first[&a.trace_id], a.trace_id, a.start, a.span_id, &a.span).cmp(&(
            first[&b.trace_id],
            b.trace_id,
            b.start,
            b.span_id,
            &b.span,
        ))
    });
    rows
}

/// Equal in all but the sequence; without payload where `read` has none.
fn assert_same(read: &[SpanRow], sent: &[SpanRow], payload: bool) {
    assert_eq!(read.len(), sent.len());
    for (read, sent) in read.iter().zip(sent) {
        assert_eq!((read.trace_id, read.span_id), (sent.trace_id, sent.span_id));
        assert_eq!((read.start, read.end, read.parent), (sent.start, sent.end, sent.parent));
        assert_eq!((read.kind, read.status, read.sequence), (sent.kind, sent.status, 0));
        assert_eq!((&read.name, &read.resource), (&sent.name, &sent.resource));
        assert_eq!(read.scope, sent.scope);
        let empty = Bytes::new();
        assert_eq!(&read.span, if payload { &sent.span } else { &empty });
    }
}
