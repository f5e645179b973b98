//! Attribute values as text.

/// The text form of an encoded OTLP `AnyValue` message (also of `jaeger.storage.v2.AnyValue`,
/// whose wire is the same), as Go's `pcommon.Value.AsString` gives it (jaeger-contract §2.4).
/// Bytes that do not decode give `""`.
pub fn as_string(_any_value: &[u8]) -> String {
    unimplemented!()
}
