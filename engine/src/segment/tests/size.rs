//! Bytes a span, by part. `cargo test -p spanlake segment::tests::size -- --nocapture`.

use parquet::file::reader::{FileReader, SerializedFileReader};

use super::made::shop;
use super::{built, open};
use crate::segment::footer;
use crate::segment::schema::Column;
use crate::span::SpanRow;

/// Prints where the bytes are, and returns bytes a span.
fn report(what: &str, rows: &[SpanRow]) -> f64 {
    let built = built(rows);
    let spans = rows.len() as f64;
    let total = built.bytes.len() as f64 / spans;
    let located = footer::locate(&built.bytes, built.bytes.len() as u64).unwrap();
    let reader = SerializedFileReader::new(bytes::Bytes::from(built.bytes.clone())).unwrap();
    let mut lines = Vec::new();
    for column in Column::ALL {
        let groups = reader.metadata().row_groups().iter();
        let bytes: i64 = groups.map(|g| g.column(column as usize).compressed_size()).sum();
        lines.push(format!("  {:>8.3} {column:?}", bytes as f64 / spans));
    }
    lines.push(format!("  {:>8.3} index", (located.blob.end - located.blob.start) as f64 / spans));
    let footer = built.bytes.len() as u64 - located.blob.end;
    lines.push(format!("  {:>8.3} footer", footer as f64 / spans));
    let memory = open(&built.bytes).unwrap().memory_bytes() as f64 / spans;
    lines.push(format!("  {memory:>8.3} in memory when open"));
    #[expect(clippy::print_stdout, reason = "a report for people")]
    {
        println!("{what}: {} spans, {total:.2} B/span\n{}", rows.len(), lines.join("\n"));
    }
    total
}

#[test]
fn a_shop_of_64k_spans() {
    let rows = shop(65_536, 21);
    let raw: usize = rows.iter().map(|row| row.span.len()).sum();
    let total = report("shop", &rows);
    assert!(total * 4.0 < raw as f64 / rows.len() as f64, "no better than a quarter of OTLP");
}
