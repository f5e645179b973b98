//! DELTA_BINARY_PACKED: the first number, then blocks of differences, each over the block's least
//! and bit-packed in miniblocks as wide as their greatest needs. All arithmetic wraps; for 32-bit
//! columns it is the low half of the same.

use super::bits;
use crate::segment::blob::{Cursor, Parsed, put_varint};
use crate::segment::thrift::int;

/// As we write: the smallest that the format allows, so that an outlier widens few neighbours.
const BLOCK: usize = 128;
const MINIBLOCKS: usize = 4;
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;
/// What others may write; a block's widths take a byte each, so this bounds nothing but nonsense.
const BLOCK_MAX: u64 = 1 << 20;

pub(super) fn put_i32(out: &mut Vec<u8>, values: &[i32]) {
    // Differences must fit 32 bits: readers refuse wider miniblocks.
    put(out, values, |a, b| i64::from(a.wrapping_sub(b)), |d, min| u64::from((d - min) as u32));
}

pub(super) fn put_i64(out: &mut Vec<u8>, values: &[i64]) {
    put(out, values, i64::wrapping_sub, |d, min| d.wrapping_sub(min) as u64);
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn put<T: Copy + Default + Into<i64>>(
    out: &mut Vec<u8>,
    values: &[T],
    difference: impl Fn(T, T) -> i64,
    over: impl Fn(i64, i64) -> u64,
) {
    put_varint(out, BLOCK as u64);
    put_varint(out, MINIBLOCKS as u64);
    put_varint(out, values.len() as u64);
    put_varint(out, zigzag(values.first().copied().unwrap_or_default().into()));
    let mut deltas = [0; BLOCK];
    let mut last = values.first().copied().unwrap_or_default();
    for block in values.get(1..).unwrap_or_default().chunks(BLOCK) {
        for (delta, &value) in deltas.iter_mut().zip(block) {
            *delta = difference(value, last);
            last = value;
        }
        let deltas = &deltas[..block.len()];
        let min = deltas.iter().copied().min().unwrap_or_default();
        put_varint(out, zigzag(min));
        let widths = out.len();
        out.extend_from_slice(&[0; MINIBLOCKS]);
        for (number, mini) in deltas.chunks(MINIBLOCK).enumerate() {
            let all = mini.iter().fold(0, |bits, &delta| bits | over(delta, min));
            let width = bits::width_of(all);
            out[widths + number] = width as u8;
            let filling = std::iter::repeat_n(0, MINIBLOCK - mini.len());
            bits::pack(out, mini.iter().map(|&delta| over(delta, min)).chain(filling), width);
        }
    }
}

/// Reads numbers in order.
#[derive(Debug)]
pub(super) struct Reader<'p> {
    bytes: &'p [u8],
    /// Numbers not read yet.
    left: usize,
    /// Whether the header's number was read.
    begun: bool,
    last: u64,
    miniblocks: usize,
    miniblock: usize,
    /// Of this block.
    min: u64,
    widths: &'p [u8],
    /// Of this miniblock.
    packed: &'p [u8],
    width: u32,
    at: usize,
}

/// Numbers unpacked at once.
const STEP: usize = 64;

impl<'p> Reader<'p> {
    pub(super) fn new(bytes: &'p [u8]) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        let (block, miniblocks) = (cursor.varint()?, cursor.varint()?);
        let left = usize::try_from(cursor.varint()?).map_err(|_| "a page has an absurd count")?;
        let first = int(&mut cursor)?;
        let sound = (1..=BLOCK_MAX).contains(&block)
            && (1..=block).contains(&miniblocks)
            && block % miniblocks == 0
            && (block / miniblocks) % 32 == 0;
        if !sound {
            return Err("a page has blocks of a size that Parquet does not know");
        }
        let miniblock = (block / miniblocks) as usize;
        Ok(Self {
            bytes: bytes.get(cursor.at()..).unwrap_or_default(),
            left,
            begun: false,
            last: first as u64,
            miniblocks: miniblocks as usize,
            miniblock,
            min: 0,
            widths: &[],
            packed: &[],
            width: 0,
            at: miniblock,
        })
    }

    /// Gives `count` numbers, modulo 2^64, to `out`, some at a time.
    pub(super) fn read(&mut self, count: usize, mut out: impl FnMut(&[u64])) -> Parsed<()> {
        let mut wanted = count;
        self.left = self.left.checked_sub(count).ok_or("a page has too few values")?;
        if wanted > 0 && !self.begun {
            self.begun = true;
            wanted -= 1;
            out(&[self.last]);
        }
        let mut numbers = [0u64; STEP];
        while wanted > 0 {
            if self.at == self.miniblock {
                self.next_miniblock()?;
            }
            let step = wanted.min(self.miniblock - self.at).min(STEP);
            let numbers = &mut numbers[..step];
            bits::unpack(self.packed, self.width, self.at, numbers);
            let mut last = self.last;
            for number in &mut *numbers {
                last = last.wrapping_add(number.wrapping_add(self.min));
                *number = last;
            }
            self.last = last;
            out(numbers);
            self.at += step;
            wanted -= step;
        }
        Ok(())
    }

    fn next_miniblock(&mut self) -> Parsed<()> {
        let mut cursor = Cursor::new(self.bytes);
        if self.widths.is_empty() {
            self.min = int(&mut cursor)? as u64;
            self.widths = cursor.take(self.miniblocks)?;
        }
        let (&width, widths) = self.widths.split_first().ok_or("a block has no miniblocks")?;
        if width > 64 {
            return Err("a page has numbers of more than 64 bits");
        }
        self.widths = widths;
        self.width = width.into();
        let length = bits::packed_bytes(self.miniblock, self.width).ok_or("a block is absurd")?;
        self.packed = cursor.take(length)?;
        self.bytes = self.bytes.get(cursor.at()..).unwrap_or_default();
        self.at = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_formats_own_example() {
        // Encodings.md: 7, 5, 3, 1, 2, 3, 4, 5: first 7, least difference -2, widths of 2 bits.
        let mut out = Vec::new();
        put_i64(&mut out, &[7, 5, 3, 1, 2, 3, 4, 5]);
        let packed = [0b1100_0000, 0b0011_1111, 0, 0, 0, 0, 0, 0];
        assert_eq!(out, [&[0x80, 1, 4, 8, 14, 3, 2, 0, 0, 0][..], &packed].concat());
    }

    proptest! {
        #[test]
        fn numbers_come_back(
            values in prop::collection::vec(prop_oneof![any::<i64>(), -99i64..99], 0..600),
            skip in 0usize..600,
        ) {
            let mut out = Vec::new();
            put_i64(&mut out, &values);
            let skip = skip.min(values.len());
            let mut reader = Reader::new(&out).unwrap();
            reader.read(skip, |_| ()).unwrap();
            let mut back = Vec::new();
            reader.read(values.len() - skip, |v| back.extend(v.iter().map(|&v| v as i64))).unwrap();
            prop_assert_eq!(&back[..], &values[skip..]);
            prop_assert!(reader.read(1, |_| ()).is_err());

            let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
            out.clear();
            put_i32(&mut out, &values);
            let mut back = Vec::new();
            Reader::new(&out).unwrap().read(values.len(), |v| back.extend(v.iter().map(|&v| v as i32))).unwrap();
            prop_assert_eq!(back, values);
        }

        #[test]
        fn forged_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(mut reader) = Reader::new(&bytes) {
                for _ in 0..100 {
                    let _ = reader.read(40, |_| ());
                }
            }
        }
    }
}
