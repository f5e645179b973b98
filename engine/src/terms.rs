//! Terms: 64-bit hashes by which rows can be looked up without being read. A segment's index is
//! built of them; a query asks for the same hashes. Equal text gives an equal term on whatever
//! level it stands, since Jaeger's legacy search is blind to levels; whatever the index lets
//! through is checked on the row itself. The hash is XXH3-64, stored in files. Keys and texts
//! have what is not UTF-8 replaced.

use twox_hash::XxHash3_64;

/// What a term speaks of; part of its hash, so that a service never collides with a tag.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Space {
    Service = 1,
    Operation = 2,
    Attribute = 3,
    Error = 4,
    Slow = 5,
}

fn hash(space: Space, key: &[u8], value: &[u8]) -> u64 {
    let seed = XxHash3_64::oneshot_with_seed(space as u64, key);
    XxHash3_64::oneshot_with_seed(seed, value)
}

pub(crate) fn service(name: &str) -> u64 {
    hash(Space::Service, b"", name.as_bytes())
}

pub(crate) fn operation(name: &str) -> u64 {
    hash(Space::Operation, b"", name.as_bytes())
}

/// An attribute of this key and text on any level.
pub(crate) fn attribute(key: &[u8], text: &str) -> u64 {
    hash(Space::Attribute, key, text.as_bytes())
}

/// Highest of [`slowness`]: from 2^47.5 ns, two days, on.
const SLOWNESS_MAX: u8 = 95;

/// Which half octave a duration lies in: two steps for each doubling.
fn slowness(duration: u64) -> u8 {
    let octave = duration.max(1).ilog2();
    let half = duration.checked_shr(octave.wrapping_sub(1)).unwrap_or(0) & 1;
    let half = if octave == 0 { 0 } else { half as u32 };
    (2 * octave + half).min(SLOWNESS_MAX.into()) as u8
}

fn slow_step(service: &str, slowness: u8) -> u64 {
    hash(Space::Slow, service.as_bytes(), &[slowness])
}

/// The service has a span about this long. A block lists it for its longest span of each service,
/// and perhaps for shorter ones.
pub(crate) fn slow(service: &str, duration: u64) -> u64 {
    slow_step(service, slowness(duration))
}

/// One of these is there where the service has a span that takes `duration` or longer.
pub(crate) fn slower(service: &str, duration: u64) -> Vec<u64> {
    (slowness(duration)..=SLOWNESS_MAX).map(|step| slow_step(service, step)).collect()
}

/// The status code is ERROR.
pub(crate) fn error() -> u64 {
    hash(Space::Error, b"", b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_slower_is_listed() {
        let durations: Vec<u64> = (0..64)
            .flat_map(|n| [1u64 << n, (1u64 << n) | (1u64 << n) >> 1, (1u64 << n) - 1])
            .chain([0, u64::MAX])
            .collect();
        for &asked in &durations {
            let slower = slower("s", asked);
            for &there in &durations {
                if there >= asked {
                    assert!(slower.contains(&slow("s", there)), "{there} is no less than {asked}");
                }
                if there < asked / 2 && asked < 1 << 47 {
                    assert!(!slower.contains(&slow("s", there)), "{there} is far below {asked}");
                }
            }
            assert!(!slower.contains(&slow("t", asked)));
        }
    }
}
