//! One form for equal messages. Two encodings that decode to the same value (fields in another
//! order, defaults written out, long varints, split messages) become the same bytes, so that
//! invariant 8's "equal after decoding" is byte equality everywhere below. Canonical means: known
//! fields ascending, defaults left out, the last of repeated singulars, shortest varints, then
//! unknown fields raw in their order. What SDKs send is canonical already, and [`is_canonical`]
//! says so in one pass without a copy.

use std::borrow::Cow;

use super::schema::{FieldDef, Kind, Message, Presence};
use super::wire::{DEPTH_MAX, Field, Fields, Value, put_tag, put_varint, too_deep, wrong_type};
use crate::error::Result;

/// `bytes` in canonical form, borrowed where they are so already.
///
/// # Errors
/// `Invalid` where they do not decode as `message`.
pub(crate) fn canonical<'a>(bytes: &'a [u8], message: &'static Message) -> Result<Cow<'a, [u8]>> {
    canonical_at(bytes, message, 0)
}

/// [`canonical`] of a message that stands `depth` messages deep.
///
/// # Errors
/// As [`canonical`].
pub(crate) fn canonical_at<'a>(
    bytes: &'a [u8],
    message: &'static Message,
    depth: usize,
) -> Result<Cow<'a, [u8]>> {
    if is_canonical(bytes, message, depth)? {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut out = Vec::with_capacity(bytes.len());
    rewrite(&[bytes], message, &mut out, depth)?;
    Ok(Cow::Owned(out))
}

/// Decodes all of it and tells whether it is canonical.
fn is_canonical(bytes: &[u8], message: &'static Message, depth: usize) -> Result<bool> {
    if depth > DEPTH_MAX {
        return Err(too_deep());
    }
    let mut good = true;
    let mut last = 0;
    let mut unknown_seen = false;
    let mut one_of_seen = false;
    for field in Fields::new(bytes) {
        let field = field?;
        let Some(def) = message.field(field.number) else {
            unknown_seen = true;
            continue;
        };
        let repeated = def.presence == Presence::Repeated;
        let in_order = field.number > last || (repeated && field.number == last);
        let sole = def.presence != Presence::OneOf || !std::mem::replace(&mut one_of_seen, true);
        good &= field.minimal && in_order && sole && !unknown_seen;
        last = field.number;
        good &= value_is_canonical(&field, def, message.name, depth)?;
    }
    Ok(good)
}

fn value_is_canonical(field: &Field<'_>, def: &FieldDef, name: &str, depth: usize) -> Result<bool> {
    let omit_default = def.presence == Presence::Implicit;
    Ok(match (def.kind, field.value) {
        (Kind::Int32, Value::Varint(v)) => v as i32 as i64 as u64 == v && !(omit_default && v == 0),
        (Kind::Uint32, Value::Varint(v)) => u64::from(v as u32) == v && !(omit_default && v == 0),
        (Kind::Int64, Value::Varint(v)) => !(omit_default && v == 0),
        (Kind::Bool, Value::Varint(v)) => v <= 1 && !(omit_default && v == 0),
        (Kind::Fixed64, Value::Fixed64(v)) => !(omit_default && v == 0),
        (Kind::Fixed32, Value::Fixed32(v)) => !(omit_default && v == 0),
        (Kind::Bytes, Value::Bytes(v)) => !(omit_default && v.is_empty()),
        (Kind::Message(inner), Value::Bytes(v)) => is_canonical(v, inner, depth + 1)?,
        _ => return Err(wrong_type(name, field.number)),
    })
}

/// Writes the message that `parts`, concatenated, encode: protobuf merges a message that comes
/// in several pieces.
fn rewrite(
    parts: &[&[u8]],
    message: &'static Message,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(too_deep());
    }
    let mut known: Vec<Field<'_>> = Vec::new();
    let mut unknown = Vec::new();
    for part in parts {
        for field in Fields::new(part) {
            let field = field?;
            match message.field(field.number) {
                Some(_) => known.push(field),
                None => unknown.extend_from_slice(field.raw),
            }
        }
    }
    let winner = one_of_winner(&known, message);
    for def in message.fields {
        let mut values = known.iter().filter(|f| f.number == def.number);
        match def.presence {
            Presence::Repeated => {
                for field in values {
                    write_value(&[field.value], def, message.name, out, depth)?;
                }
            }
            Presence::Explicit => {
                let pieces: Vec<_> = values.map(|f| f.value).collect();
                if !pieces.is_empty() {
                    write_value(&pieces, def, message.name, out, depth)?;
                }
            }
            Presence::Implicit => {
                if let Some(field) = values.next_back() {
                    write_value(&[field.value], def, message.name, out, depth)?;
                }
            }
            Presence::OneOf => {
                if let Some((number, from)) = winner
                    && number == def.number
                {
                    let pieces: Vec<_> = known[from..]
                        .iter()
                        .filter(|f| f.number == number)
                        .map(|f| f.value)
                        .collect();
                    write_value(&pieces, def, message.name, out, depth)?;
                }
            }
        }
    }
    out.extend_from_slice(&unknown);
    Ok(())
}

/// The last member of the `oneof`, and where its uninterrupted run begins: only a run of the
/// same message member merges.
fn one_of_winner(known: &[Field<'_>], message: &'static Message) -> Option<(u32, usize)> {
    let mut winner: Option<(u32, usize)> = None;
    for (index, field) in known.iter().enumerate() {
        let def = message.field(field.number)?;
        if def.presence != Presence::OneOf {
            continue;
        }
        let merges = matches!(def.kind, Kind::Message(_))
            && winner.is_some_and(|(number, _)| number == field.number);
        if !merges {
            winner = Some((field.number, index));
        }
    }
    winner
}

/// Writes one field; several `pieces` only of a message.
fn write_value(
    pieces: &[Value<'_>],
    def: &FieldDef,
    name: &str,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<()> {
    let omit_default = def.presence == Presence::Implicit;
    let Some(&last) = pieces.last() else { return Ok(()) };
    let varint = |value: u64, out: &mut Vec<u8>| {
        if !(omit_default && value == 0) {
            put_tag(out, def.number, 0);
            put_varint(out, value);
        }
    };
    match (def.kind, last) {
        (Kind::Int32, Value::Varint(v)) => varint(v as i32 as i64 as u64, out),
        (Kind::Uint32, Value::Varint(v)) => varint(u64::from(v as u32), out),
        (Kind::Int64, Value::Varint(v)) => varint(v, out),
        (Kind::Bool, Value::Varint(v)) => varint(u64::from(v != 0), out),
        (Kind::Fixed64, Value::Fixed64(v)) => {
            if !(omit_default && v == 0) {
                put_tag(out, def.number, 1);
                out.extend_from_slice(&v.to_le_bytes());
            }
        }
        (Kind::Fixed32, Value::Fixed32(v)) => {
            if !(omit_default && v == 0) {
                put_tag(out, def.number, 5);
                out.extend_from_slice(&v.to_le_bytes());
            }
        }
        (Kind::Bytes, Value::Bytes(v)) => {
            if !(omit_default && v.is_empty()) {
                super::wire::put_bytes(out, def.number, v);
            }
        }
        (Kind::Message(inner), Value::Bytes(_)) => {
            let mut parts = Vec::with_capacity(pieces.len());
            for piece in pieces {
                match piece {
                    Value::Bytes(bytes) => parts.push(*bytes),
                    _ => return Err(wrong_type(name, def.number)),
                }
            }
            let mut body = Vec::new();
            rewrite(&parts, inner, &mut body, depth + 1)?;
            super::wire::put_bytes(out, def.number, &body);
        }
        _ => return Err(wrong_type(name, def.number)),
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
