//! Definition and repetition levels: which entries have a value, and where rows begin. Written
//! from [`Levels`], page by page; read so that rows are passed over by counting bits.

use std::cmp::Ordering;
use std::ops::Range;

use super::hybrid::{Part, Reader, Writer};
use super::{PAGE_ENTRIES_MAX, bits};
use crate::segment::blob::{Cursor, Parsed};

/// Which rows have which entries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Levels<'a> {
    /// A value a row.
    Required,
    /// Optional: the rows that have a value, ascending, counted from the row group's first.
    At(&'a [u32]),
    /// In a list: the levels of each entry. `definition` goes up to `max_definition` (1 or 2),
    /// at which there is a value; `repetition` is 0 where a row begins, else 1.
    List { max_definition: u8, definition: &'a [u8], repetition: &'a [u8] },
}

/// What one page holds of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) rows: Range<usize>,
    pub(super) entries: Range<usize>,
    pub(super) values: Range<usize>,
}

impl Levels<'_> {
    /// (definition, repetition)
    fn greatest(&self) -> (u8, u8) {
        match self {
            Levels::Required => (0, 0),
            Levels::At(_) => (1, 0),
            Levels::List { max_definition, .. } => (*max_definition, 1),
        }
    }

    /// Cuts a chunk into pages of so many rows; refuses levels that are none.
    pub(super) fn cut(&self, pages: &[u32]) -> Parsed<Vec<Cut>> {
        let rows = pages.iter().map(|&rows| rows as usize).sum::<usize>();
        match *self {
            Levels::At(at) => {
                let ascending = at.is_sorted_by(|a, b| a < b);
                if !ascending || at.last().is_some_and(|&last| last as usize >= rows) {
                    return Err("rows with values are out of order");
                }
            }
            Levels::List { max_definition, definition, repetition } => {
                if !(1..=2).contains(&max_definition) {
                    return Err("lists have levels up to 1 or 2");
                }
                check(definition, max_definition, repetition.len())?;
                check(repetition, 1, repetition.len())?;
                let begun = repetition.iter().filter(|&&level| level == 0).count();
                if begun != rows || repetition.first().is_some_and(|&level| level != 0) {
                    return Err("levels and pages have different rows");
                }
            }
            Levels::Required => {}
        }
        let mut cuts = Vec::with_capacity(pages.len());
        let mut last = Cut { rows: 0..0, entries: 0..0, values: 0..0 };
        for &rows in pages {
            last = self.cut_page(&last, rows as usize)?;
            cuts.push(last.clone());
        }
        Ok(cuts)
    }

    fn cut_page(&self, last: &Cut, rows: usize) -> Parsed<Cut> {
        let rows = last.rows.end..last.rows.end + rows;
        let entries = match *self {
            Levels::List { repetition, .. } => {
                let from = last.entries.end;
                from..from + entries_of(&repetition[from..], rows.len())
            }
            _ => rows.clone(),
        };
        let values = last.values.end;
        let values = values..match *self {
            Levels::Required => entries.end,
            Levels::At(at) => {
                values + at[values..].partition_point(|&row| (row as usize) < rows.end)
            }
            Levels::List { definition, max_definition, .. } => {
                values + count(&definition[entries.clone()], max_definition)
            }
        };
        if rows.is_empty() || entries.len() > PAGE_ENTRIES_MAX {
            return Err("a page has no rows, or more entries than a page may have");
        }
        Ok(Cut { rows, entries, values })
    }

    /// Writes a page's levels, each kind behind its length.
    pub(super) fn write(&self, cut: &Cut, out: &mut Vec<u8>, literals: &mut Vec<u32>) {
        let (definition_max, repetition_max) = self.greatest();
        if let Levels::List { repetition, .. } = *self {
            behind_length(out, |out| {
                let mut writer = Writer::new(out, literals, width(repetition_max));
                writer.all(&repetition[cut.entries.clone()]);
                writer.finish();
            });
        }
        if definition_max == 0 {
            return;
        }
        behind_length(out, |out| {
            let mut writer = Writer::new(out, literals, width(definition_max));
            match *self {
                Levels::Required => {}
                Levels::List { definition, .. } => writer.all(&definition[cut.entries.clone()]),
                Levels::At(at) => runs(&at[cut.values.clone()], &cut.rows, &mut writer),
            }
            writer.finish();
        });
    }
}

/// Levels of the rows of a page where those at `at` have a value.
fn runs(at: &[u32], rows: &Range<usize>, writer: &mut Writer<'_>) {
    let mut row = rows.start;
    for run in at.chunk_by(|a, b| a + 1 == *b) {
        let first = run.first().map_or(row, |&first| first as usize);
        writer.run(0, first - row);
        writer.run(1, run.len());
        row = first + run.len();
    }
    writer.run(0, rows.end - row);
}

fn behind_length(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

fn check(levels: &[u8], greatest: u8, count: usize) -> Parsed<()> {
    if levels.len() != count || levels.iter().any(|&level| level > greatest) {
        return Err("levels are too few, too many or too great");
    }
    Ok(())
}

fn count(levels: &[u8], wanted: u8) -> usize {
    levels.iter().filter(|&&level| level == wanted).count()
}

/// Entries of so many rows, the first of which begins `repetition`.
fn entries_of(repetition: &[u8], rows: usize) -> usize {
    let mut left = rows;
    for (number, part) in repetition.chunks(64).enumerate() {
        let begun = count(part, 0);
        if begun > left {
            let mut zeros = part.iter().enumerate().filter(|(_, level)| **level == 0);
            return number * 64 + zeros.nth(left).map_or(0, |(at, _)| at);
        }
        left -= begun;
    }
    repetition.len()
}

fn width(greatest: u8) -> u32 {
    bits::width_of(greatest.into())
}

/// Reads the levels of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct LevelReader<'p> {
    runs: Reader<'p>,
    greatest: u8,
}

/// Levels of one or two bits in the low 56 bits of a word.
const WORD_BITS: usize = 56;

impl<'p> LevelReader<'p> {
    /// Takes levels off a page; none where the greatest is 0.
    pub(super) fn take(page: &mut Cursor<'p>, greatest: u8) -> Parsed<Option<Self>> {
        if greatest == 0 {
            return Ok(None);
        }
        let length = page.u32()? as usize;
        let runs = Reader::new(page.take(length)?, width(greatest))?;
        Ok(Some(Self { runs, greatest }))
    }

    /// Appends levels to `out`; gives how many of them are the greatest.
    pub(super) fn read(&mut self, entries: usize, out: &mut Vec<u8>) -> Parsed<usize> {
        // Counting words first is cheaper than looking at bytes, and refuses levels too great.
        let found = Self::count(&mut self.clone(), entries)?;
        self.runs.read(entries, out)?;
        Ok(found)
    }

    /// Passes over levels; gives how many of them are the greatest.
    pub(super) fn count(&mut self, entries: usize) -> Parsed<usize> {
        let (mut left, mut found) = (entries, 0);
        while left > 0 {
            let part = self.runs.part(left)?;
            found += match part {
                Part::Same { value, count } => match value.cmp(&u32::from(self.greatest)) {
                    Ordering::Less => 0,
                    Ordering::Equal => count,
                    Ordering::Greater => return Err(GREAT),
                },
                Part::Packed { bytes, first, count } => self.count_packed(bytes, first, count)?,
            };
            left -= part.count();
        }
        Ok(found)
    }

    fn count_packed(&self, bytes: &[u8], first: usize, count: usize) -> Parsed<usize> {
        let width = self.runs.width() as usize;
        let (mut bit, end) = (first * width, (first + count) * width);
        let mut found = 0;
        while bit < end {
            let step = (end - bit).min(WORD_BITS);
            let word = bits::word(bytes, bit / 8) >> (bit % 8) & bits::mask(step as u32);
            found += if width == 1 {
                word.count_ones()
            } else {
                let (low, high) = (word & EVEN, word >> 1 & EVEN);
                if low & high != 0 {
                    return Err(GREAT);
                }
                high.count_ones()
            } as usize;
            bit += step;
        }
        Ok(found)
    }

    /// As repetition levels: passes over rows, the first of which begins here; gives their
    /// entries. `left` entries are left in the page.
    pub(super) fn rows(&mut self, rows: usize, left: usize) -> Parsed<usize> {
        let (mut wanted, mut entries) = (rows, 0);
        while entries < left {
            let bookmark = self.runs;
            let part = self.runs.part(left - entries)?;
            let here = match part {
                Part::Same { value: 0, count } => count.min(wanted),
                Part::Same { count, .. } => count,
                Part::Packed { bytes, first, count } => {
                    before_zero(bytes, first, count, &mut wanted)
                }
            };
            if let Part::Same { value: 0, .. } = part {
                wanted -= here;
            }
            entries += here;
            if here < part.count() {
                self.runs = bookmark;
                if here > 0 {
                    self.runs.part(here)?;
                }
                break;
            }
        }
        if wanted == 0 { Ok(entries) } else { Err("a page has too few rows") }
    }
}

const GREAT: &str = "a page has levels that its column does not have";
/// Every second bit.
const EVEN: u64 = 0x5555_5555_5555_5555;

/// How many of `count` bits stand before the zero that comes after `wanted` zeros; takes the
/// zeros that were passed off `wanted`.
fn before_zero(bytes: &[u8], first: usize, count: usize, wanted: &mut usize) -> usize {
    let mut at = 0;
    while at < count {
        let bit = first + at;
        let step = (count - at).min(WORD_BITS);
        let mut zeros = !(bits::word(bytes, bit / 8) >> (bit % 8)) & bits::mask(step as u32);
        let found = zeros.count_ones() as usize;
        if found > *wanted {
            for _ in 0..std::mem::take(wanted) {
                zeros &= zeros - 1;
            }
            return at + zeros.trailing_zeros() as usize;
        }
        *wanted -= found;
        at += step;
    }
    count
}
