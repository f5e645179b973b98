//! One small trace with everything a renderer must cope with, for the tests of this room.

use prost::Message;
use spanlake::TraceId;
use spanlake_proto::otlp::common::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use spanlake_proto::otlp::resource::Resource;
use spanlake_proto::otlp::trace::{
    ResourceSpans, ScopeSpans, Span, Status, TracesData, span::Event, span::Link,
};

use super::model::{Trace, TraceBuilder};
use super::{Look, Paint};

/// 2026-11-21 08:12:33 UTC.
pub(crate) const START: u64 = 1_795_248_753_000_000_000;
const MILLI: u64 = 1_000_000;

pub(crate) fn look(columns: usize) -> Look {
    Look { columns, paint: Paint::Plain }
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

pub(crate) fn span(id: u64, parent: u64, name: &str, kind: i32, start: u64, millis: u64) -> Span {
    Span {
        trace_id: vec![0xab; 16],
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
        name: name.into(),
        kind,
        start_time_unix_nano: START + start * MILLI,
        end_time_unix_nano: START + (start + millis) * MILLI,
        ..Default::default()
    }
}

pub(crate) fn of_service(service: &str, spans: Vec<Span>) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource {
            attributes: vec![text("service.name", service)],
            ..Default::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "shop".into(),
                version: "1.2.0".into(),
                ..Default::default()
            }),
            spans,
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Through the wire, as every real trace comes.
pub(crate) fn trace(pieces: Vec<ResourceSpans>) -> Trace {
    let bytes = TracesData { resource_spans: pieces }.encode_to_vec();
    let mut builder = TraceBuilder::new(TraceId([0xab; 16]));
    builder.add(super::TracesData::decode(bytes.as_slice()).unwrap());
    builder.build()
}

/// A checkout that fails: 6 spans of 4 services, 2 errors, an exception, a link, an orphan, SQL
/// that is not worth showing (fast) and hostile text.
pub(crate) fn shop_trace() -> Trace {
    let mut hgetall = span(3, 2, "HGETALL", 3, 25, 10);
    hgetall.attributes = vec![text("db.query.text", "HGETALL cart:42")];
    let mut place = span(4, 1, "PlaceOrder", 2, 50, 800);
    place.status = Some(Status { message: "payment refused".into(), code: 2 });
    let mut charge = span(5, 4, "Charge", 3, 100, 700);
    charge.status = Some(Status { message: "card expired".into(), code: 2 });
    charge.attributes = vec![
        attribute("app.amount", Value::DoubleValue(72.5)),
        text("db.query.text", "SELECT *\n  FROM cards \u{1b}[31mWHERE id = ?"),
    ];
    charge.events = vec![Event {
        time_unix_nano: START + 799 * MILLI,
        name: "exception".into(),
        attributes: vec![
            text("exception.type", "PaymentDeclined"),
            text("exception.message", "card expired"),
            text("exception.stacktrace", "PaymentDeclined: card expired\n\tat charge (pay.js:7)"),
        ],
        ..Default::default()
    }];
    let mut send = span(6, 0xffff, "send \u{9b}2Jmail", 5, 150, 1);
    send.end_time_unix_nano = send.start_time_unix_nano + 400_000;
    send.links =
        vec![Link { trace_id: vec![0xcd; 16], span_id: vec![0x11; 8], ..Default::default() }];
    trace(vec![
        of_service("frontend", vec![span(1, 0, "POST /checkout", 2, 0, 1_000)]),
        of_service("cart", vec![hgetall, span(2, 1, "GetCart", 2, 20, 20)]),
        of_service("checkout", vec![place, charge]),
        of_service("email", vec![send]),
    ])
}
