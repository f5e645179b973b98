//! Whole traces: all spans of an id from every place they lie in, each copy once (invariant 8).
//! Small traces come sorted by start; large ones are streamed part by part so that a trace of any
//! size needs little memory. Pulled: nothing happens between two calls.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::request::{Cancel, TraceChunk};
use crate::error::Result;
use crate::head::Chunk;
use crate::otlp::assemble;
use crate::repeats;
use crate::segment::{BLOCK_ROWS, Columns};
use crate::span::{SpanId, SpanRow, TraceId};
use crate::tenancy::Tenancy;
use crate::view::{LiveSegment, State};

/// Rows up to which a trace is read whole and sorted by start.
const SORTED_ROWS_MAX: usize = 4096;

/// What tells spans of a trace apart before their content does.
type Key = (SpanId, u64);

fn key(row: &SpanRow) -> Key {
    (row.span_id, row.start)
}

/// Spans of segments that the head may repeat.
type Present = HashMap<Key, Vec<SpanRow>>;

/// A trace's rows in the head's chunks, each slice sorted by key: merged as they are asked for,
/// so that an open stream holds no row of its own.
#[derive(Debug)]
struct HeadPart(Vec<(Arc<Chunk>, Range<usize>)>);

impl HeadPart {
    fn new(state: &State, tenancy: &Tenancy, id: TraceId) -> Self {
        let chunks = state.head.get(tenancy).into_iter().flat_map(|head| head.chunks());
        let slices = chunks.map(|chunk| (Arc::clone(chunk), chunk.trace(id)));
        Self(slices.filter(|(_, range)| range.start < range.end).collect())
    }

    fn slices(&self) -> impl Iterator<Item = &[SpanRow]> {
        self.0.iter().map(|(chunk, range)| chunk.rows.get(range.clone()).unwrap_or_default())
    }

    fn rows(&self) -> usize {
        self.slices().map(<[SpanRow]>::len).sum()
    }

    fn has(&self, wanted: Key) -> bool {
        self.slices().any(|rows| rows.binary_search_by_key(&wanted, key).is_ok())
    }

    /// The rows of the least key that is left, each copy once, without those already present;
    /// perhaps none. `None` at the end.
    fn next_group(&mut self, present: &Present) -> Option<Vec<SpanRow>> {
        let least = self.slices().filter_map(|rows| rows.first().map(key)).min()?;
        let mut group = Vec::new();
        for (chunk, range) in &mut self.0 {
            let rows = chunk.rows.get(range.clone()).unwrap_or_default();
            let equal = rows.partition_point(|row| key(row) == least);
            group.extend_from_slice(rows.get(..equal).unwrap_or_default());
            range.start += equal;
        }
        if group.len() > 1 {
            repeats::collapse(&mut group);
        }
        if let Some(old) = present.get(&least) {
            repeats::subtract(&mut group, old);
        }
        Some(group)
    }
}

/// Where a trace's rows lie.
#[derive(Debug)]
pub(crate) struct Parts {
    segments: VecDeque<(Arc<LiveSegment>, Range<u32>)>,
    head: HeadPart,
}

/// `locate(trace) → parts`: the one way from an id to its rows.
///
/// # Errors
/// Corrupted, Io.
pub(crate) fn locate(state: &State, tenancy: &Tenancy, id: TraceId) -> Result<Parts> {
    let mut segments = VecDeque::new();
    for live in state.catalog.segments(tenancy) {
        if let Some(rows) = live.segment.locate(&id)? {
            segments.push_back((Arc::clone(live), rows));
        }
    }
    Ok(Parts { segments, head: HeadPart::new(state, tenancy, id) })
}

impl Parts {
    fn rows(&self) -> usize {
        self.head.rows() + self.segments.iter().map(|(_, rows)| rows.len()).sum::<usize>()
    }

    fn read(&self, columns: Columns) -> Result<Vec<SpanRow>> {
        let mut rows = Vec::with_capacity(self.rows());
        for (live, range) in &self.segments {
            rows.append(&mut live.segment.read(range.clone(), columns)?);
        }
        Ok(rows)
    }

    /// All rows, each copy once, in no order. Without payload where `columns` is `Fixed`, unless
    /// copies can only be told apart with it.
    ///
    /// # Errors
    /// Corrupted, Io.
    pub(crate) fn all(mut self, columns: Columns) -> Result<Vec<SpanRow>> {
        let mut rows = self.read(columns)?;
        if columns == Columns::Fixed && rows.iter().any(|row| self.head.has(key(row))) {
            rows = self.read(Columns::Payload)?;
        }
        let mut present = Present::new();
        for row in rows.iter().filter(|row| self.head.has(key(row))) {
            present.entry(key(row)).or_default().push(row.clone());
        }
        while let Some(group) = self.head.next_group(&present) {
            rows.extend(group);
        }
        Ok(rows)
    }

    /// Rows of segments whose key the head has too, read block by block.
    fn present(&self) -> Result<Present> {
        let mut present = Present::new();
        if self.head.rows() == 0 {
            return Ok(present);
        }
        for (live, range) in &self.segments {
            live.pick(range.clone(), &|row| self.head.has(key(row)), &mut |found| {
                for row in found {
                    present.entry(key(&row)).or_default().push(row);
                }
            })?;
        }
        Ok(present)
    }
}

/// Traces, pulled piece by piece: no thread works or waits between two calls of
/// [`TraceStream::next_chunk`].
#[derive(Debug)]
pub struct TraceStream {
    state: Arc<State>,
    tenancy: Tenancy,
    cancel: Cancel,
    ids: std::vec::IntoIter<TraceId>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    id: TraceId,
    /// Rows read and not yet given.
    ready: VecDeque<SpanRow>,
    /// What is not yet read.
    parts: Parts,
    present: Present,
}

fn sort_by_start(rows: &mut [SpanRow]) {
    rows.sort_by(|a, b| {
        (a.start, a.span_id).cmp(&(b.start, b.span_id)).then_with(|| a.span.cmp(&b.span))
    });
}

impl Current {
    fn open(state: &State, tenancy: &Tenancy, id: TraceId) -> Result<Self> {
        let parts = locate(state, tenancy, id)?;
        if parts.rows() > SORTED_ROWS_MAX {
            let present = parts.present()?;
            return Ok(Self { id, ready: VecDeque::new(), parts, present });
        }
        let mut rows = parts.all(Columns::Payload)?;
        sort_by_start(&mut rows);
        let parts = Parts { segments: VecDeque::new(), head: HeadPart(Vec::new()) };
        Ok(Self { id, ready: rows.into(), parts, present: Present::new() })
    }

    /// The next row, reading on where none is ready.
    fn next_row(&mut self) -> Result<Option<SpanRow>> {
        while self.ready.is_empty() {
            if let Some((live, range)) = self.parts.segments.front_mut() {
                let end = range.end.min(range.start + BLOCK_ROWS as u32);
                self.ready = live.segment.read(range.start..end, Columns::Payload)?.into();
                range.start = end;
                if range.start >= range.end {
                    self.parts.segments.pop_front();
                }
            } else {
                match self.parts.head.next_group(&self.present) {
                    Some(group) => self.ready = group.into(),
                    None => return Ok(None),
                }
            }
        }
        Ok(self.ready.pop_front())
    }

    /// About `budget` bytes of rows, at least one where any is left.
    fn take(&mut self, budget: usize) -> Result<Vec<SpanRow>> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) = self.next_row()? {
            let cost = assemble::cost(&row);
            if !rows.is_empty() && bytes + cost > budget {
                self.ready.push_front(row);
                break;
            }
            bytes += cost;
            rows.push(row);
        }
        Ok(rows)
    }
}

impl TraceStream {
    pub(crate) fn new(
        state: Arc<State>,
        tenancy: Tenancy,
        ids: Vec<TraceId>,
        cancel: Cancel,
    ) -> Self {
        Self { state, tenancy, cancel, ids: ids.into_iter(), current: None }
    }

    /// The next piece of about `budget` bytes (a span larger than that comes alone), `None` at
    /// the end.
    ///
    /// # Errors
    /// Cancelled, Corrupted, Io. After an error the stream is over.
    pub fn next_chunk(&mut self, budget: usize) -> Result<Option<TraceChunk>> {
        let next = self.pull(budget);
        if next.is_err() {
            self.ids = Vec::new().into_iter();
            self.current = None;
        }
        next
    }

    fn pull(&mut self, budget: usize) -> Result<Option<TraceChunk>> {
        loop {
            self.cancel.check()?;
            if self.current.is_none() {
                let Some(id) = self.ids.next() else { return Ok(None) };
                self.current = Some(Current::open(&self.state, &self.tenancy, id)?);
            }
            let Some(current) = &mut self.current else { continue };
            let rows = current.take(budget)?;
            if !rows.is_empty() {
                let otlp = assemble::traces_data(&rows);
                return Ok(Some(TraceChunk { trace_id: current.id, spans: rows.len(), otlp }));
            }
            self.current = None;
        }
    }
}
