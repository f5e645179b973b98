//! Thrift's compact protocol, as far as Parquet's metadata needs it: a walk over fields that finds
//! some and skips all else, and neither allocates nor recurses by what the bytes say.
//!
//! Source: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

use super::blob::{Cursor, Parsed};

/// i16, i32 and i64.
pub(super) const INTS: std::ops::RangeInclusive<u8> = 4..=6;
pub(super) const BINARY: u8 = 8;
pub(super) const STRUCT: u8 = 12;
/// Parquet nests its metadata about eight deep.
const DEPTH_MAX: usize = 32;

/// An integer of any width.
pub(super) fn int(cursor: &mut Cursor<'_>) -> Parsed<i64> {
    let zigzag = cursor.varint()?;
    Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
}

/// The next field's type, its number in `field`; `None` at the end of the struct.
pub(super) fn next_field(cursor: &mut Cursor<'_>, field: &mut i64) -> Parsed<Option<u8>> {
    let head = cursor.u8()?;
    if head == 0 {
        return Ok(None);
    }
    match head >> 4 {
        0 => *field = int(cursor)?,
        delta => *field = field.saturating_add(i64::from(delta)),
    }
    Ok(Some(head & 15))
}

/// Number and type of a list's elements.
pub(super) fn list_header(cursor: &mut Cursor<'_>) -> Parsed<(usize, u8)> {
    let head = cursor.u8()?;
    let kind = head & 15;
    match head >> 4 {
        15 => Ok((cursor.count(1)?, kind)),
        count => Ok((usize::from(count), kind)),
    }
}

/// Passes over a value.
pub(super) fn skip(cursor: &mut Cursor<'_>, kind: u8) -> Parsed<()> {
    skip_at(cursor, kind, 0)
}

fn skip_at(cursor: &mut Cursor<'_>, kind: u8, depth: usize) -> Parsed<()> {
    if depth > DEPTH_MAX {
        return Err("its metadata is nested too deep");
    }
    match kind {
        // A field's boolean lies in its type.
        1 | 2 => {}
        3 => drop(cursor.u8()?),
        4..=6 => drop(cursor.varint()?),
        7 => drop(cursor.u64()?),
        BINARY => drop(cursor.bytes()?),
        9 | 10 => {
            let (count, kind) = list_header(cursor)?;
            for _ in 0..count {
                // In a list a boolean takes a byte.
                skip_at(cursor, if kind <= 2 { 3 } else { kind }, depth + 1)?;
            }
        }
        STRUCT => {
            let mut field = 0;
            while let Some(kind) = next_field(cursor, &mut field)? {
                skip_at(cursor, kind, depth + 1)?;
            }
        }
        _ => return Err("its metadata is not Thrift as Parquet uses it"),
    }
    Ok(())
}
