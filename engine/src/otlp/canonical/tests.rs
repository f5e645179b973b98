//! The canonical form against `prost`, the reference decoder: the same bytes are refused, what is
//! accepted decodes to the same value, and equal values get equal bytes.

use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use prost::Message as _;

use super::canonical;
use crate::otlp::schema::SPAN;
use crate::otlp::wire::{put_tag, put_varint};

/// A field as a careless or hostile encoder might write it.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Varint(u32, u64),
    LongVarint(u32, u8),
    Fixed64(u32, u64),
    Fixed32(u32, u32),
    Message(u32, Vec<Piece>),
    Text(u32, String),
}

pub(crate) fn encode(pieces: &[Piece], out: &mut Vec<u8>) {
    for piece in pieces {
        match piece {
            Piece::Varint(number, value) => {
                put_tag(out, *number, 0);
                put_varint(out, *value);
            }
            Piece::LongVarint(number, value) => {
                put_tag(out, *number, 0);
                out.extend_from_slice(&[value | 0x80, 0x80, 0x00]);
            }
            Piece::Fixed64(number, value) => {
                put_tag(out, *number, 1);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Piece::Fixed32(number, value) => {
                put_tag(out, *number, 5);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Piece::Message(number, inner) => {
                let mut body = Vec::new();
                encode(inner, &mut body);
                crate::otlp::wire::put_bytes(out, *number, &body);
            }
            Piece::Text(number, text) => {
                crate::otlp::wire::put_bytes(out, *number, text.as_bytes());
            }
        }
    }
}

/// Fields whose numbers and types mostly fit `Span`, `KeyValue` and `AnyValue`.
pub(crate) fn piece() -> impl Strategy<Value = Piece> {
    let number = 1u32..18;
    let leaf = prop_oneof![
        4 => prop_oneof![Just(6u32), Just(10), Just(12), Just(14), Just(2), Just(3)]
            .prop_flat_map(|n| prop_oneof![Just(0u64), Just(1), any::<u64>()].prop_map(move |v| Piece::Varint(n, v))),
        2 => (prop_oneof![Just(6u32), Just(10), Just(3)], 0u8..4).prop_map(|(n, v)| Piece::LongVarint(n, v)),
        3 => (prop_oneof![Just(7u32), Just(8), Just(4), Just(1)], prop_oneof![Just(0u64), any::<u64>()])
            .prop_map(|(n, v)| Piece::Fixed64(n, v)),
        1 => (Just(16u32), 0u32..3).prop_map(|(n, v)| Piece::Fixed32(n, v)),
        4 => (1u32..6, "[a-c]{0,2}").prop_map(|(n, v)| Piece::Text(n, v)),
        1 => (number.clone(), any::<u64>()).prop_map(|(n, v)| Piece::Varint(n, v)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let numbers = prop_oneof![
            Just(9u32),
            Just(11),
            Just(13),
            Just(15),
            Just(2),
            Just(5),
            Just(6),
            Just(1)
        ];
        (numbers, proptest::collection::vec(inner, 0..4)).prop_map(|(n, v)| Piece::Message(n, v))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn canonical_bytes_decode_to_the_same_span(pieces in proptest::collection::vec(piece(), 0..8)) {
        let mut bytes = Vec::new();
        encode(&pieces, &mut bytes);
        match (Span::decode(&*bytes), canonical(&bytes, &SPAN)) {
            (Ok(expected), Ok(ours)) => {
                let decoded = Span::decode(&*ours).unwrap();
                prop_assert_eq!(decoded.encode_to_vec(), expected.encode_to_vec());
                let again = canonical(&ours, &SPAN).unwrap();
                prop_assert_eq!(&*again, &*ours, "canonical twice is canonical once");
            }
            (Err(_), Err(_)) => {}
            // The one leniency: bytes that are no UTF-8 are kept.
            (Err(e), Ok(_)) if e.to_string().contains("UTF-8") => {}
            (theirs, ours) => prop_assert!(false, "prost {theirs:?}, we {ours:?}"),
        }
    }

    #[test]
    fn any_bytes_are_refused_or_accepted_as_prost_does(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        // prost also refuses invalid UTF-8, which we keep.
        if Span::decode(&*bytes).is_ok() {
            prop_assert!(canonical(&bytes, &SPAN).is_ok());
        }
        let _ = canonical(&bytes, &SPAN);
    }
}

#[test]
fn what_prost_writes_is_canonical() {
    let span = Span { name: "a".into(), trace_id: vec![1; 16], flags: 3, ..Default::default() };
    let bytes = span.encode_to_vec();
    assert!(matches!(canonical(&bytes, &SPAN), Ok(std::borrow::Cow::Borrowed(_))));
}

#[test]
fn order_defaults_and_long_varints_do_not_tell_spans_apart() {
    // name "a", kind 0 written out, dropped 1 as a long varint, name first
    let odd = b"\x2a\x01a\x30\x00\x50\x81\x00\x0a\x01t";
    let plain = b"\x0a\x01t\x2a\x01a\x50\x01";
    assert_eq!(&*canonical(odd, &SPAN).unwrap(), plain);
    // unknown fields stay, behind the known ones
    assert_eq!(&*canonical(b"\xa0\x06\x07\x0a\x01t", &SPAN).unwrap(), b"\x0a\x01t\xa0\x06\x07");
}

#[test]
fn nesting_has_an_end() {
    let mut value = Vec::new();
    for _ in 0..400 {
        let mut outer = Vec::new();
        let mut array = Vec::new();
        crate::otlp::wire::put_bytes(&mut array, 1, &value);
        crate::otlp::wire::put_bytes(&mut outer, 5, &array);
        value = outer;
    }
    let mut key_value = Vec::new();
    crate::otlp::wire::put_bytes(&mut key_value, 2, &value);
    let mut span = Vec::new();
    crate::otlp::wire::put_bytes(&mut span, 9, &key_value);
    assert!(canonical(&span, &SPAN).is_err());
    assert!(Span::decode(&*span).is_err());
}
