//! Bytes a span, by part. `cargo test -p spanlake segment::tests::size -- --nocapture` prints them.

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::made::shop;
use super::{assert_same, built, open, sorted};
use crate::otlp::walk::Interner;
use crate::otlp::walk0::admit;
use crate::query::terms::Terms;
use crate::segment::blob::Cursor;
use crate::segment::schema::Column;
use crate::segment::{Built, Columns, build, footer};
use crate::span::SpanRow;

/// Prints where the bytes are, and returns bytes a span.
fn report(what: &str, built: &Built) -> f64 {
    let spans = built.facts.spans as f64;
    let total = built.bytes.len() as f64 / spans;
    println!("{what}: {spans} spans, {total:.2} B/span");
    let part = |name: &str, bytes: u64| println!("  {:>8.3} {name}", bytes as f64 / spans);
    let reader = SerializedFileReader::new(Bytes::from(built.bytes.clone())).unwrap();
    for column in Column::ALL {
        let groups = reader.metadata().row_groups().iter();
        let bytes: i64 = groups.map(|g| g.column(column as usize).compressed_size()).sum();
        part(&format!("{column:?}"), bytes as u64);
    }
    let located = footer::locate(&built.bytes, built.bytes.len() as u64).unwrap();
    part("index", located.blob.end - located.blob.start);
    part("footer", built.bytes.len() as u64 - located.blob.end);
    part("(in memory when open)", open(&built.bytes).unwrap().memory_bytes() as u64);
    total
}

#[test]
fn a_shop_of_64k_spans() {
    let rows = shop(65_536, 21);
    let raw: usize = rows.iter().map(|row| row.span.len()).sum();
    let total = report("shop", &built(&rows));
    assert!(total * 4.0 < raw as f64 / rows.len() as f64, "no better than a quarter of OTLP");
}

/// The rows of a data set of `shared/data`, where that lies beside the project.
fn data_set(name: &str) -> Option<Vec<SpanRow>> {
    let places = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let packed = places
        .filter_map(|d| std::fs::File::open(d.join(format!("shared/data/{name}.otlp.zst"))).ok())
        .next()?;
    let frames = Bytes::from(zstd::stream::decode_all(packed).unwrap());
    let interner = Interner::default();
    let (mut cursor, mut rows) = (Cursor::new(&frames), Vec::new());
    while cursor.left() > 0 {
        let request = frames.slice_ref(cursor.bytes().unwrap());
        rows.extend(admit(&request, &interner).unwrap().rows);
    }
    Some(sorted(rows))
}

/// Real spans with the terms that queries use.
#[test]
fn astronomy() {
    let Some(rows) = data_set("astronomy") else { return };
    let mut known = Terms::default();
    let built = build(&rows, &mut |row, give| known.of_row(row, give)).unwrap();
    let total = report("astronomy", &built);
    assert!(total < 60.0, "{total} B/span");
    let segment = open(&built.bytes).unwrap();
    segment.verify().unwrap();
    assert_same(&segment.read(0..segment.rows(), Columns::Payload).unwrap(), &rows, true);
}
