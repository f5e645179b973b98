//! Page headers, Thrift's compact protocol.
//!
//! Source: <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.

use super::{PAGE_BYTES_MAX, PAGE_ENTRIES_MAX};
use crate::segment::blob::{Cursor, Parsed, put_varint};
use crate::segment::thrift::{INTS, STRUCT, int, next_field, skip};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Dictionary,
}

/// How a page's values are encoded, in Parquet's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Plain = 0,
    /// Of dictionary pages that others write: the same as `Plain`. Of data pages: as `Codes`.
    PlainDictionary = 2,
    Delta = 5,
    Codes = 8,
    Split = 9,
}

/// The number of RLE, in which levels are.
const RLE: i64 = 3;

/// What we need of a `PageHeader`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Length of the body as stored.
    pub(super) stored: usize,
    /// Length of the body decompressed.
    pub(super) plain: usize,
    /// Values and nulls.
    pub(super) entries: usize,
    pub(super) coding: Coding,
}

impl Header {
    /// The header, and where the body begins. A page that is longer than its header says, or
    /// shorter, is refused.
    pub(super) fn parse(page: &[u8]) -> Parsed<(Self, usize)> {
        let mut cursor = Cursor::new(page);
        let (mut kind, mut plain, mut stored, mut inner) = (None, None, None, None);
        let mut field = 0;
        while let Some(of_type) = next_field(&mut cursor, &mut field)? {
            match (field, of_type) {
                (1, t) if INTS.contains(&t) => kind = page_kind(int(&mut cursor)?),
                (2, t) if INTS.contains(&t) => plain = usize::try_from(int(&mut cursor)?).ok(),
                (3, t) if INTS.contains(&t) => stored = usize::try_from(int(&mut cursor)?).ok(),
                (5, STRUCT) => inner = Some(inner_header(&mut cursor, Kind::Data)?),
                (7, STRUCT) => inner = Some(inner_header(&mut cursor, Kind::Dictionary)?),
                _ => skip(&mut cursor, of_type)?,
            }
        }
        let (Some(kind), Some(plain), Some(stored), Some(inner)) = (kind, plain, stored, inner)
        else {
            return Err("a page has no header that we write");
        };
        if inner.of != kind {
            return Err("a page's header is of two kinds");
        }
        if plain > PAGE_BYTES_MAX || inner.entries > PAGE_ENTRIES_MAX {
            return Err("a page is larger than we write them");
        }
        if page.len() - cursor.at() != stored {
            return Err("a page is not as long as its header says");
        }
        let header = Self { kind, stored, plain, entries: inner.entries, coding: inner.coding };
        Ok((header, cursor.at()))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        // Each field: its distance to the one before << 4 | type, then the value.
        let (kind, field) = match self.kind {
            Kind::Data => (0, 5),
            Kind::Dictionary => (2, 7),
        };
        put_int(out, 1, kind);
        put_int(out, 1, self.plain as u64);
        put_int(out, 1, self.stored as u64);
        out.push((field - 3) << 4 | STRUCT);
        put_int(out, 1, self.entries as u64);
        put_int(out, 1, self.coding as u64);
        if self.kind == Kind::Data {
            put_int(out, 1, RLE as u64);
            put_int(out, 1, RLE as u64);
        }
        out.extend_from_slice(&[0, 0]);
    }
}

/// An i32 field that is not negative, `step` behind the one before.
fn put_int(out: &mut Vec<u8>, step: u8, value: u64) {
    out.push(step << 4 | 5);
    put_varint(out, value << 1);
}

fn page_kind(number: i64) -> Option<Kind> {
    match number {
        0 => Some(Kind::Data),
        2 => Some(Kind::Dictionary),
        _ => None,
    }
}

struct Inner {
    of: Kind,
    entries: usize,
    coding: Coding,
}

/// `data_page_header` and `dictionary_page_header` begin alike.
fn inner_header(cursor: &mut Cursor<'_>, of: Kind) -> Parsed<Inner> {
    let (mut entries, mut coding) = (None, None);
    let mut field = 0;
    while let Some(of_type) = next_field(cursor, &mut field)? {
        match (field, of_type) {
            (1, t) if INTS.contains(&t) => entries = usize::try_from(int(cursor)?).ok(),
            (2, t) if INTS.contains(&t) => coding = known(int(cursor)?),
            (3 | 4, t) if of == Kind::Data && INTS.contains(&t) => {
                if int(cursor)? != RLE {
                    return Err("a page has levels that are not RLE");
                }
            }
            _ => skip(cursor, of_type)?,
        }
    }
    let (entries, coding) =
        entries.zip(coding).ok_or("a page has values or an encoding that we do not write")?;
    Ok(Inner { of, entries, coding })
}

fn known(number: i64) -> Option<Coding> {
    match number {
        0 => Some(Coding::Plain),
        2 => Some(Coding::PlainDictionary),
        5 => Some(Coding::Delta),
        8 => Some(Coding::Codes),
        9 => Some(Coding::Split),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Header =
        Header { kind: Kind::Data, stored: 4, plain: 300, entries: 7, coding: Coding::Delta };

    #[test]
    fn headers_are_as_thrift_writes_them() {
        let mut out = Vec::new();
        DATA.write(&mut out);
        let expected =
            [0x15, 0, 0x15, 0xd8, 4, 0x15, 8, 0x2c, 0x15, 14, 0x15, 10, 0x15, 6, 0x15, 6, 0, 0];
        assert_eq!(out, expected);
        out.extend_from_slice(b"body");
        assert_eq!(Header::parse(&out), Ok((DATA, expected.len())));

        let dictionary = Header { kind: Kind::Dictionary, coding: Coding::Plain, ..DATA };
        let mut out = Vec::new();
        dictionary.write(&mut out);
        let expected = [0x15, 4, 0x15, 0xd8, 4, 0x15, 8, 0x4c, 0x15, 14, 0x15, 0, 0, 0];
        assert_eq!(out, expected);
        out.extend_from_slice(b"body");
        assert_eq!(Header::parse(&out), Ok((dictionary, expected.len())));
    }

    #[test]
    fn damage_never_panics_and_bounds_hold() {
        let mut page = Vec::new();
        DATA.write(&mut page);
        let length = page.len();
        page.extend_from_slice(b"body");
        for at in 0..page.len() {
            assert!(Header::parse(&page[..at]).is_err(), "cut at {at}");
        }
        for at in 0..length {
            for value in 0..=255 {
                let mut bad = page.clone();
                bad[at] = value;
                if let Ok((header, _)) = Header::parse(&bad) {
                    assert!(header.plain <= PAGE_BYTES_MAX && header.entries <= PAGE_ENTRIES_MAX);
                }
            }
        }
        for header in [
            Header { plain: PAGE_BYTES_MAX + 1, ..DATA },
            Header { entries: PAGE_ENTRIES_MAX + 1, ..DATA },
            Header { stored: 5, ..DATA },
            Header { stored: 3, ..DATA },
        ] {
            let mut page = Vec::new();
            header.write(&mut page);
            page.extend_from_slice(b"body");
            assert!(Header::parse(&page).is_err(), "{header:?}");
        }
    }
}
