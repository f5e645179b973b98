//! Numbers of a fixed count of bits, lowest bit first, packed without gaps: Parquet's bit-packing.

/// What packed numbers become.
pub(super) trait Number: Copy {
    /// The low bits.
    fn of(word: u64) -> Self;
}

impl Number for bool {
    fn of(word: u64) -> Self {
        word & 1 == 1
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Number for $number {
            fn of(word: u64) -> Self {
                word as $number
            }
        })*
    };
}

numbers! { u8 u32 u64 i32 i64 }

/// The widest number that one unaligned word always holds.
const WORD_WIDTH_MAX: usize = 57;
/// Numbers unpacked at once.
const STEP: usize = 64;

/// Eight bytes from `at` on, zeros behind the end.
pub(super) fn word(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

/// The low `width` bits.
pub(super) fn mask(width: u32) -> u64 {
    if width == 0 { 0 } else { u64::MAX >> (64 - width.min(64)) }
}

/// The bits a number takes.
pub(super) fn width_of(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

/// Bytes of `count` numbers.
pub(super) fn packed_bytes(count: usize, width: u32) -> Option<usize> {
    count.checked_mul(width as usize).map(|bits| bits.div_ceil(8))
}

/// Reads `out.len()` numbers from the one with index `first` on; zeros behind the end of `bytes`,
/// so the caller has seen to its length.
pub(super) fn unpack<T: Number>(bytes: &[u8], width: u32, first: usize, out: &mut [T]) {
    let width = width as usize;
    // Up to the next whole byte, eight by eight from there, and what is left.
    let head = (first.next_multiple_of(8) - first).min(out.len());
    let (head, out) = out.split_at_mut(head);
    singly(bytes, width, first, head);
    let (eights, tail) = out.split_at_mut(out.len() / 8 * 8);
    let mut at = first + head.len();
    for step in eights.chunks_mut(STEP) {
        let from = at / 8 * width;
        match bytes.get(from..from + step.len() / 8 * width) {
            Some(packed) if width == 1 => bits(packed, step),
            Some(packed) if width <= WORD_WIDTH_MAX => {
                let mut numbers = [0; STEP];
                by_width(packed, width, &mut numbers);
                step.iter_mut().zip(numbers).for_each(|(value, number)| *value = T::of(number));
            }
            _ => singly(bytes, width, at, step),
        }
        at += step.len();
    }
    singly(bytes, width, at, tail);
}

fn singly<T: Number>(bytes: &[u8], width: usize, first: usize, out: &mut [T]) {
    let mask = mask(width as u32);
    let mut bit = first * width;
    for value in out {
        let (at, shift) = (bit / 8, bit % 8);
        let mut number = word(bytes, at) >> shift;
        if shift + width > 64 {
            number |= word(bytes, at + 8) << (64 - shift);
        }
        *value = T::of(number & mask);
        bit += width;
    }
}

/// Single bits: a byte of eight is spread over eight bytes.
fn bits<T: Number>(packed: &[u8], out: &mut [T]) {
    for (&byte, eight) in packed.iter().zip(out.as_chunks_mut::<8>().0) {
        // Byte n keeps bit n only; then whatever is not 0 carries into its highest bit.
        let spread = (u64::from(byte) * 0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
        let ones = (spread + 0x7f7f_7f7f_7f7f_7f7f) >> 7 & 0x0101_0101_0101_0101;
        *eight = ones.to_le_bytes().map(|one| T::of(one.into()));
    }
}

macro_rules! by_width {
    ($packed:expr, $width:expr, $out:expr, $($known:literal)*) => {
        match $width {
            $($known => eights::<$known>($packed, $out),)*
            _ => {}
        }
    };
}

/// Unpacks whole eights. With the width known, places and shifts are constants.
fn by_width(packed: &[u8], width: usize, out: &mut [u64; STEP]) {
    by_width!(packed, width, out,
        1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29
        30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57);
}

fn eights<const WIDTH: usize>(packed: &[u8], out: &mut [u64; STEP]) {
    let mask = u64::MAX >> (64 - WIDTH);
    let groups = packed.as_chunks::<WIDTH>().0;
    for (group, eight) in groups.iter().zip(out.as_chunks_mut::<8>().0) {
        if WIDTH < 8 {
            let mut word = [0; 8];
            word[..WIDTH].copy_from_slice(group);
            let word = u64::from_le_bytes(word);
            *eight = std::array::from_fn(|n| word >> (n * WIDTH) & mask);
        } else {
            *eight = std::array::from_fn(|n| {
                // The last words begin earlier, so that they end with the group.
                let at = (n * WIDTH / 8).min(WIDTH - 8);
                let mut word = [0; 8];
                word.copy_from_slice(&group[at..at + 8]);
                u64::from_le_bytes(word) >> (n * WIDTH - at * 8) & mask
            });
        }
    }
}

/// Byte `n` of word `m` becomes byte `m` of word `n`.
pub(super) fn transpose(mut words: [u64; 8]) -> [u64; 8] {
    for low in 0..4 {
        swap(&mut words, [low, low + 4], 32, 0x0000_0000_ffff_ffff);
    }
    for low in [0, 1, 4, 5] {
        swap(&mut words, [low, low + 2], 16, 0x0000_ffff_0000_ffff);
    }
    for low in [0, 2, 4, 6] {
        swap(&mut words, [low, low + 1], 8, 0x00ff_00ff_00ff_00ff);
    }
    words
}

/// The high halves of one word and the low halves of the other change places.
fn swap(words: &mut [u64; 8], [low, high]: [usize; 2], shift: u32, mask: u64) {
    let (a, b) = (words[low], words[high]);
    words[low] = a & mask | (b & mask) << shift;
    words[high] = a >> shift & mask | b & !mask;
}

/// Appends numbers, each below `2^width`; the last byte is filled up with zeros.
pub(super) fn pack(out: &mut Vec<u8>, values: impl Iterator<Item = u64>, width: u32) {
    let (mut word, mut bits) = (0u128, 0);
    for value in values {
        word |= u128::from(value) << bits;
        bits += width;
        if bits >= 64 {
            out.extend_from_slice(&(word as u64).to_le_bytes());
            word >>= 64;
            bits -= 64;
        }
    }
    let rest = (word as u64).to_le_bytes();
    out.extend_from_slice(&rest[..bits.div_ceil(8) as usize]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(
            values in prop::collection::vec(any::<u64>(), 0..300),
            width in 0u32..=64,
            first in 0usize..40,
        ) {
            let values: Vec<u64> = values.iter().map(|v| v & mask(width)).collect();
            let mut packed = Vec::new();
            pack(&mut packed, values.iter().copied(), width);
            prop_assert_eq!(packed.len(), packed_bytes(values.len(), width).unwrap());
            let expected = values.get(first..).unwrap_or_default();
            let mut wide = vec![0u64; expected.len()];
            unpack(&packed, width, first, &mut wide);
            prop_assert_eq!(&wide[..], expected);
            let mut narrow = vec![0u32; expected.len()];
            unpack(&packed, width, first, &mut narrow);
            prop_assert!(narrow.iter().zip(expected).all(|(a, b)| *a == *b as u32));
        }

        #[test]
        fn bytes_change_places(words: [u64; 8]) {
            let turned = transpose(words).map(u64::to_le_bytes);
            for (m, word) in words.map(u64::to_le_bytes).iter().enumerate() {
                for (n, &byte) in word.iter().enumerate() {
                    prop_assert_eq!(turned[n][m], byte);
                }
            }
        }
    }
}
