//! Invented spans of few words, so that questions hit, miss and tie often.

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use super::naive::Plain;

/// xorshift64*: the same seed gives the same case.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

pub(super) const KEYS: &[&str] =
    &["a", "b", "error", "http.status_code", "service.name", "resource.a", "k\u{e9}y"];
pub(super) const TEXTS: &[&str] = &[
    "",
    "x",
    "y",
    "500",
    "0500",
    "5e2",
    "true",
    "t",
    "NaN",
    "-0",
    "72.5",
    "\u{e9}\u{1f600}",
    "[1]",
];
pub(super) const NAMES: &[&str] = &["", "GET /", "GET /a", "checkout", "z"];
pub(super) const SERVICES: &[&str] = &["", "cart", "front", "pay"];

/// Around which all spans start.
pub(super) const EPOCH: u64 = 1_700_000_000_000_000_000;

pub(super) fn value(dice: &mut Dice, depth: usize) -> Option<AnyValue> {
    let value = match dice.below(if depth > 1 { 12 } else { 16 }) {
        0 => return None,
        1 => return Some(AnyValue { value: None }),
        2 => Value::BoolValue(dice.one_in(2)),
        3..=5 => Value::IntValue(*dice.pick(&[500, 1, 0, -1, i64::MAX, 1 << 53, (1 << 53) + 1])),
        6 | 7 => {
            Value::DoubleValue(*dice.pick(&[500.0, 72.5, 0.0, -0.0, 1e21, f64::NAN, f64::INFINITY]))
        }
        8 => Value::BytesValue(dice.pick(TEXTS).as_bytes().to_vec()),
        9..=11 => Value::StringValue((*dice.pick(TEXTS)).to_owned()),
        12 | 13 => Value::StringValue((*dice.pick(TEXTS)).to_owned()),
        14 => {
            let values = (0..dice.below(3)).filter_map(|_| value(dice, depth + 1)).collect();
            Value::ArrayValue(ArrayValue { values })
        }
        _ => Value::KvlistValue(KeyValueList { values: attributes(dice, 2, depth + 1) }),
    };
    Some(AnyValue { value: Some(value) })
}

pub(super) fn attributes(dice: &mut Dice, most: usize, depth: usize) -> Vec<KeyValue> {
    (0..dice.below(most + 1))
        .map(|_| KeyValue {
            key: (*dice.pick(KEYS)).to_owned(),
            value: value(dice, depth),
            ..KeyValue::default()
        })
        .collect()
}

fn id(dice: &mut Dice, length: usize, of: usize) -> Vec<u8> {
    let mut id = vec![0x11; length];
    id[length - 1] = 1 + dice.below(of) as u8;
    id
}

fn resource(dice: &mut Dice) -> ResourceSpans {
    let mut all = attributes(dice, 2, 0);
    let service = *dice.pick(SERVICES);
    if !service.is_empty() {
        let value = Some(AnyValue { value: Some(Value::StringValue(service.to_owned())) });
        all.insert(0, KeyValue { key: "service.name".to_owned(), value, ..KeyValue::default() });
    }
    ResourceSpans {
        resource: Some(Resource { attributes: all, ..Resource::default() }),
        scope_spans: Vec::new(),
        schema_url: (*dice.pick(&["", "", "url"])).to_owned(),
    }
}

fn scope(dice: &mut Dice) -> ScopeSpans {
    let scope = InstrumentationScope {
        name: (*dice.pick(&["", "lib", "500"])).to_owned(),
        version: (*dice.pick(&["", "1.0"])).to_owned(),
        attributes: attributes(dice, 1, 0),
        dropped_attributes_count: 0,
    };
    ScopeSpans {
        scope: (!dice.one_in(4)).then_some(scope),
        spans: Vec::new(),
        schema_url: (*dice.pick(&["", "", "url"])).to_owned(),
    }
}

pub(super) fn span(dice: &mut Dice, traces: usize) -> Span {
    let start = EPOCH + dice.below(40) as u64 * 10;
    let end = (start + dice.below(60) as u64).saturating_sub(10);
    let event = |dice: &mut Dice| Event {
        time_unix_nano: start + dice.below(20) as u64 - 5,
        name: (*dice.pick(NAMES)).to_owned(),
        attributes: attributes(dice, 2, 0),
        dropped_attributes_count: dice.below(2) as u32,
    };
    let link = |dice: &mut Dice| Link {
        trace_id: if dice.one_in(3) { Vec::new() } else { id(dice, 16, 3) },
        span_id: if dice.one_in(3) { Vec::new() } else { id(dice, 8, 3) },
        trace_state: (*dice.pick(&["", "s"])).to_owned(),
        attributes: attributes(dice, 2, 0),
        dropped_attributes_count: 0,
        flags: dice.below(2) as u32,
    };
    let status =
        Status { code: dice.below(4) as i32, message: (*dice.pick(&["", "bad"])).to_owned() };
    Span {
        trace_id: id(dice, 16, traces),
        span_id: id(dice, 8, 5),
        trace_state: (*dice.pick(&["", "", "s"])).to_owned(),
        parent_span_id: match dice.below(4) {
            0 => Vec::new(),
            1 => vec![0; 8],
            _ => id(dice, 8, 6),
        },
        flags: dice.below(2) as u32,
        name: (*dice.pick(NAMES)).to_owned(),
        kind: *dice.pick(&[0, 1, 2, 2, 3, 3, 4, 5, 9, -1]),
        start_time_unix_nano: if dice.one_in(30) { 0 } else { start },
        end_time_unix_nano: end,
        attributes: attributes(dice, 4, 0),
        dropped_attributes_count: dice.below(2) as u32,
        events: (0..dice.below(3)).map(|_| event(dice)).collect(),
        dropped_events_count: dice.below(2) as u32,
        links: (0..dice.below(3)).map(|_| link(dice)).collect(),
        dropped_links_count: dice.below(2) as u32,
        status: dice.one_in(2).then_some(status),
    }
}

/// An Export of some spans, now and then with a copy.
pub(super) fn export(dice: &mut Dice, spans: usize, traces: usize) -> ExportTraceServiceRequest {
    let mut all: Vec<ResourceSpans> = Vec::new();
    let mut left = spans;
    while left > 0 {
        let mut of_resource = resource(dice);
        for _ in 0..=dice.below(2) {
            let mut of_scope = scope(dice);
            for _ in 0..(1 + dice.below(4)).min(left) {
                of_scope.spans.push(span(dice, traces));
                left -= 1;
            }
            if let Some(copy) = of_scope.spans.last().cloned().filter(|_| dice.one_in(6)) {
                of_scope.spans.push(copy);
            }
            of_resource.scope_spans.push(of_scope);
        }
        all.push(of_resource);
    }
    ExportTraceServiceRequest { resource_spans: all }
}

pub(super) fn bytes(export: &ExportTraceServiceRequest) -> Bytes {
    Bytes::from(export.encode_to_vec())
}

/// Its spans, each with its resource and scope.
pub(super) fn plain(export: &ExportTraceServiceRequest) -> Vec<Plain> {
    let mut all = Vec::new();
    for of_resource in &export.resource_spans {
        let mut resource = of_resource.clone();
        resource.scope_spans.clear();
        let resource = Arc::new(resource);
        for of_scope in &of_resource.scope_spans {
            let mut scope = of_scope.clone();
            scope.spans.clear();
            let scope = Arc::new(scope);
            for span in &of_scope.spans {
                let (resource, scope) = (Arc::clone(&resource), Arc::clone(&scope));
                all.push(Plain { span: span.clone(), resource, scope });
            }
        }
    }
    all
}
