//! Whole traces: all spans of an id from every place they lie in, each copy once (invariant 8).
//! Small traces come sorted by start; large ones are streamed part by part so that a trace of any
//! size needs little memory. Pulled: nothing happens between two calls.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::request::{Cancel, TraceChunk};
use crate::error::Result;
use crate::otlp::assemble;
use crate::repeats;
use crate::segment::{BLOCK_ROWS, Columns};
use crate::span::{SpanRow, TraceId};
use crate::tenancy::Tenancy;
use crate::view::{LiveSegment, State};

/// Rows up to which a trace is read whole and sorted by start.
const SORTED_ROWS_MAX: usize = 4096;

/// Where a trace's rows lie.
pub(crate) struct Parts {
    segments: VecDeque<(Arc<LiveSegment>, Range<u32>)>,
    /// Rows of the head, collapsed.
    head: Vec<SpanRow>,
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
    let chunks = state.head.get(tenancy).into_iter().flat_map(|head| head.chunks());
    let mut head: Vec<SpanRow> = chunks.flat_map(|c| c.trace(id).iter().cloned()).collect();
    repeats::collapse(&mut head);
    Ok(Parts { segments, head })
}

impl Parts {
    fn rows(&self) -> usize {
        self.head.len() + self.segments.iter().map(|(_, rows)| rows.len()).sum::<usize>()
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
        if columns == Columns::Fixed && self.may_repeat(&rows) {
            rows = self.read(Columns::Payload)?;
        }
        if !self.head.is_empty() {
            repeats::subtract(&mut self.head, &rows);
            rows.append(&mut self.head);
        }
        Ok(rows)
    }

    fn may_repeat(&self, rows: &[SpanRow]) -> bool {
        rows.iter().any(|row| {
            let key = (row.trace_id, row.span_id, row.start);
            self.head.binary_search_by_key(&key, |r| (r.trace_id, r.span_id, r.start)).is_ok()
        })
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
    /// Segment parts not yet read.
    segments: VecDeque<(Arc<LiveSegment>, Range<u32>)>,
    /// Rows of the head that no part read so far has repeated.
    head: Vec<SpanRow>,
}

fn sort_by_start(rows: &mut [SpanRow]) {
    rows.sort_by(|a, b| {
        (a.start, a.span_id).cmp(&(b.start, b.span_id)).then_with(|| a.span.cmp(&b.span))
    });
}

impl Current {
    fn open(state: &State, tenancy: &Tenancy, id: TraceId) -> Result<Self> {
        let parts = locate(state, tenancy, id)?;
        if parts.rows() <= SORTED_ROWS_MAX {
            let mut rows = parts.all(Columns::Payload)?;
            sort_by_start(&mut rows);
            let (segments, head) = (VecDeque::new(), Vec::new());
            return Ok(Self { id, ready: rows.into(), segments, head });
        }
        let Parts { segments, head } = parts;
        Ok(Self { id, ready: VecDeque::new(), segments, head })
    }

    /// The next row, reading on where none is ready.
    fn next_row(&mut self) -> Result<Option<SpanRow>> {
        while self.ready.is_empty() {
            if let Some((live, range)) = self.segments.front_mut() {
                let end = range.end.min(range.start + BLOCK_ROWS as u32);
                let rows = live.segment.read(range.start..end, Columns::Payload)?;
                range.start = end;
                if range.start >= range.end {
                    self.segments.pop_front();
                }
                repeats::subtract(&mut self.head, &rows);
                self.ready = rows.into();
            } else if self.head.is_empty() {
                return Ok(None);
            } else {
                let mut rows = std::mem::take(&mut self.head);
                sort_by_start(&mut rows);
                self.ready = rows.into();
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
