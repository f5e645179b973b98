//! Round trips, and chunks that must be refused.

mod cases;
mod damage;
mod stock;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use cases::{Case, Random, cases, pages_of, read, resolved};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_written_is_read(case in cases(30), ends in any::<(u16, u16)>()) {
        let encoded = case.encode(&mut Encoder::default());
        let rows = case.shape.len();
        let (definition, _, values) = case.expected(0..rows);
        prop_assert_eq!(encoded.rows, rows as u64);
        prop_assert_eq!(encoded.entries, case.definition().len() as u64);
        prop_assert_eq!(encoded.nulls, encoded.entries - values.len() as u64);
        prop_assert!(definition.is_empty() || definition.len() as u64 == encoded.entries);
        check(&case, &pages_of(&encoded), encoded.compressed, ends)?;
    }
}

/// All rows, and those between the ends, come out as the case has them.
fn check(
    case: &Case,
    (dictionary, pages): &(Option<Bytes>, Vec<(Bytes, usize)>),
    compressed: bool,
    ends: (u16, u16),
) -> Result<(), TestCaseError> {
    let rows = case.shape.len();
    let ends = [ends.0, ends.1].map(|end| usize::from(end) % (rows + 1));
    let leaf = case.leaf(compressed);
    let mut scratch = Scratch::default();
    for part in [0..rows, ends[0].min(ends[1])..ends[0].max(ends[1])] {
        let (decoded, entries) =
            read(pages, dictionary.as_ref(), &leaf, part.clone(), &mut scratch).unwrap();
        let values = resolved(&decoded.values, &entries);
        prop_assert_eq!(decoded.values.len(), values.len());
        let got = (decoded.definition, decoded.repetition, values);
        prop_assert_eq!(got, case.expected(part));
    }
    Ok(())
}

#[test]
fn a_chunk_whose_parts_do_not_fit_is_refused() {
    let good = Chunk {
        values: Source::I64(&[1, 2, 3]),
        levels: Levels::Required,
        pages: &[2, 1],
        encoding: Encoding::Plain,
        packing: Packing::None,
        statistics: false,
    };
    let list = |definition, repetition| Levels::List { max_definition: 2, definition, repetition };
    let packed = |ends| Source::Bytes(Strings::Packed { ends, data: b"abc" });
    let codes = |codes| Source::Codes { codes, dictionary: Dictionary::I32(&[4, 5]) };
    let dictionary = Chunk { encoding: Encoding::Dictionary, ..good };
    let bad = [
        Chunk { pages: &[2, 2], ..good },
        Chunk { pages: &[3, 0], ..good },
        Chunk { levels: Levels::At(&[0, 1]), ..good },
        Chunk { levels: Levels::At(&[0, 2, 1]), ..good },
        Chunk { levels: Levels::At(&[0, 1, 3]), ..good },
        Chunk { levels: Levels::At(&[0, 1, 1]), ..good },
        Chunk { levels: list(&[2, 2, 2], &[0, 1, 1]), ..good },
        Chunk { levels: list(&[2, 2, 2], &[1, 0, 0]), ..good },
        Chunk { levels: list(&[2, 2, 3], &[0, 0, 0]), ..good },
        Chunk { levels: list(&[2, 2, 2], &[0, 0, 2]), ..good },
        Chunk { levels: list(&[2, 2], &[0, 0, 0]), ..good },
        Chunk { values: packed(&[1, 2, 4]), ..good },
        Chunk { values: packed(&[2, 1, 3]), ..good },
        Chunk { values: Source::Fixed { width: 2, data: b"abcdefg" }, ..good },
        Chunk { values: Source::Bool(&[true; 3]), encoding: Encoding::Split, ..good },
        Chunk { values: Source::F64(&[0; 3]), encoding: Encoding::Delta, ..good },
        Chunk { encoding: Encoding::Dictionary, ..good },
        Chunk { values: codes(&[0, 1, 0]), ..good },
        Chunk { values: codes(&[0, 1, 2]), ..dictionary },
    ];
    let mut encoder = Encoder::default();
    encoder.encode(&good).unwrap();
    encoder.encode(&Chunk { values: codes(&[0, 1, 0]), ..dictionary }).unwrap();
    encoder.encode(&Chunk { levels: list(&[2, 0, 2, 1, 2], &[0, 0, 0, 1, 1]), ..good }).unwrap();
    for chunk in bad {
        assert!(encoder.encode(&chunk).is_err(), "{chunk:?}");
    }
}

#[test]
fn zstd_is_given_up_where_it_does_not_pay() {
    let mut random = Random(1);
    let noise: Vec<i64> = (0..4096).map(|_| random.next() as i64).collect();
    let mut encoder = Encoder::default();
    let mut encoded = |values, packing| {
        let chunk = Chunk {
            values: Source::I64(values),
            levels: Levels::Required,
            pages: &[2048, 2048],
            encoding: Encoding::Plain,
            packing,
            statistics: true,
        };
        encoder.encode(&chunk).unwrap()
    };
    let plain = encoded(&noise, Packing::Best(3));
    assert!(!plain.compressed);
    assert_eq!(plain.bytes.len() as u64, plain.plain_bytes);
    assert_eq!(plain.bounds, Some((*noise.iter().min().unwrap(), *noise.iter().max().unwrap())));
    assert!(encoded(&noise, Packing::Zstd(3)).compressed);
    let packed = encoded(&[7; 4096], Packing::Best(3));
    assert!(packed.compressed && packed.bytes.len() < 200);
    assert!(packed.plain_bytes > 4096 * 8);
    // The context takes another level.
    let words: Vec<i64> = noise.iter().map(|value| value & 0xff00ff).collect();
    let [fast, small, again] = [1, 19, 1].map(|level| encoded(&words, Packing::Zstd(level)).bytes);
    assert!(small.len() < fast.len());
    assert_eq!(fast, again);
}
