//! Reads a whole segment and believes nothing: every byte of the file is under a checksum that is
//! checked here, rows must be in order, every column must say what the rows say, and the index
//! must agree with them. The rows that were read are gathered again as for writing, and compared
//! leaf by leaf. An `Ok` means that every later read answers, and answers right, and that other
//! readers of the file see the same.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::columns::{Data, GroupData};
use super::cursors::Cells;
use super::gather::{Gather, Gathered, Limits};
use super::layout::{Fixed, Leaf};
use super::plan::{Input, Plan, SourceMap};
use super::read::Segment;
use super::shapes::ShapeTree;
use super::tables::Operations;
use super::{BLOCK_ROWS, Block, Facts, choose, fingerprint, footer};
use crate::batch::{Batch, Projection};
use crate::catalog::registry::Registry;
use crate::error::Result;
use crate::span::{SpanId, SpanKind, TraceId};
use crate::terms;

impl Segment {
    /// Checks all of the file.
    ///
    /// # Errors
    /// `Corrupted` naming the file and what is wrong; `Io`.
    pub(crate) fn verify(&self) -> Result<()> {
        // The footer and the index once more from the file, not from memory.
        let fresh = Segment::open(Arc::clone(self.file()), self.name(), self.cache())?;
        fresh.verify_head()?;
        let mut plan = Plan {
            layout: fresh.index.layout.clone(),
            shapes: ShapeTree::default(),
            sources: Vec::new(),
            registered: Vec::new(),
            added: Vec::new(),
            traces: Vec::new(),
            distances: Vec::new(),
        };
        let mut seen = Seen::default();
        for (group, rows) in fresh.index.pages.groups().iter().cloned().enumerate() {
            let mut first = rows.start;
            while first < rows.end {
                let end = rows.end.min((first / BLOCK_ROWS as u32 + 1) * BLOCK_ROWS as u32);
                first += fresh.verify_rows(group, first..end, &mut plan, &mut seen)?;
            }
        }
        fresh.verify_sums(seen)?;
        fresh.verify_rollups()
    }

    /// The opening magic is the one part of the file that no checksum covers.
    fn verify_head(&self) -> Result<()> {
        let head = 0..footer::MAGIC.len() as u64;
        let head = self.file().read_many(std::slice::from_ref(&head));
        match head.ok().and_then(|mut parts| parts.pop()) {
            Some(head) if head == footer::MAGIC[..] => Ok(()),
            _ => Err(self.damaged("it does not begin as a Parquet file")),
        }
    }

    /// Checks rows of one block and one row group, as many of them as are gathered at once, and
    /// says how many.
    fn verify_rows(
        &self,
        group: usize,
        rows: Range<u32>,
        plan: &mut Plan,
        seen: &mut Seen,
    ) -> Result<u32> {
        let batch = self.read(rows.clone(), &Projection::all())?;
        let leaves: Vec<usize> = (0..plan.layout.leaves.len()).collect();
        let sent = self.cells(group, &leaves, std::slice::from_ref(&rows))?;
        let shapes = &sent[plan.layout.fixed(Fixed::Shape)].cells;
        plan.sources = vec![self.names_in_file(&batch, shapes)?];
        let distances = &sent[plan.layout.fixed(Fixed::ParentDistance)].cells;
        plan.distances = distances.iter().map(|&distance| distance as u32 as i32).collect();

        let order: Vec<(u32, u32)> = (0..batch.rows() as u32).map(|row| (0, row)).collect();
        let registry = Registry::default();
        let input = Input {
            sources: &[&batch],
            order: &order,
            registry: &registry,
            sequences: None,
            rollup: None,
        };
        let mut gather = Gather::new(input, plan, Limits::default());
        let data = gather.group(0);
        let gathered = gather.finish();
        let count = data.rows;
        if count < rows.len() as u32 {
            // Giant spans: once more with no more rows than fit.
            return self.verify_rows(group, rows.start..rows.start + count, plan, seen);
        }
        for (number, (leaf, sent)) in plan.layout.leaves.iter().zip(&sent).enumerate() {
            if !is_same(*leaf, number, &data, sent) {
                return Err(self.damaged_leaf(number, "it does not say what its rows say"));
            }
        }
        self.verify_terms(rows.start, &gathered, &batch)?;
        for (row, at) in (rows.start..).zip(0..batch.rows()) {
            seen.row(&batch, at, row, plan.distances[at]).map_err(|what| self.damaged(what))?;
        }
        seen.add(rows.start, gathered);
        Ok(count)
    }

    /// What the columns and shapes of a batch are called in the file.
    fn names_in_file(&self, batch: &Batch, shapes: &[u64]) -> Result<SourceMap> {
        let columns = batch
            .columns
            .iter()
            .map(|column| {
                let number = self.index.layout.columns.iter().position(|c| c.what == column.what);
                number.map(|number| number as u32).ok_or_else(|| self.damaged("a column lacks"))
            })
            .collect::<Result<Vec<u32>>>()?;
        let mut map = SourceMap { columns, shapes: vec![0; batch.shapes.bound()] };
        for (&ours, &sent) in batch.shape.iter().zip(shapes) {
            map.shapes[ours as usize] = sent as u32;
        }
        Ok(map)
    }

    /// Every term of the rows leads to their block, and so does one as slow as the slowest.
    fn verify_terms(&self, first: u32, gathered: &Gathered, batch: &Batch) -> Result<()> {
        let block = first / BLOCK_ROWS as u32;
        let leads_here = |term: u64| self.blocks_of(term).contains(block);
        let terms: BTreeSet<u64> = gathered.terms.iter().map(|(term, _)| *term).collect();
        let mut slowest: BTreeMap<&str, u64> = BTreeMap::new();
        for row in 0..batch.rows() {
            let longest = slowest.entry(batch.service(row)).or_default();
            *longest = batch.duration(row).max(*longest);
        }
        let is_listed = |(service, longest): (&str, u64)| {
            terms::slower(service, longest).into_iter().any(leads_here)
        };
        if terms.into_iter().all(leads_here) && slowest.into_iter().all(is_listed) {
            return Ok(());
        }
        Err(self.damaged("its index of terms does not list what its rows have"))
    }

    fn verify_sums(&self, mut seen: Seen) -> Result<()> {
        seen.end_trace().map_err(|what| self.damaged(what))?;
        seen.traces.sort_unstable();
        let listed = self.traces().map(|(print, rows)| (print, rows.start, rows.end));
        if !listed.eq(seen.traces.iter().copied()) {
            return Err(self.damaged("its directory does not list its traces"));
        }
        if seen.blocks != self.blocks() {
            return Err(self.damaged("a block's bounds are not those of its rows"));
        }
        let facts = self.facts();
        let counted = Facts {
            spans: u64::from(seen.rows),
            traces: seen.traces.len() as u64,
            start_min: seen.blocks.iter().map(|block| block.start_min).min().unwrap_or_default(),
            start_max: seen.blocks.iter().map(|block| block.start_max).max().unwrap_or_default(),
            end_max: seen.end_max,
            ..facts.clone()
        };
        if *facts != counted || facts.sequence_min > facts.sequence_max {
            return Err(self.damaged("its facts are not those of its rows"));
        }
        let operations = self
            .operations()
            .iter()
            .map(|(service, operation)| (service, &operation.name, operation.kind));
        let seen = seen
            .operations
            .iter()
            .map(|(service, name, kind)| (service, name, SpanKind::from_number(*kind)));
        if !operations.eq(seen) {
            return Err(self.damaged("its operations are not those of its rows"));
        }
        Ok(())
    }
}

/// Whether a leaf of the file says what was gathered from its rows.
fn is_same(leaf: Leaf, number: usize, data: &GroupData, sent: &Cells) -> bool {
    let values = &data.leaves[number];
    let levels = match data.list(leaf.frame()) {
        Some(list) => {
            sent.repetition == list.repetition
                && sent.definition == choose::definition_levels(leaf, list, values)
        }
        None => {
            let there = (0u32..).zip(&sent.definition).filter(|(_, level)| **level > 0);
            sent.repetition.is_empty() && there.map(|(row, _)| row).eq(values.at.iter().copied())
        }
    };
    levels && is_same_data(&values.data, sent)
}

fn is_same_data(data: &Data, sent: &Cells) -> bool {
    let sent_numbers = || sent.cells.iter().copied();
    match data {
        Data::Bool(values) => values.iter().map(|&v| u64::from(v)).eq(sent_numbers()),
        Data::I32(values) => values.iter().map(|&v| u64::from(v as u32)).eq(sent_numbers()),
        Data::I64(values) => values.iter().map(|&v| v as u64).eq(sent_numbers()),
        Data::F64(values) => values.iter().copied().eq(sent_numbers()),
        Data::Fixed { width, data } => {
            let texts = (0..sent.cells.len()).map(|at| sent.text(at));
            texts.eq(data.chunks_exact((*width).max(1) as usize))
        }
        Data::Text { codes, dictionary } => {
            let texts = (0..sent.cells.len()).map(|at| sent.text(at));
            texts.eq(codes.iter().map(|&code| dictionary.get(code)))
        }
    }
}

/// What the rows so far add up to.
#[derive(Default)]
struct Seen {
    rows: u32,
    end_max: u64,
    blocks: Vec<Block>,
    operations: Operations,
    /// (fingerprint, first row, row behind the last).
    traces: Vec<(u32, u32, u32)>,
    ids: HashSet<TraceId>,
    trace: Option<OpenTrace>,
}

/// The trace whose rows are being read.
struct OpenTrace {
    id: TraceId,
    start: u64,
    first_row: u32,
    /// First and last row that is some row's parent.
    parents: Option<(u32, u32)>,
    last: (u64, SpanId, Vec<u8>),
}

impl Seen {
    fn row(
        &mut self,
        batch: &Batch,
        at: usize,
        row: u32,
        distance: i32,
    ) -> Result<(), &'static str> {
        let (id, start) = (batch.trace_id[at], batch.start[at]);
        self.end_max = self.end_max.max(batch.end[at]);
        let mut bytes = Vec::new();
        batch.write_span(at, &mut bytes);
        let key = (start, batch.span_id[at], bytes);
        match &mut self.trace {
            Some(trace) if trace.id == id => {
                if trace.last > key {
                    return Err("the spans of a trace are out of order");
                }
                trace.last = key;
            }
            Some(trace) if (trace.start, trace.id) >= (start, id) => {
                return Err("its traces are out of order");
            }
            _ => {
                if !self.ids.insert(id) {
                    return Err("the spans of a trace do not lie together");
                }
                self.end_trace()?;
                self.trace =
                    Some(OpenTrace { id, start, first_row: row, parents: None, last: key });
            }
        }
        if let Some(trace) = self.trace.as_mut().filter(|_| distance != 0) {
            // The reader has found a row there.
            let parent = (i64::from(row) - i64::from(distance)) as u32;
            let (least, most) = trace.parents.unwrap_or((parent, parent));
            trace.parents = Some((least.min(parent), most.max(parent)));
        }
        self.rows += 1;
        Ok(())
    }

    fn end_trace(&mut self) -> Result<(), &'static str> {
        if let Some(trace) = self.trace.take() {
            let is_inside = |(least, most)| least >= trace.first_row && most < self.rows;
            if !trace.parents.is_none_or(is_inside) {
                return Err("a parent is of another trace than its child");
            }
            self.traces.push((fingerprint(&trace.id), trace.first_row, self.rows));
        }
        Ok(())
    }

    /// Adds what was gathered of rows from `first`, which are of one block.
    fn add(&mut self, first: u32, gathered: Gathered) {
        self.operations.extend(gathered.operations);
        for block in gathered.blocks {
            let block = Block { first_row: block.first_row + first, ..block };
            match self.blocks.get_mut(first as usize / BLOCK_ROWS) {
                Some(known) => {
                    known.rows += block.rows;
                    known.start_min = known.start_min.min(block.start_min);
                    known.start_max = known.start_max.max(block.start_max);
                    known.duration_max = known.duration_max.max(block.duration_max);
                }
                None => self.blocks.push(block),
            }
        }
    }
}
