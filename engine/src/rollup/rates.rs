//! Calls, errors and how long they took, by service, kind of span and minute. Durations are counted in buckets
//! that grow geometrically, eight an octave, so that a quantile is right to
//! [`Latency::RELATIVE_ERROR`] at any size; sums of buckets are exact. Rows in, counts out.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;

use super::Services;
use crate::batch::Batch;
use crate::span::SpanKind;

/// Buckets of an octave.
const STEPS: u16 = 8;
/// Buckets there are: one for 0, then [`STEPS`] an octave.
pub(crate) const BUCKETS: u16 = 1 + 64 * STEPS;
/// 2^(63 + n/8) for n from 1 to 7, rounded up: where the steps of an octave begin, in numbers
/// whose highest bit is set.
const BEGINS: [u64; STEPS as usize - 1] = [
    0x8B95_C1E3_EA8B_D6E7,
    0x9837_F051_8DB8_A970,
    0xA5FE_D6A9_B151_38EB,
    0xB504_F333_F9DE_6485,
    0xC567_2A11_5506_DADE,
    0xD744_FCCA_D69D_6AF5,
    0xEAC0_C6E7_DD24_392F,
];

/// The bucket of a duration in nanoseconds.
fn bucket_of(duration: u64) -> u16 {
    if duration == 0 {
        return 0;
    }
    let zeros = duration.leading_zeros();
    let step = BEGINS.iter().take_while(|begin| duration << zeros >= **begin).count();
    1 + STEPS * (63 - zeros) as u16 + step as u16
}

/// The least duration of a bucket, 2^64 for the one behind the last.
fn least_of(bucket: u16) -> f64 {
    let Some(above) = bucket.checked_sub(1) else { return 0.0 };
    let (octave, step) = (above / STEPS, above % STEPS);
    let begin = match step.checked_sub(1) {
        None => 1u64 << 63,
        Some(step) => BEGINS.get(usize::from(step)).copied().unwrap_or(u64::MAX),
    };
    // Durations are whole.
    (begin as f64 / (63.0 - f64::from(octave)).exp2()).ceil()
}

/// Durations of spans, in geometric buckets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latency {
    /// By bucket, none without spans.
    buckets: BTreeMap<u16, u64>,
}

impl Latency {
    /// A quantile differs from the true one by at most this share of the true one, or by half a
    /// nanosecond.
    pub const RELATIVE_ERROR: f64 = 0.0434;

    /// How many spans were counted.
    pub fn count(&self) -> u64 {
        self.buckets.values().fold(0, |all, count| all.saturating_add(*count))
    }

    /// The duration in nanoseconds that a share `q` of the spans do not exceed (nearest rank),
    /// to [`Latency::RELATIVE_ERROR`]; none where there are no spans.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0u64;
        for (&bucket, &here) in &self.buckets {
            below = below.saturating_add(here);
            if below >= rank {
                // What is equally wrong, as a share, at either end of the bucket.
                let (low, high) = (least_of(bucket), least_of(bucket + 1));
                let middle = if bucket == 0 { 0.0 } else { 2.0 * low * high / (low + high) };
                return Some(middle.round() as u64);
            }
        }
        None
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        for (&bucket, &count) in &other.buckets {
            self.count_in(bucket, count);
        }
    }

    fn count_in(&mut self, bucket: u16, count: u64) {
        let here = self.buckets.entry(bucket).or_default();
        *here = here.saturating_add(count);
    }
}

/// What one service did in one minute, in spans of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// The service; `""` where the resource names none.
    pub service: String,
    /// The kind of these spans: SERVER and CONSUMER ones are what others asked of it.
    pub kind: SpanKind,
    /// When the minute begins, ns since 1970.
    pub minute: u64,
    /// Spans that start in it.
    pub calls: u64,
    /// Those with status ERROR.
    pub errors: u64,
    /// How long they took.
    pub latency: Latency,
}

/// A service, and the kind of some of its spans.
pub(crate) type Series = (Arc<str>, SpanKind);

/// One series in one minute, as a segment keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// Into [`RateRollup::series`].
    pub(crate) series: u32,
    pub(crate) minute: u32,
    pub(crate) errors: u64,
    /// Spans by bucket of their durations, ascending, none 0: their sum is the number of calls.
    pub(crate) buckets: Vec<(u16, u64)>,
}

/// What a segment's rows come to. Spans do not depend on each other here, and no copy of one lies
/// in two segments, so the sum over segments is the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RateRollup {
    /// Sorted.
    pub(crate) series: Vec<Series>,
    /// By series and minute.
    pub(crate) groups: Vec<Group>,
}

/// Number of a service, and kind.
type Key = (u32, SpanKind);

/// Sums in the making.
#[derive(Debug, Default)]
pub(crate) struct RateCounts {
    /// By series, minute and bucket.
    spans: HashMap<(Key, u32, u16), u64>,
    /// By series and minute.
    errors: HashMap<(Key, u32), u64>,
}

impl RateCounts {
    /// Counts a row that has its end, kind and status.
    pub(crate) fn row(&mut self, batch: &Batch, row: usize, service: u32) {
        let kind = SpanKind::from_number(batch.kind.get(row).copied().unwrap_or_default());
        let minute = super::minute_of(batch.start.get(row).copied().unwrap_or_default());
        let bucket = bucket_of(batch.duration(row));
        self.count((service, kind), minute, bucket, 1);
        if batch.is_error(row) {
            self.fail((service, kind), minute, 1);
        }
    }

    fn count(&mut self, key: Key, minute: u32, bucket: u16, more: u64) {
        let spans = self.spans.entry((key, minute, bucket)).or_default();
        *spans = spans.saturating_add(more);
    }

    fn fail(&mut self, key: Key, minute: u32, more: u64) {
        let errors = self.errors.entry((key, minute)).or_default();
        *errors = errors.saturating_add(more);
    }

    /// Adds groups of a segment.
    pub(crate) fn add(&mut self, rollup: &RateRollup, minutes: Range<u32>, names: &mut Services) {
        let numbers: Vec<Key> =
            rollup.series.iter().map(|(name, kind)| (names.number(name), *kind)).collect();
        for group in rollup.groups.iter().filter(|group| minutes.contains(&group.minute)) {
            let Some(&key) = numbers.get(group.series as usize) else { continue };
            for &(bucket, count) in &group.buckets {
                self.count(key, group.minute, bucket, count);
            }
            if group.errors > 0 {
                self.fail(key, group.minute, group.errors);
            }
        }
    }

    /// As a segment keeps it.
    pub(crate) fn rollup(self, services: &Services) -> RateRollup {
        let mut used: Vec<Key> = self.spans.keys().map(|(key, ..)| *key).collect();
        used.sort_unstable();
        used.dedup();
        used.sort_by_key(|(service, kind)| (services.name(*service), *kind));
        let numbers: HashMap<Key, u32> = used.iter().copied().zip(0u32..).collect();
        let number = |key: &Key| numbers.get(key).copied().unwrap_or_default();
        let renamed = self.spans.iter().map(|((key, minute, bucket), count)| {
            let place = (number(key), *minute);
            (place, *bucket, *count)
        });
        let mut spans: Vec<((u32, u32), u16, u64)> = renamed.collect();
        spans.sort_unstable();
        let group = |spans: &[((u32, u32), u16, u64)]| {
            let ((series, minute), ..) = *spans.first()?;
            let key = *used.get(series as usize)?;
            let errors = self.errors.get(&(key, minute)).copied().unwrap_or_default();
            let buckets = spans.iter().map(|(_, bucket, count)| (*bucket, *count)).collect();
            Some(Group { series, minute, errors, buckets })
        };
        let groups = spans.chunk_by(|a, b| a.0 == b.0).filter_map(group).collect();
        let series = used.iter().filter_map(|(service, kind)| {
            let name = services.names().get(*service as usize)?;
            Some((Arc::clone(name), *kind))
        });
        RateRollup { series: series.collect(), groups }
    }

    /// As an answer, by series and minute.
    pub(crate) fn answer(self, services: &Services) -> Vec<Rate> {
        let rollup = self.rollup(services);
        let rate = |group: &Group| {
            let (service, kind) = rollup.series.get(group.series as usize)?;
            Some(Rate {
                service: service.to_string(),
                kind: *kind,
                minute: u64::from(group.minute) * super::MINUTE,
                calls: group.calls(),
                errors: group.errors,
                latency: Latency { buckets: group.buckets.iter().copied().collect() },
            })
        };
        rollup.groups.iter().filter_map(rate).collect()
    }
}

impl Group {
    pub(crate) fn calls(&self) -> u64 {
        self.buckets.iter().fold(0, |all, (_, count)| all.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_lies_between_their_bounds() {
        let mut found = 0;
        for bucket in 1..BUCKETS {
            // Floats hold it exactly where buckets are narrow, and its upper bits elsewhere.
            let least = least_of(bucket) as u64;
            let is_empty = least_of(bucket) == least_of(bucket + 1);
            assert!(is_empty || bucket_of(least.saturating_add(1 << 12)) >= bucket, "{bucket}");
            if least < 1 << 52 && !is_empty {
                assert_eq!(bucket_of(least), bucket);
                assert!(bucket_of(least - 1) < bucket);
                found += 1;
            }
        }
        assert!(found > 380, "{found}");
        assert_eq!((bucket_of(0), bucket_of(1), bucket_of(u64::MAX)), (0, 1, BUCKETS - 1));
    }

    #[test]
    fn quantiles_are_as_near_as_they_say() {
        let mut durations: Vec<u64> =
            (0..64).flat_map(|n| [1 << n, (1 << n) + (1 << n) / 3]).collect();
        durations.extend([0, 0, 3, 5, 7, 99_999_999, u64::MAX]);
        durations.sort_unstable();
        let mut latency = Latency::default();
        durations.iter().for_each(|d| latency.count_in(bucket_of(*d), 1));
        assert_eq!(latency.count(), durations.len() as u64);
        for (at, exact) in durations.iter().enumerate() {
            let q = (at + 1) as f64 / durations.len() as f64 - 1e-9;
            let got = latency.quantile(q).unwrap();
            let most = *exact as f64 * Latency::RELATIVE_ERROR + 0.5;
            assert!((got as f64 - *exact as f64).abs() <= most, "{got} for {exact}");
        }
        assert_eq!(latency.quantile(0.0), Some(0));
        assert_eq!(Latency::default().quantile(0.5), None);
    }
}
