//! Chance that repeats itself: a seed flows in, the same sequence flows out on every machine.
//!
//! SplitMix64 (Steele, Lea, Flood 2014): one word of state and good enough for a shop's weather.
//! Never for secrets.

/// A sequence of numbers.
#[derive(Debug, Clone)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// 0 to `below` - 1; 0 for 0.
    pub(super) fn below(&mut self, below: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(below)) >> 64) as u64
    }

    /// True in `percent` of 100 cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these; `None` of nothing.
    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len() as u64) as usize)
    }

    /// A time around `micros` µs, in nanoseconds: mostly 0.6 to 1.4 of it, now and then a tail of
    /// several times as much, as real systems have.
    pub(super) fn around(&mut self, micros: u64) -> u64 {
        let spread = micros * 600 + self.below(micros * 800 + 1);
        if self.chance(4) { spread * (3 + self.below(5)) } else { spread }
    }
}

/// SplitMix64's finaliser: every bit of the input moves every bit of the output.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // Reference values of the published algorithm for seed 1234567.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn bounds_hold() {
        let mut rng = Rng::new(1);
        assert!((0..1000).all(|_| rng.below(3) < 3));
        assert_eq!(rng.below(0), 0);
        assert!((0..1000).all(|_| (600_000..=11_200_000).contains(&rng.around(1_000))));
    }
}
