//! What is encoded: one column chunk as its writer hands it over, and whether its parts fit.

use super::levels::{Cut, Levels};
use crate::segment::blob::Parsed;

/// One leaf column of one row group, to be encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk<'a> {
    /// The values that are there, without nulls.
    pub(crate) values: Source<'a>,
    pub(crate) levels: Levels<'a>,
    /// Rows of each page, in order; none is 0. Their sum is the number of rows.
    pub(crate) pages: &'a [u32],
    pub(crate) encoding: Encoding,
    pub(crate) packing: Packing,
    /// Whether least and greatest value, as signed numbers, go into the footer (I32 and I64;
    /// else ignored).
    pub(crate) statistics: bool,
}

/// Values by physical type.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'a> {
    Bool(&'a [bool]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    /// Bits of doubles, so that every NaN comes back as it was.
    F64(&'a [u64]),
    /// Values of `width` bytes, one behind the other.
    Fixed {
        width: u32,
        data: &'a [u8],
    },
    Bytes(Strings<'a>),
    /// Each code is an index into the dictionary.
    Codes {
        codes: &'a [u32],
        dictionary: Dictionary<'a>,
    },
}

/// Distinct values; the caller sees to that they are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dictionary<'a> {
    I32(&'a [i32]),
    I64(&'a [i64]),
    F64(&'a [u64]),
    Bytes(Strings<'a>),
}

/// Byte strings.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Strings<'a> {
    /// Value `i` is `data[ends[i - 1]..ends[i]]`, the first begins at 0.
    Packed {
        ends: &'a [u32],
        data: &'a [u8],
    },
    Slices(&'a [&'a [u8]]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    /// RLE_DICTIONARY with a PLAIN dictionary page; for [`Source::Codes`], and only for it.
    Dictionary,
    /// DELTA_BINARY_PACKED: I32 and I64.
    Delta,
    /// BYTE_STREAM_SPLIT: I32, I64 and F64.
    Split,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    /// Zstd at a level, all pages of the chunk.
    Zstd(i32),
    /// Zstd where it takes at least an eighth off the chunk, else none; see
    /// [`Encoded::compressed`].
    Best(i32),
}

impl Chunk<'_> {
    /// Its pages, once its parts are known to fit each other.
    pub(super) fn cut(&self) -> Parsed<Vec<Cut>> {
        let cuts = self.levels.cut(self.pages)?;
        if cuts.last().map_or(0, |cut| cut.values.end) != self.values.len() {
            return Err("levels and values differ in number");
        }
        let mut encoding = self.encoding == Encoding::Dictionary;
        if let Source::Codes { codes, dictionary } = &self.values {
            let count = dictionary.source().len();
            if codes.iter().any(|&code| code as usize >= count) {
                return Err("a code is beyond its dictionary");
            }
            encoding = !encoding;
        }
        if encoding {
            return Err("values cannot be encoded so");
        }
        self.values.check()?;
        Ok(cuts)
    }
}

impl<'a> Dictionary<'a> {
    pub(super) fn source(&self) -> Source<'a> {
        match *self {
            Dictionary::I32(values) => Source::I32(values),
            Dictionary::I64(values) => Source::I64(values),
            Dictionary::F64(values) => Source::F64(values),
            Dictionary::Bytes(strings) => Source::Bytes(strings),
        }
    }
}

impl Source<'_> {
    /// Lengths that do not add up are refused before a slice is cut by them.
    fn check(&self) -> Parsed<()> {
        let sound = match self {
            Source::Fixed { width, data } => {
                *width > 0 && data.len().is_multiple_of(*width as usize)
            }
            Source::Bytes(Strings::Packed { ends, data }) => {
                ends.is_sorted() && ends.last().is_none_or(|&end| end as usize <= data.len())
            }
            Source::Codes { dictionary, .. } => return dictionary.source().check(),
            _ => true,
        };
        if sound { Ok(()) } else { Err("values have lengths that do not add up") }
    }

    /// Least and greatest.
    pub(super) fn bounds(&self) -> Option<(i64, i64)> {
        match self {
            Source::I32(values) | Source::Codes { dictionary: Dictionary::I32(values), .. } => {
                Some((i64::from(*values.iter().min()?), i64::from(*values.iter().max()?)))
            }
            Source::I64(values) | Source::Codes { dictionary: Dictionary::I64(values), .. } => {
                Some((*values.iter().min()?, *values.iter().max()?))
            }
            _ => None,
        }
    }
}
