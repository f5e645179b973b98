//! How many spans an Export holds, without decoding it: for the metrics of Exports refused as a
//! whole. A best guess by design: bytes that are no Export count what was found before the fault.

/// Fields that lead from an Export to its spans: `resource_spans`, `scope_spans`, `spans`.
const PATH: [u64; 3] = [1, 2, 2];

/// Spans in an encoded `ExportTraceServiceRequest`.
pub(super) fn count_spans(otlp: &[u8]) -> u64 {
    count(otlp, &PATH)
}

fn count(message: &[u8], path: &[u64]) -> u64 {
    let Some((wanted, rest)) = path.split_first() else { return 1 };
    let mut left = message;
    let mut found = 0;
    while let Some((number, value)) = field(&mut left) {
        if number == *wanted {
            found += value.map_or(0, |value| count(value, rest));
        }
    }
    found
}

/// The next field's number and, if it has a length, its bytes; `None` at the end or at a fault.
fn field<'a>(left: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let tag = varint(left)?;
    let number = tag >> 3;
    match tag & 7 {
        0 => varint(left).map(|_| (number, None)),
        1 => take(left, 8).map(|_| (number, None)),
        2 => {
            let length = usize::try_from(varint(left)?).ok()?;
            take(left, length).map(|value| (number, Some(value)))
        }
        5 => take(left, 4).map(|_| (number, None)),
        _ => None,
    }
}

fn varint(left: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(left, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(left: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = left.split_at_checked(length)?;
    *left = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
    use prost::Message as _;

    use super::*;

    #[test]
    fn spans_are_counted_over_resources_and_scopes() {
        let scope = |n| ScopeSpans {
            spans: vec![Span { name: "x".into(), flags: 1, kind: 2, ..Span::default() }; n],
            schema_url: "u".into(),
            ..ScopeSpans::default()
        };
        let resource = |scopes| ResourceSpans { scope_spans: scopes, ..ResourceSpans::default() };
        let data = TracesData {
            resource_spans: vec![resource(vec![scope(2), scope(0)]), resource(vec![scope(3)])],
        };
        let bytes = data.encode_to_vec();
        assert_eq!(count_spans(&bytes), 5);
        assert_eq!(count_spans(b"\xff\xff\xff"), 0);
        assert_eq!(count_spans(&bytes[..bytes.len() - 1]), 2, "what stood before the fault");
    }
}
