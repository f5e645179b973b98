//! Parquet's RLE and bit-packing hybrid: runs of one number, and runs of eight, sixteen …
//! bit-packed numbers. Levels and dictionary codes are written so.

use super::bits;
use crate::segment::blob::{Cursor, Parsed, put_varint};

/// Collects numbers below `2^width` and writes them as runs.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Numbers that will be bit-packed. Cleared by every finished writer, kept for its memory.
    literals: &'a mut Vec<u32>,
    width: u32,
    /// From how many on a run of its own is shorter than bits among bits.
    run_min: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, literals: &'a mut Vec<u32>, width: u32) -> Self {
        literals.clear();
        // A run costs about two bytes, and two more for the literals' next header.
        let run_min = (32 / width.max(1) as usize).next_multiple_of(8).max(8);
        Self { out, literals, width, run_min }
    }

    /// Looks for runs at every eighth number only, where they may begin.
    pub(super) fn all<T: Copy + PartialEq + Into<u32>>(&mut self, values: &[T]) {
        let mut rest = values;
        while let Some((eight, behind)) = rest.split_first_chunk::<8>() {
            let first = eight[0];
            if eight.iter().all(|&value| value == first) {
                let same = behind.iter().position(|&value| value != first);
                let count = 8 + same.unwrap_or(behind.len());
                self.run(first.into(), count);
                rest = &rest[count..];
            } else {
                self.literals.extend(eight.map(Into::into));
                rest = behind;
            }
        }
        self.literals.extend(rest.iter().map(|&value| value.into()));
    }

    /// `count` times `value`.
    pub(super) fn run(&mut self, value: u32, count: usize) {
        // Literals end at a multiple of eight.
        let fill = self.literals.len().next_multiple_of(8) - self.literals.len();
        if count < fill + self.run_min {
            self.literals.extend(std::iter::repeat_n(value, count));
            return;
        }
        self.literals.extend(std::iter::repeat_n(value, fill));
        self.flush();
        self.put_run(value, count - fill);
    }

    pub(super) fn finish(mut self) {
        match self.literals.split_first() {
            Some((&first, rest)) if rest.iter().all(|&value| value == first) => {
                let count = self.literals.len();
                self.put_run(first, count);
            }
            _ => {
                let filled = self.literals.len().next_multiple_of(8);
                self.literals.resize(filled, 0);
                self.flush();
            }
        }
        self.literals.clear();
    }

    fn flush(&mut self) {
        if !self.literals.is_empty() {
            put_varint(self.out, (self.literals.len() / 8) as u64 * 2 + 1);
            let literals = self.literals.iter().map(|&value| u64::from(value));
            bits::pack(self.out, literals, self.width);
            self.literals.clear();
        }
    }

    fn put_run(&mut self, value: u32, count: usize) {
        put_varint(self.out, count as u64 * 2);
        self.out.extend_from_slice(&value.to_le_bytes()[..self.width.div_ceil(8) as usize]);
    }
}

/// Reads runs. Copies are bookmarks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'p> {
    bytes: &'p [u8],
    width: u32,
    run: Part<'p>,
}

/// Numbers of one run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'p> {
    Same {
        value: u32,
        count: usize,
    },
    /// `count` numbers from index `first` on, all of which `bytes` has.
    Packed {
        bytes: &'p [u8],
        first: usize,
        count: usize,
    },
}

impl Part<'_> {
    pub(super) fn count(&self) -> usize {
        match self {
            Part::Same { count, .. } | Part::Packed { count, .. } => *count,
        }
    }
}

impl<'p> Reader<'p> {
    pub(super) fn new(bytes: &'p [u8], width: u32) -> Parsed<Self> {
        if width > u32::BITS {
            return Err("a page has codes of more than 32 bits");
        }
        Ok(Self { bytes, width, run: Part::Same { value: 0, count: 0 } })
    }

    pub(super) fn width(&self) -> u32 {
        self.width
    }

    /// The next numbers: at least one and at most `most`, which is not 0.
    pub(super) fn part(&mut self, most: usize) -> Parsed<Part<'p>> {
        while self.run.count() == 0 {
            self.run = self.next_run()?;
        }
        Ok(match &mut self.run {
            Part::Same { value, count } => {
                let taken = most.min(*count);
                *count -= taken;
                Part::Same { value: *value, count: taken }
            }
            Part::Packed { bytes, first, count } => {
                let taken = most.min(*count);
                let part = Part::Packed { bytes, first: *first, count: taken };
                *first += taken;
                *count -= taken;
                part
            }
        })
    }

    fn next_run(&mut self) -> Parsed<Part<'p>> {
        let mut cursor = Cursor::new(self.bytes);
        let head = cursor.varint()?;
        let count = usize::try_from(head >> 1).map_err(|_| "a run is absurdly long")?;
        let run = if head & 1 == 1 {
            let count = count.checked_mul(8).ok_or("a run is absurdly long")?;
            let length = bits::packed_bytes(count, self.width).ok_or("a run is absurdly long")?;
            Part::Packed { bytes: cursor.take(length)?, first: 0, count }
        } else {
            let bytes = cursor.take(self.width.div_ceil(8) as usize)?;
            let value = bits::word(bytes, 0);
            if value > bits::mask(self.width) {
                return Err("a run has a number that its width does not hold");
            }
            Part::Same { value: value as u32, count }
        };
        self.bytes = self.bytes.get(cursor.at()..).unwrap_or_default();
        Ok(run)
    }

    pub(super) fn read<T: bits::Number>(&mut self, count: usize, out: &mut Vec<T>) -> Parsed<()> {
        out.reserve(count);
        let mut left = count;
        while left > 0 {
            let part = self.part(left)?;
            let from = out.len();
            match part {
                Part::Same { value, count } => {
                    out.resize(from + count, T::of(value.into()));
                }
                Part::Packed { bytes, first, count } => {
                    out.resize(from + count, T::of(0));
                    bits::unpack(bytes, self.width, first, &mut out[from..]);
                }
            }
            left -= part.count();
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, count: usize) -> Parsed<()> {
        let mut left = count;
        while left > 0 {
            left -= self.part(left)?.count();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(values: &[u32], width: u32) -> Vec<u8> {
        let (mut out, mut literals) = (Vec::new(), Vec::new());
        let mut writer = Writer::new(&mut out, &mut literals, width);
        writer.all(values);
        writer.finish();
        out
    }

    #[test]
    fn runs_are_as_the_format_says() {
        assert!(written(&[], 1).is_empty());
        assert_eq!(written(&[1; 100], 1), [200, 1, 1], "100 << 1 as a varint, value 1");
        assert_eq!(written(&[0, 1, 2, 3, 4, 5, 6, 7], 3), [3, 0x88, 0xc6, 0xfa], "from the format");
        assert_eq!(written(&[0; 300], 0), [0xd8, 4], "no bits, no bytes");
        // Five literals, filled up from the run behind them.
        let mixed = [&[1, 2, 1, 2, 1][..], &[3; 40]].concat();
        assert_eq!(written(&mixed, 2), [3, 0x99, 0xfd, 74, 3]);
    }

    proptest! {
        #[test]
        fn numbers_come_back(
            runs in prop::collection::vec((any::<u32>(), 1usize..50), 0..40),
            width in 0u32..=32,
            skip in 0usize..300,
        ) {
            let mask = bits::mask(width) as u32;
            let values: Vec<u32> =
                runs.iter().flat_map(|&(v, n)| std::iter::repeat_n(v & mask, n)).collect();
            let bytes = written(&values, width);
            let skip = skip.min(values.len());
            let mut reader = Reader::new(&bytes, width).unwrap();
            reader.skip(skip).unwrap();
            let mut out = Vec::<u32>::new();
            reader.read(values.len() - skip, &mut out).unwrap();
            prop_assert_eq!(&out[..], &values[skip..]);
            prop_assert!(reader.read(8, &mut out).is_err(), "at most seven numbers of filling");
        }

        #[test]
        fn forged_bytes_never_panic(bytes: Vec<u8>, width in 0u32..=33) {
            if let Ok(mut reader) = Reader::new(&bytes, width) {
                let mut out = Vec::<u32>::new();
                let _ = reader.skip(3);
                while reader.read(100, &mut out).is_ok() && out.len() < 10_000 {}
            }
        }
    }
}
