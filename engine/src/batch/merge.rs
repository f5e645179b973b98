//! Rows from one batch into another: numbers are translated, strings looked up once each. So
//! head chunks are merged.

use super::{Batch, EMPTY, Fixed};
use crate::span::SpanId;

const UNKNOWN: u32 = u32::MAX;

/// What numbers of one source batch are called in one target batch; filled as they are met.
#[derive(Debug, Default)]
pub(crate) struct Remap {
    columns: Vec<u32>,
    shapes: Vec<u32>,
    names: Vec<u32>,
    resources: Vec<u32>,
    scopes: Vec<u32>,
    /// Per column of the source.
    values: Vec<Vec<u32>>,
}

fn known(table: &[u32], number: u32) -> Option<u32> {
    table.get(number as usize).copied().filter(|&n| n != UNKNOWN)
}

fn learn(table: &mut Vec<u32>, number: u32, is: u32) -> u32 {
    let index = number as usize;
    if table.len() <= index {
        table.resize(index + 1, UNKNOWN);
    }
    if let Some(slot) = table.get_mut(index) {
        *slot = is;
    }
    is
}

impl Batch {
    /// Makes room for the fixed columns of `rows` rows.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.trace_id.reserve_exact(rows);
        self.span_id.reserve_exact(rows);
        self.parent.reserve_exact(rows);
        self.start.reserve_exact(rows);
        self.end.reserve_exact(rows);
        self.kind.reserve_exact(rows);
        self.status.reserve_exact(rows);
        self.name.reserve_exact(rows);
        self.resource.reserve_exact(rows);
        self.scope.reserve_exact(rows);
        self.sequence.reserve_exact(rows);
        self.shape.reserve_exact(rows);
        self.cell_ends.reserve_exact(rows);
    }

    /// Adds a row of `source`, a full batch. `remap` belongs to this pair of batches.
    pub(crate) fn append(&mut self, source: &Batch, row: usize, remap: &mut Remap) {
        let (columns, cells) = source.shape_and_cells(row);
        for (&column, &cell) in columns.iter().zip(cells) {
            let cell = self.translate(source, column, cell, remap);
            self.cells.push(cell);
        }
        let shape = source.shape.get(row).copied().unwrap_or(EMPTY);
        let shape = match known(&remap.shapes, shape) {
            Some(shape) => shape,
            None => {
                let ours: Vec<u32> =
                    columns.iter().map(|c| known(&remap.columns, *c).unwrap_or_default()).collect();
                learn(&mut remap.shapes, shape, self.shapes.intern(&ours))
            }
        };
        if let Some(raw) = source.raw.get(&(row as u32)) {
            self.raw.insert(self.trace_id.len() as u32, raw.clone());
        }
        self.append_fixed(source, row, shape, remap);
    }

    fn translate(&mut self, source: &Batch, column: u32, cell: u64, remap: &mut Remap) -> u64 {
        let Some(theirs) = source.columns.get(column as usize) else { return cell };
        let ours = match known(&remap.columns, column) {
            Some(ours) => ours,
            None => learn(&mut remap.columns, column, self.column(&theirs.what)),
        };
        if !theirs.what.is_textual() {
            return cell;
        }
        let index = column as usize;
        if remap.values.len() <= index {
            remap.values.resize_with(index + 1, Vec::new);
        }
        let Some(values) = remap.values.get_mut(index) else { return cell };
        let number = cell as u32;
        match known(values, number) {
            Some(ours) => ours.into(),
            None => {
                let Some(column) = self.columns.get_mut(ours as usize) else { return cell };
                learn(values, number, column.values.intern(theirs.values.get(number))).into()
            }
        }
    }

    fn append_fixed(&mut self, source: &Batch, row: usize, shape: u32, remap: &mut Remap) {
        let at = |numbers: &[u32]| numbers.get(row).copied().unwrap_or_default();
        let time = |times: &[u64]| times.get(row).copied().unwrap_or_default();
        let id = |ids: &[SpanId]| ids.get(row).copied().unwrap_or_default();
        let resource = at(&source.resource);
        let resource = match (known(&remap.resources, resource), source.resource(row)) {
            (Some(ours), _) => ours,
            (None, Some(context)) => {
                learn(&mut remap.resources, resource, self.add_resource(context))
            }
            (None, None) => 0,
        };
        let scope = at(&source.scope);
        let scope = match (known(&remap.scopes, scope), source.scope(row)) {
            (Some(ours), _) => ours,
            (None, Some(context)) => learn(&mut remap.scopes, scope, self.add_scope(context)),
            (None, None) => 0,
        };
        let name = at(&source.name);
        let name = match known(&remap.names, name) {
            Some(ours) => ours,
            None => learn(&mut remap.names, name, self.names.intern(source.names.get(name))),
        };
        let fixed = Fixed {
            trace_id: source.trace_id.get(row).copied().unwrap_or_default(),
            span_id: id(&source.span_id),
            parent: id(&source.parent),
            start: time(&source.start),
            end: time(&source.end),
            kind: source.kind.get(row).copied().unwrap_or_default(),
            status: source.status.get(row).copied().unwrap_or_default(),
            name: b"",
            resource,
            scope,
            sequence: time(&source.sequence),
        };
        self.push_fixed(&fixed, name, shape);
    }
}
