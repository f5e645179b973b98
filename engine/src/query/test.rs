//! One value against one condition. Values flow in as OTLP typed them, a yes or no flows out; the
//! rules of types are here and nowhere else (jaeger-contract §2.4, §3.5). Pure.

use std::cmp::Ordering;

use super::constant::{parse_bool, parse_double, parse_int};
use super::expression::Comparison;
use crate::otlp::value::AnyValue;

/// A value that a reference has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'a> {
    Value(AnyValue<'a>),
    /// A duration or an instant, in nanoseconds.
    Nanos(i128),
}

impl<'a> Scalar<'a> {
    pub(crate) fn text(bytes: &'a [u8]) -> Self {
        Self::Value(AnyValue::String(bytes))
    }
}

/// A condition on a value.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    /// Any value will do.
    Exists,
    /// Compares; never with `Ne`, which is a leaf's negation.
    Is(Comparison, Wanted),
    /// Equal to one of these, each at the very type that is stored.
    OneOf(Vec<Wanted>),
    /// Equal in text form.
    Form(Form),
}

/// A constant, read as every type it can be compared with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) text: Option<String>,
    pub(crate) bool: Option<bool>,
    pub(crate) int: Option<i64>,
    pub(crate) double: Option<f64>,
    pub(crate) nanos: Option<i128>,
}

impl Wanted {
    pub(crate) fn untyped(text: &str) -> Self {
        Self {
            bool: parse_bool(text),
            int: parse_int(text),
            double: parse_double(text),
            ..Self::string(text)
        }
    }

    pub(crate) fn string(text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..Self::default() }
    }

    /// Against a stored value; `None` = they cannot be compared.
    pub(crate) fn compare(&self, value: Scalar<'_>) -> Option<Ordering> {
        match value {
            Scalar::Nanos(nanos) => self.nanos.map(|wanted| nanos.cmp(&wanted)),
            Scalar::Value(AnyValue::String(text)) => {
                self.text.as_deref().map(|wanted| compare_text(text, wanted))
            }
            Scalar::Value(AnyValue::Bool(value)) => self.bool.map(|wanted| value.cmp(&wanted)),
            Scalar::Value(AnyValue::Int(value)) => match (self.int, self.double) {
                (Some(wanted), _) => Some(value.cmp(&wanted)),
                (None, Some(wanted)) => (value as f64).partial_cmp(&wanted),
                (None, None) => None,
            },
            Scalar::Value(AnyValue::Double(value)) => match (self.int, self.double) {
                (Some(wanted), _) => value.partial_cmp(&(wanted as f64)),
                (None, Some(wanted)) => value.partial_cmp(&wanted),
                (None, None) => None,
            },
            Scalar::Value(_) => None,
        }
    }

    /// Membership: an int matches ints alone, a double doubles alone.
    fn is(&self, value: Scalar<'_>) -> bool {
        match value {
            Scalar::Value(AnyValue::Int(value)) => self.int == Some(value),
            Scalar::Value(AnyValue::Double(value)) => self.double == Some(value),
            value => self.compare(value) == Some(Ordering::Equal),
        }
    }

    /// False where no value of this type can be equal or compared.
    fn possible(&self, like: AnyValue<'_>) -> bool {
        match like {
            AnyValue::String(_) => self.text.is_some(),
            AnyValue::Bool(_) => self.bool.is_some(),
            AnyValue::Int(_) | AnyValue::Double(_) => self.int.is_some() || self.double.is_some(),
            _ => false,
        }
    }
}

/// A text form (jaeger-contract §2.4), read as every type that has it: no value's text need be
/// printed to be compared, but those of arrays, maps and bytes.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) text: String,
    int: Option<i64>,
    /// Bits, since 0 and -0 differ in text.
    double: Option<u64>,
}

impl Form {
    pub(crate) fn new(text: &str) -> Self {
        let prints_so = |value: AnyValue<'_>| value.text() == text;
        let double: Option<f64> = match text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => text.parse().ok(),
        };
        Self {
            text: text.to_owned(),
            int: text.parse().ok().filter(|&v| prints_so(AnyValue::Int(v))),
            double: double.filter(|&v| prints_so(AnyValue::Double(v))).map(f64::to_bits),
        }
    }

    fn is_of(&self, value: AnyValue<'_>) -> bool {
        match value {
            AnyValue::String(text) => same_text(text, &self.text),
            AnyValue::Int(value) => self.int == Some(value),
            AnyValue::Double(value) if value.is_nan() => self.text == "NaN",
            AnyValue::Double(value) => self.double == Some(value.to_bits()),
            AnyValue::Bytes(bytes) => {
                self.text.len() == bytes.len().div_ceil(3) * 4 && value.text() == self.text
            }
            AnyValue::Empty | AnyValue::Bool(_) => value.text() == self.text,
            // What JSON cannot hold has the empty text.
            AnyValue::Array(_) => self.begins_with('[') && value.text() == self.text,
            AnyValue::Map(_) => self.begins_with('{') && value.text() == self.text,
        }
    }

    fn begins_with(&self, c: char) -> bool {
        self.text.is_empty() || self.text.starts_with(c)
    }
}

/// Bytes as sent against text; what is not UTF-8 was replaced where the text comes from.
pub(crate) fn same_text(bytes: &[u8], wanted: &str) -> bool {
    bytes == wanted.as_bytes()
        || (wanted.contains('\u{fffd}') && String::from_utf8_lossy(bytes) == wanted)
}

fn compare_text(bytes: &[u8], wanted: &str) -> Ordering {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.cmp(wanted),
        Err(_) => String::from_utf8_lossy(bytes).as_ref().cmp(wanted),
    }
}

fn satisfies(comparison: Comparison, ordering: Ordering) -> bool {
    match comparison {
        Comparison::Eq => ordering.is_eq(),
        Comparison::Ne => ordering.is_ne(),
        Comparison::Gt => ordering.is_gt(),
        Comparison::Lt => ordering.is_lt(),
        Comparison::Gte => ordering.is_ge(),
        Comparison::Lte => ordering.is_le(),
    }
}

fn ordered(comparison: Comparison) -> bool {
    !matches!(comparison, Comparison::Eq | Comparison::Ne)
}

/// Two stored values; what cannot be compared satisfies nothing.
pub(crate) fn pair_holds(left: Scalar<'_>, comparison: Comparison, right: Scalar<'_>) -> bool {
    let is_bool = matches!(left, Scalar::Value(AnyValue::Bool(_)));
    let ordering = match (left, right) {
        (Scalar::Nanos(a), Scalar::Nanos(b)) => Some(a.cmp(&b)),
        (Scalar::Value(a), Scalar::Value(b)) => match (a, b) {
            (AnyValue::String(a), AnyValue::String(b)) => {
                Some(compare_text(a, &String::from_utf8_lossy(b)))
            }
            (AnyValue::Bool(a), AnyValue::Bool(b)) => Some(a.cmp(&b)),
            (AnyValue::Int(a), AnyValue::Int(b)) => Some(a.cmp(&b)),
            (AnyValue::Int(a), AnyValue::Double(b)) => (a as f64).partial_cmp(&b),
            (AnyValue::Double(a), AnyValue::Int(b)) => a.partial_cmp(&(b as f64)),
            (AnyValue::Double(a), AnyValue::Double(b)) => a.partial_cmp(&b),
            _ => None,
        },
        _ => None,
    };
    !(is_bool && ordered(comparison)) && ordering.is_some_and(|o| satisfies(comparison, o))
}

impl Test {
    pub(crate) fn holds(&self, value: Scalar<'_>) -> bool {
        match self {
            Self::Exists => true,
            Self::Is(comparison, wanted) => {
                // Bools have no order.
                let is_bool = matches!(value, Scalar::Value(AnyValue::Bool(_)));
                !(is_bool && ordered(*comparison))
                    && wanted.compare(value).is_some_and(|o| satisfies(*comparison, o))
            }
            Self::OneOf(list) => list.iter().any(|wanted| wanted.is(value)),
            Self::Form(form) => match value {
                Scalar::Value(value) => form.is_of(value),
                Scalar::Nanos(_) => false,
            },
        }
    }

    /// False where no value of the type of `like` passes, whatever it is.
    pub(crate) fn possible(&self, like: AnyValue<'_>) -> bool {
        match self {
            Self::Exists => true,
            Self::Is(_, wanted) => wanted.possible(like),
            Self::OneOf(list) => list.iter().any(|wanted| wanted.possible(like)),
            Self::Form(form) => match like {
                AnyValue::String(_) | AnyValue::Bytes(_) => true,
                AnyValue::Int(_) => form.int.is_some(),
                AnyValue::Double(_) => form.double.is_some(),
                AnyValue::Bool(_) => matches!(&*form.text, "true" | "false"),
                AnyValue::Empty => form.text.is_empty(),
                AnyValue::Array(_) => form.begins_with('['),
                AnyValue::Map(_) => form.begins_with('{'),
            },
        }
    }

    /// The one string that passes, where strings can be looked up by their bytes.
    pub(crate) fn exact_text(&self) -> Option<&str> {
        let text = match self {
            Self::Is(Comparison::Eq, wanted) => wanted.text.as_deref(),
            Self::Form(form) => Some(&*form.text),
            _ => None,
        };
        text.filter(|text| !text.contains('\u{fffd}'))
    }

    /// The text forms that a value must have one of, in order to pass; `None` = cannot be said.
    pub(crate) fn text_forms(&self) -> Option<Vec<String>> {
        match self {
            Self::Exists => None,
            Self::Is(Comparison::Eq, wanted) => wanted.text_forms(),
            Self::Is(..) => None,
            Self::OneOf(list) => {
                let mut all = Vec::new();
                for wanted in list {
                    all.append(&mut wanted.text_forms()?);
                }
                all.sort();
                all.dedup();
                Some(all)
            }
            Self::Form(form) => Some(vec![form.text.clone()]),
        }
    }
}

impl Wanted {
    fn text_forms(&self) -> Option<Vec<String>> {
        /// From here on several ints are one double.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let mut forms: Vec<String> = self.text.iter().cloned().collect();
        forms.extend(self.bool.map(|value| value.to_string()));
        forms.extend(self.int.map(|value| value.to_string()));
        if let Some(value) = self.double.or(self.int.map(|value| value as f64)) {
            if value.abs() >= EXACT && value.is_finite() && self.int.is_none() {
                return None;
            }
            forms.push(AnyValue::Double(value).text().into_owned());
            if value == 0.0 {
                forms.push("-0".to_owned());
            }
            if value.fract() == 0.0 && value.is_finite() {
                forms.push((value as i64).to_string());
            }
        }
        forms.sort();
        forms.dedup();
        Some(forms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_what_values_print() {
        let values = [
            AnyValue::Empty,
            AnyValue::String(b"500"),
            AnyValue::String(b""),
            AnyValue::String(b"\xff"),
            AnyValue::Bool(true),
            AnyValue::Bool(false),
            AnyValue::Int(500),
            AnyValue::Int(-1),
            AnyValue::Int(0),
            AnyValue::Double(500.0),
            AnyValue::Double(0.0),
            AnyValue::Double(-0.0),
            AnyValue::Double(1e21),
            AnyValue::Double(f64::NAN),
            AnyValue::Double(f64::from_bits(0xfff8_0000_0000_0001)),
            AnyValue::Double(f64::NEG_INFINITY),
            AnyValue::Bytes(b"500"),
            AnyValue::Array(b"\x0a\x02\x18\x01"),
            AnyValue::Array(b"\x0a\x09\x21\x00\x00\x00\x00\x00\x00\xf8\x7f"),
            AnyValue::Map(b""),
        ];
        let mut texts: Vec<String> = values.iter().map(|v| v.text().into_owned()).collect();
        texts.extend(["+500", "0500", "5e2", "inf", "nan", "1e21", "[1 ]"].map(str::to_owned));
        for text in &texts {
            let test = Test::Form(Form::new(text));
            for value in values {
                let same = value.text() == *text;
                assert_eq!(test.holds(Scalar::Value(value)), same, "{text:?} {value:?}");
                assert!(!same || test.possible(value), "{text:?} {value:?}");
            }
        }
    }

    #[test]
    fn what_passes_has_one_of_the_forms() {
        let values = [
            AnyValue::String(b"500"),
            AnyValue::String(b"0500"),
            AnyValue::String(b"t"),
            AnyValue::Bool(true),
            AnyValue::Bool(false),
            AnyValue::Int(500),
            AnyValue::Int(0),
            AnyValue::Int(9_007_199_254_740_993),
            AnyValue::Int(9_007_199_254_740_992),
            AnyValue::Double(500.0),
            AnyValue::Double(-0.0),
            AnyValue::Double(0.5),
            AnyValue::Double(9_007_199_254_740_992.0),
            AnyValue::Double(f64::INFINITY),
            AnyValue::Double(f64::NAN),
        ];
        let texts = [
            "500",
            "0500",
            "5e2",
            "t",
            "1",
            "0",
            "-0",
            "0x1p-1",
            "inf",
            "NaN",
            "9007199254740993",
            "9007199254740992.0",
        ];
        for text in texts {
            let wanted = [
                Wanted::untyped(text),
                Wanted::string(text),
                Wanted { int: parse_int(text), ..Wanted::default() },
                Wanted { double: parse_double(text), ..Wanted::default() },
            ];
            for wanted in wanted {
                for test in [Test::Is(Comparison::Eq, wanted.clone()), Test::OneOf(vec![wanted])] {
                    let forms = test.text_forms();
                    for value in values.iter().filter(|v| test.holds(Scalar::Value(**v))) {
                        assert!(test.possible(*value));
                        let form = value.text().into_owned();
                        assert!(
                            forms.as_ref().is_none_or(|f| f.contains(&form)),
                            "{text} {value:?} {forms:?}"
                        );
                    }
                }
            }
        }
    }
}
