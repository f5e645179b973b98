//! Times and durations as people write and read them.
//!
//! Nanoseconds flow in and text flows out, and the other way round for flags. Always UTC: traces
//! come from many places, and their readers compare them with logs. No clock is read here.

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// A duration in at most seven columns: `870 ns`, `1.23 ms`, `12.4 s`, `3m 04s`, `5h 07m`, `9d 03h`.
pub(crate) fn duration(nanos: u64) -> String {
    let seconds = nanos / SECOND;
    match nanos {
        0 => "0".to_owned(),
        n if n < 1_000 => format!("{n} ns"),
        n if n < 999_500 => three_digits(n as f64 / 1e3, "µs"),
        n if n < 999_500_000 => three_digits(n as f64 / 1e6, "ms"),
        n if n < 60 * SECOND => three_digits(n as f64 / 1e9, "s"),
        _ if seconds < 3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ if seconds < DAY => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {:02}h", seconds / DAY, seconds % DAY / 3_600),
    }
}

fn three_digits(value: f64, unit: &str) -> String {
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    let text = format!("{value:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {unit}")
}

/// `2026-11-21 09:12:33.123` in UTC.
pub(crate) fn date_time(unix_nanos: u64) -> String {
    format!("{} {}", date(unix_nanos), clock_millis(unix_nanos))
}

/// `2026-11-21 09:12:33.123456789Z`, nothing lost.
pub(crate) fn date_time_exact(unix_nanos: u64) -> String {
    format!("{} {}.{:09}Z", date(unix_nanos), clock(unix_nanos), unix_nanos % SECOND)
}

/// `09:12:33` in UTC.
pub(crate) fn clock(unix_nanos: u64) -> String {
    let second = unix_nanos / SECOND % DAY;
    format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

fn clock_millis(unix_nanos: u64) -> String {
    format!("{}.{:03}", clock(unix_nanos), unix_nanos % SECOND / 1_000_000)
}

fn date(unix_nanos: u64) -> String {
    let (year, month, day) = civil(unix_nanos / SECOND / DAY);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Days since 1970 as a date (H. Hinnant's `civil_from_days`; u64 nanoseconds end in 2554).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let y = year.checked_sub(u64::from(month <= 2))?;
    let (era, yoe) = (y / 400, y % 400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    (era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy).checked_sub(719_468)
}

/// Reads `250ms`, `1s`, `1.5s`, `2h`, `7d`, or several parts as in `1h30m`.
///
/// # Errors
/// A sentence that shows what is expected.
pub(crate) fn parse_duration(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a duration; write for instance 250ms, 1.5s, 2h or 7d");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale = unit_nanos(unit.trim()).ok_or_else(wrong)?;
        let part = decimal_times(number, scale).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    Ok(total)
}

fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" | "min" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        "d" => DAY * SECOND,
        "w" => 7 * DAY * SECOND,
        _ => return None,
    })
}

/// `number × scale` exactly, so that `1.1s` is 1,100,000,000 and not a float near it.
fn decimal_times(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let mut total = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let mut unit = scale;
    for digit in fraction.chars() {
        unit /= 10;
        total = total.checked_add(u64::from(digit.to_digit(10)?) * unit)?;
    }
    Some(total)
}

/// Reads a moment: a duration before `now` (`2h`), `2026-11-21`, `2026-11-21T09:12`,
/// `2026-11-21T09:12:33.5Z` (UTC, `T` or a space), or nanoseconds since 1970.
///
/// # Errors
/// A sentence that shows what is expected.
pub(crate) fn parse_moment(text: &str, now: u64) -> Result<u64, String> {
    let text = text.trim();
    if text.len() > 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_err(|_| format!("{text:?} is past the year 2554"));
    }
    if let Ok(ago) = parse_duration(text) {
        return Ok(now.saturating_sub(ago));
    }
    parse_date_time(text).ok_or_else(|| {
        format!(
            "{text:?} is not a time; write how long ago (30m, 2h, 7d) or a moment in UTC (2026-11-21, 2026-11-21T09:12:33Z)"
        )
    })
}

fn parse_date_time(text: &str) -> Option<u64> {
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, time),
        None => (text, "00:00"),
    };
    let [year, month, day] = numbers::<3>(date, '-')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = match numbers::<3>(time, ':') {
        Some(all) => all,
        None => numbers::<2>(time, ':').map(|[h, m]| [h, m, 0])?,
    };
    let plain =
        (1..=12).contains(&month) && (1..=31).contains(&day) && (1970..=2554).contains(&year);
    if !plain || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_from_civil(year, month, day)? * DAY + hour * 3_600 + minute * 60 + second;
    let nanos = decimal_times(&format!("0.{fraction}"), SECOND)?;
    seconds.checked_mul(SECOND)?.checked_add(nanos)
}

fn numbers<const N: usize>(text: &str, by: char) -> Option<[u64; N]> {
    let parts: Vec<u64> = text
        .split(by)
        .map(|p| p.bytes().all(|b| b.is_ascii_digit()).then(|| p.parse().ok()).flatten())
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_at_a_glance() {
        for (nanos, text) in [
            (0, "0"),
            (870, "870 ns"),
            (1_500, "1.5 µs"),
            (12_345, "12.3 µs"),
            (999_499, "999 µs"),
            (999_500, "1 ms"),
            (1_234_000, "1.23 ms"),
            (234_000_000, "234 ms"),
            (999_999_999, "1 s"),
            (1_240_000_000, "1.24 s"),
            (59_900_000_000, "59.9 s"),
            (184_000_000_000, "3m 04s"),
            (18_420_000_000_000, "5h 07m"),
            (u64::MAX, "213503d 23h"),
        ] {
            assert_eq!(duration(nanos), text, "{nanos}");
        }
    }

    #[test]
    fn dates_are_civil() {
        assert_eq!(date_time(0), "1970-01-01 00:00:00.000");
        assert_eq!(date_time(1_795_248_753_123_456_789), "2026-11-21 08:12:33.123");
        assert_eq!(date_time_exact(951_782_400_000_000_001), "2000-02-29 00:00:00.000000001Z");
        assert_eq!(date_time(u64::MAX), "2554-07-21 23:34:33.709");
    }

    #[test]
    fn dates_come_back() {
        for nanos in
            [0, 951_782_400_000_000_001, 1_795_248_753_123_456_789, 4_102_444_799_999_999_999]
        {
            assert_eq!(parse_moment(&date_time_exact(nanos), 0), Ok(nanos));
        }
        assert_eq!(parse_moment("2026-11-21", 0), parse_moment("2026-11-21T00:00:00Z", 0));
    }

    #[test]
    fn flags_take_durations_exactly() {
        assert_eq!(parse_duration("1.1s"), Ok(1_100_000_000));
        assert_eq!(parse_duration("1h30m"), Ok(5_400 * SECOND));
        assert_eq!(parse_duration("250us"), Ok(250_000));
        for wrong in ["", "5", "s", "1.s", ".5s", "1y", "-1s", "99999999999d", "1s2"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments_are_relative_or_absolute() {
        assert_eq!(parse_moment("2h", 7_201 * SECOND), Ok(SECOND));
        assert_eq!(parse_moment("9d", 5), Ok(0));
        assert_eq!(parse_moment("1795248753123456789", 0), Ok(1_795_248_753_123_456_789));
        for wrong in
            ["yesterday", "2026-13-01", "2026-11-21T25:00", "2026-11", "99999999999999999999"]
        {
            assert!(parse_moment(wrong, 0).is_err(), "{wrong}");
        }
    }
}
