//! OTLP/JSON to OTLP protobuf. Bytes flow in, protobuf bytes flow out in one pass driven by the
//! tables of `schema`; no tree is built, so memory stays near the size of input and output. It
//! is lenient as the specification wants (unknown keys are ignored, 64-bit numbers may be text,
//! enums may be numbers or names, keys may be camelCase or snake_case), and errors name the path
//! of the value at fault.

mod read;
mod scalar;
mod schema;
#[cfg(test)]
mod tests;
mod write;

use read::Reader;
use serde::de::DeserializeSeed as _;

use crate::status::Refusal;

/// The encoded `ExportTraceServiceRequest` that `json` says.
///
/// # Errors
/// Names the path and what is wrong there: not JSON, a value of another type, nested too deep.
pub fn to_protobuf(json: &[u8]) -> Result<Vec<u8>, Refusal> {
    let reader = Reader::default();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let outcome = reader
        .message(&schema::EXPORT)
        .deserialize(&mut deserializer)
        .and_then(|out| deserializer.end().map(|()| out));
    outcome.map_err(|error| {
        let path = reader.path();
        let at = if path.is_empty() { String::new() } else { format!(" at {path}") };
        Refusal::invalid(format!("the body is not OTLP JSON{at}: {error}"))
    })
}
