//! Which of 32 segments may hold a trace, answered at once: a Bloom filter each, laid side by
//! side, so that one probe reads three words and not 32 directories. Fingerprints of the directories
//! in, a set of segments out: sometimes one too many, never one too few. In memory only; no I/O.
//!
//! A trace takes two bytes on average, whatever the segments' sizes: one that has more traces than
//! the others fills its share of the bits more and is named in vain more often. At equal sizes
//! about one segment in 200 is (measured below).

/// Segments of one filter.
pub(crate) const PRINTS_SEGMENTS: usize = 32;
/// Words of the filter for each trace of an average segment.
const WORDS_PER_TRACE: usize = 16;
/// Bits a trace sets.
const BITS: u32 = 3;

/// The traces of up to [`PRINTS_SEGMENTS`] segments.
#[derive(Debug)]
pub(crate) struct Prints {
    /// A bit for each segment.
    words: Box<[u32]>,
}

impl Prints {
    /// `segments` give the fingerprints of their traces; those beyond the 32nd are not looked at.
    pub(crate) fn of<'a>(
        segments: impl Iterator<Item = Box<dyn Iterator<Item = u32> + 'a>>,
    ) -> Self {
        let all: Vec<Vec<u32>> = segments.take(PRINTS_SEGMENTS).map(Iterator::collect).collect();
        let traces: usize = all.iter().map(Vec::len).sum();
        let words = (traces / all.len().max(1)).saturating_add(1).saturating_mul(WORDS_PER_TRACE);
        let mut words = vec![0; words].into_boxed_slice();
        for (segment, fingerprints) in all.iter().enumerate() {
            for &fingerprint in fingerprints {
                for place in places(fingerprint, words.len()) {
                    if let Some(word) = words.get_mut(place) {
                        *word |= 1 << segment;
                    }
                }
            }
        }
        Self { words }
    }

    /// The segments that may hold a trace of this fingerprint, by number.
    pub(crate) fn find(&self, fingerprint: u32) -> impl Iterator<Item = usize> + use<> {
        let word = |place: usize| self.words.get(place).copied().unwrap_or(u32::MAX);
        let mut left = places(fingerprint, self.words.len()).map(word).fold(u32::MAX, |a, b| a & b);
        std::iter::from_fn(move || {
            let lowest = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(lowest)
        })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.words.len() * size_of::<u32>()
    }
}

/// Where a fingerprint has its bits. Fingerprints are uniform, but only 32 bits: they are spread
/// once more, or places of one filter would follow from each other.
fn places(fingerprint: u32, words: usize) -> impl Iterator<Item = usize> + use<> {
    let spread = (u64::from(fingerprint) ^ 0x5851_f42d).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let spread = (spread ^ (spread >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let (first, step) = ((spread >> 32) as u32, spread as u32 | 1);
    (0..BITS).map(move |bit| {
        let at = first.wrapping_add(step.wrapping_mul(bit));
        ((u64::from(at) * words as u64) >> 32) as usize
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Dice;

    fn prints(segments: &[Vec<u32>]) -> Prints {
        Prints::of(
            segments.iter().map(|s| Box::new(s.iter().copied()) as Box<dyn Iterator<Item = u32>>),
        )
    }

    #[test]
    fn names_every_segment_that_has_it_and_few_others() {
        let mut dice = Dice::new(5);
        let segments: Vec<Vec<u32>> =
            (0..32).map(|_| (0..450).map(|_| dice.roll() as u32).collect()).collect();
        let prints = prints(&segments);
        for (number, segment) in segments.iter().enumerate() {
            for &fingerprint in segment {
                assert!(prints.find(fingerprint).any(|found| found == number));
            }
        }
        let named: usize = (0..10_000).map(|_| prints.find(dice.roll() as u32).count()).sum();
        let share = named as f64 / (10_000.0 * 32.0);
        assert!(share < 0.006, "{share}");
        assert!(prints.memory_bytes() <= 32 * 450 * 2 + 64, "{}", prints.memory_bytes());
    }

    #[test]
    fn one_large_segment_does_not_blind_the_others() {
        let mut dice = Dice::new(6);
        let mut segments: Vec<Vec<u32>> =
            (0..31).map(|_| (0..20).map(|_| dice.roll() as u32).collect()).collect();
        segments.push((0..20_000).map(|_| dice.roll() as u32).collect());
        let prints = prints(&segments);
        assert!(segments[31].iter().all(|&f| prints.find(f).any(|found| found == 31)));
        let others =
            (0..10_000).map(|_| prints.find(dice.roll() as u32).filter(|s| *s < 31).count());
        assert!(others.sum::<usize>() < 300);
        assert_eq!(super::tests::prints(&[]).find(7).count(), 0);
    }
}
