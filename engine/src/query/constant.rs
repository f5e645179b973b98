//! Constants as text: the forms in which Jaeger's filters carry numbers, bools, durations and
//! timestamps (jaeger-contract §3.3), read as Go reads them. Text in, values out; pure. Nothing
//! here guesses: what Go refuses is `None`.

/// Go's `strconv.ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `strconv.ParseInt(text, 10, 64)`.
pub(crate) fn parse_int(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Go's `strconv.ParseFloat(text, 64)`: also hexadecimal, `NaN` without sign, `Inf`; a number
/// beyond the largest double is refused.
pub(crate) fn parse_double(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if digits.eq_ignore_ascii_case("inf") || digits.eq_ignore_ascii_case("infinity") {
        return Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let plain = without_underscores(digits)?;
    let hexadecimal = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X"));
    let magnitude = match hexadecimal {
        Some(digits) => parse_hexadecimal(digits)?,
        // Rust reads words here as well; a number begins with a digit or a dot.
        None if plain.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            plain.parse().ok()?
        }
        None => return None,
    };
    magnitude.is_finite().then_some(if negative { -magnitude } else { magnitude })
}

/// Underscores may stand between two digits, or between a base prefix and a digit.
fn without_underscores(digits: &str) -> Option<String> {
    let bytes = digits.as_bytes();
    let hexadecimal = digits.starts_with("0x") || digits.starts_with("0X");
    let digit = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at)).is_some_and(|b| match hexadecimal {
            true => b.is_ascii_hexdigit() || matches!(b, b'x' | b'X'),
            false => b.is_ascii_digit(),
        })
    };
    let sound = |(at, &byte): (usize, &u8)| {
        byte != b'_' || (digit(at.checked_sub(1)) && digit(Some(at + 1)))
    };
    bytes.iter().enumerate().all(sound).then(|| digits.replace('_', ""))
}

/// Hexadecimal mantissa and its binary exponent, which must stand: `1.8p3`.
fn parse_hexadecimal(digits: &str) -> Option<f64> {
    let (mantissa, exponent) = digits.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let exponent: i64 = match exponent.parse::<i64>() {
        Ok(exponent) => exponent,
        Err(_) => return None,
    };
    let (mut bits, mut scale) = (0u64, 0i64);
    let counted = whole.chars().map(|c| (c, 0)).chain(fraction.chars().map(|c| (c, 4)));
    for (c, shift) in counted {
        let digit = u64::from(c.to_digit(16)?);
        if bits >> 59 == 0 {
            (bits, scale) = (bits << 4 | digit, scale - shift);
        } else {
            // Beyond 59 bits only "something follows" matters for rounding.
            (bits, scale) = (bits | u64::from(digit != 0), scale + 4 - shift);
        }
    }
    let (mut value, mut left) = (bits as f64, exponent.saturating_add(scale));
    while left != 0 && value != 0.0 && value.is_finite() {
        let step = left.clamp(-1000, 1000);
        value *= 2f64.powi(step as i32);
        left -= step;
    }
    Some(value)
}

/// Go's `time.ParseDuration`, in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0u128;
    loop {
        let (whole, after) = leading_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => leading_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let unit: u64 = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        if !whole.is_empty() {
            total += u128::from(whole.parse::<u64>().ok()?) * u128::from(unit);
        }
        // Go keeps as many digits of the fraction as a uint64 holds, and counts in floats.
        let fraction = fraction.get(..18).unwrap_or(fraction);
        if let Ok(digits) = fraction.parse::<u64>() {
            let scale = 10f64.powi(fraction.len() as i32);
            total += (digits as f64 * (unit as f64 / scale)) as u128;
        }
        if total > 1 << 63 {
            return None;
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let signed = if negative { -(total as i128) } else { total as i128 };
    i64::try_from(signed).ok()
}

fn leading_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// An RFC 3339 instant with optional fraction, in nanoseconds since 1970; may lie before it.
pub(crate) fn parse_timestamp(text: &str) -> Option<i128> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let is = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day < 1 || day > days || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut nanos = 0i128;
    if let Some(after) = rest.strip_prefix('.') {
        let (digits, after) = leading_digits(after);
        if digits.is_empty() {
            return None;
        }
        let kept = digits.get(..9).unwrap_or(digits);
        nanos = kept.parse::<i128>().ok()? * 10i128.pow(9 - kept.len() as u32);
        rest = after;
    }
    let offset = match rest {
        "Z" => 0,
        _ => {
            let sign = match rest.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = rest.get(1..)?.split_once(':')?;
            let two =
                |t: &str| (t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit())).then_some(());
            two(hours).and(two(minutes))?;
            let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
            if hours > 24 || minutes > 59 {
                return None;
            }
            sign * (hours * 3600 + minutes * 60)
        }
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(i128::from(seconds - offset) * 1_000_000_000 + nanos)
}

/// Days of the proleptic Gregorian calendar, counted in years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_read_as_go_reads_them() {
        for (text, value) in [
            ("1", 1.0),
            ("+.5", 0.5),
            ("-5.", -5.0),
            ("1e3", 1000.0),
            ("1_23.50_0e+1_2", 123.5e12),
            ("0x1.8p3", 12.0),
            ("0X_1p-2", 0.25),
            ("-0x.8p0", -0.5),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x1p-1074", 5e-324),
        ] {
            assert_eq!(parse_double(text), Some(value), "{text}");
        }
        assert!(parse_double("NaN").is_some_and(f64::is_nan));
        for text in
            ["", "+", "+nan", "1e400", "0x1", "0x1.8", "1__0", "_1", "1_", "e5", "1e", "0xp1"]
        {
            assert_eq!(parse_double(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nanos) in [
            ("0", 0),
            ("-1.5h", -5_400_000_000_000),
            (".5s", 500_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("50us", 50_000),
            ("50\u{b5}s", 50_000),
            ("2562047h47m16.854775807s", i64::MAX),
            ("-2562047h47m16.854775808s", i64::MIN),
        ] {
            assert_eq!(parse_duration(text), Some(nanos), "{text}");
        }
        for text in ["", "-", "3", ".s", "1x", "1 s", "2562047h47m16.854775808s", "s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000000001Z", 1),
            ("1969-12-31T23:59:59.5Z", -500_000_000),
            ("2000-02-29T12:00:00+02:00", 951_818_400_000_000_000),
            ("2026-11-21T13:00:00.25-01:30", 1_795_271_400_250_000_000),
        ] {
            assert_eq!(parse_timestamp(text), Some(nanos), "{text}");
        }
        for text in [
            "2001-02-29T00:00:00Z",
            "2000-01-01 00:00:00Z",
            "2000-01-01T24:00:00Z",
            "2000-01-01T00:00:00",
            "2000-01-01T00:00:00.Z",
            "2000-01-01T00:00:00+0200",
            "2000-13-01T00:00:00Z",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
