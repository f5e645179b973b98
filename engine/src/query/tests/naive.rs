//! What an expression means, told a second time: on decoded messages, one span at a time, as
//! jaeger-contract §2.4 to 2.6 and §3.5 say it. Shares no code with the evaluator but the text
//! forms of values and Go's number parsing, which have tests of their own.

use std::cmp::Ordering;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use crate::otlp::value::as_string;
use crate::query::constant::{
    parse_bool, parse_double, parse_duration, parse_int, parse_timestamp,
};
use crate::query::expression::{
    Comparison, Constant, Element, Expression, Field, Level, List, Operand, Reference,
};
use crate::{TraceId, TraceQuery};

/// A span in its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plain {
    pub(super) span: Span,
    pub(super) resource: Arc<ResourceSpans>,
    pub(super) scope: Arc<ScopeSpans>,
}

/// A value as seen by a comparison.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Text(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    Nanos(i128),
    /// There, and like nothing else.
    Opaque,
}

#[derive(Clone, Copy, Default)]
struct Bound {
    event: Option<usize>,
    link: Option<usize>,
}

fn find<'a>(all: &'a [KeyValue], key: &'a str) -> impl Iterator<Item = &'a KeyValue> {
    all.iter().filter(move |attribute| attribute.key == key)
}

fn seen(value: Option<&AnyValue>) -> Seen {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => Seen::Text(text.clone()),
        Some(Value::BoolValue(value)) => Seen::Bool(*value),
        Some(Value::IntValue(value)) => Seen::Int(*value),
        Some(Value::DoubleValue(value)) => Seen::Double(*value),
        _ => Seen::Opaque,
    }
}

fn text_form(value: Option<&AnyValue>) -> String {
    value.map_or_else(String::new, |value| as_string(&value.encode_to_vec()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn some_text(text: &str) -> Vec<Seen> {
    if text.is_empty() { Vec::new() } else { vec![Seen::Text(text.to_owned())] }
}

impl Plain {
    pub(super) fn trace_id(&self) -> TraceId {
        TraceId::from_slice(&self.span.trace_id).unwrap()
    }

    pub(super) fn start(&self) -> u64 {
        self.span.start_time_unix_nano
    }

    pub(super) fn service(&self) -> String {
        let all = &self.resource.resource.as_ref().unwrap().attributes;
        let text = find(all, "service.name").next().map(|a| seen(a.value.as_ref()));
        match text {
            Some(Seen::Text(text)) => text,
            _ => String::new(),
        }
    }

    pub(super) fn parent(&self) -> Option<&[u8]> {
        let parent = &self.span.parent_span_id;
        (!parent.is_empty() && parent.iter().any(|b| *b != 0)).then_some(parent)
    }

    pub(super) fn status(&self) -> i32 {
        self.span.status.as_ref().map_or(0, |status| status.code)
    }

    fn resource_attributes(&self) -> &[KeyValue] {
        &self.resource.resource.as_ref().unwrap().attributes
    }

    fn scope_attributes(&self) -> &[KeyValue] {
        self.scope.scope.as_ref().map_or(&[], |scope| &scope.attributes)
    }

    fn legacy_matches(&self, key: &str, value: &str) -> bool {
        let scope = self.scope.scope.clone().unwrap_or_default();
        match key {
            "error" => parse_bool(value) == Some(self.status() == 2),
            "span.kind" => {
                let number = match value.to_ascii_lowercase().as_str() {
                    "internal" => 1,
                    "server" => 2,
                    "client" => 3,
                    "producer" => 4,
                    "consumer" => 5,
                    _ => 0,
                };
                let kind = if (1..=5).contains(&self.span.kind) { self.span.kind } else { 0 };
                kind == number
            }
            "span.status" => {
                let wanted = match value.to_ascii_lowercase().as_str() {
                    "ok" => 1,
                    "error" => 2,
                    _ => 0,
                };
                (if matches!(self.status(), 1 | 2) { self.status() } else { 0 }) == wanted
            }
            "scope.name" => scope.name == value,
            "scope.version" => scope.version == value,
            key => {
                let on = |all: &[KeyValue], key: &str| {
                    find(all, key).any(|a| text_form(a.value.as_ref()) == value)
                };
                on(&self.span.attributes, key)
                    || on(self.resource_attributes(), key)
                    || on(self.scope_attributes(), key)
                    || self.span.events.iter().any(|event| on(&event.attributes, key))
                    || self.span.links.iter().any(|link| on(&link.attributes, key))
                    || key
                        .strip_prefix("resource.")
                        .is_some_and(|key| on(self.resource_attributes(), key))
            }
        }
    }

    fn attribute(&self, level: Level, key: &str, bound: Bound) -> Vec<Seen> {
        if key == "error" && matches!(level, Level::Any | Level::Span) {
            return vec![Seen::Bool(self.status() == 2)];
        }
        let of = |all: &[KeyValue]| -> Vec<Seen> {
            find(all, key).map(|a| seen(a.value.as_ref())).collect()
        };
        match level {
            Level::Any => [of(&self.span.attributes), of(self.resource_attributes())].concat(),
            Level::Span => of(&self.span.attributes),
            Level::Resource => of(self.resource_attributes()),
            Level::Scope => of(self.scope_attributes()),
            Level::Event => {
                let all = self.span.events.iter().enumerate();
                let bound = all.filter(|(n, _)| bound.event.is_none_or(|b| b == *n));
                bound.flat_map(|(_, event)| of(&event.attributes)).collect()
            }
            Level::Link => {
                let all = self.span.links.iter().enumerate();
                let bound = all.filter(|(n, _)| bound.link.is_none_or(|b| b == *n));
                bound.flat_map(|(_, link)| of(&link.attributes)).collect()
            }
        }
    }

    fn field(&self, field: Field, bound: Bound) -> Vec<Seen> {
        let span = &self.span;
        let scope = self.scope.scope.clone().unwrap_or_default();
        let (start, end) =
            (i128::from(span.start_time_unix_nano), i128::from(span.end_time_unix_nano));
        let text = |text: &str| vec![Seen::Text(text.to_owned())];
        let events = || {
            let all = span.events.iter().enumerate();
            all.filter(|(n, _)| bound.event.is_none_or(|b| b == *n)).map(|(_, event)| event)
        };
        let links = || {
            let all = span.links.iter().enumerate();
            all.filter(|(n, _)| bound.link.is_none_or(|b| b == *n)).map(|(_, link)| link)
        };
        match field {
            Field::TraceId => text(&hex(&span.trace_id)),
            Field::SpanId => text(&hex(&span.span_id)),
            Field::ParentSpanId => self.parent().map_or(Vec::new(), |id| text(&hex(id))),
            Field::TraceState => some_text(&span.trace_state),
            Field::Name => text(&span.name),
            Field::Kind => text(match span.kind {
                1 => "internal",
                2 => "server",
                3 => "client",
                4 => "producer",
                5 => "consumer",
                _ => "unspecified",
            }),
            Field::StartTime => vec![Seen::Nanos(start)],
            Field::EndTime => vec![Seen::Nanos(end)],
            Field::Status => text(match self.status() {
                1 => "ok",
                2 => "error",
                _ => "unset",
            }),
            Field::StatusMessage => {
                some_text(span.status.as_ref().map_or("", |status| &status.message))
            }
            Field::Duration => vec![Seen::Nanos(end - start)],
            Field::Service => some_text(&self.service()),
            Field::ResourceSchemaUrl => some_text(&self.resource.schema_url),
            Field::ScopeName => some_text(&scope.name),
            Field::ScopeVersion => some_text(&scope.version),
            Field::ScopeSchemaUrl => some_text(&self.scope.schema_url),
            Field::EventName => events().map(|e| Seen::Text(e.name.clone())).collect(),
            Field::EventTime => events().map(|e| Seen::Nanos(e.time_unix_nano.into())).collect(),
            Field::EventTimeSinceStart => {
                events().map(|e| Seen::Nanos(i128::from(e.time_unix_nano) - start)).collect()
            }
            Field::LinkTraceId => links().map(|l| Seen::Text(hex(&l.trace_id))).collect(),
            Field::LinkSpanId => links().map(|l| Seen::Text(hex(&l.span_id))).collect(),
            Field::LinkTraceState => links().map(|l| Seen::Text(l.trace_state.clone())).collect(),
        }
    }

    fn values(&self, reference: &Reference, bound: Bound) -> Vec<Seen> {
        match reference {
            Reference::Attribute(level, key) => self.attribute(*level, key, bound),
            Reference::Field(field) => self.field(*field, bound),
        }
    }

    fn holds_within(&self, expression: &Expression, bound: Bound) -> bool {
        match expression {
            Expression::And(all) => all.iter().all(|e| self.holds_within(e, bound)),
            Expression::Or(any) => any.iter().any(|e| self.holds_within(e, bound)),
            Expression::Not(inner) => !self.holds_within(inner, bound),
            Expression::Exists(reference) => !self.values(reference, bound).is_empty(),
            Expression::Legacy { key, value } => self.legacy_matches(key, value),
            Expression::Some(Element::Event, inner) => (0..self.span.events.len())
                .any(|n| self.holds_within(inner, Bound { event: Some(n), ..bound })),
            Expression::Some(Element::Link, inner) => (0..self.span.links.len())
                .any(|n| self.holds_within(inner, Bound { link: Some(n), ..bound })),
            Expression::Compare(left, comparison, right) => {
                self.compare(left, *comparison, right, bound)
            }
            Expression::In(reference, list) => self.is_in(reference, list, bound),
            Expression::NotIn(reference, list) => {
                !self.values(reference, bound).is_empty() && !self.is_in(reference, list, bound)
            }
            Expression::Regex(..) | Expression::Phrase(..) | Expression::FullText(..) => {
                unreachable!("refused")
            }
        }
    }

    fn is_in(&self, reference: &Reference, list: &List, bound: Bound) -> bool {
        self.values(reference, bound).iter().any(|value| match (list, value) {
            (List::Untyped(all), Seen::Int(v)) => all.iter().any(|t| parse_int(t) == Some(*v)),
            (List::Untyped(all), Seen::Double(v)) => {
                all.iter().any(|t| parse_double(t) == Some(*v))
            }
            (List::Untyped(all), value) => all
                .iter()
                .any(|t| order(value, &Constant::Untyped(t.clone())).is_some_and(Ordering::is_eq)),
            (List::String(all), Seen::Text(text)) => all.contains(text),
            (List::Int(all), Seen::Int(v)) => all.contains(v),
            (List::Double(all), Seen::Double(v)) => all.contains(v),
            (List::Bool(all), Seen::Bool(v)) => all.contains(v),
            _ => false,
        })
    }

    fn compare(&self, left: &Operand, op: Comparison, right: &Operand, bound: Bound) -> bool {
        let (reference, op, constant) = match (left, right) {
            (Operand::Reference(a), Operand::Reference(b)) => {
                let (ours, theirs) = (self.values(a, bound), self.values(b, bound));
                let some =
                    |op| ours.iter().any(|a| theirs.iter().any(|b| judge(op, a, order_seen(a, b))));
                return match op {
                    Comparison::Ne => {
                        !ours.is_empty() && !theirs.is_empty() && !some(Comparison::Eq)
                    }
                    op => some(op),
                };
            }
            (Operand::Reference(reference), Operand::Constant(constant)) => {
                (reference, op, constant)
            }
            (Operand::Constant(constant), Operand::Reference(reference)) => {
                let op = match op {
                    Comparison::Gt => Comparison::Lt,
                    Comparison::Lt => Comparison::Gt,
                    Comparison::Gte => Comparison::Lte,
                    Comparison::Lte => Comparison::Gte,
                    op => op,
                };
                (reference, op, constant)
            }
            (Operand::Constant(_), Operand::Constant(_)) => unreachable!("not made"),
        };
        let values = self.values(reference, bound);
        let some = |op| values.iter().any(|value| judge(op, value, order(value, constant)));
        match op {
            Comparison::Ne => !values.is_empty() && !some(Comparison::Eq),
            op => some(op),
        }
    }

    /// True where the span satisfies the expression.
    pub(super) fn holds(&self, expression: &Expression) -> bool {
        self.holds_within(expression, Bound::default())
    }

    /// True where the span satisfies every condition of the query.
    pub(super) fn matches(&self, query: &TraceQuery) -> bool {
        let duration = self.span.end_time_unix_nano.saturating_sub(self.start());
        query.start_min.is_none_or(|min| self.start() >= min)
            && query.start_max.is_none_or(|max| self.start() <= max)
            && query.duration_min.is_none_or(|min| duration >= min)
            && query.duration_max.is_none_or(|max| duration <= max)
            && query.service.as_ref().is_none_or(|service| *service == self.service())
            && query.operation.as_ref().is_none_or(|name| *name == self.span.name)
            && query.attributes.iter().all(|a| self.legacy_matches(&a.key, &a.value))
            && query.filter.as_ref().is_none_or(|filter| self.holds(filter))
    }
}

fn judge(op: Comparison, value: &Seen, ordering: Option<Ordering>) -> bool {
    let Some(ordering) = ordering else { return false };
    match op {
        Comparison::Eq => ordering.is_eq(),
        _ if matches!(value, Seen::Bool(_)) => false,
        Comparison::Gt => ordering.is_gt(),
        Comparison::Lt => ordering.is_lt(),
        Comparison::Gte => ordering.is_ge(),
        Comparison::Lte => ordering.is_le(),
        Comparison::Ne => unreachable!("taken apart"),
    }
}

fn order_seen(a: &Seen, b: &Seen) -> Option<Ordering> {
    match (a, b) {
        (Seen::Text(a), Seen::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Seen::Bool(a), Seen::Bool(b)) => Some(a.cmp(b)),
        (Seen::Int(a), Seen::Int(b)) => Some(a.cmp(b)),
        (Seen::Int(a), Seen::Double(b)) => (*a as f64).partial_cmp(b),
        (Seen::Double(a), Seen::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Seen::Double(a), Seen::Double(b)) => a.partial_cmp(b),
        (Seen::Nanos(a), Seen::Nanos(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn order(value: &Seen, constant: &Constant) -> Option<Ordering> {
    let wanted = match (constant, value) {
        (Constant::Untyped(text), Seen::Text(_)) => Seen::Text(text.clone()),
        (Constant::Untyped(text), Seen::Bool(_)) => Seen::Bool(parse_bool(text)?),
        (Constant::Untyped(text), Seen::Int(_) | Seen::Double(_)) => match parse_int(text) {
            Some(value) => Seen::Int(value),
            None => Seen::Double(parse_double(text)?),
        },
        (Constant::Untyped(text), Seen::Nanos(_)) => {
            Seen::Nanos(parse_duration(text).map(i128::from).or_else(|| parse_timestamp(text))?)
        }
        (Constant::Untyped(_), Seen::Opaque) => return None,
        (Constant::String(text), _) => Seen::Text(text.clone()),
        (Constant::Int(value), _) => Seen::Int(*value),
        (Constant::Double(value), _) => Seen::Double(*value),
        (Constant::Bool(value), _) => Seen::Bool(*value),
        (Constant::Duration(nanos) | Constant::Timestamp(nanos), _) => Seen::Nanos(*nanos),
    };
    order_seen(value, &wanted)
}
