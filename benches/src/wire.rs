//! Just enough protobuf to find where values lie: the fields of a message with their places.
//! Bytes in, fields out; nothing is decoded that is not asked for.

/// A field's value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

/// A field: its number, its value, and where the value's own bytes begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Value<'a>,
    pub(crate) at: usize,
    /// Bytes of the value itself.
    pub(crate) len: usize,
}

/// The fields of one message. A damaged message yields `None` in place of its next field and
/// then ends.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    pos: usize,
    /// Where `bytes` begin in the outermost message.
    base: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, pos: 0, base }
    }

    fn read(&mut self) -> Option<Field<'a>> {
        let (tag, pos) = varint(self.bytes, self.pos)?;
        let rest = self.bytes.get(pos..)?;
        let (value, begin, len) = match tag & 7 {
            0 => {
                let (value, end) = varint(self.bytes, pos)?;
                (Value::Varint(value), pos, end - pos)
            }
            1 => (Value::Fixed64(u64::from_le_bytes(*rest.first_chunk()?)), pos, 8),
            2 => {
                let (len, begin) = varint(self.bytes, pos)?;
                let len = usize::try_from(len).ok()?;
                let end = begin.checked_add(len)?;
                (Value::Bytes(self.bytes.get(begin..end)?), begin, len)
            }
            5 => (rest.get(..4).map(|_| Value::Fixed32)?, pos, 4),
            _ => return None,
        };
        self.pos = begin + len;
        Some(Field { number: tag >> 3, value, at: self.base + begin, len })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<Field<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.pos >= self.bytes.len() {
            return None;
        }
        let field = self.read();
        if field.is_none() {
            self.pos = self.bytes.len();
        }
        Some(field)
    }
}

/// The varint at `pos` and where it ends.
pub(crate) fn varint(bytes: &[u8], mut pos: usize) -> Option<(u64, usize)> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(pos)?;
        pos += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value, pos));
        }
    }
    None
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_outermost_message() {
        let message = [0x0a, 0x03, 0x12, 0x01, b'x'];
        let outer = Fields::new(&message, 0).next().unwrap().unwrap();
        let Value::Bytes(inside) = outer.value else { panic!("{outer:?}") };
        let inner = Fields::new(inside, outer.at).next().unwrap().unwrap();
        assert_eq!((inner.number, inner.at, inner.len), (2, 4, 1));
    }

    #[test]
    fn a_cut_message_ends_in_none() {
        let fields: Vec<_> = Fields::new(&[0x08, 0x01, 0x0a, 0x05, b'x'], 0).collect();
        assert_eq!(fields.len(), 2);
        assert!(fields[1].is_none());
    }

    #[test]
    fn varints_round_trip() {
        for value in [0, 127, 128, 300, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(varint(&bytes, 0), Some((value, bytes.len())));
        }
    }
}
