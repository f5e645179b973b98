//! Checked page bytes to what the `parquet` crate's column reader takes: the page header is read
//! and the body decompressed here. The crate's own page reader makes a zstd context for each
//! column it opens, which was over half of the time of a block read; here a thread keeps one.
//!
//! Source: <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};

use super::blob::{Cursor, Parsed};
use super::thrift::{INTS, STRUCT, int, next_field, skip};

thread_local! {
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        const { RefCell::new(None) };
}

/// Hands out pages in order.
#[derive(Debug)]
pub(super) struct Source {
    pages: VecDeque<Bytes>,
    compressed: bool,
}

impl Source {
    /// Whole pages, header and body: the dictionary page where there is one, then data pages.
    pub(super) fn new(pages: Vec<Bytes>, compression: Compression) -> Self {
        Self { pages: pages.into(), compressed: compression != Compression::UNCOMPRESSED }
    }

    fn decode(&self, page: &Bytes) -> Result<Page> {
        let (header, at) = Header::parse(page).map_err(bad)?;
        let body = page.slice(at..);
        if body.len() != header.stored {
            return Err(bad("a page is not as long as its header says"));
        }
        let buf = if self.compressed { decompress(&body, header.plain)? } else { body };
        if buf.len() != header.plain {
            return Err(bad("a page does not hold what its header says"));
        }
        Ok(match header.kind {
            Kind::Dictionary => Page::DictionaryPage {
                buf,
                num_values: header.values,
                encoding: header.encoding,
                is_sorted: false,
            },
            Kind::Data => Page::DataPage {
                buf,
                num_values: header.values,
                encoding: header.encoding,
                def_level_encoding: Encoding::RLE,
                rep_level_encoding: Encoding::RLE,
                statistics: None,
            },
        })
    }
}

impl Iterator for Source {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Source {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.pages.pop_front().map(|page| self.decode(&page)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        let Some(page) = self.pages.front() else { return Ok(None) };
        let (header, _) = Header::parse(page).map_err(bad)?;
        let is_dict = matches!(header.kind, Kind::Dictionary);
        // Columns are flat: a value or a null a row.
        let num_rows = (!is_dict).then_some(header.values as usize);
        Ok(Some(PageMetadata { num_rows, num_levels: num_rows, is_dict }))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.pop_front();
        Ok(())
    }
}

fn bad(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

fn decompress(body: &[u8], plain: usize) -> Result<Bytes> {
    if plain == 0 {
        return Ok(Bytes::new());
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(decompressor) => decompressor,
            None => slot.insert(zstd::bulk::Decompressor::new()?),
        };
        Ok(decompressor.decompress(body, plain)?.into())
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Dictionary,
}

/// What we need of a `PageHeader`.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    kind: Kind,
    /// Length of the body as stored, and decompressed.
    stored: usize,
    plain: usize,
    values: u32,
    encoding: Encoding,
}

impl Header {
    /// The header, and where the body begins.
    fn parse(page: &[u8]) -> Parsed<(Self, usize)> {
        let mut cursor = Cursor::new(page);
        let (mut kind, mut plain, mut stored, mut inner) = (None, None, None, None);
        let mut field = 0;
        while let Some(of_type) = next_field(&mut cursor, &mut field)? {
            match (field, of_type) {
                (1, t) if INTS.contains(&t) => kind = page_kind(int(&mut cursor)?),
                (2, t) if INTS.contains(&t) => plain = length(int(&mut cursor)?),
                (3, t) if INTS.contains(&t) => stored = length(int(&mut cursor)?),
                // `data_page_header` and `dictionary_page_header` begin alike.
                (5 | 7, STRUCT) => inner = Some(values_and_encoding(&mut cursor)?),
                _ => skip(&mut cursor, of_type)?,
            }
        }
        match (kind, plain, stored, inner) {
            (Some(kind), Some(plain), Some(stored), Some((values, encoding))) => {
                Ok((Self { kind, stored, plain, values, encoding }, cursor.at()))
            }
            _ => Err("a page has no header that we write"),
        }
    }
}

fn page_kind(number: i64) -> Option<Kind> {
    match number {
        0 => Some(Kind::Data),
        2 => Some(Kind::Dictionary),
        _ => None,
    }
}

/// Lengths are i32 in Parquet.
fn length(number: i64) -> Option<usize> {
    i32::try_from(number).ok().and_then(|n| usize::try_from(n).ok())
}

fn values_and_encoding(cursor: &mut Cursor<'_>) -> Parsed<(u32, Encoding)> {
    let (mut values, mut encoding) = (None, None);
    let mut field = 0;
    while let Some(of_type) = next_field(cursor, &mut field)? {
        match (field, of_type) {
            (1, t) if INTS.contains(&t) => values = u32::try_from(int(cursor)?).ok(),
            (2, t) if INTS.contains(&t) => encoding = known_encoding(int(cursor)?),
            _ => skip(cursor, of_type)?,
        }
    }
    values.zip(encoding).ok_or("a page has values or an encoding that we do not write")
}

fn known_encoding(number: i64) -> Option<Encoding> {
    match number {
        0 => Some(Encoding::PLAIN),
        2 => Some(Encoding::PLAIN_DICTIONARY),
        5 => Some(Encoding::DELTA_BINARY_PACKED),
        8 => Some(Encoding::RLE_DICTIONARY),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PageHeader { DATA_PAGE, 300, 4, data_page_header: { 7, DELTA_BINARY_PACKED, RLE, RLE } }.
    const HEADER: [u8; 18] =
        [0x15, 0, 0x15, 0xd8, 4, 0x15, 8, 0x2c, 0x15, 14, 0x15, 10, 0x15, 6, 0x15, 6, 0, 0];

    #[test]
    fn a_header_is_read_and_damage_never_panics() {
        let page = [&HEADER[..], b"body"].concat();
        let expected = Header {
            kind: Kind::Data,
            stored: 4,
            plain: 300,
            values: 7,
            encoding: Encoding::DELTA_BINARY_PACKED,
        };
        assert_eq!(Header::parse(&page), Ok((expected, HEADER.len())));
        for at in 0..HEADER.len() {
            assert!(Header::parse(&page[..at]).is_err());
            for value in 0..=255 {
                let mut bad = page.clone();
                bad[at] = value;
                for compression in
                    [Compression::UNCOMPRESSED, Compression::ZSTD(Default::default())]
                {
                    let mut source = Source::new(vec![bad.clone().into()], compression);
                    let _ = source.peek_next_page();
                    assert!(source.get_next_page().is_err(), "the body is not 300 bytes");
                }
            }
        }
    }
}
