//! From text to values: durations, sizes, percentages, endpoints. Text flows in from any source
//! (file, flag, environment), a [`Value`] or a sentence that says how to write it flows out.

use std::time::Duration;

use super::keys::Kind;

/// A parsed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A path, a host, a word.
    Text(String),
    /// A duration.
    Duration(Duration),
    /// A size in bytes.
    Size(u64),
    /// A percentage, 0 to 100.
    Percent(u8),
    /// A switch.
    Bool(bool),
    /// A listener's address; `None` disables it.
    Endpoint(Option<HostPort>),
}

/// `HOST:PORT`; without a host, `listen_host` is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Host as written, without brackets.
    pub host: Option<String>,
    /// Port; 0 lets the system choose.
    pub port: u16,
}

/// Reads `text` as a value of `kind`.
///
/// # Errors
/// A sentence that says what is wrong and shows the right form.
pub fn parse(kind: Kind, text: &str) -> Result<Value, String> {
    let text = text.trim();
    match kind {
        Kind::Path | Kind::Host if text.is_empty() => Err("must not be empty".to_owned()),
        Kind::Path => Ok(Value::Text(text.to_owned())),
        Kind::Host => host(text).map(Value::Text),
        Kind::Endpoint => endpoint(text).map(Value::Endpoint),
        Kind::Duration => duration(text).map(Value::Duration),
        Kind::Size => size(text).map(Value::Size),
        Kind::Percent => percent(text).map(Value::Percent),
        Kind::SizeOrPercent if text.ends_with('%') => percent(text).map(Value::Percent),
        Kind::SizeOrPercent => size(text).map(Value::Size),
        Kind::Bool => boolean(text).map(Value::Bool),
        Kind::Choice(words) => choice(words, text).map(Value::Text),
    }
}

fn choice(words: &[&str], text: &str) -> Result<String, String> {
    let lower = text.to_lowercase();
    if words.contains(&lower.as_str()) {
        return Ok(lower);
    }
    Err(format!("`{text}` is not one of {}", words.join(", ")))
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

fn percent(text: &str) -> Result<u8, String> {
    let digits = text.strip_suffix('%').unwrap_or(text).trim_end();
    match digits.parse::<u8>() {
        Ok(value) if value <= 100 => Ok(value),
        _ => Err(format!("`{text}` is not a whole percentage between 0 and 100, such as 80%")),
    }
}

/// Units of time, longest spelling first where one begins another.
const TIME_UNITS: &[(&str, u128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let wrong = || format!("`{text}` is not a duration such as 500ms, 20s, 1h30m or 7d");
    if text.is_empty() {
        return Err(wrong());
    }
    let mut nanos: u128 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(wrong)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, tail) = after.split_at(unit_end);
        let (_, scale) = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        nanos = number.scaled(*scale).and_then(|part| nanos.checked_add(part)).ok_or_else(wrong)?;
        rest = tail;
    }
    // 292 years: what the engine's signed nanoseconds hold.
    match u64::try_from(nanos) {
        Ok(nanos) if nanos <= i64::MAX as u64 => Ok(Duration::from_nanos(nanos)),
        _ => Err(format!("`{text}` is longer than 292 years; 0 means for ever")),
    }
}

fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size such as 512MiB, 10GiB or 1048576");
    let (number, unit) = split_number(text).ok_or_else(wrong)?;
    let scale: u128 = match unit.trim().to_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "ki" => 1 << 10,
        "mib" | "mi" => 1 << 20,
        "gib" | "gi" => 1 << 30,
        "tib" | "ti" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        short @ ("k" | "m" | "g" | "t") => {
            let letter = short.to_uppercase();
            return Err(format!(
                "`{text}` is ambiguous: write {letter}iB (1024) or {letter}B (1000)"
            ));
        }
        _ => return Err(wrong()),
    };
    let bytes = number.scaled(scale).and_then(|bytes| u64::try_from(bytes).ok());
    bytes.ok_or_else(|| format!("`{text}` is more bytes than 64 bits can count"))
}

/// A decimal number, kept exact.
#[derive(Clone, Copy)]
struct Decimal {
    whole: u128,
    fraction: u128,
    fraction_scale: u128,
}

impl Decimal {
    fn scaled(self, unit: u128) -> Option<u128> {
        let whole = self.whole.checked_mul(unit)?;
        whole.checked_add(self.fraction.checked_mul(unit)? / self.fraction_scale)
    }
}

/// Splits `1.5h` into 1.5 and `h`.
fn split_number(text: &str) -> Option<(Decimal, &str)> {
    let digits = |s: &str| s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
    let (whole, mut rest) = text.split_at(digits(text));
    let mut number =
        Decimal { whole: whole.parse::<u64>().ok()?.into(), fraction: 0, fraction_scale: 1 };
    if let Some(after) = rest.strip_prefix('.') {
        let (fraction, tail) = after.split_at(digits(after));
        if fraction.is_empty() || fraction.len() > 9 {
            return None;
        }
        number.fraction = fraction.parse::<u64>().ok()?.into();
        number.fraction_scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
        rest = tail;
    }
    Some((number, rest))
}

fn host(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if bare.is_empty() || !bare.chars().all(plain) {
        return Err(format!(
            "`{text}` is not a host such as localhost, 0.0.0.0 or :: (no scheme, no port)"
        ));
    }
    Ok(bare.to_owned())
}

fn endpoint(text: &str) -> Result<Option<HostPort>, String> {
    if matches!(text.to_lowercase().as_str(), "" | "off" | "false" | "null" | "~") {
        return Ok(None);
    }
    let wrong = |hint: &str| {
        format!("`{text}` is not an endpoint such as :4317, 0.0.0.0:4317, [::1]:4317 or off{hint}")
    };
    if text.contains("://") {
        return Err(wrong("; leave the scheme away"));
    }
    let Some((before, port)) = text.rsplit_once(':') else {
        let hint =
            if text.parse::<u16>().is_ok() { format!("; write :{text}") } else { String::new() };
        return Err(wrong(&hint));
    };
    let port = port.parse::<u16>().map_err(|_| wrong("; a port lies between 0 and 65535"))?;
    if before.contains(':') && !before.starts_with('[') {
        return Err(wrong("; put an IPv6 address in brackets"));
    }
    let host = match before {
        "" => None,
        named => Some(host(named).map_err(|_| wrong(""))?),
    };
    Ok(Some(HostPort { host, port }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("0", 0),
            ("500ms", 500_000_000),
            ("20s", 20_000_000_000),
            ("72h", 259_200_000_000_000),
            ("7d", 604_800_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("2w", 1_209_600_000_000_000),
            (" 3us ", 3_000),
        ] {
            assert_eq!(
                parse(Kind::Duration, text),
                Ok(Value::Duration(Duration::from_nanos(nanos))),
                "{text}"
            );
        }
        for text in ["", "20", "h", "-1s", "1x", "1.s", "1s ago", "99999999999999999999d", "400y"] {
            assert!(parse(Kind::Duration, text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1_048_576),
            ("10GiB", 10 << 30),
            ("512Mi", 512 << 20),
            ("1.5 GiB", 3 << 29),
            ("10GB", 10_000_000_000),
            ("2kb", 2_000),
        ] {
            assert_eq!(parse(Kind::Size, text), Ok(Value::Size(bytes)), "{text}");
        }
        for text in ["", "GiB", "-1", "10G", "10 parsecs", "99999999999TiB"] {
            assert!(parse(Kind::Size, text).is_err(), "{text}");
        }
        let ambiguous = parse(Kind::Size, "10G").expect_err("10G is ambiguous");
        assert!(ambiguous.contains("GiB") && ambiguous.contains("GB"), "{ambiguous}");
    }

    #[test]
    fn percentages_and_sizes_or_percentages() {
        assert_eq!(parse(Kind::Percent, "80"), Ok(Value::Percent(80)));
        assert_eq!(parse(Kind::Percent, "80%"), Ok(Value::Percent(80)));
        assert!(parse(Kind::Percent, "101").is_err());
        assert!(parse(Kind::Percent, "8.5%").is_err());
        assert_eq!(parse(Kind::SizeOrPercent, "60%"), Ok(Value::Percent(60)));
        assert_eq!(parse(Kind::SizeOrPercent, "64MiB"), Ok(Value::Size(64 << 20)));
    }

    #[test]
    fn endpoints() {
        let at = |host: Option<&str>, port| {
            Ok(Value::Endpoint(Some(HostPort { host: host.map(str::to_owned), port })))
        };
        assert_eq!(parse(Kind::Endpoint, ":4317"), at(None, 4317));
        assert_eq!(parse(Kind::Endpoint, "0.0.0.0:4317"), at(Some("0.0.0.0"), 4317));
        assert_eq!(parse(Kind::Endpoint, "[::1]:4317"), at(Some("::1"), 4317));
        assert_eq!(parse(Kind::Endpoint, "store.local:0"), at(Some("store.local"), 0));
        for text in ["off", "false", "null", "~", "", "OFF"] {
            assert_eq!(parse(Kind::Endpoint, text), Ok(Value::Endpoint(None)), "{text}");
        }
        for text in ["4317", "http://x:4317", "::1:4317", ":70000", "a b:1", "host:"] {
            assert!(parse(Kind::Endpoint, text).is_err(), "{text}");
        }
        let bare = parse(Kind::Endpoint, "4317").expect_err("a bare port is no endpoint");
        assert!(bare.contains("write :4317"), "{bare}");
    }

    #[test]
    fn words_and_switches() {
        assert_eq!(
            parse(Kind::Choice(&["auto", "json"]), "JSON"),
            Ok(Value::Text("json".to_owned()))
        );
        assert!(parse(Kind::Choice(&["auto", "json"]), "xml").is_err());
        assert_eq!(parse(Kind::Bool, "true"), Ok(Value::Bool(true)));
        assert_eq!(parse(Kind::Bool, "off"), Ok(Value::Bool(false)));
        assert!(parse(Kind::Bool, "maybe").is_err());
        assert!(parse(Kind::Host, "http://x").is_err());
        assert_eq!(parse(Kind::Host, "[::1]"), Ok(Value::Text("::1".to_owned())));
    }
}
