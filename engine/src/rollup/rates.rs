//! Calls, errors and how long they took, by service and minute. Durations are counted in buckets
//! that grow geometrically, half an octave each, so that a quantile is right to
//! [`Latency::RELATIVE_ERROR`] at any size; sums of buckets are exact. Rows in, counts out.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use super::Services;
use crate::batch::Batch;

/// Buckets there are: one for 0, two an octave.
pub(crate) const BUCKETS: u16 = 1 + 64 * 2;
/// 2^63.5: where the upper half of an octave begins, in a number whose highest bit is set.
const UPPER_HALF: u64 = 0xB504_F333_F9DE_6484;

/// The bucket of a duration in nanoseconds.
fn bucket_of(duration: u64) -> u16 {
    if duration == 0 {
        return 0;
    }
    let zeros = duration.leading_zeros();
    let octave = 63 - zeros;
    1 + 2 * octave as u16 + u16::from(duration << zeros >= UPPER_HALF)
}

/// The least duration of a bucket.
fn least_of(bucket: u16) -> u64 {
    let Some(half) = bucket.checked_sub(1) else { return 0 };
    let octave = u32::from(half / 2).min(63);
    match half % 2 {
        0 => 1 << octave,
        // Rounded up: a duration is whole.
        _ => {
            let (shift, mask) = (63 - octave, (1u64 << (63 - octave)) - 1);
            (UPPER_HALF >> shift) + u64::from(UPPER_HALF & mask != 0)
        }
    }
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
    pub const RELATIVE_ERROR: f64 = 0.172;

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
                let low = least_of(bucket) as f64;
                let high = if bucket == 0 { 0.0 } else { low * std::f64::consts::SQRT_2 };
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

/// What one service did in one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// The service; `""` where the resource names none.
    pub service: String,
    /// When the minute begins, ns since 1970.
    pub minute: u64,
    /// Spans that start in it.
    pub calls: u64,
    /// Those with status ERROR.
    pub errors: u64,
    /// How long they took.
    pub latency: Latency,
}

/// One service in one minute, as a segment keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// Into [`RateRollup::services`].
    pub(crate) service: u32,
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
    pub(crate) services: Vec<Arc<str>>,
    /// By service and minute.
    pub(crate) groups: Vec<Group>,
}

/// Sums in the making.
#[derive(Debug, Default)]
pub(crate) struct RateCounts {
    /// By service, minute and bucket.
    spans: HashMap<(u32, u32, u16), u64>,
    /// By service and minute.
    errors: HashMap<(u32, u32), u64>,
}

impl RateCounts {
    /// Counts a row that has its end and status.
    pub(crate) fn row(&mut self, batch: &Batch, row: usize, service: u32) {
        let minute = super::minute_of(batch.start.get(row).copied().unwrap_or_default());
        let bucket = bucket_of(batch.duration(row));
        let spans = self.spans.entry((service, minute, bucket)).or_default();
        *spans = spans.saturating_add(1);
        if batch.is_error(row) {
            let errors = self.errors.entry((service, minute)).or_default();
            *errors = errors.saturating_add(1);
        }
    }

    /// Adds a group of a segment, its service by our number.
    pub(crate) fn group(&mut self, group: &Group, service: u32) {
        for &(bucket, count) in &group.buckets {
            let spans = self.spans.entry((service, group.minute, bucket)).or_default();
            *spans = spans.saturating_add(count);
        }
        if group.errors > 0 {
            let errors = self.errors.entry((service, group.minute)).or_default();
            *errors = errors.saturating_add(group.errors);
        }
    }

    /// As a segment keeps it.
    pub(crate) fn rollup(self, services: &Services) -> RateRollup {
        let mut used: Vec<u32> = self.spans.keys().map(|(service, ..)| *service).collect();
        used.sort_unstable();
        used.dedup();
        used.sort_by_key(|service| services.name(*service));
        let number: HashMap<u32, u32> = used.iter().copied().zip(0u32..).collect();
        let number = |service: u32| number.get(&service).copied().unwrap_or_default();
        let mut spans: Vec<((u32, u32, u16), u64)> = self.spans.into_iter().collect();
        spans.iter_mut().for_each(|((service, ..), _)| *service = number(*service));
        spans.sort_unstable();
        let errors: HashMap<(u32, u32), u64> = self
            .errors
            .into_iter()
            .map(|((service, minute), errors)| ((number(service), minute), errors))
            .collect();
        let same = |a: &((u32, u32, u16), u64), b: &((u32, u32, u16), u64)| {
            (a.0.0, a.0.1) == (b.0.0, b.0.1)
        };
        let group = |spans: &[((u32, u32, u16), u64)]| {
            let ((service, minute, _), _) = *spans.first()?;
            let errors = errors.get(&(service, minute)).copied().unwrap_or_default();
            let buckets = spans.iter().map(|((.., bucket), count)| (*bucket, *count)).collect();
            Some(Group { service, minute, errors, buckets })
        };
        let names = used.iter().filter_map(|service| services.names().get(*service as usize));
        RateRollup {
            services: names.cloned().collect(),
            groups: spans.chunk_by(same).filter_map(group).collect(),
        }
    }

    /// As an answer, by service and minute.
    pub(crate) fn answer(self, services: &Services) -> Vec<Rate> {
        let rollup = self.rollup(services);
        let service = |number: u32| rollup.services.get(number as usize).map_or("", |name| name);
        let rate = |group: &Group| Rate {
            service: service(group.service).to_owned(),
            minute: u64::from(group.minute) * super::MINUTE,
            calls: group.calls(),
            errors: group.errors,
            latency: Latency { buckets: group.buckets.iter().copied().collect() },
        };
        rollup.groups.iter().map(rate).collect()
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
        let mut last = None;
        for bucket in 0..BUCKETS {
            let least = least_of(bucket);
            if bucket_of(least) != bucket {
                // Half an octave up from 1 there is no whole number.
                assert_eq!((bucket, least), (2, 2));
                continue;
            }
            if let Some(last) = last {
                assert!(least > last);
                assert!(bucket_of(least - 1) < bucket, "{bucket}");
            }
            last = Some(least);
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
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
