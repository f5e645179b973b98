//! The term index: in which blocks a term (the hash of a service, an operation, or an attribute's
//! key and text) occurs. A term of one block, the usual case, is a fingerprint and the block's
//! number beside it; a term of several is a fingerprint, and its blocks stand in one bitmap of
//! all such terms. Terms and blocks in, a set of blocks out: sometimes too many, never too few.
//!
//! Terms fall into buckets by their high bits and are told apart by [`PRINT_BITS`] low ones, so a
//! probe reads one bucket of each table. At eight terms a bucket about 4 probes in 1,000 for a
//! term that is not there name a block (measured below).

use std::ops::Range;

use roaring::RoaringBitmap;

use super::blob::{Cursor, Parsed, put_bytes, put_varint};

const PRINT_BITS: u32 = 12;
const TERMS_PER_BUCKET: usize = 8;
/// A term in more than 7 of 8 blocks is said to be in all: as good for pruning, and it takes no
/// room.
const NEARLY_ALL: (u64, u64) = (7, 8);

/// The blocks that may hold a term.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BlockSet {
    None,
    One(u32),
    Some(RoaringBitmap),
    All,
}

impl BlockSet {
    pub(crate) fn contains(&self, block: u32) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => *one == block,
            Self::Some(some) => some.contains(block),
            Self::All => true,
        }
    }
}

/// The terms of a segment.
#[derive(Debug, PartialEq)]
pub(super) struct TermIndex {
    blocks: u32,
    /// Terms of one block; the block is the payload.
    single: Table,
    /// Terms of several; a term's place is its ordinal.
    several: Table,
    /// `ordinal * blocks + block`, as many ordinals a bitmap as 32 bits hold.
    bitmaps: Vec<RoaringBitmap>,
}

/// Fingerprints with payload, by bucket.
#[derive(Debug, PartialEq)]
struct Table {
    /// Where each bucket begins, and where the last ends.
    starts: Vec<u32>,
    payload_bits: u32,
    /// One entry behind the other, without gaps.
    entries: Box<[u8]>,
}

/// `terms` are (term, block), in any order, perhaps repeated; they are sorted here.
pub(super) fn encode(terms: &mut Vec<(u64, u32)>, blocks: u32) -> std::io::Result<Vec<u8>> {
    terms.sort_unstable();
    terms.dedup();
    let (mut single, mut several) = (Vec::new(), Vec::new());
    let per_bitmap = ordinals_per_bitmap(blocks);
    let mut bitmaps: Vec<RoaringBitmap> = Vec::new();
    let mut numbers: Vec<u32> = Vec::new();
    for term in terms.chunk_by(|a, b| a.0 == b.0) {
        let [(hash, block), rest @ ..] = term else { continue };
        if rest.is_empty() {
            single.push((*hash, *block));
            continue;
        }
        let ordinal = several.len();
        several.push((*hash, 0));
        let base = (ordinal % per_bitmap) as u32 * blocks;
        if ordinal > 0 && ordinal % per_bitmap == 0 {
            bitmaps.push(RoaringBitmap::from_sorted_iter(numbers.drain(..)).unwrap_or_default());
        }
        if term.len() as u64 * NEARLY_ALL.1 > u64::from(blocks) * NEARLY_ALL.0 {
            numbers.extend(base..base + blocks);
        } else {
            numbers.extend(term.iter().map(|(_, block)| base + block));
        }
    }
    bitmaps.push(RoaringBitmap::from_sorted_iter(numbers).unwrap_or_default());
    let mut out = Vec::new();
    encode_table(&single, 32 - blocks.leading_zeros(), &mut out);
    encode_table(&several, 0, &mut out);
    put_varint(&mut out, bitmaps.len() as u64);
    for mut bitmap in bitmaps {
        bitmap.optimize();
        let mut bytes = Vec::with_capacity(bitmap.serialized_size());
        bitmap.serialize_into(&mut bytes)?;
        put_bytes(&mut out, &bytes);
    }
    Ok(out)
}

fn ordinals_per_bitmap(blocks: u32) -> usize {
    (u32::MAX / blocks.max(1)) as usize
}

fn encode_table(terms: &[(u64, u32)], payload_bits: u32, out: &mut Vec<u8>) {
    let buckets = terms.len().div_ceil(TERMS_PER_BUCKET);
    let mut counts = vec![0u64; buckets];
    terms.iter().for_each(|&(term, _)| counts[bucket_of(term, buckets)] += 1);
    put_varint(out, buckets as u64);
    counts.iter().for_each(|&count| put_varint(out, count));
    out.push(payload_bits as u8);
    let mut bits = BitWriter::default();
    for &(term, payload) in terms {
        // Terms are sorted, so buckets come in order.
        let entry = print_of(term) << payload_bits | u64::from(payload);
        bits.put(entry, PRINT_BITS + payload_bits);
    }
    put_bytes(out, &bits.finish());
}

fn bucket_of(term: u64, buckets: usize) -> usize {
    (((term >> 32) * buckets as u64) >> 32) as usize
}

fn print_of(term: u64) -> u64 {
    term & ((1 << PRINT_BITS) - 1)
}

impl TermIndex {
    pub(super) fn decode(bytes: &[u8], blocks: u32) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        let single = Table::decode(&mut cursor)?;
        let several = Table::decode(&mut cursor)?;
        if several.payload_bits != 0 {
            return Err("its terms of several blocks have a payload");
        }
        let count = cursor.count(1)?;
        let mut bitmaps = Vec::with_capacity(count);
        for _ in 0..count {
            let bitmap = RoaringBitmap::deserialize_from(cursor.bytes()?);
            bitmaps.push(bitmap.map_err(|_| "a bitmap of its terms does not decode")?);
        }
        cursor.finish()?;
        Ok(Self { blocks, single, several, bitmaps })
    }

    /// The blocks that may hold `term`; every block that holds it is among them.
    pub(super) fn blocks_of(&self, term: u64) -> BlockSet {
        let mut singles = self.single.find(term);
        let mut several = self.several.find(term).peekable();
        if several.peek().is_none() {
            match (singles.next(), singles.next()) {
                (None, _) => return BlockSet::None,
                (Some((_, block)), None) => return BlockSet::One(block),
                _ => {}
            }
        }
        let mut found: RoaringBitmap = self.single.find(term).map(|(_, block)| block).collect();
        for (ordinal, _) in several {
            self.add_blocks(ordinal, &mut found);
        }
        if found.len() >= u64::from(self.blocks) { BlockSet::All } else { BlockSet::Some(found) }
    }

    fn add_blocks(&self, ordinal: u32, found: &mut RoaringBitmap) {
        let per_bitmap = ordinals_per_bitmap(self.blocks);
        let Some(bitmap) = self.bitmaps.get(ordinal as usize / per_bitmap) else { return };
        let base = (ordinal as usize % per_bitmap) as u32 * self.blocks;
        found.extend(bitmap.range(base..base + self.blocks).map(|number| number - base));
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let containers = |bitmap: &RoaringBitmap| bitmap.statistics().n_containers as usize;
        let bitmaps: usize =
            self.bitmaps.iter().map(|b| b.serialized_size() + containers(b) * 40).sum();
        self.single.memory_bytes() + self.several.memory_bytes() + bitmaps
    }
}

impl Table {
    fn decode(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let buckets = cursor.count(1)?;
        let mut starts = Vec::with_capacity(buckets + 1);
        let mut end = 0u32;
        starts.push(end);
        for _ in 0..buckets {
            end = end.checked_add(cursor.varint_u32()?).ok_or("it has too many terms")?;
            starts.push(end);
        }
        let payload_bits = u32::from(cursor.u8()?);
        let entries = cursor.bytes()?;
        let bits = u64::from(end) * u64::from(PRINT_BITS + payload_bits);
        if payload_bits > 32 || entries.len() as u64 != bits.div_ceil(8) {
            return Err("its terms do not add up");
        }
        Ok(Self { starts, payload_bits, entries: entries.into() })
    }

    /// Place and payload of every entry with the term's fingerprint.
    fn find(&self, term: u64) -> impl Iterator<Item = (u32, u32)> {
        let bucket = bucket_of(term, self.starts.len().saturating_sub(1));
        let bounds: Range<u32> = match self.starts.get(bucket..bucket + 2) {
            Some(&[from, to]) => from..to,
            _ => 0..0,
        };
        bounds.filter_map(move |place| {
            let entry = self.entry(place);
            let payload = entry & ((1 << self.payload_bits) - 1);
            (entry >> self.payload_bits == print_of(term)).then_some((place, payload as u32))
        })
    }

    fn entry(&self, place: u32) -> u64 {
        let width = PRINT_BITS + self.payload_bits;
        let bit = u64::from(place) * u64::from(width);
        let from = (bit / 8) as usize;
        let mut word = [0; 8];
        let there = self.entries.get(from..).unwrap_or_default();
        let there = there.get(..8).unwrap_or(there);
        word[..there.len()].copy_from_slice(there);
        // At most 44 bits behind at most 7.
        u64::from_le_bytes(word) >> (bit % 8) & ((1 << width) - 1)
    }

    fn memory_bytes(&self) -> usize {
        self.starts.capacity() * size_of::<u32>() + self.entries.len()
    }
}

/// Packs numbers of some bits each, lowest bit first.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    word: u64,
    used: u32,
}

impl BitWriter {
    /// `width` is at most 57.
    fn put(&mut self, value: u64, width: u32) {
        self.word |= value << self.used;
        self.used += width;
        while self.used >= 8 {
            self.bytes.push(self.word as u8);
            self.word >>= 8;
            self.used -= 8;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.used > 0 {
            self.bytes.push(self.word as u8);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::world::Dice;

    /// Terms as traces have them: most in one block, some in a few, some everywhere.
    fn sample(blocks: u32) -> Vec<(u64, u32)> {
        let mut dice = Dice::new(u64::from(blocks));
        let mut terms = Vec::new();
        for number in 0..20_000u64 {
            let term = dice.roll();
            let spread = match number % 100 {
                0 => blocks,
                1..15 => 2 + (dice.roll() % 9) as u32,
                _ => 1,
            };
            let first = dice.roll() as u32 % blocks;
            terms.extend((0..spread).map(|n| (term, (first + n) % blocks)));
        }
        terms
    }

    fn index(terms: &[(u64, u32)], blocks: u32) -> TermIndex {
        let bytes = encode(&mut terms.to_vec(), blocks).unwrap();
        TermIndex::decode(&bytes, blocks).unwrap()
    }

    #[test]
    fn no_false_negatives_and_few_false_positives() {
        for blocks in [1, 2, 3, 64, 770] {
            let terms = sample(blocks);
            let index = index(&terms, blocks);
            let mut expected: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
            for &(term, block) in &terms {
                expected.entry(term).or_default().insert(block);
            }
            let (mut found, mut extra) = (0u64, 0u64);
            for (term, here) in &expected {
                let set = index.blocks_of(*term);
                assert!(here.iter().all(|&block| set.contains(block)));
                if here.len() as u64 * 8 <= u64::from(blocks) * 7 {
                    found += here.len() as u64;
                    extra += (0..blocks).filter(|&b| set.contains(b)).count() as u64;
                }
            }
            assert!(extra <= found + found / 20, "{extra} blocks for {found} at {blocks}");
            let mut dice = Dice::new(99);
            let wrong = (0..100_000).filter(|_| index.blocks_of(dice.roll()) != BlockSet::None);
            assert!(wrong.count() < 800);
        }
    }

    #[test]
    fn terms_that_look_alike_are_both_found() {
        // One bucket, one fingerprint: the tables cannot tell them apart.
        let terms = [(7, 1), (7 | 1 << 20, 5), (7 | 1 << 21, 2), (7 | 1 << 21, 3)];
        let index = index(&terms, 9);
        let expected = BlockSet::Some([1, 2, 3, 5].into_iter().collect());
        assert!(terms.iter().all(|&(term, _)| index.blocks_of(term) == expected));
        assert_eq!(index.blocks_of(8), BlockSet::None);
    }

    #[test]
    fn sets_are_as_small_as_they_say() {
        let everywhere = (0..16).map(|block| (1 << 40 | 1, block));
        let nearly = (0..15).map(|block| (1 << 50 | 2, block));
        let terms: Vec<_> = everywhere.chain(nearly).chain([(1 << 60 | 3, 4)]).collect();
        let index = index(&terms, 16);
        assert_eq!(index.blocks_of(1 << 40 | 1), BlockSet::All);
        assert_eq!(index.blocks_of(1 << 50 | 2), BlockSet::All);
        assert_eq!(index.blocks_of(1 << 60 | 3), BlockSet::One(4));
        assert_eq!(super::tests::index(&[], 16).blocks_of(1), BlockSet::None);
    }

    #[test]
    fn a_term_costs_few_bytes() {
        let terms = sample(64);
        let bytes = encode(&mut terms.clone(), 64).unwrap();
        // 17,000 terms of one block at 19 bits, 3,000 of several at 12, 2 bytes for each of their
        // blocks, one byte a bucket.
        assert!(bytes.len() < 92_000, "{}", bytes.len());
        let index = TermIndex::decode(&bytes, 64).unwrap();
        assert!(index.memory_bytes() < bytes.len() * 5 / 4);
    }

    #[test]
    fn damage_never_panics() {
        let terms = [(7, 1), (1 << 63, 5), (1 << 63, 2), (u64::MAX, 3), (1 << 40, 0)];
        let good = encode(&mut terms.to_vec(), 6).unwrap();
        for at in 0..good.len() {
            assert!(TermIndex::decode(&good[..at], 6).is_err());
            for value in 0..=255 {
                let mut bad = good.clone();
                bad[at] = value;
                if let Ok(index) = TermIndex::decode(&bad, 6) {
                    terms.iter().for_each(|&(term, _)| drop(index.blocks_of(term)));
                }
            }
        }
    }
}
