//! What can be compared with what: the types of fields and constants, and a constant read as the
//! type of what it stands beside (jaeger-contract §3.3, §3.5). Whatever cannot be answered exactly
//! is refused with a reason, never guessed. Pure.

use crate::otlp::value::AnyValue;
use crate::query::constant::{parse_duration, parse_timestamp};
use crate::query::expression::{Comparison, Constant, Field, List, Reference};
use crate::query::test::{Scalar, Test, Wanted, pair_holds};
use crate::query::words::{KINDS, STATUSES};

/// The type of one side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Domain {
    Number,
    Duration,
    Timestamp,
    Text,
    /// Text from a closed set: no order.
    Word(&'static [&'static str]),
    Bool,
    Unknown,
}

impl Domain {
    pub(super) fn of(reference: &Reference) -> Self {
        match reference {
            Reference::Attribute(..) => Self::Unknown,
            Reference::Field(field) => match field {
                Field::Kind => Self::Word(&KINDS),
                Field::Status => Self::Word(&STATUSES),
                Field::StartTime | Field::EndTime | Field::EventTime => Self::Timestamp,
                Field::Duration | Field::EventTimeSinceStart => Self::Duration,
                _ => Self::Text,
            },
        }
    }

    pub(super) fn of_constant(constant: &Constant) -> Self {
        match constant {
            Constant::Untyped(_) => Self::Unknown,
            Constant::String(_) => Self::Text,
            Constant::Int(_) | Constant::Double(_) => Self::Number,
            Constant::Bool(_) => Self::Bool,
            Constant::Duration(_) => Self::Duration,
            Constant::Timestamp(_) => Self::Timestamp,
        }
    }

    /// True where values of both can be equal.
    pub(super) fn meets(self, other: Self) -> bool {
        let plain = |domain| match domain {
            Self::Word(_) => Self::Text,
            domain => domain,
        };
        self == Self::Unknown || other == Self::Unknown || plain(self) == plain(other)
    }

    pub(super) fn is_ordered(self) -> bool {
        !matches!(self, Self::Bool | Self::Word(_))
    }
}

/// A constant read as what it is compared with; `Err` says why it cannot be.
pub(super) fn resolve(domain: Domain, constant: &Constant) -> Result<Wanted, String> {
    let nanos = |nanos: Option<i128>, what: &str| match nanos {
        Some(nanos) => Ok(Wanted { nanos: Some(nanos), ..Wanted::default() }),
        None => Err(format!("{constant} is not {what}")),
    };
    match (domain, constant) {
        (Domain::Unknown, Constant::Duration(_) | Constant::Timestamp(_)) => {
            Err("attributes hold no durations and no timestamps".to_owned())
        }
        (Domain::Duration, Constant::Untyped(text)) => {
            nanos(parse_duration(text).map(i128::from), "a duration such as 1.5s")
        }
        (Domain::Timestamp, Constant::Untyped(text)) => {
            nanos(parse_timestamp(text), "an RFC 3339 timestamp")
        }
        (Domain::Word(words), Constant::Untyped(text) | Constant::String(text)) => {
            match words.contains(&text.as_str()) {
                true => Ok(Wanted::string(text)),
                false => Err(format!("{text:?} is not one of {}", words.join(", "))),
            }
        }
        (Domain::Text, Constant::Untyped(text)) => Ok(Wanted::string(text)),
        (domain, constant) if domain.meets(Domain::of_constant(constant)) => Ok(wanted(constant)),
        _ => Err("its sides hold different kinds of value".to_owned()),
    }
}

/// All constants of a list, each read as what they are compared with.
pub(super) fn resolve_list(domain: Domain, list: &List) -> Result<Vec<Wanted>, String> {
    let constants: Vec<Constant> = match list {
        List::Untyped(values) => values.iter().cloned().map(Constant::Untyped).collect(),
        List::String(values) => values.iter().cloned().map(Constant::String).collect(),
        List::Int(values) => values.iter().copied().map(Constant::Int).collect(),
        List::Double(values) => values.iter().copied().map(Constant::Double).collect(),
        List::Bool(values) => values.iter().copied().map(Constant::Bool).collect(),
    };
    match constants.is_empty() {
        true => Err("its list is empty".to_owned()),
        false => constants.iter().map(|constant| resolve(domain, constant)).collect(),
    }
}

/// Compares two constants with each other.
pub(super) fn compare(a: &Constant, comparison: Comparison, b: &Constant) -> Result<bool, String> {
    match (scalar(a), scalar(b), a, b) {
        (Some(left), ..) => {
            let right = resolve(Domain::of_constant(a), b)?;
            Ok(Test::Is(comparison, right).holds(left))
        }
        (None, Some(right), ..) => {
            let left = resolve(Domain::of_constant(b), a)?;
            Ok(Test::Is(comparison.reversed(), left).holds(right))
        }
        (None, None, Constant::Untyped(a), Constant::Untyped(b)) => {
            Ok(pair_holds(Scalar::text(a.as_bytes()), comparison, Scalar::text(b.as_bytes())))
        }
        _ => Ok(false),
    }
}

/// A constant as it is, read as nothing else.
fn wanted(constant: &Constant) -> Wanted {
    match constant {
        Constant::Untyped(text) => Wanted::untyped(text),
        Constant::String(text) => Wanted::string(text),
        Constant::Int(value) => Wanted { int: Some(*value), ..Wanted::default() },
        Constant::Double(value) => Wanted { double: Some(*value), ..Wanted::default() },
        Constant::Bool(value) => Wanted { bool: Some(*value), ..Wanted::default() },
        Constant::Duration(nanos) | Constant::Timestamp(nanos) => {
            Wanted { nanos: Some(*nanos), ..Wanted::default() }
        }
    }
}

/// A constant of a type, as a value.
fn scalar(constant: &Constant) -> Option<Scalar<'_>> {
    Some(match constant {
        Constant::Untyped(_) => return None,
        Constant::String(text) => Scalar::text(text.as_bytes()),
        Constant::Int(value) => Scalar::Value(AnyValue::Int(*value)),
        Constant::Double(value) => Scalar::Value(AnyValue::Double(*value)),
        Constant::Bool(value) => Scalar::Value(AnyValue::Bool(*value)),
        Constant::Duration(nanos) | Constant::Timestamp(nanos) => Scalar::Nanos(*nanos),
    })
}
