//! Rows of batches into the leaves of row groups, with what the index needs of them: terms of
//! each block, bounds, operations, resources and scopes. A value that several rows share is
//! looked up and hashed once for each source and row group, not once a row. Rows come in the
//! order of the plan; what the leaves are, and how they are encoded, is decided elsewhere.

mod cells;
mod contexts;
mod lists;
mod operations;
mod remainder;
mod sink;

use std::sync::Arc;

use self::cells::Cells;
use self::contexts::Contexts;
use self::operations::Operations;
use self::sink::{Listed, Row, Sink, Terms};
use super::columns::GroupData;
use super::layout::Fixed;
use super::plan::{Input, Plan};
use super::{BLOCK_ROWS, Block, GROUP_ROWS, tables};
use crate::span::{ResourceContext, ScopeContext, SpanId};
use crate::terms;

/// Where row groups end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) rows: usize,
    /// A row group whose values take more bytes of memory ends early.
    pub(super) weight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: GROUP_ROWS, weight: 256 << 20 }
    }
}

/// What the index is made of, beside the plan.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) terms: Terms,
    /// As `terms`, of how long spans take. What is listed depends on the order of rows.
    pub(super) slow_terms: Terms,
    pub(super) blocks: Vec<Block>,
    pub(super) operations: tables::Operations,
    pub(super) resources: Vec<Arc<ResourceContext>>,
    pub(super) scopes: Vec<Arc<ScopeContext>>,
    pub(super) contexts: tables::Contexts,
}

/// Gathers row group after row group.
#[derive(Debug)]
pub(super) struct Gather<'a> {
    input: Input<'a>,
    plan: &'a Plan,
    limits: Limits,
    operations: Operations,
    contexts: Contexts,
    cells: Cells<'a>,
    blocks: Vec<Block>,
    terms: Terms,
    errors: Listed,
    /// Number of the row group, from 1.
    group: u32,
}

impl<'a> Gather<'a> {
    pub(super) fn new(input: Input<'a>, plan: &'a Plan, limits: Limits) -> Self {
        Self {
            operations: Operations::new(&input),
            contexts: Contexts::new(&input),
            cells: Cells::new(&input, plan),
            input,
            plan,
            limits,
            blocks: Vec::new(),
            terms: Terms::new(),
            errors: Listed::default(),
            group: 0,
        }
    }

    /// The row group that begins at `first`.
    pub(super) fn group(&mut self, first: usize) -> GroupData {
        self.group += 1;
        self.operations.begin_group();
        self.contexts.begin_group();
        let mut data = GroupData::new(&self.plan.layout);
        // Each resource has an entry of its own, though another's text be equal.
        for leaf in [Fixed::Resource, Fixed::Scope, Fixed::SpanRaw] {
            data.fixed(&self.plan.layout, leaf).data.append_only();
        }
        let rows = (self.input.order.len() - first).min(self.limits.rows);
        for at in first..first + rows {
            self.row(at, &mut data);
            data.rows += 1;
            if data.weight > self.limits.weight {
                break;
            }
        }
        data
    }

    pub(super) fn finish(self) -> Gathered {
        let (resources, scopes, contexts, slow_terms) = self.contexts.finish();
        let operations = self.operations.finish();
        let (terms, blocks) = (self.terms, self.blocks);
        Gathered { terms, slow_terms, blocks, operations, resources, scopes, contexts }
    }

    fn row(&mut self, at: usize, data: &mut GroupData) {
        let (batch, source, number) = self.input.row(at);
        let row = Row { batch, source, number, block: (at / BLOCK_ROWS) as u32 };
        self.block(row, at);
        let (layout, group, terms) = (&self.plan.layout, self.group, &mut self.terms);
        let mut sink = Sink { layout, data, terms, group };
        fixed(row, self.plan.distances[at], &mut sink);
        if batch.is_error(number) && self.errors.enters(row.block) {
            sink.terms.push((terms::error(), row.block));
        }
        let name = self.operations.name(row, &mut sink);
        if let Some((resource, service)) = self.contexts.put(row, &mut sink) {
            self.operations.note(row, &name, resource, service);
        }
        let is_exact = self.cells.put(row, &mut sink)
            && name.is_exact
            && i64::try_from(batch.start[number]).is_ok();
        if !is_exact || batch.raw.contains_key(&(number as u32)) {
            raw(row, &mut sink);
        }
    }

    /// Bounds of the row's block.
    fn block(&mut self, row: Row<'_>, at: usize) {
        let (start, duration) = (row.batch.start[row.number], row.batch.duration(row.number));
        match self.blocks.get_mut(row.block as usize) {
            Some(bounds) => {
                bounds.rows += 1;
                bounds.start_min = bounds.start_min.min(start);
                bounds.start_max = bounds.start_max.max(start);
                bounds.duration_max = bounds.duration_max.max(duration);
            }
            None => self.blocks.push(Block {
                first_row: at as u32,
                rows: 1,
                start_min: start,
                start_max: start,
                duration_max: duration,
            }),
        }
    }
}

/// Ids, times and numbers that every row has. Its parent's id only where its parent is not
/// `distance` rows away.
fn fixed(row: Row<'_>, distance: i32, sink: &mut Sink<'_>) {
    let Row { batch, number: row, .. } = row;
    let (start, end) = (batch.start[row], batch.end[row]);
    sink.fixed(Fixed::TraceId).data.push_fixed(&batch.trace_id[row].0);
    sink.fixed(Fixed::SpanId).data.push_fixed(&batch.span_id[row].0);
    for (leaf, number) in [
        (Fixed::ParentDistance, distance as u32 as u64),
        (Fixed::Start, start.min(i64::MAX as u64)),
        (Fixed::Duration, end.wrapping_sub(start)),
        (Fixed::Kind, batch.kind[row] as u32 as u64),
        (Fixed::Status, batch.status[row] as u32 as u64),
    ] {
        sink.fixed(leaf).data.push_number(number);
    }
    let parent = batch.parent[row];
    if distance == 0 && parent != SpanId::default() {
        let at = sink.data.rows;
        let leaf = sink.fixed(Fixed::ParentSpanId);
        leaf.at.push(at);
        leaf.data.push_fixed(&parent.0);
    }
    sink.data.weight += 100;
}

/// The whole span as it was sent, where its columns do not give it back.
fn raw(row: Row<'_>, sink: &mut Sink<'_>) {
    let mut bytes = Vec::new();
    row.batch.write_span(row.number, &mut bytes);
    sink.data.weight += bytes.len();
    let at = sink.data.rows;
    let leaf = sink.fixed(Fixed::SpanRaw);
    leaf.at.push(at);
    let code = leaf.data.intern(&bytes);
    leaf.data.push_code(code);
}
