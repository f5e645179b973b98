//! Whole traces: all spans of an id from every place they lie in, each copy once (invariant 8).
//! Small traces come sorted by start; large ones are streamed part by part so that a trace of any
//! size needs little memory. Pulled: nothing happens between two calls.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::assemble::Assembly;
use super::places::{Places, STRIDE_ROWS, Source, Stored};
use super::work::Work;
use crate::batch::{Batch, Projection};
use crate::error::Result;
use crate::head::Chunk;
use crate::query::request::{Cancel, TraceChunk};
use crate::repeats::{self, At};
use crate::span::{SpanId, TraceId};

/// Rows up to which a trace is read whole and sorted by start.
const SORTED_ROWS_MAX: usize = 4096;
/// Traces that are read together at most.
const TOGETHER_MAX: usize = 32;
/// Rows between two traces up to which they are read at once: to decode them costs less than to
/// open every page again.
const NEAR_ROWS: u32 = 512;

/// What tells spans of a trace apart before their content does.
type Key = (SpanId, u64);

fn key(batch: &Batch, row: usize) -> Key {
    let span_id = batch.span_id.get(row).copied().unwrap_or_default();
    (span_id, batch.start.get(row).copied().unwrap_or_default())
}

/// A trace's rows in one chunk, by key.
#[derive(Debug)]
struct Slice {
    chunk: Arc<Chunk>,
    rows: Vec<u32>,
    /// How many have been given.
    given: usize,
}

impl Slice {
    fn key(&self, row: u32) -> Key {
        key(self.chunk.batch(), row as usize)
    }

    /// The next key to be given.
    fn next(&self) -> Option<Key> {
        self.rows.get(self.given).map(|&row| self.key(row))
    }

    /// Rows of this key.
    fn of(&self, wanted: Key) -> &[u32] {
        let from = self.rows.partition_point(|&row| self.key(row) < wanted);
        let rest = self.rows.get(from..).unwrap_or_default();
        let length = rest.partition_point(|&row| self.key(row) == wanted);
        rest.get(..length).unwrap_or_default()
    }
}

/// A trace's rows in the head: merged as they are asked for.
#[derive(Debug, Default)]
struct HeadPart {
    slices: Vec<Slice>,
    /// Rows that segments have a copy of, by slice and row.
    stored: HashSet<(usize, u32)>,
}

/// A row of the head: slice and row.
type HeadRow = (usize, u32);

impl HeadPart {
    fn new(places: &Places, id: TraceId) -> Self {
        let slices = places.chunks.iter().filter_map(|chunk| {
            let rows = chunk.trace(id);
            let (chunk, rows) = (Arc::clone(chunk), rows.to_vec());
            (!rows.is_empty()).then_some(Slice { chunk, rows, given: 0 })
        });
        Self { slices: slices.collect(), stored: HashSet::new() }
    }

    fn rows(&self) -> usize {
        self.slices.iter().map(|slice| slice.rows.len()).sum()
    }

    fn has(&self, wanted: Key) -> bool {
        self.slices.iter().any(|slice| !slice.of(wanted).is_empty())
    }

    fn at(&self, (slice, row): HeadRow) -> Option<At<'_>> {
        let chunk = &self.slices.get(slice)?.chunk;
        Some(At { batch: chunk.batch(), row: row as usize })
    }

    /// Rows of this key, each copy once, without those that segments have.
    fn group(&self, wanted: Key) -> Vec<HeadRow> {
        let of = |(number, slice): (usize, &Slice)| -> Vec<HeadRow> {
            slice.of(wanted).iter().map(|&row| (number, row)).collect()
        };
        let mut all: Vec<HeadRow> = self.slices.iter().enumerate().flat_map(of).collect();
        if all.len() > 1 {
            let mut rows: Vec<At<'_>> = all.iter().filter_map(|&row| self.at(row)).collect();
            repeats::collapse(&mut rows);
            all = rows.iter().filter_map(|at| self.row_of(at)).collect();
        }
        all.retain(|row| !self.stored.contains(row));
        all
    }

    fn row_of(&self, at: &At<'_>) -> Option<HeadRow> {
        let is_it = |slice: &Slice| std::ptr::eq(slice.chunk.batch(), at.batch);
        Some((self.slices.iter().position(is_it)?, at.row as u32))
    }

    /// Strikes out one copy for each of these stored rows, which share this key.
    fn strike(&mut self, wanted: Key, batch: &Batch, present: Range<usize>) {
        let group = self.group(wanted);
        if group.is_empty() {
            return;
        }
        let mut left: Vec<At<'_>> = group.iter().filter_map(|&row| self.at(row)).collect();
        repeats::subtract(&mut left, present.map(|row| At { batch, row }));
        let left: Vec<HeadRow> = left.iter().filter_map(|at| self.row_of(at)).collect();
        self.stored.extend(group.into_iter().filter(|row| !left.contains(row)));
    }

    /// [`HeadPart::strike`] for these rows of a batch, which must be full.
    fn strike_all(&mut self, batch: &Batch, rows: Range<usize>) {
        let mut from = rows.start;
        while from < rows.end {
            let wanted = key(batch, from);
            let mut to = from + 1;
            while to < rows.end && key(batch, to) == wanted {
                to += 1;
            }
            self.strike(wanted, batch, from..to);
            from = to;
        }
    }

    /// The rows of the least key that is left; perhaps none. `None` at the end.
    fn next_group(&mut self) -> Option<Vec<HeadRow>> {
        let least = self.slices.iter().filter_map(Slice::next).min()?;
        let group = self.group(least);
        for slice in &mut self.slices {
            if slice.next() == Some(least) {
                slice.given += slice.of(least).len();
            }
        }
        Some(group)
    }
}

/// Rows of several batches, by source and row.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) sources: Vec<Source>,
    pub(crate) rows: Vec<(u32, u32)>,
}

impl Rows {
    fn add(&mut self, source: Source, rows: Range<usize>) {
        let number = self.sources.len() as u32;
        self.rows.extend((rows.start as u32..rows.end as u32).map(|row| (number, row)));
        self.sources.push(source);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Batch, usize)> {
        self.rows.iter().filter_map(|&(source, row)| {
            Some((self.sources.get(source as usize)?.batch(), row as usize))
        })
    }
}

/// Where a trace's rows lie.
#[derive(Debug)]
pub(crate) struct Parts {
    id: TraceId,
    segments: VecDeque<(Arc<dyn Stored>, Range<u32>)>,
    head: HeadPart,
}

impl Parts {
    /// `locate(trace) → parts`: the one way from an id to its rows.
    ///
    /// # Errors
    /// Corrupted, Io.
    pub(crate) fn locate(places: &Places, id: TraceId, work: &Work) -> Result<Self> {
        let mut parts = Self::suspected(places, id, work);
        for (segment, rows) in std::mem::take(&mut parts.segments) {
            match segment.locate(&id)? {
                Some(found) if found == rows => parts.segments.push_back((segment, rows)),
                _ => work.false_probes(1),
            }
        }
        Ok(parts)
    }

    /// As [`Parts::locate`], and perhaps rows of another trace that directories cannot tell from
    /// it: [`read_together`], which reads trace ids with the rows, leaves those out.
    fn suspected(places: &Places, id: TraceId, work: &Work) -> Self {
        work.traces_located(1);
        work.trace_probes(places.segments.len());
        let segments = places.segments.holding(&id).into();
        Self { id, segments, head: HeadPart::new(places, id) }
    }

    /// Of a trace whose rows in segments are known.
    pub(super) fn known(
        places: &Places,
        id: TraceId,
        segments: VecDeque<(Arc<dyn Stored>, Range<u32>)>,
    ) -> Self {
        Self { id, segments, head: HeadPart::new(places, id) }
    }

    fn rows(&self) -> usize {
        self.head.rows() + self.segments.iter().map(|(_, rows)| rows.len()).sum::<usize>()
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &(Arc<dyn Stored>, Range<u32>)> {
        self.segments.iter()
    }

    /// Rows in the head, repeats and all.
    pub(crate) fn head_rows(&self) -> impl Iterator<Item = (&Arc<Chunk>, &[u32])> {
        self.head.slices.iter().map(|slice| (&slice.chunk, slice.rows.as_slice()))
    }

    /// All rows, each copy once, in no order. Of rows that lie in segments at least what
    /// `projection` wants, which must want span ids.
    ///
    /// # Errors
    /// Corrupted, Io.
    pub(crate) fn all(self, projection: &Projection) -> Result<Rows> {
        let mut stored = read_together(std::slice::from_ref(&self), projection)?;
        self.join(stored.pop().unwrap_or_default(), projection)
    }

    /// [`Parts::all`], with what segments have read already under this projection.
    ///
    /// # Errors
    /// Corrupted, Io.
    pub(super) fn join(
        mut self,
        mut stored: Vec<Stretch>,
        projection: &Projection,
    ) -> Result<Rows> {
        let repeated = |(source, rows): &Stretch| {
            rows.clone().any(|row| self.head.has(key(source.batch(), row)))
        };
        if self.head.rows() > 0 && stored.iter().any(repeated) {
            // Copies can only be told apart by all that they are.
            let everything = Projection::all();
            if *projection != everything {
                let again = read_together(std::slice::from_ref(&self), &everything)?;
                stored = again.into_iter().next().unwrap_or_default();
            }
            for (source, rows) in &stored {
                self.head.strike_all(source.batch(), rows.clone());
            }
        }
        let mut all = Rows::default();
        stored.into_iter().for_each(|(source, rows)| all.add(source, rows));
        let first = all.sources.len();
        while let Some(group) = self.head.next_group() {
            all.rows.extend(group.into_iter().map(|(slice, row)| ((first + slice) as u32, row)));
        }
        let slices = self.head.slices.into_iter();
        all.sources.extend(slices.map(|slice| Source::Chunk(slice.chunk)));
        Ok(all)
    }
}

/// Rows of a batch.
pub(super) type Stretch = (Source, Range<usize>);

/// Reads what segments have of several traces, those that lie near each other at once: the traces
/// of one answer mostly do.
fn read_together(all: &[Parts], projection: &Projection) -> Result<Vec<Vec<Stretch>>> {
    let mut wanted: Vec<(usize, Range<u32>, usize)> = Vec::new();
    let mut segments: Vec<&Arc<dyn Stored>> = Vec::new();
    for (trace, parts) in all.iter().enumerate() {
        for (segment, range) in &parts.segments {
            let known = segments.iter().position(|known| Arc::ptr_eq(known, segment));
            let number = known.unwrap_or_else(|| {
                segments.push(segment);
                segments.len() - 1
            });
            wanted.push((number, range.clone(), trace));
        }
    }
    wanted.sort_by_key(|(number, range, _)| (*number, range.start));
    let near = |a: &(usize, Range<u32>, usize), b: &(usize, Range<u32>, usize)| {
        a.0 == b.0 && b.1.start.saturating_sub(a.1.end) <= NEAR_ROWS
    };
    let mut out = vec![Vec::new(); all.len()];
    for run in wanted.chunk_by(near) {
        let (Some((number, first, _)), Some((_, last, _))) = (run.first(), run.last()) else {
            continue;
        };
        let Some(segment) = segments.get(*number) else { continue };
        let source = Source::Read(Arc::new(segment.read(first.start..last.end, projection)?));
        for (_, range, trace) in run {
            let rows = (range.start - first.start) as usize..(range.end - first.start) as usize;
            let (Some(out), Some(parts)) = (out.get_mut(*trace), all.get(*trace)) else { continue };
            if source.batch().trace_id.get(rows.start) == Some(&parts.id) {
                out.push((source.clone(), rows));
            }
        }
    }
    Ok(out)
}

/// Visits all rows of these traces in order, reading those together that fit.
///
/// # Errors
/// Cancelled, Corrupted, Io.
pub(crate) fn each_trace(
    places: &Places,
    ids: impl Iterator<Item = TraceId>,
    projection: &Projection,
    cancel: &Cancel,
    visit: &mut dyn FnMut(TraceId, Rows),
) -> Result<()> {
    let mut ids = ids.peekable();
    while ids.peek().is_some() {
        for (id, rows) in some_traces(places, &mut ids, projection, cancel)? {
            match rows {
                Fetched::Rows(rows) => visit(id, rows),
                Fetched::Large(parts) => visit(id, parts.all(projection)?),
            }
        }
    }
    Ok(())
}

/// A trace as it was fetched.
#[derive(Debug)]
enum Fetched {
    Rows(Rows),
    /// Too large to be read with others.
    Large(Parts),
}

/// The next few traces: as many as fit into [`SORTED_ROWS_MAX`] rows, at least one.
fn some_traces(
    places: &Places,
    ids: &mut dyn Iterator<Item = TraceId>,
    projection: &Projection,
    cancel: &Cancel,
) -> Result<Vec<(TraceId, Fetched)>> {
    let (mut small, mut names, mut large) = (Vec::new(), Vec::new(), None);
    let mut rows = 0;
    while rows < SORTED_ROWS_MAX / 2 && names.len() < TOGETHER_MAX {
        cancel.check()?;
        let Some(id) = ids.next() else { break };
        let mut parts = Parts::suspected(places, id, cancel.work());
        if parts.rows() > SORTED_ROWS_MAX {
            parts = Parts::locate(places, id, cancel.work())?;
        }
        rows += parts.rows();
        if parts.rows() > SORTED_ROWS_MAX {
            large = Some((id, Fetched::Large(parts)));
            break;
        }
        names.push(id);
        small.push(parts);
    }
    let stored = read_together(&small, projection)?;
    let mut out = Vec::with_capacity(names.len() + 1);
    for ((id, parts), stored) in names.into_iter().zip(small).zip(stored) {
        cancel.work().false_probes(parts.segments.len().saturating_sub(stored.len()));
        out.push((id, Fetched::Rows(parts.join(stored, projection)?)));
    }
    out.extend(large);
    Ok(out)
}

/// Traces, pulled piece by piece: no thread works or waits between two calls of
/// [`TraceStream::next_chunk`].
#[derive(Debug)]
pub struct TraceStream {
    places: Places,
    cancel: Cancel,
    ids: std::vec::IntoIter<TraceId>,
    /// Traces fetched and not yet given whole.
    fetched: VecDeque<Current>,
}

#[derive(Debug)]
struct Current {
    id: TraceId,
    /// Rows read and not yet given.
    ready: VecDeque<(Source, u32)>,
    /// What is not yet read.
    parts: Parts,
}

impl Current {
    fn new(id: TraceId, fetched: Fetched) -> Self {
        let all = match fetched {
            Fetched::Large(parts) => return Self { id, ready: VecDeque::new(), parts },
            Fetched::Rows(all) => all,
        };
        let mut rows: Vec<(u64, SpanId, Source, u32)> = Vec::with_capacity(all.rows.len());
        for &(source, row) in &all.rows {
            let Some(source) = all.sources.get(source as usize) else { continue };
            let (span_id, start) = key(source.batch(), row as usize);
            rows.push((start, span_id, source.clone(), row));
        }
        rows.sort_by_key(|row| (row.0, row.1));
        let ready = rows.into_iter().map(|(_, _, source, row)| (source, row)).collect();
        let parts = Parts { id, segments: VecDeque::new(), head: HeadPart::default() };
        Self { id, ready, parts }
    }

    /// The next row, reading on where none is ready.
    fn next_row(&mut self, cancel: &Cancel) -> Result<Option<(Source, u32)>> {
        while self.ready.is_empty() {
            cancel.check()?;
            if let Some((segment, range)) = self.parts.segments.front_mut() {
                let end = range.end.min(range.start.saturating_add(STRIDE_ROWS));
                let batch = segment.read(range.start..end, &Projection::all())?;
                range.start = end;
                if range.start >= range.end {
                    self.parts.segments.pop_front();
                }
                if self.parts.head.rows() > 0 {
                    let rows = 0..batch.rows();
                    self.parts.head.strike_all(&batch, rows);
                }
                let source = Source::Read(Arc::new(batch));
                let rows = 0..source.batch().rows() as u32;
                self.ready.extend(rows.map(|row| (source.clone(), row)));
            } else {
                let Some(group) = self.parts.head.next_group() else { return Ok(None) };
                for (slice, row) in group {
                    if let Some(slice) = self.parts.head.slices.get(slice) {
                        self.ready.push_back((Source::Chunk(Arc::clone(&slice.chunk)), row));
                    }
                }
            }
        }
        Ok(self.ready.pop_front())
    }

    /// About `budget` bytes of rows, at least one where any is left.
    fn take(&mut self, budget: usize, cancel: &Cancel) -> Result<Assembly> {
        let mut assembly = Assembly::default();
        while let Some((source, row)) = self.next_row(cancel)? {
            if !assembly.add(source.batch(), row as usize, budget) {
                self.ready.push_front((source, row));
                break;
            }
        }
        Ok(assembly)
    }
}

impl TraceStream {
    pub(crate) fn new(places: Places, ids: Vec<TraceId>, cancel: Cancel) -> Self {
        Self { places, cancel, ids: ids.into_iter(), fetched: VecDeque::new() }
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
            self.fetched.clear();
        }
        next
    }

    fn pull(&mut self, budget: usize) -> Result<Option<TraceChunk>> {
        loop {
            self.cancel.check()?;
            if self.fetched.is_empty() {
                if self.ids.as_slice().is_empty() {
                    return Ok(None);
                }
                let everything = Projection::all();
                let some = some_traces(&self.places, &mut self.ids, &everything, &self.cancel)?;
                self.fetched.extend(some.into_iter().map(|(id, rows)| Current::new(id, rows)));
            }
            let Some(current) = self.fetched.front_mut() else { continue };
            let assembly = current.take(budget, &self.cancel)?;
            if assembly.spans() > 0 {
                self.cancel.work().rows_returned(assembly.spans());
                let (trace_id, spans) = (current.id, assembly.spans());
                return Ok(Some(TraceChunk { trace_id, spans, otlp: assembly.into_message() }));
            }
            self.fetched.pop_front();
        }
    }
}
