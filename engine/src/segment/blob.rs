//! The container of our index inside a segment file: numbered parts, each plain or zstd, behind a
//! small table. Values go in through `put_*` and come out through [`Cursor`], which checks every
//! bound. The checksum over the whole blob lies in the file's footer and is checked before this
//! module sees a byte; what is refused here is a bug or a forgery, so messages are short.

use std::io::Read;

use bytes::Bytes;

use super::SEGMENT_FORMAT;

const MAGIC: &[u8; 8] = b"SPANLAKE";
const ZSTD_LEVEL: i32 = 3;
/// Magic, format, number of parts.
const HEAD_BYTES: usize = 16;
/// Kind, coding, stored length, plain length.
const ENTRY_BYTES: usize = 24;

/// What a reader of a blob says when it cannot go on; the caller names the file.
pub(super) type Parsed<T> = Result<T, &'static str>;

/// The parts of a blob, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Facts = 1,
    Pages = 2,
    Blocks = 3,
    Columns = 4,
    Shapes = 5,
    Resources = 6,
    Scopes = 7,
    Contexts = 8,
    Operations = 9,
    Directory = 10,
    Terms = 11,
    Calls = 12,
    Rates = 13,
}

/// Collects parts.
#[derive(Debug, Default)]
pub(super) struct Writer {
    table: Vec<u8>,
    body: Vec<u8>,
    parts: u32,
}

impl Writer {
    /// Adds a part as it is, for bytes that do not compress.
    pub(super) fn plain(&mut self, part: Part, bytes: &[u8]) {
        self.entry(part, 0, bytes.len(), bytes);
    }

    /// Adds a part compressed.
    pub(super) fn packed(&mut self, part: Part, bytes: &[u8]) -> std::io::Result<()> {
        let packed = pack(bytes)?;
        self.entry(part, 1, bytes.len(), &packed);
        Ok(())
    }

    fn entry(&mut self, part: Part, coding: u32, plain: usize, stored: &[u8]) {
        put_u32(&mut self.table, part as u32);
        put_u32(&mut self.table, coding);
        put_u64(&mut self.table, stored.len() as u64);
        put_u64(&mut self.table, plain as u64);
        self.body.extend_from_slice(stored);
        self.parts += 1;
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.table.len() + self.body.len());
        out.extend_from_slice(MAGIC);
        put_u32(&mut out, SEGMENT_FORMAT);
        put_u32(&mut out, self.parts);
        out.extend_from_slice(&self.table);
        out.extend_from_slice(&self.body);
        out
    }
}

/// A blob whose table was read.
#[derive(Debug)]
pub(super) struct Blob {
    parts: Vec<Stored>,
}

#[derive(Debug)]
struct Stored {
    kind: u32,
    coding: u32,
    plain: u64,
    bytes: Bytes,
}

impl Blob {
    pub(super) fn parse(bytes: &Bytes) -> Parsed<Blob> {
        let mut head = Cursor::new(bytes);
        if head.take(MAGIC.len())? != MAGIC || head.u32()? != SEGMENT_FORMAT {
            return Err("the index does not begin as one");
        }
        let count = head.u32()? as usize;
        let mut at = count
            .checked_mul(ENTRY_BYTES)
            .and_then(|table| table.checked_add(HEAD_BYTES))
            .filter(|&at| at <= bytes.len())
            .ok_or("the index lists more parts than it has room for")?;
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            let (kind, coding, stored, plain) =
                (head.u32()?, head.u32()?, head.u64()?, head.u64()?);
            let end = usize::try_from(stored)
                .ok()
                .and_then(|stored| at.checked_add(stored))
                .filter(|&end| end <= bytes.len())
                .ok_or("a part of the index ends outside it")?;
            parts.push(Stored { kind, coding, plain, bytes: bytes.slice(at..end) });
            at = end;
        }
        if at != bytes.len() {
            return Err("the index is longer than its parts");
        }
        Ok(Blob { parts })
    }

    /// Number and stored length of each part.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> impl Iterator<Item = (u32, usize)> {
        self.parts.iter().map(|part| (part.kind, part.bytes.len()))
    }

    /// A part's plain bytes.
    pub(super) fn part(&self, part: Part) -> Parsed<Bytes> {
        self.part_if_there(part)?.ok_or("a part of the index lacks")
    }

    /// The same of a part that older files lack.
    pub(super) fn part_if_there(&self, part: Part) -> Parsed<Option<Bytes>> {
        let Some(stored) = self.parts.iter().find(|p| p.kind == part as u32) else {
            return Ok(None);
        };
        match stored.coding {
            0 => Ok(Some(stored.bytes.clone())),
            1 => unpack(&stored.bytes, stored.plain).map(Some),
            _ => Err("a part of the index has an unknown coding"),
        }
    }
}

pub(super) fn pack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, ZSTD_LEVEL)
}

/// What [`pack`] was given, `length` bytes.
pub(super) fn unpack(packed: &[u8], length: u64) -> Parsed<Bytes> {
    let bad = "a part of the index does not decompress";
    let mut plain = Vec::new();
    zstd::stream::read::Decoder::new(packed)
        .map_err(|_| bad)?
        // One byte more than promised shows a part that is too long.
        .take(length.saturating_add(1))
        .read_to_end(&mut plain)
        .map_err(|_| bad)?;
    if plain.len() as u64 != length {
        return Err(bad);
    }
    Ok(Bytes::from(plain))
}

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Length and bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads what `put_*` wrote.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the next read begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn take(&mut self, length: usize) -> Parsed<&'a [u8]> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or("it ends too early")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| "it ends too early")
    }

    pub(super) fn u8(&mut self) -> Parsed<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Parsed<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn varint(&mut self) -> Parsed<u64> {
        let mut value = 0u64;
        for index in 0..10 {
            let byte = self.u8()?;
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("it holds a number over 64 bits")
    }

    pub(super) fn varint_u32(&mut self) -> Parsed<u32> {
        u32::try_from(self.varint()?).map_err(|_| "it holds a number over 32 bits")
    }

    /// A count of things that take at least `size` bytes each; so it bounds an allocation.
    pub(super) fn count(&mut self, size: usize) -> Parsed<usize> {
        let count = usize::try_from(self.varint()?).map_err(|_| "it holds an absurd count")?;
        if count > self.left() / size.max(1) {
            return Err("it lists more than it has room for");
        }
        Ok(count)
    }

    pub(super) fn bytes(&mut self) -> Parsed<&'a [u8]> {
        let length = self.count(1)?;
        self.take(length)
    }

    /// Everything must have been read.
    pub(super) fn finish(self) -> Parsed<()> {
        if self.left() == 0 { Ok(()) } else { Err("it is longer than what it holds") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Bytes {
        let mut writer = Writer::default();
        writer.plain(Part::Terms, b"as it is");
        writer.packed(Part::Scopes, &[7; 10_000]).unwrap();
        writer.plain(Part::Facts, b"");
        Bytes::from(writer.finish())
    }

    #[test]
    fn parts_come_back() {
        let bytes = sample();
        assert!(bytes.len() < 300);
        let blob = Blob::parse(&bytes).unwrap();
        assert_eq!(blob.part(Part::Terms).unwrap(), &b"as it is"[..]);
        assert_eq!(blob.part(Part::Scopes).unwrap(), vec![7; 10_000]);
        assert_eq!(blob.part(Part::Facts).unwrap(), &b""[..]);
        assert!(blob.part(Part::Pages).is_err());
    }

    /// The checksum usually stands before this; without it, too, nothing may panic.
    #[test]
    fn damage_never_panics() {
        let good = sample();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.to_vec();
                bad[at] ^= 1 << bit;
                if let Ok(blob) = Blob::parse(&Bytes::from(bad)) {
                    for part in [Part::Terms, Part::Scopes, Part::Facts] {
                        let _ = blob.part(part);
                    }
                }
            }
            assert!(Blob::parse(&good.slice(..at)).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn numbers_come_back_and_bounds_hold() {
        let mut out = Vec::new();
        let values = [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX];
        values.iter().for_each(|&v| put_varint(&mut out, v));
        put_bytes(&mut out, b"abc");
        let mut cursor = Cursor::new(&out);
        for value in values {
            assert_eq!(cursor.varint(), Ok(value));
        }
        assert_eq!(cursor.bytes(), Ok(&b"abc"[..]));
        assert_eq!(cursor.u8(), Err("it ends too early"));
        assert_eq!(cursor.finish(), Ok(()));
        assert!(Cursor::new(&[0xff; 11]).varint().is_err());
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x7f, 1]).count(1).is_err());
    }
}
