//! A small store without files: Exports in, chunks and stand-ins of segments out. Segments are
//! told apart from chunks by what counts: rows in segment order, blocks, an index, projections
//! that leave out whatever was not asked for.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use roaring::RoaringBitmap;

use super::made::{bytes, plain};
use super::naive::Plain;
use crate::TraceId;
use crate::batch::{Batch, Cells, Projection, Remap, What};
use crate::error::{Error, Result};
use crate::head::Chunk;
use crate::otlp::attributes;
use crate::otlp::walk::{Interner, admit};
use crate::query::places::{Block, BlockSet, PackedCalls, Places, Shelf, Stored};
use crate::rollup::CallRollup;
use crate::rollup::rates::RateRollup;
use crate::seal::rollup::{New, rollups};
use crate::segment::PackedRates;
use crate::terms;

pub(super) const BLOCK: usize = 8;

/// Coarse, so that fingerprints collide.
pub(super) fn fingerprint(id: &TraceId) -> u32 {
    u32::from(id.0[15] / 2)
}

/// A segment in memory.
#[derive(Debug)]
pub(super) struct Sealed {
    name: String,
    batch: Batch,
    blocks: Vec<Block>,
    terms: HashMap<u64, RoaringBitmap>,
    calls: Option<PackedCalls>,
    rates: Option<PackedRates>,
    /// Every read fails.
    is_unreadable: AtomicBool,
}

fn terms_of(batch: &Batch, row: usize, give: &mut dyn FnMut(u64)) {
    let lossy = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    give(terms::operation(&lossy(batch.name(row))));
    give(terms::service(batch.service(row)));
    give(terms::slow(batch.service(row), batch.duration(row)));
    if batch.is_error(row) {
        give(terms::error());
    }
    let mut span = Vec::new();
    batch.write_span(row, &mut span);
    attributes::of_span(&span, &mut |(key, value)| {
        give(terms::attribute(lossy(key).as_bytes(), &value.text()));
    });
    let resource = attributes::of_resource(batch.resource(row).unwrap());
    let scope = attributes::of_scope(batch.scope(row).unwrap());
    for (key, value) in resource.chain(scope) {
        give(terms::attribute(lossy(key).as_bytes(), &value.text()));
    }
}

impl Sealed {
    /// Of rows in any order.
    pub(super) fn new(name: &str, rows: &[(&Batch, usize)]) -> Self {
        let mut first: BTreeMap<TraceId, u64> = BTreeMap::new();
        for (batch, row) in rows {
            let start = first.entry(batch.trace_id[*row]).or_insert(u64::MAX);
            *start = (*start).min(batch.start[*row]);
        }
        let mut order: Vec<_> = rows
            .iter()
            .map(|&(batch, row)| {
                let id = batch.trace_id[row];
                let mut span = Vec::new();
                batch.write_span(row, &mut span);
                ((first[&id], id, batch.start[row], batch.span_id[row], span), batch, row)
            })
            .collect();
        order.sort_by(|a, b| a.0.cmp(&b.0));
        let mut batch = Batch::default();
        for (_, from, row) in order {
            batch.append(from, row, &mut Remap::default());
        }
        let name = name.to_owned();
        let (blocks, terms) = (Vec::new(), HashMap::new());
        let is_unreadable = AtomicBool::new(false);
        let mut sealed =
            Self { name, batch, blocks, terms, calls: None, rates: None, is_unreadable };
        sealed.index();
        sealed
    }

    /// With a rollup, made with these segments there.
    fn with_rollup(mut self, present: &Shelf) -> Self {
        let order: Vec<(u32, u32)> = (0..self.rows()).map(|row| (0, row)).collect();
        let new = New { name: &self.name, order: &order };
        let made = rollups(&[&self.batch], &[new], present, fingerprint).unwrap();
        self.calls = Some(PackedCalls::of(&made[0].calls, self.rows()));
        self.rates = Some(PackedRates::of(&made[0].rates));
        self
    }

    fn index(&mut self) {
        let batch = &self.batch;
        let all: Vec<usize> = (0..batch.rows()).collect();
        for (number, rows) in all.chunks(BLOCK).enumerate() {
            self.blocks.push(Block {
                first_row: rows[0] as u32,
                rows: rows.len() as u32,
                start_min: rows.iter().map(|r| batch.start[*r]).min().unwrap(),
                start_max: rows.iter().map(|r| batch.start[*r]).max().unwrap(),
                duration_max: rows.iter().map(|r| batch.duration(*r)).max().unwrap(),
            });
            for &row in rows {
                terms_of(batch, row, &mut |term| {
                    self.terms.entry(term).or_default().insert(number as u32);
                });
            }
        }
    }

    fn rows_of(&self, id: &TraceId) -> Option<Range<u32>> {
        let from = self.batch.trace_id.iter().position(|i| i == id)?;
        let length = self.batch.trace_id[from..].iter().take_while(|i| *i == id).count();
        Some(from as u32..(from + length) as u32)
    }
}

/// Some rows of a batch as a reader gives them: under a projection nothing else is there.
fn projected(batch: &Batch, rows: Range<u32>, wanted: &Projection) -> Batch {
    let mut out = Batch::default();
    for row in rows.start as usize..rows.end as usize {
        out.trace_id.push(batch.trace_id[row]);
        out.start.push(batch.start[row]);
        if wanted.span_id {
            out.span_id.push(batch.span_id[row]);
        }
        if wanted.parent {
            out.parent.push(batch.parent[row]);
        }
        if wanted.end {
            out.end.push(batch.end[row]);
        }
        if wanted.kind {
            out.kind.push(batch.kind[row]);
        }
        if wanted.status {
            out.status.push(batch.status[row]);
        }
        if wanted.resource {
            let number = out.add_resource(batch.resource(row).unwrap());
            out.resource.push(number);
        }
        if wanted.scope {
            let number = out.add_scope(batch.scope(row).unwrap());
            out.scope.push(number);
        }
    }
    if wanted.name {
        // All names, as a dictionary has them.
        let crate::batch::Values::Own(names) = &mut out.names else { unreachable!() };
        batch.names.iter().for_each(|name| _ = names.push(name));
        out.name = batch.name[rows.start as usize..rows.end as usize].to_vec();
    }
    for row in rows.start as usize..rows.end as usize {
        let (mut columns, mut cells) = (Vec::new(), Vec::new());
        for (column, cell) in batch.cells(row) {
            let what = batch.what(column).unwrap();
            let is_wanted = match (&wanted.cells, what) {
                (Cells::None, _) => false,
                (Cells::All, _) => true,
                (Cells::Keys(keys, _), What::Attribute { key, .. }) => keys.contains(key),
                (Cells::Keys(_, fields), What::Field(field)) => fields.contains(field),
            };
            if is_wanted {
                let ours = out.column(what);
                let mut ours_cell = cell;
                if what.is_textual() {
                    let text = batch.text(column, cell).to_vec();
                    let crate::batch::Values::Own(values) = &mut out.columns[ours as usize].values
                    else {
                        unreachable!()
                    };
                    ours_cell = values.intern(&text).into();
                }
                columns.push(ours);
                cells.push(ours_cell);
            }
        }
        if wanted.cells != Cells::None {
            let shape = out.shapes.intern(&columns);
            out.push_cells(shape, cells);
        }
        if wanted.cells == Cells::All
            && let Some(raw) = batch.raw.get(&(row as u32))
        {
            out.raw.insert(row as u32 - rows.start, raw.clone());
        }
    }
    out
}

impl Stored for Sealed {
    fn name(&self) -> &str {
        &self.name
    }

    fn rows(&self) -> u32 {
        self.batch.rows() as u32
    }

    fn starts(&self) -> (u64, u64) {
        let starts = &self.batch.start;
        (*starts.iter().min().unwrap(), *starts.iter().max().unwrap())
    }

    fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    fn blocks_of(&self, term: u64) -> BlockSet {
        let Some(set) = self.terms.get(&term) else { return BlockSet::None };
        match set.len() as usize {
            n if n == self.blocks.len() => BlockSet::All,
            1 => BlockSet::One(set.min().unwrap()),
            _ => BlockSet::Some(set.clone()),
        }
    }

    fn read(&self, rows: Range<u32>, projection: &Projection) -> Result<Batch> {
        Ok(projected(&self.batch, rows, projection))
    }

    fn fingerprint(&self, trace: &TraceId) -> u32 {
        fingerprint(trace)
    }

    fn fingerprints(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        Box::new(self.batch.trace_id.iter().map(fingerprint))
    }

    fn suspects(&self, wanted: u32, take: &mut dyn FnMut(Range<u32>)) {
        let is_it = |(print, _): &(u32, Range<u32>)| *print == wanted;
        self.traces().filter(is_it).for_each(|(_, rows)| take(rows));
    }

    fn read_ranges(&self, ranges: &[Range<u32>], projection: &Projection) -> Result<Batch> {
        if self.is_unreadable.load(Ordering::Relaxed) {
            return Err(Error::corrupted(format!("{} is damaged", self.name)));
        }
        let mut all = Batch::default();
        let mut last = 0;
        for rows in ranges.iter().cloned() {
            assert!(last <= rows.start && rows.start < rows.end && rows.end <= self.rows());
            last = rows.end;
            for row in rows {
                all.append(&self.batch, row as usize, &mut Remap::default());
            }
        }
        let rows = all.rows() as u32;
        Ok(projected(&all, 0..rows, projection))
    }

    fn calls(&self) -> Option<&PackedCalls> {
        self.calls.as_ref()
    }

    fn unpack_calls(&self) -> Result<Option<CallRollup>> {
        Ok(self.calls.as_ref().map(|calls| calls.unpack().unwrap()))
    }

    fn unpack_rates(&self) -> Result<Option<RateRollup>> {
        Ok(self.rates.as_ref().map(|rates| rates.unpack().unwrap()))
    }

    fn locate(&self, trace: &TraceId) -> Result<Option<Range<u32>>> {
        Ok(self.rows_of(trace))
    }

    fn traces(&self) -> Box<dyn Iterator<Item = (u32, Range<u32>)> + '_> {
        let ids = self.batch.trace_id.chunk_by(|a, b| a == b);
        Box::new(ids.map(|run| (fingerprint(&run[0]), self.rows_of(&run[0]).unwrap())))
    }
}

/// A row of a batch.
type Row<'a> = (&'a Batch, usize);

/// Exports in, places out, and what brute force needs.
#[derive(Debug, Default)]
pub(super) struct Small {
    interner: Interner,
    sequence: u64,
    head: Vec<Batch>,
    segments: Vec<Arc<Sealed>>,
    /// Segments so far, dropped ones too.
    named: usize,
    /// Segments from now on have no rollup, as if an older build had written them.
    pub(super) without_rollup: bool,
    /// Copies sealed, by content.
    sealed: BTreeMap<Vec<u8>, usize>,
    /// The most copies any Export in the head carries, by content.
    waiting: BTreeMap<Vec<u8>, usize>,
    /// Every distinct span by content, and the most copies any Export carried.
    pub(super) spans: BTreeMap<Vec<u8>, (Plain, usize)>,
}

/// A span's content: what makes it the same span.
pub(super) fn content(span: &Plain) -> Vec<u8> {
    let mut out = span.resource.encode_to_vec();
    out.extend([0xff; 3]);
    out.extend(span.scope.encode_to_vec());
    out.extend([0xff; 3]);
    out.extend(span.span.encode_to_vec());
    out
}

/// [`content`] of a row.
fn sent(batch: &Batch, row: usize) -> Vec<u8> {
    let mut out = batch.resource(row).unwrap().bytes.to_vec();
    out.extend([0xff; 3]);
    out.extend(&batch.scope(row).unwrap().bytes);
    out.extend([0xff; 3]);
    batch.write_span(row, &mut out);
    out
}

impl Small {
    pub(super) fn ingest(&mut self, export: &ExportTraceServiceRequest) {
        self.sequence += 1;
        let mut batch = admit(&bytes(export), &self.interner).unwrap().batch;
        let mut copies: BTreeMap<Vec<u8>, (Plain, usize)> = BTreeMap::new();
        for span in plain(export) {
            copies.entry(content(&span)).or_insert((span, 0)).1 += 1;
        }
        for (content, (span, count)) in copies {
            let waiting = self.waiting.entry(content.clone()).or_default();
            *waiting = (*waiting).max(count);
            let held = self.spans.entry(content).or_insert((span, 0));
            held.1 = held.1.max(count);
        }
        batch.sequence = vec![self.sequence; batch.rows()];
        self.head.push(batch);
    }

    /// Makes one chunk of all.
    pub(super) fn merge(&mut self) {
        let mut merged = Batch::default();
        for batch in &self.head {
            let mut remap = Remap::default();
            (0..batch.rows()).for_each(|row| merged.append(batch, row, &mut remap));
        }
        self.head = vec![merged];
    }

    /// Turns the head into a segment, without what is stored already.
    pub(super) fn seal(&mut self) {
        let mut most: BTreeMap<Vec<u8>, Vec<Row<'_>>> = BTreeMap::new();
        for batch in &self.head {
            let mut of_export: BTreeMap<(u64, Vec<u8>), Vec<Row<'_>>> = BTreeMap::new();
            for row in 0..batch.rows() {
                let all = sent(batch, row);
                of_export.entry((batch.sequence[row], all)).or_default().push((batch, row));
            }
            for ((_, content), rows) in of_export {
                let held = most.entry(content).or_default();
                if rows.len() > held.len() {
                    *held = rows;
                }
            }
        }
        let mut rows = Vec::new();
        for (content, mut copies) in most {
            let stored = self.sealed.entry(content).or_default();
            let new = copies.split_off((*stored).min(copies.len()));
            *stored += new.len();
            rows.extend(new);
        }
        if !rows.is_empty() {
            let mut sealed = Sealed::new(&format!("segment-{}", self.named), &rows);
            self.named += 1;
            if !self.without_rollup {
                sealed = sealed.with_rollup(&self.stored());
            }
            self.segments.push(Arc::new(sealed));
        }
        self.head.clear();
        self.waiting.clear();
    }

    /// Drops one of the segments, as retention will.
    pub(super) fn forget(&mut self, number: usize) {
        let segment = self.segments.remove(number);
        let batch = &segment.batch;
        for row in 0..batch.rows() {
            let content = sent(batch, row);
            let sealed = self.sealed.get_mut(&content).unwrap();
            *sealed -= 1;
            let left = (*sealed).max(self.waiting.get(&content).copied().unwrap_or_default());
            self.spans.get_mut(&content).unwrap().1 = left;
        }
    }

    /// Makes a segment unreadable, or readable again.
    pub(super) fn spoil(&self, number: usize, is_unreadable: bool) {
        self.segments[number].is_unreadable.store(is_unreadable, Ordering::Relaxed);
    }

    /// What a segment says of calls.
    pub(super) fn calls(&self, number: usize) -> CallRollup {
        self.segments[number].calls.as_ref().unwrap().unpack().unwrap()
    }

    /// Makes a segment say something else, or nothing.
    pub(super) fn say(&mut self, number: usize, calls: Option<&CallRollup>) {
        let segment = Arc::get_mut(&mut self.segments[number]).unwrap();
        segment.calls = calls.map(|calls| PackedCalls::of(calls, segment.batch.rows() as u32));
    }

    /// How many segments there are.
    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    fn stored(&self) -> Shelf {
        let all = self.segments.iter().map(|sealed| Arc::clone(sealed) as Arc<dyn Stored>);
        Shelf::default().with(all)
    }

    pub(super) fn places(&self) -> Places {
        let copy = |batch: &Batch| {
            let (mut copy, mut remap) = (Batch::default(), Remap::default());
            (0..batch.rows()).for_each(|row| copy.append(batch, row, &mut remap));
            Arc::new(Chunk::new(copy))
        };
        Places { chunks: self.head.iter().map(copy).collect(), segments: self.stored() }
    }

    /// Every span, copies repeated.
    pub(super) fn all(&self) -> impl Iterator<Item = &Plain> {
        self.spans.values().flat_map(|(span, copies)| std::iter::repeat_n(span, *copies))
    }
}
