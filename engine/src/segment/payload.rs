//! Takes the canonical OTLP `Span` message apart into what columns hold and the rest, and puts it
//! together again byte for byte. What [`take_apart`] cannot promise to bring back it declines, and
//! the message is then stored whole: no byte is ever lost, whatever the message looks like.
//!
//! Canonical (see [`crate::otlp`]): fields ascending, defaults left out, shortest varints. The
//! rest is field 3 (trace state) where it stands, and everything from field 9 on.

use bytes::{BufMut, Bytes, BytesMut};

use crate::span::{SpanId, SpanRow, TraceId};

const TRACE_ID: [u8; 2] = [1 << 3 | 2, 16];
const SPAN_ID: [u8; 2] = [2 << 3 | 2, 8];
const TRACE_STATE: u8 = 3 << 3 | 2;
const PARENT: [u8; 2] = [4 << 3 | 2, 8];
const NAME: u8 = 5 << 3 | 2;
const KIND: u8 = 6 << 3;
const START: u8 = 7 << 3 | 1;
const END: u8 = 8 << 3 | 1;

/// What a message holds beside the fields of its row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Apart {
    /// Field 4 as sent: eight zeros are no parent to the row, but are bytes to bring back.
    pub(super) parent: Option<SpanId>,
    pub(super) rest: Bytes,
}

/// The fields a message is rebuilt from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed<'a> {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) name: &'a [u8],
    pub(super) kind: i32,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// `None` where [`put_together`] would not give back `row.span`.
pub(super) fn take_apart(row: &SpanRow) -> Option<Apart> {
    let span = &row.span;
    let tail = strip_ids(span, row)?;
    let state = trace_state_length(tail)?;
    let (trace_state, tail) = tail.split_at_checked(state)?;
    let (parent, tail) = strip_parent(tail, row.parent)?;
    let tail = strip_times(strip_name_and_kind(tail, row)?, row)?;
    if trace_state.is_empty() {
        if tail.first() == Some(&TRACE_STATE) {
            return None;
        }
        return Some(Apart { parent, rest: span.slice(span.len() - tail.len()..) });
    }
    Some(Apart { parent, rest: [trace_state, tail].concat().into() })
}

/// The message again, or `None` where `rest` did not come from [`take_apart`].
pub(super) fn put_together(fixed: &Fixed<'_>, rest: &[u8]) -> Option<Bytes> {
    let (trace_state, tail) = rest.split_at_checked(trace_state_length(rest)?)?;
    // Ids, times and tags take at most 80 bytes.
    let mut out = BytesMut::with_capacity(80 + fixed.name.len() + rest.len());
    out.put_slice(&TRACE_ID);
    out.put_slice(&fixed.trace_id.0);
    out.put_slice(&SPAN_ID);
    out.put_slice(&fixed.span_id.0);
    out.put_slice(trace_state);
    if let Some(parent) = fixed.parent {
        out.put_slice(&PARENT);
        out.put_slice(&parent.0);
    }
    if !fixed.name.is_empty() {
        out.put_u8(NAME);
        put_varint(&mut out, fixed.name.len() as u64);
        out.put_slice(fixed.name);
    }
    if fixed.kind != 0 {
        out.put_u8(KIND);
        put_varint(&mut out, fixed.kind as i64 as u64);
    }
    for (tag, time) in [(START, fixed.start), (END, fixed.end)] {
        if time != 0 {
            out.put_u8(tag);
            out.put_u64_le(time);
        }
    }
    out.put_slice(tail);
    Some(out.freeze())
}

fn strip_ids<'a>(span: &'a [u8], row: &SpanRow) -> Option<&'a [u8]> {
    span.strip_prefix(&TRACE_ID)?
        .strip_prefix(&row.trace_id.0)?
        .strip_prefix(&SPAN_ID)?
        .strip_prefix(&row.span_id.0)
}

/// Bytes that field 3 takes at the head of `bytes`: 0 where something else stands there, `None`
/// where it does not end inside.
fn trace_state_length(bytes: &[u8]) -> Option<usize> {
    let Some(after) = bytes.strip_prefix(&[TRACE_STATE]) else { return Some(0) };
    let mut length = 0usize;
    for (index, &byte) in after.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let whole = 1 + index + 1 + length;
            return (whole <= bytes.len()).then_some(whole);
        }
    }
    None
}

fn strip_parent(tail: &[u8], parent: Option<SpanId>) -> Option<(Option<SpanId>, &[u8])> {
    let zeros = SpanId::default();
    let strip = |id: SpanId| tail.strip_prefix(&PARENT)?.strip_prefix(&id.0);
    match parent {
        // Zeros are not a parent, so a row that claims them reads back differently.
        Some(id) if id == zeros => None,
        Some(id) => Some((Some(id), strip(id)?)),
        None => Some(strip(zeros).map_or((None, tail), |tail| (Some(zeros), tail))),
    }
}

fn strip_name_and_kind<'a>(mut tail: &'a [u8], row: &SpanRow) -> Option<&'a [u8]> {
    let mut varint = BytesMut::with_capacity(10);
    if !row.name.is_empty() {
        put_varint(&mut varint, row.name.len() as u64);
        tail =
            tail.strip_prefix(&[NAME])?.strip_prefix(&varint[..])?.strip_prefix(&row.name[..])?;
    }
    if row.kind != 0 {
        varint.clear();
        put_varint(&mut varint, row.kind as i64 as u64);
        tail = tail.strip_prefix(&[KIND])?.strip_prefix(&varint[..])?;
    }
    Some(tail)
}

fn strip_times<'a>(mut tail: &'a [u8], row: &SpanRow) -> Option<&'a [u8]> {
    for (tag, time) in [(START, row.start), (END, row.end)] {
        if time != 0 {
            tail = tail.strip_prefix(&[tag])?.strip_prefix(&time.to_le_bytes())?;
        }
    }
    Some(tail)
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}
