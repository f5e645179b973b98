//! The table of all pages of a file: where each lies, which rows it has, and its CRC-32C. Pages
//! lie one behind the other from the file's magic to the blob, row group by row group, leaf by
//! leaf, so the table holds lengths and decoding adds them up: no page can lie outside. [`fetch`]
//! reads the pages that cover some rows in one call and checks each.

use std::ops::Range;

use bytes::Bytes;

use super::blob::{Cursor, Parsed, put_u32, put_varint};
use super::codec::Encoded;
use super::footer::MAGIC;
use crate::world::ReadFile;

/// All pages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageTable {
    /// Rows of each row group.
    groups: Vec<Range<u32>>,
    leaves: usize,
    /// Leaf by leaf of each group.
    chunks: Vec<Chunk>,
    /// Chunk by chunk.
    pages: Vec<Page>,
}

/// One leaf of a row group.
#[derive(Debug, PartialEq, Eq)]
struct Chunk {
    /// Length 0 where there is none.
    dictionary: Place,
    compressed: bool,
    pages: Range<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    offset: u64,
    length: u32,
    crc: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// The next row group; its leaves follow.
    pub(super) fn group(&mut self, rows: usize) {
        self.groups += 1;
        put_varint(&mut self.body, rows as u64);
    }

    pub(super) fn chunk(&mut self, encoded: &Encoded) {
        let dictionary = encoded.dictionary as usize;
        put_varint(&mut self.body, (dictionary as u64) << 1 | u64::from(encoded.compressed));
        if dictionary > 0 {
            put_u32(&mut self.body, crc32c::crc32c(&encoded.bytes[..dictionary]));
        }
        put_varint(&mut self.body, encoded.pages.len() as u64);
        let mut at = dictionary;
        for page in &encoded.pages {
            let length = page.length as usize;
            put_varint(&mut self.body, u64::from(page.rows));
            put_varint(&mut self.body, u64::from(page.length));
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
    /// The pages must cover `rows` rows of `leaves` leaves and end at `blob`, where the index
    /// begins.
    pub(super) fn decode(bytes: &[u8], rows: u32, leaves: usize, blob: u64) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        // A chunk takes eight bytes at least.
        let count = cursor.count(leaves.saturating_mul(8))?;
        let mut table = Self {
            groups: Vec::with_capacity(count),
            leaves,
            chunks: Vec::with_capacity(count * leaves),
            pages: Vec::new(),
        };
        let (mut offset, mut row) = (MAGIC.len() as u64, 0u32);
        for _ in 0..count {
            let here = cursor.varint_u32()?;
            let end = row.checked_add(here).filter(|_| here > 0).ok_or("it has no such rows")?;
            for _ in 0..leaves {
                table.decode_chunk(&mut cursor, &mut offset, row..end)?;
            }
            table.groups.push(row..end);
            row = end;
        }
        cursor.finish()?;
        if row != rows || offset != blob {
            return Err("its pages do not add up");
        }
        Ok(table)
    }

    fn decode_chunk(
        &mut self,
        cursor: &mut Cursor<'_>,
        offset: &mut u64,
        rows: Range<u32>,
    ) -> Parsed<()> {
        let head = cursor.varint()?;
        let length = u32::try_from(head >> 1).map_err(|_| "a dictionary is absurdly long")?;
        let dictionary = match length {
            0 => Place { offset: *offset, length, crc: 0 },
            length => Place::next(cursor, offset, length)?,
        };
        let count = cursor.count(6)?;
        let from = self.pages.len() as u32;
        let mut first_row = rows.start;
        for _ in 0..count {
            let (page_rows, length) = (cursor.varint_u32()?, cursor.varint_u32()?);
            let place = Place::next(cursor, offset, length)?;
            self.pages.push(Page { place, first_row, rows: page_rows });
            first_row = first_row
                .checked_add(page_rows)
                .filter(|&next| page_rows > 0 && next <= rows.end)
                .ok_or("a column has too many rows")?;
        }
        if first_row != rows.end {
            return Err("a column has too few rows");
        }
        let pages = from..self.pages.len() as u32;
        self.chunks.push(Chunk { dictionary, compressed: head & 1 == 1, pages });
        Ok(())
    }

    /// Rows of each row group.
    pub(super) fn groups(&self) -> &[Range<u32>] {
        &self.groups
    }

    /// The row groups that hold some of `rows`, with those rows.
    pub(super) fn groups_of(&self, rows: Range<u32>) -> impl Iterator<Item = (usize, Range<u32>)> {
        let from = self.groups.partition_point(|group| group.end <= rows.start);
        (from..self.groups.len())
            .map(move |at| {
                let group = &self.groups[at];
                (at, group.start.max(rows.start)..group.end.min(rows.end))
            })
            .take_while(|(_, part)| part.start < part.end)
    }

    /// Whether the pages of a chunk are zstd.
    pub(super) fn is_compressed(&self, group: usize, leaf: usize) -> bool {
        self.chunk(group, leaf).is_some_and(|chunk| chunk.compressed)
    }

    pub(super) fn has_dictionary(&self, group: usize, leaf: usize) -> bool {
        self.chunk(group, leaf).is_some_and(|chunk| chunk.dictionary.length > 0)
    }

    /// Bytes of the pages of a chunk.
    #[cfg(test)]
    pub(super) fn chunk_bytes(&self, group: usize, leaf: usize) -> u64 {
        let Some(chunk) = self.chunk(group, leaf) else { return 0 };
        let data = self.pages_of(chunk).iter().map(|page| u64::from(page.place.length));
        u64::from(chunk.dictionary.length) + data.sum::<u64>()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.groups.capacity() * size_of::<Range<u32>>()
            + self.chunks.capacity() * size_of::<Chunk>()
            + self.pages.capacity() * size_of::<Page>()
    }

    fn chunk(&self, group: usize, leaf: usize) -> Option<&Chunk> {
        self.chunks.get(group * self.leaves..(group + 1) * self.leaves)?.get(leaf)
    }

    fn pages_of(&self, chunk: &Chunk) -> &[Page] {
        self.pages.get(chunk.pages.start as usize..chunk.pages.end as usize).unwrap_or_default()
    }

    /// The pages of `chunk` that hold some of `rows`, which are ascending.
    fn covering(&self, chunk: &Chunk, rows: &[Range<u32>]) -> Vec<Page> {
        let pages = self.pages_of(chunk);
        let mut covering = Vec::with_capacity(rows.len());
        let mut from = 0;
        for rows in rows {
            let here = pages.get(from..).unwrap_or_default();
            from += here.partition_point(|page| page.first_row + page.rows <= rows.start);
            let here = pages.get(from..).unwrap_or_default();
            let to = from + here.partition_point(|page| page.first_row < rows.end);
            covering.extend_from_slice(pages.get(from..to).unwrap_or_default());
            from = to.max(from);
        }
        covering
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

/// Rows of one leaf that are to be read: ascending, and in the group.
#[derive(Debug, Clone)]
pub(super) struct Wanted<'a> {
    pub(super) group: usize,
    pub(super) leaf: usize,
    pub(super) rows: &'a [Range<u32>],
    /// Whether the dictionary page is wanted too, where there is one.
    pub(super) dictionary: bool,
}

/// Pages of one leaf that cover the rows asked for.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) dictionary: Option<Bytes>,
    /// Data pages in order, with the first row and the number of rows of each.
    pub(super) pages: Vec<(Bytes, u32, u32)>,
}

/// Why pages did not come.
#[derive(Debug)]
pub(super) enum FetchError {
    Io(std::io::Error),
    Damaged(String),
}

/// Reads what is wanted in one call and checks each page's CRC.
pub(super) fn fetch(
    file: &dyn ReadFile,
    table: &PageTable,
    wanted: &[Wanted<'_>],
) -> Result<Vec<Fetched>, FetchError> {
    let places: Vec<(Option<Place>, Vec<Page>)> = wanted
        .iter()
        .map(|wanted| match table.chunk(wanted.group, wanted.leaf) {
            None => (None, Vec::new()),
            Some(chunk) => {
                let dictionary = wanted.dictionary && chunk.dictionary.length > 0;
                (dictionary.then_some(chunk.dictionary), table.covering(chunk, wanted.rows))
            }
        })
        .collect();
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let all = places.iter().flat_map(|(d, pages)| d.iter().chain(pages.iter().map(|p| &p.place)));
    for place in all {
        match ranges.last_mut() {
            Some(last) if last.end == place.offset => last.end = place.range().end,
            _ => ranges.push(place.range()),
        }
    }
    let parts = file.read_many(&ranges).map_err(FetchError::Io)?;
    if parts.len() != ranges.len() {
        return Err(FetchError::Damaged("it came back short".to_owned()));
    }
    let mut parts = Parts { ranges: &ranges, bytes: &parts, at: 0 };
    let mut fetched = Vec::with_capacity(wanted.len());
    for (dictionary, pages) in places {
        let dictionary = dictionary.map(|place| parts.page(&place)).transpose()?;
        let mut checked = Vec::with_capacity(pages.len());
        for page in pages {
            checked.push((parts.page(&page.place)?, page.first_row, page.rows));
        }
        fetched.push(Fetched { dictionary, pages: checked });
    }
    Ok(fetched)
}

/// What came back, in the order in which it was asked for.
struct Parts<'a> {
    ranges: &'a [Range<u64>],
    bytes: &'a [Bytes],
    /// The part that is being cut.
    at: usize,
}

impl Parts<'_> {
    fn page(&mut self, place: &Place) -> Result<Bytes, FetchError> {
        let whole = place.range();
        while self
            .ranges
            .get(self.at)
            .is_some_and(|r| !(r.start <= whole.start && whole.end <= r.end))
        {
            self.at += 1;
        }
        let page =
            self.ranges.get(self.at).zip(self.bytes.get(self.at)).and_then(|(range, part)| {
                let from = usize::try_from(whole.start - range.start).ok()?;
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
}
