//! Attributes in few words: a key and a Rust value flow in, an OTLP `KeyValue` flows out.

use spanlake_proto::otlp::common::any_value::Value;
use spanlake_proto::otlp::common::{AnyValue, ArrayValue, KeyValue, KeyValueList};

pub(super) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

pub(super) fn int(key: &str, value: i64) -> KeyValue {
    pair(key, Value::IntValue(value))
}

pub(super) fn double(key: &str, value: f64) -> KeyValue {
    pair(key, Value::DoubleValue(value))
}

pub(super) fn flag(key: &str, value: bool) -> KeyValue {
    pair(key, Value::BoolValue(value))
}

pub(super) fn bytes(key: &str, value: Vec<u8>) -> KeyValue {
    pair(key, Value::BytesValue(value))
}

pub(super) fn texts(key: &str, values: impl IntoIterator<Item = String>) -> KeyValue {
    let values = values.into_iter().map(|v| any(Value::StringValue(v))).collect();
    pair(key, Value::ArrayValue(ArrayValue { values }))
}

pub(super) fn map(key: &str, values: Vec<KeyValue>) -> KeyValue {
    pair(key, Value::KvlistValue(KeyValueList { values }))
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..Default::default() }
}
