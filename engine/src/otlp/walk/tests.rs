//! The walk against the canonical form: what goes into a batch comes out byte for byte, whatever
//! an encoder did to it, and what does not decode is refused.

use proptest::prelude::*;

use super::*;
use crate::batch::Remap;
use crate::otlp::canonical::tests::{Piece, encode, piece};
use crate::otlp::wire::put_bytes;

/// A request with these spans under one resource and scope.
fn request(spans: &[Vec<u8>]) -> Vec<u8> {
    let mut scope = Vec::new();
    spans.iter().for_each(|span| put_bytes(&mut scope, 2, span));
    let mut resource = Vec::new();
    put_bytes(&mut resource, 2, &scope);
    let mut request = Vec::new();
    put_bytes(&mut request, 1, &resource);
    request
}

fn number(piece: &Piece) -> u32 {
    match piece {
        Piece::Varint(n, _)
        | Piece::LongVarint(n, _)
        | Piece::Fixed64(n, _)
        | Piece::Fixed32(n, _)
        | Piece::Message(n, _)
        | Piece::Text(n, _) => *n,
    }
}

/// Puts the fields of every message in order, as SDKs do.
fn sort(pieces: &mut [Piece]) {
    pieces.sort_by_key(number);
    for piece in pieces {
        if let Piece::Message(_, inner) = piece {
            sort(inner);
        }
    }
}

/// A span with good ids and these fields.
fn span(pieces: &[Piece]) -> Vec<u8> {
    let mut out = b"\x0a\x10ABCDEFGHIJKLMNOP\x12\x08abcdefgh".to_vec();
    let others: Vec<Piece> =
        pieces.iter().filter(|p| !matches!(number(p), 1 | 2)).cloned().collect();
    encode(&others, &mut out);
    out
}

fn check(spans: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let canonical: Vec<_> = spans.iter().map(|s| canonical(s, &SPAN)).collect();
    let walked = admit(&request(spans), &Interner::default());
    if canonical.iter().any(std::result::Result::is_err) {
        prop_assert!(walked.is_err());
        return Ok(());
    }
    let walked = walked.unwrap();
    let refused: Vec<u32> = walked.refused.iter().map(|r| r.ordinal).collect();
    let admitted: Vec<_> = (0u32..)
        .zip(canonical)
        .filter(|(n, _)| !refused.contains(n))
        .map(|(_, bytes)| bytes.unwrap().into_owned())
        .collect();
    prop_assert_eq!(walked.batch.rows(), admitted.len());
    let replayed = replay(&request(spans), &refused, &Interner::default()).unwrap();
    let (mut merged, mut remap) = (Batch::default(), Remap::default());
    for (row, expected) in admitted.iter().enumerate() {
        merged.append(&walked.batch, row, &mut remap);
        let mut ours = Vec::new();
        walked.batch.write_span(row, &mut ours);
        prop_assert_eq!(&ours, expected);
        ours.clear();
        merged.write_span(row, &mut ours);
        prop_assert_eq!(&ours, expected, "after a merge");
        prop_assert!(merged.same_span(row, &replayed, row));
        let first = admitted.first() == Some(expected);
        prop_assert_eq!(walked.batch.same_span(0, &merged, row), first);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn spans_come_back_byte_for_byte(
        spans in proptest::collection::vec(proptest::collection::vec(piece(), 0..8), 1..4),
        in_order in any::<bool>(),
    ) {
        let spans: Vec<Vec<u8>> = spans
            .into_iter()
            .map(|mut pieces| {
                if in_order {
                    sort(&mut pieces);
                }
                span(&pieces)
            })
            .collect();
        check(&spans)?;
    }
}

/// Every kind of value, event and link, as SDKs send them, without going the long way round.
#[test]
fn plain_spans_take_the_short_way() {
    use opentelemetry_proto::tonic::common::v1::{
        AnyValue, ArrayValue, KeyValue, any_value::Value as V,
    };
    use opentelemetry_proto::tonic::trace::v1::{Span, Status, span};
    use prost::Message as _;
    let values = [
        None,
        Some(V::StringValue(String::new())),
        Some(V::StringValue("text".into())),
        Some(V::BoolValue(false)),
        Some(V::IntValue(-5)),
        Some(V::DoubleValue(f64::NAN)),
        Some(V::BytesValue(vec![0, 255])),
        Some(V::ArrayValue(ArrayValue { values: vec![AnyValue { value: None }] })),
    ];
    let attributes: Vec<KeyValue> = values
        .into_iter()
        .map(|value| KeyValue {
            key: "k".into(),
            value: Some(AnyValue { value }),
            ..Default::default()
        })
        .chain([KeyValue { key: String::new(), value: None, ..Default::default() }])
        .collect();
    let message = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        trace_state: "a=b".into(),
        parent_span_id: vec![0; 8],
        name: "n".into(),
        kind: -1,
        start_time_unix_nano: 5,
        end_time_unix_nano: 3,
        attributes: attributes.clone(),
        dropped_attributes_count: 1,
        events: vec![
            span::Event { time_unix_nano: 4, attributes: attributes.clone(), ..Default::default() },
            span::Event { name: "e".into(), dropped_attributes_count: 7, ..Default::default() },
            span::Event::default(),
        ],
        dropped_events_count: u32::MAX,
        links: vec![
            span::Link { trace_id: vec![1; 16], flags: 9, attributes, ..Default::default() },
            span::Link { span_id: vec![1; 8], trace_state: "s".into(), ..Default::default() },
            span::Link::default(),
        ],
        dropped_links_count: 2,
        status: Some(Status { message: "m".into(), code: 2 }),
        flags: 0x0100_0001,
    };
    let empty_status = Span { status: Some(Status::default()), ..message.clone() };
    let no_status = Span { status: None, ..message.clone() };
    let spans = [message, empty_status, no_status].map(|s| s.encode_to_vec());
    check(&spans).unwrap();
    let mut batch = Batch::default();
    for span in &spans {
        assert!(shred(span, &mut batch).unwrap().is_some(), "a plain span is not odd");
        batch.abandon_row();
    }
}

#[test]
fn too_many_attributes_are_refused() {
    let mut many = span(&[]);
    many.extend_from_slice(&b"\x4a\x00".repeat(INGEST_CELLS_MAX + 1));
    let error = admit(&request(&[many]), &Interner::default()).unwrap_err();
    assert!(error.to_string().contains("attributes"), "{error}");
}
