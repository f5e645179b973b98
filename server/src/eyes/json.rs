//! One trace as JSON for scripts.
//!
//! A trace flows in, a value flows out whose shape is API: snake_case names, ids as hex, moments
//! as strings of nanoseconds (they exceed what JavaScript can count), durations as integers,
//! attributes as a list of `{key, type, value}` because order and repeats carry meaning. Bytes are
//! base64; NaN and infinities are strings; invalid UTF-8 is replaced.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use prost::bytes::Bytes;
use serde_json::{Value, json};

use super::model::{Span, Trace, hex};
use super::otlp::{self, AnyValue, ArrayValue, Event, KeyValue, KeyValueList, Link};
use super::text::harmless_json;

/// Nested values beyond this are shown as undecoded: no client writes them, attackers do.
const DEPTH_MAX: usize = 32;

/// `{"trace_id", "start_unix_nano", "duration_nano", "errors", "orphans", "services": [{"name",
/// "spans", "errors"}], "spans": [span]}`, spans by start. A span: `trace_id`, `span_id`,
/// `parent_span_id` ("" = none), `service`, `name`, `kind`, `start_unix_nano`, `end_unix_nano`,
/// `duration_nano`, `status: {code, message}`, `trace_state`, `flags`, `attributes`,
/// `events: [{time_unix_nano, name, attributes, dropped_attributes}]`, `links: [{trace_id,
/// span_id, trace_state, flags, attributes, dropped_attributes}]`, `dropped: {attributes, events,
/// links}`, `resource: {attributes, schema_url}`, `scope: {name, version, attributes, schema_url}`.
///
/// One span a line and one span at a time: a trace of 100,000 spans is not built twice in memory.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write(trace: &Trace, out: &mut dyn Write) -> io::Result<()> {
    let services = trace.services();
    let services = services
        .iter()
        .map(|(name, spans, errors)| json!({"name": name, "spans": spans, "errors": errors}));
    let head = json!({
        "trace_id": trace.id.to_string(),
        "start_unix_nano": trace.start().to_string(),
        "duration_nano": trace.duration(),
        "errors": trace.errors(),
        "orphans": trace.orphans(),
        "services": services.collect::<Vec<_>>(),
    });
    let head = head.to_string();
    let head = harmless_json(head.strip_suffix('}').unwrap_or(&head));
    write!(out, "{head},\"spans\":[")?;
    let mut spans: Vec<&Span> = trace.spans.iter().collect();
    spans.sort_by_key(|s| s.start);
    let mut separator = "\n";
    for one in spans {
        write!(out, "{separator}{}", harmless_json(&span(one, trace).to_string()))?;
        separator = ",\n";
    }
    out.write_all(b"\n]}\n")
}

fn span(span: &Span, trace: &Trace) -> Value {
    json!({
        "trace_id": trace.id.to_string(),
        "span_id": hex(&span.id),
        "parent_span_id": hex(&span.parent),
        "service": span.service(),
        "name": span.name(),
        "kind": span.kind.word(),
        "start_unix_nano": span.start.to_string(),
        "end_unix_nano": span.end.to_string(),
        "duration_nano": span.duration(),
        "status": {"code": span.status_word(), "message": text(&span.status_message)},
        "trace_state": text(&span.trace_state),
        "flags": span.flags,
        "attributes": attributes(&span.attributes),
        "events": span.events.iter().map(event).collect::<Vec<_>>(),
        "links": span.links.iter().map(link).collect::<Vec<_>>(),
        "dropped": {
            "attributes": span.dropped.attributes,
            "events": span.dropped.events,
            "links": span.dropped.links,
        },
        "resource": {
            "attributes": attributes(&span.resource.attributes),
            "schema_url": text(&span.resource.schema_url),
        },
        "scope": {
            "name": text(&span.scope.name),
            "version": text(&span.scope.version),
            "attributes": attributes(&span.scope.attributes),
            "schema_url": text(&span.scope.schema_url),
        },
    })
}

fn event(event: &Event) -> Value {
    json!({
        "time_unix_nano": event.time_unix_nano.to_string(),
        "name": text(&event.name),
        "attributes": attributes(&event.attributes),
        "dropped_attributes": event.dropped_attributes_count,
    })
}

fn link(link: &Link) -> Value {
    json!({
        "trace_id": hex(&link.trace_id),
        "span_id": hex(&link.span_id),
        "trace_state": text(&link.trace_state),
        "flags": link.flags,
        "attributes": attributes(&link.attributes),
        "dropped_attributes": link.dropped_attributes_count,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn attributes(attributes: &[KeyValue]) -> Value {
    list(attributes, 0)
}

fn list(attributes: &[KeyValue], depth: usize) -> Value {
    let one = |a: &KeyValue| {
        let (kind, value) = typed(&a.value, depth);
        json!({"key": text(&a.key), "type": kind, "value": value})
    };
    attributes.iter().map(one).collect::<Vec<_>>().into()
}

/// The type's name and the value. Elements of arrays are `{type, value}`, those of maps
/// `{key, type, value}`.
fn typed(value: &Bytes, depth: usize) -> (&'static str, Value) {
    let undecoded = || ("undecoded", STANDARD.encode(value).into());
    if depth > DEPTH_MAX {
        return undecoded();
    }
    let Ok(any) = AnyValue::decode(value.clone()) else {
        return undecoded();
    };
    match any.value {
        None => ("empty", Value::Null),
        Some(otlp::Value::String(v)) => ("string", text(&v).into()),
        Some(otlp::Value::Bool(v)) => ("bool", v.into()),
        Some(otlp::Value::Int(v)) => ("int", v.into()),
        Some(otlp::Value::Double(v)) => ("double", double(v)),
        Some(otlp::Value::Bytes(v)) => ("bytes", STANDARD.encode(v).into()),
        Some(otlp::Value::Array(v)) => match ArrayValue::decode(v) {
            Ok(array) => ("array", array.values.iter().map(|v| element(v, depth + 1)).collect()),
            Err(_) => undecoded(),
        },
        Some(otlp::Value::Map(v)) => match KeyValueList::decode(v) {
            Ok(map) => ("map", list(&map.values, depth + 1)),
            Err(_) => undecoded(),
        },
    }
}

fn element(value: &Bytes, depth: usize) -> Value {
    let (kind, value) = typed(value, depth);
    json!({"type": kind, "value": value})
}

fn double(value: f64) -> Value {
    match serde_json::Number::from_f64(value) {
        Some(number) => number.into(),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{attribute, of_service, shop_trace, span as fixture_span};
    use super::*;
    use spanlake_proto::otlp::common::{AnyValue, ArrayValue, KeyValueList, any_value::Value as V};

    fn trace(trace: &Trace) -> Value {
        let mut out = Vec::new();
        write(trace, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    fn any(value: V) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    #[test]
    fn every_type_keeps_its_name_and_value() {
        let mut span = fixture_span(1, 0, "typed", 3, 0, 1);
        let mut empty = attribute("e", V::BoolValue(false));
        empty.value = Some(AnyValue { value: None });
        let array = vec![any(V::IntValue(1)), any(V::StringValue("x".into()))];
        span.attributes = vec![
            attribute("s", V::StringValue("text".into())),
            attribute("b", V::BoolValue(true)),
            attribute("i", V::IntValue(i64::MIN)),
            attribute("d", V::DoubleValue(f64::NAN)),
            attribute("y", V::BytesValue(vec![1, 2, 255])),
            attribute("a", V::ArrayValue(ArrayValue { values: array })),
            attribute(
                "m",
                V::KvlistValue(KeyValueList { values: vec![attribute("k", V::DoubleValue(0.5))] }),
            ),
            empty.clone(),
            empty,
        ];
        let value = trace(&super::super::fixture::trace(vec![of_service("x", vec![span])]));
        assert_eq!(
            value["spans"][0]["attributes"],
            json!([
                {"key": "s", "type": "string", "value": "text"},
                {"key": "b", "type": "bool", "value": true},
                {"key": "i", "type": "int", "value": i64::MIN},
                {"key": "d", "type": "double", "value": "NaN"},
                {"key": "y", "type": "bytes", "value": "AQL/"},
                {"key": "a", "type": "array", "value": [{"type": "int", "value": 1}, {"type": "string", "value": "x"}]},
                {"key": "m", "type": "map", "value": [{"key": "k", "type": "double", "value": 0.5}]},
                {"key": "e", "type": "empty", "value": null},
                {"key": "e", "type": "empty", "value": null},
            ])
        );
    }

    #[test]
    fn absurd_depth_stays_undecoded() {
        let mut value = any(V::IntValue(1));
        for _ in 0..200 {
            value = any(V::ArrayValue(ArrayValue { values: vec![value] }));
        }
        let bytes = prost::Message::encode_to_vec(&value);
        assert!(typed(&bytes.into(), 0).1.to_string().contains("undecoded"));
    }

    #[test]
    fn the_whole_trace_is_there() {
        let value = trace(&shop_trace());
        assert_eq!(value["trace_id"], "ab".repeat(16));
        assert_eq!(value["start_unix_nano"], "1795248753000000000");
        assert_eq!(value["duration_nano"], 1_000_000_000);
        assert_eq!((&value["errors"], &value["orphans"]), (&json!(2), &json!(1)));
        let charge = &value["spans"][4];
        assert_eq!(charge["name"], "Charge");
        assert_eq!(charge["parent_span_id"], "0000000000000004");
        assert_eq!(charge["kind"], "client");
        assert_eq!(charge["status"], json!({"code": "error", "message": "card expired"}));
        assert_eq!(charge["events"][0]["attributes"][0]["value"], "PaymentDeclined");
        assert_eq!(value["spans"][5]["links"][0]["trace_id"], "cd".repeat(16));
        assert_eq!(charge["scope"]["version"], "1.2.0");
    }
}
