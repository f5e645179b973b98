//! Pages that were damaged, cut or forged.

use super::super::header::{Coding, Header, Kind};
use super::super::*;
use super::cases::{Form, pages_of, sample};

/// Reads a page in all ways, as whatever column.
fn try_all(page: &[u8], leaf: &Leaf, rows: usize, scratch: &mut Scratch) {
    let mut out = Decoded::default();
    if let Ok(mut cursor) = PageCursor::open(page, leaf, scratch) {
        let _ = cursor.read(rows, &mut out);
        let _ = cursor.read(1, &mut out);
        let _ = cursor.skip(1);
    }
    for skip in [1, rows / 2] {
        if let Ok(mut cursor) = PageCursor::open(page, leaf, scratch) {
            let _ = cursor.skip(skip);
            let _ = cursor.read(1, &mut out);
        }
    }
    let _ = dictionary(page, leaf, scratch);
}

/// A CRC stands before this; without it, too, nothing may panic or take all memory.
#[test]
fn damaged_pages_never_panic() {
    let mut scratch = Scratch::default();
    for packing in [Packing::None, Packing::Zstd(1)] {
        for form in [Form::Required, Form::At, Form::ListOfOptional] {
            for kind in 0..16 {
                let mut case = sample(form, kind, packing, 60);
                case.pages = vec![60];
                let encoded = case.encode(&mut Encoder::default());
                let leaf = case.leaf(encoded.compressed);
                let (dictionary, pages) = pages_of(&encoded);
                for page in pages.iter().map(|page| &page.0).chain(&dictionary) {
                    for at in 0..page.len() {
                        for flip in [1, 2, 16, 128, 255] {
                            let mut bad = page.to_vec();
                            bad[at] ^= flip;
                            try_all(&bad, &leaf, 60, &mut scratch);
                        }
                    }
                }
            }
        }
    }
}

/// A page that was cut has fewer values, and says so; so has one whose header was made to fit.
#[test]
fn cut_pages_are_refused() {
    let mut scratch = Scratch::default();
    for form in [Form::Required, Form::At, Form::List] {
        for kind in 0..16 {
            let mut case = sample(form, kind, Packing::None, 60);
            case.pages = vec![60];
            let encoded = case.encode(&mut Encoder::default());
            let leaf = case.leaf(false);
            let page = &pages_of(&encoded).1[0].0;
            let (header, at) = Header::parse(page).unwrap();
            let mut out = Decoded::default();
            let mut cursor = PageCursor::open(page, &leaf, &mut scratch).unwrap();
            cursor.read(60, &mut out).unwrap();
            let whole = out.clone();
            for end in at..page.len() {
                assert!(PageCursor::open(&page[..end], &leaf, &mut scratch).is_err());
                let length = end - at;
                let mut cut = Vec::new();
                Header { stored: length, plain: length, ..header }.write(&mut cut);
                cut.extend_from_slice(&page[at..end]);
                out = Decoded::default();
                if let Ok(mut cursor) = PageCursor::open(&cut, &leaf, &mut scratch)
                    && cursor.read(60, &mut out).is_ok()
                {
                    // Split streams are as long as the page makes them; all else knows its end.
                    assert!(case.encoding == Encoding::Split || out == whole, "{case:?} {end}");
                }
                try_all(&cut, &leaf, 60, &mut scratch);
            }
        }
    }
}

#[test]
fn rows_that_a_page_does_not_have_are_refused() {
    let mut scratch = Scratch::default();
    for form in [Form::Required, Form::At, Form::List, Form::ListOfOptional] {
        for kind in 0..16 {
            let mut case = sample(form, kind, Packing::Zstd(3), 40);
            case.pages = vec![40];
            let encoded = case.encode(&mut Encoder::default());
            let leaf = case.leaf(true);
            let page = &pages_of(&encoded).1[0].0;
            let mut out = Decoded::default();
            let mut cursor = PageCursor::open(page, &leaf, &mut scratch).unwrap();
            assert!(cursor.skip(41).is_err());
            let mut cursor = PageCursor::open(page, &leaf, &mut scratch).unwrap();
            cursor.skip(40).unwrap();
            assert!(cursor.read(1, &mut out).is_err());
            let mut cursor = PageCursor::open(page, &leaf, &mut scratch).unwrap();
            assert!(cursor.read(41, &mut out).is_err());
            assert!(dictionary(page, &leaf, &mut scratch).is_err());
        }
    }
}

/// A few bytes that claim a GiB cost nothing.
#[test]
fn a_page_that_claims_too_much_is_refused() {
    let body = zstd::bulk::compress(&[7; 100], 3).unwrap();
    let header = Header {
        kind: Kind::Data,
        stored: body.len(),
        plain: PAGE_BYTES_MAX,
        entries: 1,
        coding: Coding::Plain,
    };
    let leaf =
        Leaf { physical: Physical::I64, max_definition: 0, max_repetition: 0, compressed: true };
    for (plain, expected) in [
        (PAGE_BYTES_MAX, "a page claims more than its bytes can hold"),
        (99, "a page does not decompress"),
        (101, "a page does not hold what its header says"),
    ] {
        let mut page = Vec::new();
        Header { plain, ..header }.write(&mut page);
        page.extend_from_slice(&body);
        let mut scratch = Scratch::default();
        assert_eq!(PageCursor::open(&page, &leaf, &mut scratch).err(), Some(expected));
    }
    let mut page = Vec::new();
    Header { plain: 100, ..header }.write(&mut page);
    page.extend_from_slice(&body);
    assert!(PageCursor::open(&page, &leaf, &mut Scratch::default()).is_ok());
}
