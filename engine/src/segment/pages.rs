//! The table of all pages of a file: where each lies, which rows it has, and its CRC-32C. Pages
//! lie one behind the other from the file's magic to the blob, row group by row group, column by
//! column, so the table holds lengths and decoding adds them up: no page can lie outside. [`fetch`]
//! reads the pages that cover some rows in one call and checks each.

use std::ops::Range;

use bytes::Bytes;

use super::blob::{Cursor, Parsed, put_u32, put_varint};
use super::column::Encoded;
use super::footer::MAGIC;
use super::schema::Column;
use crate::world::ReadFile;

/// All pages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageTable {
    pub(super) groups: Vec<Group>,
}

/// A row group.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) rows: Range<u32>,
    /// By [`Column`].
    chunks: Vec<Chunk>,
}

/// One column of a row group.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    dictionary: Option<Place>,
    /// Without gaps.
    pages: Vec<Page>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    offset: u64,
    length: u32,
    crc: u32,
}

#[derive(Debug, PartialEq, Eq)]
struct Page {
    place: Place,
    first_row: u32,
    rows: u32,
}

/// Collects the table while a file is written.
#[derive(Debug, Default)]
pub(super) struct TableWriter {
    groups: u64,
    body: Vec<u8>,
}

impl TableWriter {
    /// The next row group; its columns follow.
    pub(super) fn group(&mut self, rows: usize) {
        self.groups += 1;
        put_varint(&mut self.body, rows as u64);
    }

    pub(super) fn chunk(&mut self, encoded: &Encoded) {
        put_varint(&mut self.body, encoded.dictionary as u64);
        if encoded.dictionary > 0 {
            put_u32(&mut self.body, crc32c::crc32c(&encoded.bytes[..encoded.dictionary]));
        }
        put_varint(&mut self.body, encoded.pages.len() as u64);
        let mut at = encoded.dictionary;
        for &(length, rows) in &encoded.pages {
            put_varint(&mut self.body, rows as u64);
            put_varint(&mut self.body, length as u64);
            put_u32(&mut self.body, crc32c::crc32c(&encoded.bytes[at..at + length]));
            at += length;
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 10);
        put_varint(&mut out, self.groups);
        out.extend_from_slice(&self.body);
        out
    }
}

impl PageTable {
    /// The pages must cover `rows` rows and end at `blob`, where the index begins.
    pub(super) fn decode(bytes: &[u8], rows: u32, blob: u64) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        let count = cursor.count(1)?;
        let mut groups = Vec::with_capacity(count);
        let (mut offset, mut row) = (MAGIC.len() as u64, 0u32);
        for _ in 0..count {
            let end = row.checked_add(cursor.varint_u32()?).ok_or("it has too many rows")?;
            let mut chunks = Vec::with_capacity(Column::ALL.len());
            for _ in Column::ALL {
                chunks.push(Chunk::decode(&mut cursor, &mut offset, row..end)?);
            }
            groups.push(Group { rows: row..end, chunks });
            row = end;
        }
        cursor.finish()?;
        if row != rows || offset != blob {
            return Err("its pages do not add up");
        }
        Ok(Self { groups })
    }

    /// The row groups that hold some of `rows`, with those rows.
    pub(super) fn groups_of(&self, rows: Range<u32>) -> impl Iterator<Item = (&Group, Range<u32>)> {
        let from = self.groups.partition_point(|group| group.rows.end <= rows.start);
        self.groups[from..]
            .iter()
            .map(move |group| {
                (group, group.rows.start.max(rows.start)..group.rows.end.min(rows.end))
            })
            .take_while(|(_, part)| part.start < part.end)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let chunks = self.groups.iter().flat_map(|group| &group.chunks);
        chunks.map(|c| size_of::<Chunk>() + c.pages.capacity() * size_of::<Page>()).sum()
    }
}

impl Group {
    pub(super) fn chunk(&self, column: Column) -> &Chunk {
        // `decode` reads one for every column.
        &self.chunks[column as usize]
    }
}

impl Chunk {
    fn decode(cursor: &mut Cursor<'_>, offset: &mut u64, rows: Range<u32>) -> Parsed<Self> {
        let dictionary = match cursor.varint_u32()? {
            0 => None,
            length => Some(Place::next(cursor, offset, length)?),
        };
        let count = cursor.count(6)?;
        let mut pages = Vec::with_capacity(count);
        let mut first_row = rows.start;
        for _ in 0..count {
            let (page_rows, length) = (cursor.varint_u32()?, cursor.varint_u32()?);
            let place = Place::next(cursor, offset, length)?;
            pages.push(Page { place, first_row, rows: page_rows });
            first_row = first_row
                .checked_add(page_rows)
                .filter(|&next| page_rows > 0 && next <= rows.end)
                .ok_or("a column has too many rows")?;
        }
        if first_row != rows.end {
            return Err("a column has too few rows");
        }
        Ok(Self { dictionary, pages })
    }

    /// The pages that hold some of `rows`.
    fn covering(&self, rows: &Range<u32>) -> &[Page] {
        let from = self.pages.partition_point(|page| page.first_row + page.rows <= rows.start);
        let to = self.pages.partition_point(|page| page.first_row < rows.end);
        self.pages.get(from..to).unwrap_or_default()
    }
}

impl Place {
    fn next(cursor: &mut Cursor<'_>, offset: &mut u64, length: u32) -> Parsed<Self> {
        let place = Place { offset: *offset, length, crc: cursor.u32()? };
        *offset = offset.checked_add(u64::from(length)).ok_or("its pages do not add up")?;
        Ok(place)
    }

    fn range(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.length)
    }
}

/// Pages of one column that cover the rows asked for.
#[derive(Debug)]
pub(super) struct Fetched {
    /// The dictionary page where there is one, then data pages in order.
    pub(super) pages: Vec<Bytes>,
    /// Rows of the pages before the first row asked for.
    pub(super) skip: usize,
    /// Rows asked for.
    pub(super) take: usize,
}

/// Why pages did not come.
#[derive(Debug)]
pub(super) enum FetchError {
    Io(std::io::Error),
    Damaged(String),
}

/// Reads the pages that cover these rows of these columns, in one call, and checks each page's
/// CRC. The row ranges must lie in their chunk's row group.
pub(super) fn fetch(
    file: &dyn ReadFile,
    wanted: &[(&Chunk, Range<u32>)],
) -> Result<Vec<Fetched>, FetchError> {
    let covering: Vec<&[Page]> = wanted.iter().map(|(chunk, rows)| chunk.covering(rows)).collect();
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for place in wanted.iter().zip(&covering).flat_map(|((chunk, _), pages)| places(chunk, pages)) {
        match ranges.last_mut() {
            Some(last) if last.end == place.offset => last.end = place.range().end,
            _ => ranges.push(place.range()),
        }
    }
    let parts = file.read_many(&ranges).map_err(FetchError::Io)?;
    let parts: Vec<(u64, Bytes)> = ranges.iter().map(|r| r.start).zip(parts).collect();
    let mut fetched = Vec::with_capacity(wanted.len());
    for ((chunk, rows), pages) in wanted.iter().zip(covering) {
        fetched.push(assemble(&parts, chunk, pages, rows)?);
    }
    Ok(fetched)
}

fn places<'a>(chunk: &'a Chunk, pages: &'a [Page]) -> impl Iterator<Item = &'a Place> {
    chunk.dictionary.iter().chain(pages.iter().map(|page| &page.place))
}

fn assemble(
    parts: &[(u64, Bytes)],
    chunk: &Chunk,
    pages: &[Page],
    rows: &Range<u32>,
) -> Result<Fetched, FetchError> {
    let mut checked = Vec::with_capacity(pages.len() + 1);
    for place in places(chunk, pages) {
        checked.push(checked_page(parts, place)?);
    }
    let first = pages.first().map_or(rows.start, |page| page.first_row);
    Ok(Fetched {
        pages: checked,
        skip: rows.start.saturating_sub(first) as usize,
        take: rows.len(),
    })
}

fn checked_page(parts: &[(u64, Bytes)], place: &Place) -> Result<Bytes, FetchError> {
    let index = parts.partition_point(|(start, _)| *start <= place.offset);
    let page = index.checked_sub(1).and_then(|index| parts.get(index)).and_then(|(start, part)| {
        let from = usize::try_from(place.offset - start).ok()?;
        let to = from.checked_add(place.length as usize)?;
        (to <= part.len()).then(|| part.slice(from..to))
    });
    let page = page.ok_or_else(|| {
        FetchError::Damaged(format!("the page at byte {} came back short", place.offset))
    })?;
    if crc32c::crc32c(&page) != place.crc {
        return Err(FetchError::Damaged(format!(
            "the checksum of the page at byte {} is wrong",
            place.offset
        )));
    }
    Ok(page)
}
