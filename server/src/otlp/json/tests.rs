//! The transcoder against opentelemetry-proto's types: what the JSON says must decode to the
//! message it describes.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use serde_json::{Value as Json, json};

use super::to_protobuf;

fn decode(json: &Json) -> ExportTraceServiceRequest {
    let bytes = to_protobuf(json.to_string().as_bytes()).unwrap();
    ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap()
}

/// The error of a body with this span.
fn error_of(span: &str) -> String {
    let body =
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{}},{{"spans":[{{}},{span}]}}]}}]}}"#);
    to_protobuf(body.as_bytes()).unwrap_err().message
}

fn span_of(span: Json) -> Span {
    let request = decode(&json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}));
    request.resource_spans[0].scope_spans[0].spans[0].clone()
}

fn value_of(value: Json) -> Option<AnyValue> {
    span_of(json!({"attributes": [{"key": "k", "value": value}]})).attributes[0].value.clone()
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(any(value)), ..KeyValue::default() }
}

#[test]
fn every_field_arrives_in_its_place() {
    let json = json!({"resourceSpans": [{
        "resource": {
            "attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}],
            "droppedAttributesCount": 1,
            "entityRefs": [{"schemaUrl": "e", "type": "host", "idKeys": ["a", "b"], "descriptionKeys": ["c"]}],
        },
        "schemaUrl": "https://resource",
        "scopeSpans": [{
            "scope": {"name": "lib", "version": "2", "droppedAttributesCount": 3,
                "attributes": [{"key": "s", "value": {"boolValue": true}}]},
            "schemaUrl": "https://scope",
            "spans": [{
                "traceId": "5B8EFFF798038103D269B633813FC60C",
                "spanId": "eee19b7ec3c1b174",
                "parentSpanId": "eee19b7ec3c1b173",
                "traceState": "a=b",
                "name": "GET /",
                "kind": 2,
                "startTimeUnixNano": "1544712660000000000",
                "endTimeUnixNano": 1544712661000000001u64,
                "attributes": [
                    {"key": "int", "value": {"intValue": "-9223372036854775808"}},
                    {"key": "list", "value": {"arrayValue": {"values": [{"doubleValue": 1.5}, {}]}}},
                    {"key": "map", "value": {"kvlistValue": {"values": [{"key": "b", "value": {"bytesValue": "AAEC/w=="}}]}}},
                ],
                "droppedAttributesCount": 4,
                "events": [{"timeUnixNano": "7", "name": "exception", "droppedAttributesCount": 5,
                    "attributes": [{"key": "e", "value": {"stringValue": ""}}]}, {}],
                "droppedEventsCount": 6,
                "links": [{"traceId": "000102030405060708090a0b0c0d0e0f", "spanId": "0001020304050607",
                    "traceState": "l=1", "droppedAttributesCount": 8, "flags": 257,
                    "attributes": [{"key": "l", "value": {"intValue": 1}}]}],
                "droppedLinksCount": 9,
                "status": {"code": "STATUS_CODE_ERROR", "message": "no"},
                "flags": 769,
            }],
        }],
    }]});
    let span = Span {
        trace_id: 0x5B8EFFF798038103D269B633813FC60C_u128.to_be_bytes().into(),
        span_id: 0xeee19b7ec3c1b174_u64.to_be_bytes().into(),
        parent_span_id: 0xeee19b7ec3c1b173_u64.to_be_bytes().into(),
        trace_state: "a=b".into(),
        name: "GET /".into(),
        kind: 2,
        start_time_unix_nano: 1_544_712_660_000_000_000,
        end_time_unix_nano: 1_544_712_661_000_000_001,
        attributes: vec![
            attribute("int", Value::IntValue(i64::MIN)),
            attribute(
                "list",
                Value::ArrayValue(ArrayValue {
                    values: vec![any(Value::DoubleValue(1.5)), AnyValue::default()],
                }),
            ),
            attribute(
                "map",
                Value::KvlistValue(KeyValueList {
                    values: vec![attribute("b", Value::BytesValue(vec![0, 1, 2, 255]))],
                }),
            ),
        ],
        dropped_attributes_count: 4,
        events: vec![
            Event {
                time_unix_nano: 7,
                name: "exception".into(),
                attributes: vec![attribute("e", Value::StringValue(String::new()))],
                dropped_attributes_count: 5,
            },
            Event::default(),
        ],
        dropped_events_count: 6,
        links: vec![Link {
            trace_id: (0..16).collect(),
            span_id: (0..8).collect(),
            trace_state: "l=1".into(),
            attributes: vec![attribute("l", Value::IntValue(1))],
            dropped_attributes_count: 8,
            flags: 257,
        }],
        dropped_links_count: 9,
        status: Some(Status { message: "no".into(), code: 2 }),
        flags: 769,
    };
    let expected = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![attribute("service.name", Value::StringValue("shop".into()))],
                dropped_attributes_count: 1,
                entity_refs: vec![EntityRef {
                    schema_url: "e".into(),
                    r#type: "host".into(),
                    id_keys: vec!["a".into(), "b".into()],
                    description_keys: vec!["c".into()],
                }],
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "lib".into(),
                    version: "2".into(),
                    attributes: vec![attribute("s", Value::BoolValue(true))],
                    dropped_attributes_count: 3,
                }),
                spans: vec![span],
                schema_url: "https://scope".into(),
            }],
            schema_url: "https://resource".into(),
        }],
    };
    assert_eq!(decode(&json), expected);
}

#[test]
fn snake_case_unknown_keys_and_nulls_are_taken() {
    let request = decode(&json!({
        "future": {"deep": [1, {"x": null}]},
        "resource_spans": [{"resource": null, "scope_spans": [{"scope": {}, "spans": [
            {"trace_id": "00000000000000000000000000000001", "start_time_unix_nano": 5,
             "name": null, "new": [[]], "status": null, "attributes": null, "kind": null},
        ]}]}],
    }));
    let resource = &request.resource_spans[0];
    assert_eq!(resource.resource, None);
    assert_eq!(resource.scope_spans[0].scope, Some(InstrumentationScope::default()));
    let span = &resource.scope_spans[0].spans[0];
    assert_eq!((span.trace_id[15], span.start_time_unix_nano), (1, 5));
    assert_eq!((span.name.as_str(), &span.status, span.attributes.len()), ("", &None, 0));
    assert_eq!(decode(&json!({})), ExportTraceServiceRequest::default());
}

#[test]
fn values_come_as_numbers_or_text() {
    for (json, value) in [
        (json!({"intValue": "42"}), Value::IntValue(42)),
        (json!({"intValue": -42}), Value::IntValue(-42)),
        (json!({"intValue": 1e3}), Value::IntValue(1000)),
        (json!({"intValue": "1e3"}), Value::IntValue(1000)),
        (json!({"intValue": 0}), Value::IntValue(0)),
        (json!({"boolValue": false}), Value::BoolValue(false)),
        (json!({"boolValue": "true"}), Value::BoolValue(true)),
        (json!({"doubleValue": 3}), Value::DoubleValue(3.0)),
        (json!({"doubleValue": "2.5"}), Value::DoubleValue(2.5)),
        (json!({"doubleValue": 0.1}), Value::DoubleValue(0.1)),
        (json!({"doubleValue": "Infinity"}), Value::DoubleValue(f64::INFINITY)),
        (json!({"doubleValue": "-Infinity"}), Value::DoubleValue(f64::NEG_INFINITY)),
        (json!({"stringValue": ""}), Value::StringValue(String::new())),
        (json!({"bytesValue": ""}), Value::BytesValue(vec![])),
        (json!({"bytesValue": "-_8"}), Value::BytesValue(vec![0xfb, 0xff])),
        (json!({"arrayValue": {}}), Value::ArrayValue(ArrayValue::default())),
    ] {
        assert_eq!(value_of(json.clone()), Some(any(value)), "{json}");
    }
    let Some(AnyValue { value: Some(Value::DoubleValue(nan)) }) =
        value_of(json!({"doubleValue": "NaN"}))
    else {
        panic!("NaN is a double");
    };
    assert!(nan.is_nan());
    assert_eq!(value_of(json!({})), Some(AnyValue::default()));
    assert_eq!(value_of(json!(null)), None);
}

#[test]
fn doubles_keep_their_last_bit() {
    // Read by the fast path of serde_json this loses a bit.
    for text in ["2.2250738585072014e-308", "0.30000000000000004", "1.7976931348623157e308", "-0.0"]
    {
        let body = format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"d","value":{{"doubleValue":{text}}}}}]}}}}]}}"#
        );
        let bytes = to_protobuf(body.as_bytes()).unwrap();
        let request = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
        let attributes = &request.resource_spans[0].resource.as_ref().unwrap().attributes;
        let Some(Value::DoubleValue(value)) = attributes[0].value.as_ref().unwrap().value else {
            panic!("a double");
        };
        assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
    }
}

#[test]
fn enums_come_as_numbers_names_or_unknown_numbers() {
    for (json, number) in [
        (json!(3), 3),
        (json!("SPAN_KIND_SERVER"), 2),
        (json!("4"), 4),
        (json!(77), 77),
        (json!(-1), -1),
    ] {
        assert_eq!(span_of(json!({ "kind": json })).kind, number);
    }
    assert!(error_of(r#"{"kind":"SPAN_KIND_OTHER"}"#).contains("spans[1].kind"));
}

#[test]
fn times_may_be_absurd_but_not_out_of_range() {
    assert_eq!(
        span_of(json!({"endTimeUnixNano": "18446744073709551615"})).end_time_unix_nano,
        u64::MAX
    );
    for bad in ["-1", "18446744073709551616", "1.5", "1e400", r#""soon""#, "true", "[]"] {
        let error = error_of(&format!(r#"{{"startTimeUnixNano":{bad}}}"#));
        let path = "resourceSpans[0].scopeSpans[1].spans[1].startTimeUnixNano";
        assert!(error.contains(path) || bad == "1e400", "{bad}: {error}");
    }
}

#[test]
fn a_bad_id_costs_its_span_and_not_its_batch() {
    for bad in ["zz", "abc", "5B8EFFF798038103D269B633813FC60G", "W47/95gDgQPSabYzgT/GDA=="] {
        let id = span_of(json!({"traceId": bad, "spanId": "00"})).trace_id;
        assert!(id.len() != 16 && !id.is_empty(), "{bad} became {id:?}");
    }
    assert!(error_of(r#"{"traceId":7}"#).contains("spans[1].traceId"));
}

#[test]
fn lone_surrogates_are_replaced() {
    let body = br#"{"resourceSpans":[{"schemaUrl":"a\ud800b"}]}"#;
    let bytes = to_protobuf(body).unwrap();
    let request = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
    let text = &request.resource_spans[0].schema_url;
    assert!(text.starts_with('a') && text.ends_with('b') && text.contains('\u{fffd}'), "{text:?}");
}

#[test]
fn errors_name_the_path() {
    assert!(
        error_of(r#"{"attributes":[{"key":"a"},{"key":"b","value":{"intValue":{}}}]}"#)
            .contains("resourceSpans[0].scopeSpans[1].spans[1].attributes[1].value.intValue")
    );
    assert!(error_of(r#"{"name":1}"#).contains("spans[1].name"));
    assert!(error_of(r#"{"attributes":{}}"#).contains("spans[1].attributes"));
    assert!(error_of("7").contains("scopeSpans[1].spans[1]"));
    for body in ["", "[]", "nonsense", "{} {}", r#"{"resourceSpans":"#] {
        assert!(to_protobuf(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn nesting_is_limited_without_overflow() {
    let nested = |depth: usize| {
        let open = r#"{"arrayValue":{"values":["#.repeat(depth);
        let close = "]}}".repeat(depth);
        format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"k","value":{open}{close}}}]}}}}]}}"#
        )
    };
    assert!(to_protobuf(nested(30).as_bytes()).is_ok());
    for depth in [60, 100_000] {
        assert!(to_protobuf(nested(depth).as_bytes()).is_err());
    }
}

/// Whatever arrives, the transcoder answers; and what it lets through is always protobuf.
#[test]
fn mutilated_bodies_neither_panic_nor_become_rubbish() {
    let sound = json!({"resourceSpans": [{"resource": {"attributes": [
        {"key": "list", "value": {"arrayValue": {"values": [{"doubleValue": 1.5}, null]}}},
        {"key": "map", "value": {"kvlistValue": {"values": [{"key": "b", "value": {"bytesValue": "AAEC"}}]}}},
    ]}, "scopeSpans": [{"spans": [{"traceId": "00", "kind": "SPAN_KIND_SERVER", "flags": 1,
        "startTimeUnixNano": "18446744073709551615", "status": {"code": 2}}]}]}]})
    .to_string()
    .into_bytes();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut roll = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut body = sound.clone();
        for _ in 0..=roll(3) {
            let at = roll(body.len());
            match roll(4) {
                0 => body[at] = br#"{}[],:"0-e\nu"#[roll(13)],
                1 => body[at] = roll(256) as u8,
                2 => drop(body.remove(at)),
                _ => body.truncate(at.max(1)),
            }
        }
        match to_protobuf(&body) {
            Ok(bytes) => {
                ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
                taken += 1;
            }
            Err(refusal) => {
                assert_eq!(refusal.code, tonic::Code::InvalidArgument);
                refused += 1;
            }
        }
    }
    assert!(taken > 1_000 && refused > 1_000, "{taken} taken, {refused} refused");
}
