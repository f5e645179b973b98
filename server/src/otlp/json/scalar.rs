//! Numbers, booleans and enums of OTLP/JSON, each of which may come as a JSON value or as text.
//! Error messages name what was expected and never repeat the value.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};

use super::schema::Scalar;
use super::write::{fixed32_field, fixed64_field, varint_field};

impl Scalar {
    /// Reads a value as the bits that its field carries.
    pub(super) fn read<'de, D: Deserializer<'de>>(self, value: D) -> Result<u64, D::Error> {
        value.deserialize_any(ScalarVisitor(self))
    }

    /// Writes the bits as a field.
    pub(super) fn write(self, out: &mut Vec<u8>, number: u32, bits: u64) {
        match self {
            Self::Fixed64 | Self::Double => fixed64_field(out, number, bits),
            // Checked when read.
            Self::Fixed32 => fixed32_field(out, number, bits as u32),
            _ => varint_field(out, number, bits),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int64 => "a 64-bit signed integer, as a number or as text",
            Self::Uint32 | Self::Fixed32 => "a 32-bit unsigned integer, as a number or as text",
            Self::Fixed64 => "a 64-bit unsigned integer, as a number or as text",
            Self::Double => "a number, or \"NaN\", \"Infinity\" or \"-Infinity\"",
            Self::Enum(_) => "a number or a name of this enum",
        }
    }

    fn of_integer(self, value: i128) -> Option<u64> {
        match self {
            Self::Bool => None,
            Self::Int64 => i64::try_from(value).ok().map(|v| v as u64),
            Self::Uint32 | Self::Fixed32 => u32::try_from(value).ok().map(u64::from),
            Self::Fixed64 => u64::try_from(value).ok(),
            Self::Double => Some((value as f64).to_bits()),
            // The wire carries a negative enum with its sign extended.
            Self::Enum(_) => i32::try_from(value).ok().map(|v| i64::from(v) as u64),
        }
    }

    fn of_float(self, value: f64) -> Option<u64> {
        if matches!(self, Self::Double) {
            return Some(value.to_bits());
        }
        // JavaScript writes large integers as 1e21; beyond 2⁶⁴ none is in range anyway.
        let whole = value.fract() == 0.0 && value.abs() <= 2f64.powi(64);
        whole.then_some(value as i128).and_then(|v| self.of_integer(v))
    }

    fn of_text(self, text: &str) -> Option<u64> {
        match self {
            Self::Bool => text.parse::<bool>().ok().map(u64::from),
            Self::Double => text.parse::<f64>().ok().map(f64::to_bits),
            Self::Enum(names) => match names.iter().position(|name| *name == text) {
                Some(number) => Some(number as u64),
                None => text.parse().ok().and_then(|v| self.of_integer(v)),
            },
            _ => match text.parse::<i128>() {
                Ok(value) => self.of_integer(value),
                Err(_) => text.parse().ok().and_then(|v| self.of_float(v)),
            },
        }
    }
}

struct ScalarVisitor(Scalar);

impl ScalarVisitor {
    fn check<E: de::Error>(&self, bits: Option<u64>) -> Result<u64, E> {
        bits.ok_or_else(|| E::custom(format_args!("expected {}", self.0.expected())))
    }
}

impl Visitor<'_> for ScalarVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.expected())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<u64, E> {
        self.check(matches!(self.0, Scalar::Bool).then_some(u64::from(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
        self.check(self.0.of_integer(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<u64, E> {
        self.check(self.0.of_integer(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<u64, E> {
        self.check(self.0.of_float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<u64, E> {
        self.check(self.0.of_text(value))
    }
}
