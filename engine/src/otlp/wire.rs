//! Protobuf's wire, read and written by hand. Accepts what `prost` accepts (tags, varints of up
//! to ten bytes, groups skipped as unknown) and refuses what it refuses. Bytes in, fields out;
//! no schema, no allocation that the input's length does not bound.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use crate::error::{Error, Result};

/// Deepest nesting of messages, as in `prost` and the official parsers.
pub(crate) const DEPTH_MAX: usize = 100;

/// A field's value as the wire carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    /// A group, skipped: always unknown to us.
    Group,
}

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: Value<'a>,
    /// Tag and value as they stand in the message.
    pub(crate) raw: &'a [u8],
    /// False where tag, length or varint is longer than it need be.
    pub(crate) minimal: bool,
}

impl<'a> Field<'a> {
    /// The bytes of a length-delimited field.
    pub(crate) fn bytes(&self, what: &str) -> Result<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(wrong_type(what, self.number)),
        }
    }
}

pub(crate) fn wrong_type(what: &str, number: u32) -> Error {
    Error::invalid(format!("{what}: field {number} has the wrong wire type; is this OTLP traces?"))
}

/// The fields of a message, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn truncated(&self) -> Error {
        Error::invalid(format!("protobuf ends in the middle of a field at byte {}", self.at))
    }

    /// A varint and whether it is as short as it can be.
    #[inline]
    fn varint(&mut self) -> Result<(u64, bool)> {
        // Nearly all tags and lengths.
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok((u64::from(byte), true))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<(u64, bool)> {
        let mut value = 0u64;
        for index in 0..10 {
            let Some(&byte) = self.bytes.get(self.at) else { return Err(self.truncated()) };
            self.at += 1;
            // The tenth byte holds the one bit that is left.
            if index == 9 && byte > 1 {
                return Err(Error::invalid(format!("varint over 64 bits at byte {}", self.at)));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok((value, byte != 0 || index == 0));
            }
        }
        Err(Error::invalid(format!("varint over ten bytes at byte {}", self.at)))
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match usize::try_from(length).ok().and_then(|n| rest.get(..n)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => Err(self.truncated()),
        }
    }

    #[inline]
    fn tag(&mut self) -> Result<(u32, u8, bool)> {
        let (key, minimal) = self.varint()?;
        let key = u32::try_from(key)
            .map_err(|_| Error::invalid(format!("field key {key} at byte {}", self.at)))?;
        let (number, wire_type) = (key >> 3, (key & 7) as u8);
        if number == 0 || wire_type > 5 {
            return Err(Error::invalid(format!("invalid field key {key} at byte {}", self.at)));
        }
        Ok((number, wire_type, minimal))
    }

    #[inline]
    fn value(&mut self, wire_type: u8, number: u32, depth: usize) -> Result<(Value<'a>, bool)> {
        Ok(match wire_type {
            0 => {
                let (value, minimal) = self.varint()?;
                (Value::Varint(value), minimal)
            }
            1 => {
                let bytes = self.take(8)?.try_into().map_err(|_| self.truncated())?;
                (Value::Fixed64(u64::from_le_bytes(bytes)), true)
            }
            2 => {
                let (length, minimal) = self.varint()?;
                (Value::Bytes(self.take(length)?), minimal)
            }
            3 => {
                self.skip_group(number, depth)?;
                (Value::Group, true)
            }
            5 => {
                let bytes = self.take(4)?.try_into().map_err(|_| self.truncated())?;
                (Value::Fixed32(u32::from_le_bytes(bytes)), true)
            }
            _ => {
                return Err(Error::invalid(format!("group end without start at byte {}", self.at)));
            }
        })
    }

    fn skip_group(&mut self, number: u32, depth: usize) -> Result<()> {
        if depth >= DEPTH_MAX {
            return Err(too_deep());
        }
        loop {
            let (inner, wire_type, _) = self.tag()?;
            if wire_type == 4 {
                if inner != number {
                    return Err(Error::invalid(format!("group {number} ends as group {inner}")));
                }
                return Ok(());
            }
            self.value(wire_type, inner, depth + 1)?;
        }
    }

    #[inline]
    fn read(&mut self) -> Result<Field<'a>> {
        // Short strings and messages of low numbers are nearly all of OTLP.
        if let Some([tag @ 8..0x80, length @ ..0x80, ..]) = self.bytes.get(self.at..)
            && tag & 7 == 2
            && let end = self.at + 2 + usize::from(*length)
            && let Some(value) = self.bytes.get(self.at + 2..end)
        {
            let raw = self.bytes.get(self.at..end).unwrap_or_default();
            self.at = end;
            return Ok(Field {
                number: u32::from(tag >> 3),
                value: Value::Bytes(value),
                raw,
                minimal: true,
            });
        }
        self.read_any()
    }

    fn read_any(&mut self) -> Result<Field<'a>> {
        let offset = self.at;
        let (number, wire_type, short_tag) = self.tag()?;
        let (value, short_value) = self.value(wire_type, number, 0)?;
        let raw = self.bytes.get(offset..self.at).unwrap_or_default();
        Ok(Field { number, value, raw, minimal: short_tag && short_value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.at = self.bytes.len();
        }
        Some(field)
    }
}

pub(crate) fn too_deep() -> Error {
    Error::invalid(format!("messages are nested deeper than {DEPTH_MAX}"))
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes a varint takes.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    put_varint(out, u64::from(number << 3 | wire_type));
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
