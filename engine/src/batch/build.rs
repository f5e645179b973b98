//! Rows into a batch, cell by cell, in the order of canonical OTLP. A row is opened by its first
//! cell and closed by its fixed columns, or abandoned. Whether the order is right is the caller's
//! business; a row out of order comes back out of order.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

use super::column::{Column, Field, Level, Type, Values, What};
use super::{Batch, EMPTY};
use crate::span::{ResourceContext, ScopeContext, SpanId, TraceId};

/// The fixed columns of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fixed<'a> {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    /// Zero where there is none.
    pub(crate) parent: SpanId,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) kind: i32,
    pub(crate) status: i32,
    pub(crate) name: &'a [u8],
    pub(crate) resource: u32,
    pub(crate) scope: u32,
    pub(crate) sequence: u64,
}

/// An attribute's value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    String(&'a [u8]),
    Bool(bool),
    Int(i64),
    /// Bits, so that every NaN comes back.
    Double(u64),
    Bytes(&'a [u8]),
    /// Canonical bytes of the `AnyValue`.
    Other(&'a [u8]),
    Empty,
    Missing,
}

impl Value<'_> {
    fn kind(self) -> Type {
        match self {
            Self::String(_) => Type::String,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Double(_) => Type::Double,
            Self::Bytes(_) => Type::Bytes,
            Self::Other(_) => Type::Other,
            Self::Empty => Type::Empty,
            Self::Missing => Type::Missing,
        }
    }
}

/// Where columns and contexts are found again, and the row that is being built.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    columns: HashMap<What, u32>,
    resources: ByAddress,
    scopes: ByAddress,
    /// The shape so far of the row that is open.
    node: u32,
}

/// Numbers of contexts by address; the batch keeps what stands there alive.
type ByAddress = HashMap<usize, u32>;

fn number_of<T>(context: &Arc<T>, all: &mut Vec<Arc<T>>, known: &mut ByAddress) -> u32 {
    let next = all.len() as u32;
    let number = *known.entry(Arc::as_ptr(context).addr()).or_insert(next);
    if number == next {
        all.push(Arc::clone(context));
    }
    number
}

impl Batch {
    /// The number of the column of `what`, which is added where it is new.
    pub(crate) fn column(&mut self, what: &What) -> u32 {
        if let Some(&column) = self.lookup.columns.get(what) {
            return column;
        }
        let column = self.columns.len() as u32;
        self.columns.push(Column { what: what.clone(), values: Values::default() });
        self.lookup.columns.insert(what.clone(), column);
        column
    }

    /// The number of a resource, which is added where it is new.
    pub(crate) fn add_resource(&mut self, resource: &Arc<ResourceContext>) -> u32 {
        number_of(resource, &mut self.resources, &mut self.lookup.resources)
    }

    /// The number of a scope, which is added where it is new.
    pub(crate) fn add_scope(&mut self, scope: &Arc<ScopeContext>) -> u32 {
        number_of(scope, &mut self.scopes, &mut self.lookup.scopes)
    }

    /// Adds an attribute to the open row.
    pub(crate) fn push_attribute(&mut self, level: Level, key: &[u8], value: Value<'_>) {
        let kind = value.kind();
        let column = match self.next_column(|what| what.is_attribute(level, key, kind)) {
            Some(column) => column,
            None => {
                let key = Bytes::copy_from_slice(key);
                self.step(&What::Attribute { level, key, kind })
            }
        };
        match value {
            Value::String(v) | Value::Bytes(v) | Value::Other(v) => self.push_text(column, v),
            Value::Bool(v) => self.cells.push(v.into()),
            Value::Int(v) => self.cells.push(v as u64),
            Value::Double(bits) => self.cells.push(bits),
            Value::Empty | Value::Missing => self.cells.push(0),
        }
    }

    /// Adds a field that is a number, or a marker with 0.
    pub(crate) fn push_field(&mut self, field: Field, value: u64) {
        self.field_column(field);
        self.cells.push(value);
    }

    /// Adds a field that is a string.
    pub(crate) fn push_field_text(&mut self, field: Field, value: &[u8]) {
        let column = self.field_column(field);
        self.push_text(column, value);
    }

    fn field_column(&mut self, field: Field) -> u32 {
        match self.next_column(|what| *what == What::Field(field)) {
            Some(column) => column,
            None => self.step(&What::Field(field)),
        }
    }

    /// Takes the step that the last row took from here, where that is the right one.
    fn next_column(&mut self, is_it: impl Fn(&What) -> bool) -> Option<u32> {
        let (child, column) = self.shapes.recent(self.lookup.node)?;
        if !is_it(&self.columns.get(column as usize)?.what) {
            return None;
        }
        self.lookup.node = child;
        Some(column)
    }

    fn step(&mut self, what: &What) -> u32 {
        let column = self.column(what);
        self.lookup.node = self.shapes.child(self.lookup.node, column);
        column
    }

    fn push_text(&mut self, column: u32, text: &[u8]) {
        let number = self.columns.get_mut(column as usize).map_or(0, |c| c.values.intern(text));
        self.cells.push(number.into());
    }

    /// Cells of all rows, the open one included.
    pub(crate) fn all_cells(&self) -> usize {
        self.cells.len()
    }

    /// Closes the open row. `raw` is its canonical message where cells cannot give it back.
    pub(crate) fn close_row(&mut self, fixed: &Fixed<'_>, raw: Option<Bytes>) {
        let shape = self.shapes.finish(self.lookup.node);
        self.lookup.node = EMPTY;
        if let Some(raw) = raw {
            self.raw.insert(self.trace_id.len() as u32, raw);
        }
        let name = self.names.intern(fixed.name);
        self.push_fixed(fixed, name, shape);
    }

    /// Forgets the open row.
    pub(crate) fn abandon_row(&mut self) {
        self.cells.truncate(self.cell_ends.last().copied().unwrap_or(0));
        self.lookup.node = EMPTY;
    }

    pub(super) fn push_fixed(&mut self, fixed: &Fixed<'_>, name: u32, shape: u32) {
        self.trace_id.push(fixed.trace_id);
        self.span_id.push(fixed.span_id);
        self.parent.push(fixed.parent);
        self.start.push(fixed.start);
        self.end.push(fixed.end);
        self.kind.push(fixed.kind);
        self.status.push(fixed.status);
        self.name.push(name);
        self.resource.push(fixed.resource);
        self.scope.push(fixed.scope);
        self.sequence.push(fixed.sequence);
        self.shape.push(shape);
        self.cell_ends.push(self.cells.len());
    }

    /// For readers of segments, which know shapes and cells as they stand in the file: adds the
    /// shape and the cells of the next row. Fixed columns are filled apart.
    pub(crate) fn push_cells(&mut self, shape: u32, cells: impl IntoIterator<Item = u64>) {
        self.shape.push(shape);
        self.cells.extend(cells);
        self.cell_ends.push(self.cells.len());
    }
}
