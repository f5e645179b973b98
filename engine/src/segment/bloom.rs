//! One filter a block over the terms its rows can be looked up by: a split-block Bloom filter as
//! Parquet describes it (eight bits of one 256-bit line a term, one cache line a probe). Term
//! hashes in, filter words out; never a false negative.
//!
//! Source: <https://parquet.apache.org/docs/file-format/bloomfilter/>.

use super::blob::{Cursor, Parsed, put_u32, put_varint};

/// At 13 bits a term about 4 probes in 1,000 for an absent term say "maybe" (measured below).
const BITS_PER_TERM: usize = 13;
const LINE_WORDS: usize = 8;
const LINE_BITS: usize = 32 * LINE_WORDS;
const SALT: [u32; LINE_WORDS] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// The filters of a segment's blocks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Blooms {
    words: Vec<u32>,
    /// Per block, the line behind its last.
    ends: Vec<u32>,
}

impl Blooms {
    /// Adds the filter of the next block; `terms` may repeat and are sorted here.
    pub(super) fn push(&mut self, terms: &mut Vec<u64>) {
        terms.sort_unstable();
        terms.dedup();
        let lines = (terms.len() * BITS_PER_TERM).div_ceil(LINE_BITS);
        let from = self.words.len();
        self.words.resize(from + lines * LINE_WORDS, 0);
        for &term in terms.iter() {
            let line = from + line_of(term, lines) * LINE_WORDS;
            for (word, bit) in self.words[line..line + LINE_WORDS].iter_mut().zip(bits(term)) {
                *word |= bit;
            }
        }
        self.ends.push((self.words.len() / LINE_WORDS) as u32);
    }

    pub(super) fn may_contain(&self, block: usize, term: u64) -> bool {
        let Some(&end) = self.ends.get(block) else { return false };
        let first = block.checked_sub(1).and_then(|b| self.ends.get(b)).copied().unwrap_or(0);
        let lines = (end - first) as usize;
        if lines == 0 {
            return false;
        }
        let from = (first as usize + line_of(term, lines)) * LINE_WORDS;
        self.words[from..from + LINE_WORDS]
            .iter()
            .zip(bits(term))
            .all(|(word, bit)| word & bit != 0)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.words.len() * 4 + self.ends.len() * 2 + 8);
        put_varint(&mut out, self.ends.len() as u64);
        let mut last = 0;
        for &end in &self.ends {
            put_varint(&mut out, u64::from(end - last));
            last = end;
        }
        self.words.iter().for_each(|&word| put_u32(&mut out, word));
        out
    }

    pub(super) fn decode(bytes: &[u8], blocks: usize) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        if cursor.count(1)? != blocks {
            return Err("filters and blocks differ in number");
        }
        let mut ends = Vec::with_capacity(blocks);
        let mut end = 0u32;
        for _ in 0..blocks {
            end = end.checked_add(cursor.varint_u32()?).ok_or("a filter is absurdly long")?;
            ends.push(end);
        }
        let length =
            (end as usize).checked_mul(LINE_WORDS * 4).ok_or("a filter is absurdly long")?;
        let words = cursor.take(length)?.as_chunks::<4>().0;
        let words = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        cursor.finish()?;
        Ok(Self { words, ends })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        (self.words.capacity() + self.ends.capacity()) * 4
    }
}

/// Which of `lines` a term falls into, without a division.
fn line_of(term: u64, lines: usize) -> usize {
    (((term >> 32) * lines as u64) >> 32) as usize
}

fn bits(term: u64) -> impl Iterator<Item = u32> {
    SALT.into_iter().map(move |salt| 1 << ((term as u32).wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Dice;

    #[test]
    fn no_false_negatives_and_few_false_positives() {
        let mut dice = Dice::new(1);
        let sizes = [0, 1, 2, 19, 20, 300, 5_000];
        let terms: Vec<Vec<u64>> =
            sizes.iter().map(|&n| (0..n).map(|_| dice.roll()).collect()).collect();
        let mut blooms = Blooms::default();
        for block in &terms {
            let mut repeated = [block.as_slice(), block.as_slice()].concat();
            blooms.push(&mut repeated);
        }
        let blooms = Blooms::decode(&blooms.encode(), sizes.len()).unwrap();
        for (block, terms) in terms.iter().enumerate() {
            assert!(terms.iter().all(|&term| blooms.may_contain(block, term)));
        }
        assert!((0..1_000).all(|_| !blooms.may_contain(0, dice.roll())), "block 0 has no terms");
        assert!(!blooms.may_contain(sizes.len(), terms[6][0]), "there is no such block");
        let wrong = (0..100_000).filter(|_| blooms.may_contain(6, dice.roll())).count();
        assert!(wrong < 800, "{wrong} of 100,000 absent terms may be there");
    }

    #[test]
    fn damage_never_panics() {
        let mut blooms = Blooms::default();
        blooms.push(&mut (0..40u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect());
        blooms.push(&mut vec![5, 6]);
        let good = blooms.encode();
        assert_eq!(Blooms::decode(&good, 2).unwrap(), blooms);
        assert!(Blooms::decode(&good, 3).is_err());
        for at in 0..good.len() {
            assert!(Blooms::decode(&good[..at], 2).is_err());
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                if let Ok(blooms) = Blooms::decode(&bad, 2) {
                    blooms.may_contain(0, 1 << 60);
                    blooms.may_contain(1, 1 << 60);
                }
            }
        }
    }
}
