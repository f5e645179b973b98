//! Values of a column by physical type, and how those of one data page are read, in order.

use super::header::Coding;
use super::plain::{Bits, Split, take, take_string, words};
use super::{delta, hybrid};
use crate::segment::blob::Parsed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Physical {
    Bool,
    I32,
    I64,
    F64,
    Bytes,
    /// Of so many bytes.
    Fixed(u32),
}

/// Values of one column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Values {
    /// No page was read yet.
    #[default]
    None,
    Bool(Vec<bool>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    /// Bits of doubles.
    F64(Vec<u64>),
    /// One behind the other.
    Fixed {
        width: u32,
        data: Vec<u8>,
    },
    /// Value `i` is `data[ends[i - 1]..ends[i]]`, the first begins at 0.
    Bytes {
        ends: Vec<u32>,
        data: Vec<u8>,
    },
    /// Indexes into the chunk's dictionary, whatever the physical type. They are not held
    /// against its length, which is not known here.
    Codes(Vec<u32>),
}

impl Values {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        match self {
            Values::None => 0,
            Values::Bool(values) => values.len(),
            Values::I32(values) => values.len(),
            Values::I64(values) => values.len(),
            Values::F64(values) => values.len(),
            Values::Fixed { width, data } => data.len() / (*width).max(1) as usize,
            Values::Bytes { ends, .. } => ends.len(),
            Values::Codes(codes) => codes.len(),
        }
    }
}

/// Reads values by the page's encoding.
#[derive(Debug)]
pub(super) enum ValueReader<'p> {
    Plain {
        /// What is left.
        bytes: &'p [u8],
    },
    /// PLAIN booleans: bits.
    Bits(Bits<'p>),
    Codes(hybrid::Reader<'p>),
    Delta(delta::Reader<'p>),
    Split(Split<'p>),
}

const MIXED: &str = "the pages of a column are of different kinds";

/// The vector of a variant, which is made where nothing was read yet.
macro_rules! slot {
    ($values:expr, $variant:ident) => {{
        if matches!($values, Values::None) {
            *$values = Values::$variant(Vec::new());
        }
        match $values {
            Values::$variant(vector) => vector,
            _ => return Err(MIXED),
        }
    }};
}

impl<'p> ValueReader<'p> {
    pub(super) fn new(coding: Coding, body: &'p [u8], physical: Physical) -> Parsed<Self> {
        use Physical::{Bool, Bytes, F64, Fixed, I32, I64};
        match (coding, physical) {
            (Coding::Plain, Bool) => Ok(Self::Bits(Bits::new(body))),
            (Coding::Plain, Fixed(0)) => Err("a column has values of no bytes"),
            (Coding::Plain, _) => Ok(Self::Plain { bytes: body }),
            (Coding::Codes | Coding::PlainDictionary, I32 | I64 | F64 | Bytes | Fixed(_)) => {
                // A page without values may end before its width.
                let (&width, codes) = body.split_first().unwrap_or((&0, &[]));
                Ok(Self::Codes(hybrid::Reader::new(codes, width.into())?))
            }
            (Coding::Delta, I32 | I64) => Ok(Self::Delta(delta::Reader::new(body)?)),
            (Coding::Split, I32 | I64 | F64) => Ok(Self::Split(Split::new(body))),
            _ => Err("a page is encoded as its type cannot be"),
        }
    }

    pub(super) fn read(
        &mut self,
        count: usize,
        physical: Physical,
        out: &mut Values,
    ) -> Parsed<()> {
        match self {
            Self::Plain { bytes } => read_plain(bytes, count, physical, out),
            Self::Bits(bits) => bits.read(count, slot!(out, Bool)),
            Self::Codes(codes) => codes.read(count, slot!(out, Codes)),
            Self::Delta(deltas) => match physical {
                Physical::I32 => {
                    let out = slot!(out, I32);
                    deltas.read(count, |values| out.extend(values.iter().map(|&v| v as i32)))
                }
                _ => {
                    let out = slot!(out, I64);
                    deltas.read(count, |values| out.extend(values.iter().map(|&v| v as i64)))
                }
            },
            Self::Split(split) => match physical {
                Physical::I32 => split.read(count, slot!(out, I32)),
                Physical::I64 => split.read(count, slot!(out, I64)),
                _ => split.read(count, slot!(out, F64)),
            },
        }
    }

    pub(super) fn skip(&mut self, count: usize, physical: Physical) -> Parsed<()> {
        match self {
            Self::Plain { bytes } => match physical.size() {
                Some(size) => take(bytes, count, size).map(drop),
                None => (0..count).try_for_each(|_| take_string(bytes).map(drop)),
            },
            Self::Bits(bits) => bits.skip(count),
            Self::Codes(codes) => codes.skip(count),
            Self::Delta(deltas) => deltas.read(count, |_| ()),
            Self::Split(split) => split.skip(count, physical.size().unwrap_or(1)),
        }
    }
}

fn read_plain(bytes: &mut &[u8], count: usize, physical: Physical, out: &mut Values) -> Parsed<()> {
    match physical {
        Physical::Bool => return Err("booleans are bits"),
        Physical::I32 => {
            slot!(out, I32).extend(words(take(bytes, count, 4)?).map(i32::from_le_bytes));
        }
        Physical::I64 => {
            slot!(out, I64).extend(words(take(bytes, count, 8)?).map(i64::from_le_bytes));
        }
        Physical::F64 => {
            slot!(out, F64).extend(words(take(bytes, count, 8)?).map(u64::from_le_bytes));
        }
        Physical::Fixed(width) => {
            if matches!(out, Values::None) {
                *out = Values::Fixed { width, data: Vec::new() };
            }
            match out {
                Values::Fixed { width: of, data } if *of == width => {
                    data.extend_from_slice(take(bytes, count, width as usize)?);
                }
                _ => return Err(MIXED),
            }
        }
        Physical::Bytes => {
            if matches!(out, Values::None) {
                *out = Values::Bytes { ends: Vec::new(), data: Vec::new() };
            }
            let Values::Bytes { ends, data } = out else { return Err(MIXED) };
            return read_strings(bytes, count, ends, data);
        }
    }
    Ok(())
}

/// What is copied at once of a string that is not longer.
const SHORT_STRING: usize = 32;

fn read_strings(
    bytes: &mut &[u8],
    count: usize,
    ends: &mut Vec<u32>,
    data: &mut Vec<u8>,
) -> Parsed<()> {
    // Each has a length of four bytes.
    ends.reserve(count.min(bytes.len() / 4));
    for _ in 0..count {
        let behind = bytes.get(4..).and_then(<[u8]>::first_chunk::<SHORT_STRING>);
        let value = take_string(bytes)?;
        match behind {
            // Copies of a known length are the cheapest; what is too much is cut off again.
            Some(behind) if value.len() <= SHORT_STRING => {
                let end = data.len() + value.len();
                data.extend_from_slice(behind);
                data.truncate(end);
            }
            _ => data.extend_from_slice(value),
        }
        ends.push(u32::try_from(data.len()).map_err(|_| "strings are over 4 GiB")?);
    }
    Ok(())
}

impl Physical {
    /// Bytes of a value, where all have as many.
    fn size(self) -> Option<usize> {
        match self {
            Self::I32 => Some(4),
            Self::I64 | Self::F64 => Some(8),
            Self::Fixed(width) => Some(width as usize),
            Self::Bool | Self::Bytes => None,
        }
    }
}
