//! A damaged file is an error that names it, or makes no difference; never a wrong answer, never
//! a panic.

use std::ops::Range;

use super::made::{odd, shop};
use super::{assert_same, built, open, order};
use crate::batch::{Batch, Projection};
use crate::error::{Error, ErrorKind};
use crate::segment::blob::Part;
use crate::segment::layout::Layout;
use crate::segment::{BLOCK_ROWS, SEGMENT_FORMAT, footer, schema, write};
use crate::world::Dice;

/// What was sent, and the file it became.
struct Sample {
    batches: Vec<Batch>,
    order: Vec<(u32, u32)>,
    bytes: Vec<u8>,
}

impl Sample {
    fn of(batches: Vec<Batch>) -> Self {
        let sources: Vec<&Batch> = batches.iter().collect();
        let order = order(&sources);
        let bytes = built(&sources, &order).bytes;
        Self { batches, order, bytes }
    }

    fn assert_same(&self, read: &Batch) {
        let sources: Vec<&Batch> = self.batches.iter().collect();
        assert_same(read, 0, &sources, &self.order);
    }
}

fn names_the_file(error: &Error) {
    assert!(matches!(error.kind(), ErrorKind::Corrupted), "{error:?}");
    assert!(error.to_string().contains("default/7.parquet"), "{error}");
}

/// Every read must answer as before, or fail; the whole check must fail.
fn check(bytes: &[u8], sent: &Sample, what: &str) {
    let segment = match open(bytes) {
        Ok(segment) => segment,
        Err(error) => return names_the_file(&error),
    };
    match segment.read(0..segment.rows(), &Projection::all()) {
        Ok(read) => sent.assert_same(&read),
        Err(error) => names_the_file(&error),
    }
    if let Err(error) = segment.read(0..1, &Projection::fixed()) {
        names_the_file(&error);
    }
    if let Err(error) = segment.locate(&sent.batches[0].trace_id[0]) {
        names_the_file(&error);
    }
    match segment.verify() {
        Ok(()) => panic!("{what}: nobody noticed"),
        Err(error) => names_the_file(&error),
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for sample in [Sample::of(shop(150, 11)), Sample::of(odd(40, 2, 11))] {
        let good = &sample.bytes;
        let mut dice = Dice::new(12);
        // The head and the tail whole, and the middle here and there.
        let edges = (0..40).chain(good.len() - 600..good.len());
        let middle: Vec<usize> =
            (0..1_000).map(|_| (dice.roll() % good.len() as u64) as usize).collect();
        for at in edges.chain(middle) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (dice.roll() % 8);
            check(&bad, &sample, &format!("byte {at} of {}", good.len()));
        }
    }
}

#[test]
fn overwritten_and_moved_pieces_are_noticed() {
    let sample = Sample::of(shop(1_500, 13));
    let good = &sample.bytes;
    let mut dice = Dice::new(14);
    let mut below = |n: usize| (dice.roll() % n as u64) as usize;
    for _ in 0..100 {
        let length = 1 + below(5_000);
        let (from, to) = (below(good.len() - length), below(good.len() - length));
        let mut bad = good.clone();
        match below(3) {
            0 => bad[to..to + length].fill(0),
            1 => bad[to..to + length].fill(0xff),
            _ => bad.copy_within(from..from + length, to),
        }
        if bad != *good {
            check(&bad, &sample, &format!("{length} bytes at {to}"));
        }
    }
}

#[test]
fn a_file_cut_or_grown_is_refused() {
    let good = Sample::of(shop(300, 15)).bytes;
    let cuts = (0..64).chain((64..good.len()).step_by(211)).chain(good.len() - 64..good.len());
    for cut in cuts {
        names_the_file(&open(&good[..cut]).unwrap_err());
        names_the_file(&open(&good[cut..]).map_or_else(
            |error| error,
            |segment| match cut {
                0 => Error::corrupted("default/7.parquet"),
                _ => segment.verify().unwrap_err(),
            },
        ));
    }
    names_the_file(&open(&[good.as_slice(), b"x"].concat()).unwrap_err());
    names_the_file(
        &open(&[good.as_slice(), good.as_slice()].concat())
            .map_or_else(|error| error, |segment| segment.verify().unwrap_err()),
    );
    names_the_file(&open(b"PAR1").unwrap_err());
    names_the_file(&open(&[]).unwrap_err());
    names_the_file(&open(b"PAR1\x00\x00\x00\x00PAR1").unwrap_err());
    names_the_file(&open(b"PAR1\xff\xff\xff\xffPAR1").unwrap_err());
}

/// A later build's file, as far as anyone can know it today.
#[test]
fn another_format_is_named_as_such() {
    use parquet::file::metadata::KeyValue;
    use parquet::file::writer::SerializedFileWriter;
    let schema = schema::descriptor(&Layout::of(Vec::new()).unwrap(), &[]).unwrap();
    let file = |entries: &[(&str, &str)]| {
        let mut file = SerializedFileWriter::new(
            Vec::new(),
            schema.root_schema_ptr(),
            write::file_properties(),
        )
        .unwrap();
        for (key, value) in entries {
            file.append_key_value_metadata(KeyValue::new((*key).to_owned(), (*value).to_owned()));
        }
        file.into_inner().unwrap()
    };
    for entries in [
        [("spanlake.format", "2"), ("spanlake.index", "somewhere")],
        [("spanlake.format", "12"), ("spanlake.blob", "in no form we know")],
    ] {
        let error = open(&file(&entries)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
        assert!(error.to_string().contains("default/7.parquet"), "{error}");
        assert!(error.to_string().contains(entries[0].1), "{error}");
    }
    // What came before.
    let error = open(&file(&[("spanlake.format", "0")])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format, "{error}");
    assert!(error.to_string().contains("default/7.parquet"), "{error}");
    assert!(error.to_string().contains("empty data directory"), "{error}");
    assert_eq!(SEGMENT_FORMAT, 1);
    names_the_file(&open(&file(&[("pandas", "{}")])).unwrap_err());
    names_the_file(&open(&file(&[])).unwrap_err());
    names_the_file(&open(&file(&[("spanlake.format", "1")])).unwrap_err());
    names_the_file(
        &open(&file(&[("spanlake.format", "1"), ("spanlake.blob", "4,0,00000000")])).unwrap_err(),
    );
}

/// Changes the index of a good file and puts every checksum right again.
fn forged(good: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let located = footer::locate(good, good.len() as u64).unwrap();
    let blob = located.blob.start as usize..located.blob.end as usize;
    let value = |crc| footer::blob_value(blob.start, blob.len(), crc).into_bytes();
    let mut bad = good.to_vec();
    change(&mut bad[blob.clone()]);
    let mut put = |old: &[u8], new: &[u8], behind: usize| {
        let at = good.windows(old.len()).rposition(|w| w == old).unwrap() + behind;
        bad[at..at + new.len()].copy_from_slice(new);
        crc32c::crc32c(&bad[blob.clone()])
    };
    let crc = put(b"PAR1", b"PAR1", 0);
    put(&value(located.blob_crc), &value(crc), 0);
    // Key, then the type of the value and its length.
    let tail = footer::TAIL_KEY.as_bytes();
    put(tail, footer::TAIL_ZEROS.as_bytes(), tail.len() + 2);
    footer::seal(&mut bad, blob.end).unwrap();
    bad
}

/// Where a part that is stored as it is lies in the blob.
fn plain_part(blob: &[u8], part: Part) -> Range<usize> {
    let number = |at: usize| u64::from_le_bytes(blob[at..at + 8].try_into().unwrap()) as usize;
    let count = number(12) & 0xffff_ffff;
    let mut from = 16 + count * 24;
    for entry in (0..count).map(|n| 16 + n * 24) {
        let length = number(entry + 8);
        if blob[entry] == part as u8 {
            assert_eq!(blob[entry + 4], 0, "not compressed");
            return from..from + length;
        }
        from += length;
    }
    panic!("no such part")
}

/// An index that lies under right checksums: reads cannot tell, `verify` must.
#[test]
fn verify_finds_an_index_that_disagrees_with_its_columns() {
    let good = Sample::of(shop(3 * BLOCK_ROWS, 16)).bytes;
    open(&forged(&good, |_| {})).unwrap().verify().unwrap();
    let lies: [(&str, Part, usize); 7] = [
        // The last byte of the terms of one block.
        ("index of terms", Part::Terms, 3_000),
        ("directory does not list", Part::Directory, 2 + 3),
        ("facts", Part::Facts, 16),
        ("facts", Part::Facts, 24),
        ("facts", Part::Facts, 32),
        ("facts", Part::Facts, 47),
        ("traces differ in number", Part::Facts, 8),
    ];
    for (complaint, part, at) in lies {
        let bad = forged(&good, |blob| {
            let part = plain_part(blob, part);
            blob[part.start + at] ^= 1;
        });
        let error = match open(&bad) {
            Ok(segment) => segment.verify().unwrap_err(),
            Err(error) => error,
        };
        names_the_file(&error);
        assert!(error.to_string().contains(complaint), "{error}");
    }
}

/// Two files of equal shape, one with the rows of the other: their page tables differ.
#[test]
fn an_index_of_another_file_is_refused() {
    let (one, two) = (Sample::of(shop(2_000, 16)).bytes, Sample::of(shop(2_000, 17)).bytes);
    let at = |bytes: &[u8]| footer::locate(bytes, bytes.len() as u64).unwrap().blob.start as usize;
    names_the_file(&open(&[&one[..at(&one)], &two[at(&two)..]].concat()).unwrap_err());
}
