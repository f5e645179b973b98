//! Times and durations of the wire as nanoseconds. Go writes its zero time as the year 1, which
//! means "not set"; nothing here overflows whatever a client sends (jaeger-contract §1.3).

use prost_types::{Duration, Timestamp};

use crate::status::Refusal;

/// Seconds of 0001-01-01T00:00:00Z: Go's zero time.
const GO_ZERO_SECONDS: i64 = -62_135_596_800;

const NANOS: i128 = 1_000_000_000;

/// Where a time lies among those a span can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// Not set: open.
    Unset,
    /// Before 1970: before every span.
    BeforeAll,
    /// Nanoseconds since 1970.
    At(u64),
    /// Beyond 64 bits of nanoseconds (the year 2554): after every span.
    AfterAll,
}

/// A time of a request.
///
/// # Errors
/// Its nanoseconds are none.
pub(super) fn bound(name: &str, time: Option<&Timestamp>) -> Result<Bound, Refusal> {
    let Some(time) = time.filter(|time| time.seconds > GO_ZERO_SECONDS) else {
        return Ok(Bound::Unset);
    };
    if !(0..NANOS).contains(&time.nanos.into()) {
        return Err(Refusal::invalid(format!(
            "{name} has {} nanoseconds: a time has 0 to 999999999",
            time.nanos
        )));
    }
    let nanos = i128::from(time.seconds) * NANOS + i128::from(time.nanos);
    Ok(match u64::try_from(nanos) {
        Ok(nanos) => Bound::At(nanos),
        Err(_) if nanos < 0 => Bound::BeforeAll,
        Err(_) => Bound::AfterAll,
    })
}

/// A duration of a request; 0 and absent mean not set. What exceeds 64 bits is cut to them.
///
/// # Errors
/// It is negative: no span is.
pub(super) fn duration(name: &str, duration: Option<&Duration>) -> Result<Option<u64>, Refusal> {
    let Some(duration) = duration else { return Ok(None) };
    let nanos = i128::from(duration.seconds) * NANOS + i128::from(duration.nanos);
    if nanos < 0 {
        return Err(Refusal::invalid(format!("{name} is negative ({nanos} ns)")));
    }
    Ok(Some(u64::try_from(nanos).unwrap_or(u64::MAX)).filter(|nanos| *nanos > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanos: i32) -> Bound {
        bound("start", Some(&Timestamp { seconds, nanos })).unwrap()
    }

    #[test]
    fn the_year_one_and_absence_are_unset() {
        assert_eq!(bound("start", None).unwrap(), Bound::Unset);
        assert_eq!(at(GO_ZERO_SECONDS, 0), Bound::Unset);
        assert_eq!(at(i64::MIN, 0), Bound::Unset);
    }

    #[test]
    fn times_outside_of_64_bits_do_not_overflow() {
        assert_eq!(at(GO_ZERO_SECONDS + 1, 0), Bound::BeforeAll);
        assert_eq!(at(-1, 999_999_999), Bound::BeforeAll);
        assert_eq!(at(0, 0), Bound::At(0));
        assert_eq!(at(1, 5), Bound::At(1_000_000_005));
        assert_eq!(at(18_446_744_073, 709_551_615), Bound::At(u64::MAX));
        assert_eq!(at(18_446_744_073, 709_551_616), Bound::AfterAll);
        assert_eq!(at(i64::MAX, 999_999_999), Bound::AfterAll);
        for nanos in [-1, 1_000_000_000, i32::MIN, i32::MAX] {
            let time = Timestamp { seconds: 1, nanos };
            assert!(bound("start", Some(&time)).unwrap_err().message.contains("start"));
        }
    }

    #[test]
    fn durations_are_open_at_zero_and_never_negative() {
        let of = |seconds, nanos| duration("duration_min", Some(&Duration { seconds, nanos }));
        assert_eq!(duration("duration_min", None).unwrap(), None);
        assert_eq!(of(0, 0).unwrap(), None);
        assert_eq!(of(0, 1).unwrap(), Some(1));
        assert_eq!(of(2, 5).unwrap(), Some(2_000_000_005));
        assert_eq!(of(i64::MAX, 0).unwrap(), Some(u64::MAX));
        assert!(of(0, -1).unwrap_err().message.contains("duration_min"));
        assert!(of(i64::MIN, i32::MIN).is_err());
    }
}
