//! A row back into the canonical OTLP `Span` message, byte for byte (see `otlp::canonical`):
//! fields ascending, defaults left out, shortest varints. Reads cells in the order in which they
//! were pushed.

use super::Batch;
use super::column::{Field, Level, Type, What};
use crate::otlp::wire::{put_bytes, put_tag, put_varint, varint_len};
use crate::span::SpanId;

impl Batch {
    /// Appends the row's canonical `Span` message.
    pub(crate) fn write_span(&self, row: usize, out: &mut Vec<u8>) {
        if let Some(raw) = self.raw.get(&(row as u32)) {
            out.extend_from_slice(raw);
            return;
        }
        let (columns, cells) = self.shape_and_cells(row);
        let mut cells = Cells { batch: self, columns, cells };
        let id = |ids: &[SpanId]| ids.get(row).copied().unwrap_or_default();
        if let Some(trace_id) = self.trace_id.get(row) {
            put_bytes(out, 1, &trace_id.0);
        }
        put_bytes(out, 2, &id(&self.span_id).0);
        cells.text_field(Field::TraceState, 3, out);
        let parent = id(&self.parent);
        let zero_parent = cells.take(Field::ZeroParent).is_some();
        if zero_parent || parent != SpanId::default() {
            put_bytes(out, 4, &parent.0);
        }
        put_nonempty(out, 5, self.name(row));
        let kind = self.kind.get(row).copied().unwrap_or_default();
        put_number(out, 6, kind as i64 as u64);
        put_fixed64(out, 7, self.start.get(row).copied().unwrap_or_default());
        put_fixed64(out, 8, self.end.get(row).copied().unwrap_or_default());
        cells.attributes(Level::Span, 9, out);
        cells.number_field(Field::DroppedAttributes, 10, out);
        let start = self.start.get(row).copied().unwrap_or_default();
        let mut body = Vec::new();
        while let Some(since) = cells.take(Field::EventTime) {
            body.clear();
            put_fixed64(&mut body, 1, start.wrapping_add(since));
            cells.text_field(Field::EventName, 2, &mut body);
            cells.attributes(Level::Event, 3, &mut body);
            cells.number_field(Field::EventDropped, 4, &mut body);
            put_bytes(out, 11, &body);
        }
        cells.number_field(Field::DroppedEvents, 12, out);
        while cells.next_is(Field::LinkTraceId) {
            body.clear();
            cells.text_field(Field::LinkTraceId, 1, &mut body);
            cells.text_field(Field::LinkSpanId, 2, &mut body);
            cells.text_field(Field::LinkTraceState, 3, &mut body);
            cells.attributes(Level::Link, 4, &mut body);
            cells.number_field(Field::LinkDropped, 5, &mut body);
            cells.fixed32_field(Field::LinkFlags, 6, &mut body);
            put_bytes(out, 13, &body);
        }
        cells.number_field(Field::DroppedLinks, 14, out);
        if cells.take(Field::Status).is_some() {
            body.clear();
            cells.text_field(Field::StatusMessage, 2, &mut body);
            let code = self.status.get(row).copied().unwrap_or_default();
            put_number(&mut body, 3, code as i64 as u64);
            put_bytes(out, 15, &body);
        }
        cells.fixed32_field(Field::Flags, 16, out);
    }
}

/// The cells of a row that are still to be written.
struct Cells<'a> {
    batch: &'a Batch,
    columns: &'a [u32],
    cells: &'a [u64],
}

impl<'a> Cells<'a> {
    fn peek(&self) -> Option<(&'a What, u32, u64)> {
        let (&column, &cell) = (self.columns.first()?, self.cells.first()?);
        Some((self.batch.what(column)?, column, cell))
    }

    fn advance(&mut self) {
        self.columns = self.columns.get(1..).unwrap_or_default();
        self.cells = self.cells.get(1..).unwrap_or_default();
    }

    fn next_is(&self, field: Field) -> bool {
        matches!(self.peek(), Some((What::Field(next), ..)) if *next == field)
    }

    /// The next cell where it is of this field.
    fn take(&mut self, field: Field) -> Option<u64> {
        let (what, _, cell) = self.peek()?;
        if *what != What::Field(field) {
            return None;
        }
        self.advance();
        Some(cell)
    }

    fn text_field(&mut self, field: Field, number: u32, out: &mut Vec<u8>) {
        if let Some((What::Field(next), column, cell)) = self.peek()
            && *next == field
        {
            put_nonempty(out, number, self.batch.text(column, cell));
            self.advance();
        }
    }

    fn number_field(&mut self, field: Field, number: u32, out: &mut Vec<u8>) {
        if let Some(value) = self.take(field) {
            put_number(out, number, value);
        }
    }

    fn fixed32_field(&mut self, field: Field, number: u32, out: &mut Vec<u8>) {
        if let Some(value) = self.take(field) {
            put_tag(out, number, 5);
            out.extend_from_slice(&(value as u32).to_le_bytes());
        }
    }

    /// All attributes of this level that come next, as `KeyValue` fields.
    fn attributes(&mut self, wanted: Level, number: u32, out: &mut Vec<u8>) {
        while let Some((What::Attribute { level, key, kind }, column, cell)) = self.peek() {
            if *level != wanted {
                return;
            }
            key_value(out, number, key, *kind, self.batch.text(column, cell), cell);
            self.advance();
        }
    }
}

/// A `KeyValue` message as field `number`.
fn key_value(out: &mut Vec<u8>, number: u32, key: &[u8], kind: Type, text: &[u8], cell: u64) {
    let framed = |length: usize| 1 + varint_len(length as u64) + length;
    let value = match kind {
        Type::String | Type::Bytes => framed(text.len()),
        Type::Other => text.len(),
        Type::Bool => 2,
        Type::Int => 1 + varint_len(cell),
        Type::Double => 9,
        Type::Empty | Type::Missing => 0,
    };
    let key_length = if key.is_empty() { 0 } else { framed(key.len()) };
    let value_length = if kind == Type::Missing { 0 } else { framed(value) };
    put_tag(out, number, 2);
    put_varint(out, (key_length + value_length) as u64);
    put_nonempty(out, 1, key);
    if kind == Type::Missing {
        return;
    }
    put_tag(out, 2, 2);
    put_varint(out, value as u64);
    match kind {
        Type::String => put_bytes(out, 1, text),
        Type::Bytes => put_bytes(out, 7, text),
        Type::Other => out.extend_from_slice(text),
        Type::Bool => out.extend_from_slice(&[2 << 3, u8::from(cell != 0)]),
        Type::Int => {
            put_tag(out, 3, 0);
            put_varint(out, cell);
        }
        Type::Double => {
            put_tag(out, 4, 1);
            out.extend_from_slice(&cell.to_le_bytes());
        }
        Type::Empty | Type::Missing => {}
    }
}

fn put_nonempty(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_bytes(out, number, bytes);
    }
}

fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_tag(out, number, 0);
        put_varint(out, value);
    }
}

fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_tag(out, number, 1);
        out.extend_from_slice(&value.to_le_bytes());
    }
}
