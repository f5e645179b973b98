//! Attribute values as text: the form in which Jaeger asks for them (jaeger-contract §2.4). The
//! rules are those of Go's `pcommon.Value.AsString` (collector `pdata/pcommon/value.go`), since
//! that is what Jaeger's own memory store compares.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::wire::{DEPTH_MAX, Fields, Value as Wire};

/// A decoded `AnyValue`; arrays and maps keep their bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum AnyValue<'a> {
    Empty,
    String(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(&'a [u8]),
    Map(&'a [u8]),
    Bytes(&'a [u8]),
}

impl<'a> AnyValue<'a> {
    /// Reads an encoded `AnyValue`; the last member written wins. What does not decode is empty.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        let mut value = Self::Empty;
        for field in Fields::new(bytes).map_while(|f| f.ok()) {
            value = match (field.number, field.value) {
                (1, Wire::Bytes(v)) => Self::String(v),
                (2, Wire::Varint(v)) => Self::Bool(v != 0),
                (3, Wire::Varint(v)) => Self::Int(v as i64),
                (4, Wire::Fixed64(v)) => Self::Double(f64::from_bits(v)),
                (5, Wire::Bytes(v)) => Self::Array(v),
                (6, Wire::Bytes(v)) => Self::Map(v),
                (7, Wire::Bytes(v)) => Self::Bytes(v),
                _ => value,
            };
        }
        value
    }

    /// The value's text form; invalid UTF-8 is replaced.
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self {
            Self::Empty => Cow::Borrowed(""),
            Self::String(v) => lossy(v),
            Self::Bool(v) => Cow::Borrowed(if v { "true" } else { "false" }),
            Self::Int(v) => Cow::Owned(v.to_string()),
            Self::Double(v) => Cow::Owned(double_text(v)),
            Self::Bytes(v) => Cow::Owned(base64(v)),
            Self::Array(_) | Self::Map(_) => {
                let mut out = String::new();
                // Go ignores the error of a value JSON cannot hold (NaN) and is left with "".
                if json(self, &mut out, 0).is_none() {
                    out.clear();
                }
                Cow::Owned(out)
            }
        }
    }
}

/// Key and encoded value of a `KeyValue`.
pub(crate) fn key_value(message: &[u8]) -> (&[u8], &[u8]) {
    let (mut key, mut value): (&[u8], &[u8]) = (b"", b"");
    for field in Fields::new(message).map_while(|f| f.ok()) {
        match (field.number, field.value) {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    (key, value)
}

/// UTF-8, with what is none replaced. Most of it is; a look at all of it at once is cheapest.
pub(crate) fn lossy(text: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(text),
    }
}

/// The text form of an encoded OTLP `AnyValue` message (also of `jaeger.storage.v2.AnyValue`,
/// whose wire is the same), as Go's `pcommon.Value.AsString` gives it (jaeger-contract §2.4).
/// Bytes that do not decode give `""`.
///
/// ```
/// // string_value "GET", int_value 500
/// assert_eq!(spanlake::otlp::value::as_string(b"\x0a\x03GET"), "GET");
/// assert_eq!(spanlake::otlp::value::as_string(b"\x18\xf4\x03"), "500");
/// ```
pub fn as_string(any_value: &[u8]) -> String {
    AnyValue::read(any_value).text().into_owned()
}

/// ES6's number to string: shortest digits, plain between 1e-6 and 1e21, else with exponent.
fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        // Rust writes 1e21 and 1e-7; Go writes 1e+21 and 1e-7.
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        };
    }
    format!("{value}")
}

/// Standard base64 with padding (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |n, &b| n << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = (group >> (18 - 6 * index)) as usize & 63;
            out.push(if index <= chunk.len() { DIGITS[digit] as char } else { '=' });
        }
    }
    out
}

/// Appends the value as Go's `encoding/json` writes it; `None` where it refuses.
fn json(value: AnyValue<'_>, out: &mut String, depth: usize) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    match value {
        AnyValue::Empty => out.push_str("null"),
        AnyValue::Bool(_) | AnyValue::Int(_) => out.push_str(&value.text()),
        AnyValue::Double(v) if v.is_finite() => out.push_str(&double_text(v)),
        AnyValue::Double(_) => return None,
        AnyValue::String(v) => json_string(v, out),
        // To Go an empty byte slice is nil.
        AnyValue::Bytes(b"") => out.push_str("null"),
        AnyValue::Bytes(v) => json_string(base64(v).as_bytes(), out),
        AnyValue::Array(v) => {
            out.push('[');
            let elements = Fields::new(v).map_while(|f| f.ok()).filter(|f| f.number == 1);
            for (index, field) in elements.enumerate() {
                if index > 0 {
                    out.push(',');
                }
                json(AnyValue::read(field.bytes("ArrayValue").ok()?), out, depth + 1)?;
            }
            out.push(']');
        }
        AnyValue::Map(v) => {
            // A Go map: sorted by key, the last of equal keys.
            let mut entries = BTreeMap::new();
            for field in Fields::new(v).map_while(|f| f.ok()).filter(|f| f.number == 1) {
                let (key, value) = key_value(field.bytes("KeyValueList").ok()?);
                entries.insert(key, value);
            }
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                json_string(key, out);
                out.push(':');
                json(AnyValue::read(value), out, depth + 1)?;
            }
            out.push('}');
        }
    }
    Some(())
}

/// Attributes as a JSON object: sorted by key, the last of equal keys. A value that JSON cannot
/// hold (NaN) is null.
pub(crate) fn json_object<'a>(
    attributes: impl Iterator<Item = (&'a [u8], AnyValue<'a>)>,
) -> String {
    let mut out = String::from("{");
    for (key, value) in attributes.collect::<BTreeMap<_, _>>() {
        if out.len() > 1 {
            out.push(',');
        }
        json_string(key, &mut out);
        out.push(':');
        let before = out.len();
        if json(value, &mut out, 0).is_none() {
            out.truncate(before);
            out.push_str("null");
        }
    }
    out.push('}');
    out
}

/// Bytes as a JSON string; what is no UTF-8 is replaced.
pub(crate) fn json_text(text: &[u8]) -> String {
    let mut out = String::new();
    json_string(text, &mut out);
    out
}

/// Go's JSON string as pdata asks for it (HTML characters stay): the two Unicode line ends are
/// escaped, and so is each byte that is not UTF-8.
fn json_string(text: &[u8], out: &mut String) {
    out.push('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                    out.push_str(&format!("\\u{:04x}", c as u32));
                }
                c => out.push(c),
            }
        }
        chunk.invalid().iter().for_each(|_| out.push_str("\\ufffd"));
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_go_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (72.5, "72.5"),
            (72.0, "72"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (-2.5e-9, "-2.5e-9"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (0.1 + 0.2, "0.30000000000000004"),
        ] {
            assert_eq!(double_text(value), text);
        }
    }

    #[test]
    fn bytes_are_base64() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0, 0, 0x30, 0x39]), "AAAwOQ==");
    }

    #[test]
    fn attributes_are_a_json_object() {
        let attributes = [
            (&b"b"[..], AnyValue::Double(f64::NAN)),
            (b"a\"", AnyValue::Int(1)),
            (b"c", AnyValue::Bool(true)),
            (b"a\"", AnyValue::String(b"x\n")),
        ];
        let text = r#"{"a\"":"x\n","b":null,"c":true}"#;
        assert_eq!(json_object(attributes.into_iter()), text);
        assert_eq!(json_object(std::iter::empty()), "{}");
    }

    #[test]
    fn arrays_and_maps_are_compact_json() {
        // array [1, "a<b", null], then map {"b":true,"a":1.5} with "b" given twice
        let array = b"\x2a\x0d\x0a\x02\x18\x01\x0a\x05\x0a\x03a<b\x0a\x00";
        assert_eq!(as_string(array), r#"[1,"a<b",null]"#);
        let map = b"\x32\x23\
            \x0a\x07\x0a\x01b\x12\x02\x10\x00\
            \x0a\x0e\x0a\x01a\x12\x09\x21\x00\x00\x00\x00\x00\x00\xf8\x3f\
            \x0a\x07\x0a\x01b\x12\x02\x10\x01";
        let mut fixed = map.to_vec();
        fixed[1] = (map.len() - 2) as u8;
        assert_eq!(as_string(&fixed), r#"{"a":1.5,"b":true}"#);
        let not_a_number = b"\x2a\x0b\x0a\x09\x21\x00\x00\x00\x00\x00\x00\xf8\x7f";
        assert_eq!(as_string(not_a_number), "");
    }
}
