//! Batches: rows of spans in columns. The walk makes one of each Export, a head chunk is one, a
//! segment is built from some and gives one back for any run of its rows; queries look at nothing
//! else. A row is a few fixed columns, a *shape* and *cells*: the shape lists the columns of its
//! attributes, events, links and rare fields in the order of canonical OTLP, and there is one cell
//! for each. So a batch gives every span back byte for byte ([`Batch::write_span`]) without
//! keeping its bytes, and equal strings are kept once. No I/O, no clock, no lock.

mod assemble;
mod build;
mod column;
mod equal;
mod merge;
mod projection;
mod shapes;
mod strings;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

pub(crate) use build::{Fixed, Value};
pub(crate) use column::{Column, Field, Level, Type, Values, What};
pub(crate) use merge::Remap;
pub(crate) use projection::{Cells, Projection};
pub(crate) use shapes::{EMPTY, Shapes};
pub(crate) use strings::Strings;

use crate::span::{ResourceContext, STATUS_ERROR, ScopeContext, SpanId, TraceId};

/// Rows in columns. A partial batch (read under a projection) leaves vectors empty that were not
/// asked for; `trace_id` and `start` are always there.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) trace_id: Vec<TraceId>,
    pub(crate) span_id: Vec<SpanId>,
    /// Zero where there is none.
    pub(crate) parent: Vec<SpanId>,
    pub(crate) start: Vec<u64>,
    pub(crate) end: Vec<u64>,
    /// OTLP numbers as sent (open enums).
    pub(crate) kind: Vec<i32>,
    pub(crate) status: Vec<i32>,
    /// Into `names`.
    pub(crate) name: Vec<u32>,
    /// Into `resources` and `scopes`.
    pub(crate) resource: Vec<u32>,
    pub(crate) scope: Vec<u32>,
    /// The Export that carried the row (log sequence); empty in batches read from a segment.
    pub(crate) sequence: Vec<u64>,
    /// Into `shapes`.
    pub(crate) shape: Vec<u32>,
    /// Behind each row's last cell.
    cell_ends: Vec<usize>,
    cells: Vec<u64>,
    /// Canonical span messages of rows that cells cannot give back.
    pub(crate) raw: BTreeMap<u32, Bytes>,

    pub(crate) names: Values,
    pub(crate) resources: Vec<Arc<ResourceContext>>,
    pub(crate) scopes: Vec<Arc<ScopeContext>>,
    pub(crate) columns: Vec<Column>,
    pub(crate) shapes: Shapes,

    lookup: build::Lookup,
}

impl Batch {
    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.trace_id.len()
    }

    /// The row's cells: column number and value, in the shape's order.
    pub(crate) fn cells(&self, row: usize) -> impl Iterator<Item = (u32, u64)> {
        let (columns, cells) = self.shape_and_cells(row);
        columns.iter().copied().zip(cells.iter().copied())
    }

    /// The row's columns and, one for each, its cells.
    pub(crate) fn shape_and_cells(&self, row: usize) -> (&[u32], &[u64]) {
        let Some(&shape) = self.shape.get(row) else { return (&[], &[]) };
        let end = self.cell_ends.get(row).copied().unwrap_or_default();
        let start = row.checked_sub(1).and_then(|r| self.cell_ends.get(r)).copied().unwrap_or(0);
        (self.shapes.columns(shape), self.cells.get(start..end).unwrap_or_default())
    }

    /// The string a textual cell of `column` stands for.
    pub(crate) fn text(&self, column: u32, cell: u64) -> &[u8] {
        self.columns.get(column as usize).map_or(b"", |c| c.values.get(cell as u32))
    }

    /// What a column's cells speak of.
    pub(crate) fn what(&self, column: u32) -> Option<&What> {
        self.columns.get(column as usize).map(|c| &c.what)
    }

    /// The span's name, bytes as sent.
    pub(crate) fn name(&self, row: usize) -> &[u8] {
        self.name.get(row).map_or(b"", |&name| self.names.get(name))
    }

    /// The row's resource; none in batches read without.
    pub(crate) fn resource(&self, row: usize) -> Option<&Arc<ResourceContext>> {
        self.resources.get(*self.resource.get(row)? as usize)
    }

    /// The row's scope; none in batches read without.
    pub(crate) fn scope(&self, row: usize) -> Option<&Arc<ScopeContext>> {
        self.scopes.get(*self.scope.get(row)? as usize)
    }

    /// The row's service; `""` where its resource names none.
    pub(crate) fn service(&self, row: usize) -> &str {
        self.resource(row).map_or("", |resource| &resource.service)
    }

    /// `end - start`, 0 where the end lies before the start.
    pub(crate) fn duration(&self, row: usize) -> u64 {
        match (self.start.get(row), self.end.get(row)) {
            (Some(start), Some(end)) => end.saturating_sub(*start),
            _ => 0,
        }
    }

    /// True where the status code is `STATUS_CODE_ERROR`.
    pub(crate) fn is_error(&self, row: usize) -> bool {
        self.status.get(row) == Some(&STATUS_ERROR)
    }

    /// What it holds in memory, without the contexts that batches share.
    pub(crate) fn memory_bytes(&self) -> usize {
        let fixed = size_of::<TraceId>() + 2 * size_of::<SpanId>() + 3 * size_of::<u64>();
        let numbers = 6 * size_of::<u32>() + size_of::<usize>();
        self.trace_id.capacity() * (fixed + numbers)
            + self.cells.capacity() * size_of::<u64>()
            + self.raw.values().map(|raw| raw.len() + 64).sum::<usize>()
            + self.names.memory_bytes()
            + self
                .columns
                .iter()
                .map(|c| size_of::<Column>() * 2 + c.values.memory_bytes())
                .sum::<usize>()
            + self.shapes.memory_bytes()
    }
}
