//! The table of segments.
//!
//! The catalog's list flows in, one line a segment flows out, or JSON; what JSON says, the command
//! line reads back from a server. Nothing is left out here.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spanlake::SegmentInfo;

use super::Look;
use super::table::{Cell, Stand, Table, sentence};
use super::text::{count, plural};
use super::time;

/// A segment as JSON tells it; moments are text, since 64 bits are more than JavaScript counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    name: String,
    tenancy: String,
    partition: String,
    spans: u64,
    traces: u64,
    bytes: u64,
    min_start_unix_nano: String,
    max_start_unix_nano: String,
    max_end_unix_nano: String,
}

/// The documented JSON.
#[derive(Debug, Serialize, Deserialize)]
struct List {
    segments: Vec<Row>,
}

impl From<&SegmentInfo> for Row {
    fn from(info: &SegmentInfo) -> Self {
        Self {
            name: info.name.clone(),
            tenancy: info.tenancy.clone(),
            partition: info.partition.clone(),
            spans: info.spans,
            traces: info.traces,
            bytes: info.bytes,
            min_start_unix_nano: info.start_min.to_string(),
            max_start_unix_nano: info.start_max.to_string(),
            max_end_unix_nano: info.end_max.to_string(),
        }
    }
}

/// The list as JSON.
pub(crate) fn json(segments: Vec<Row>) -> Value {
    json!(List { segments })
}

/// The catalog's list as rows.
pub(crate) fn rows(segments: &[SegmentInfo]) -> Vec<Row> {
    segments.iter().map(Row::from).collect()
}

/// Reads [`json`] back.
///
/// # Errors
/// It is something else.
pub(crate) fn read(text: &str) -> Result<Vec<Row>, serde_json::Error> {
    Ok(serde_json::from_str::<List>(text)?.segments)
}

/// The table.
pub(crate) fn draw(rows: &[Row], look: Look) -> String {
    if rows.is_empty() {
        return "no segments: nothing is sealed yet\n".to_owned();
    }
    let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
    let (spans, bytes) = (sum(|row| row.spans), sum(|row| row.bytes));
    let about = format!(
        "{}, {}, {} bytes, {} a span; times are UTC",
        plural(rows.len() as u64, "segment"),
        plural(spans, "span"),
        count(bytes),
        ratio(bytes, spans)
    );
    let mut table = Table::new(&[
        ("SEGMENT", Stand::Elastic),
        ("PARTITION", Stand::Left),
        ("SPANS", Stand::Right),
        ("TRACES", Stand::Right),
        ("BYTES", Stand::Right),
        ("B/SPAN", Stand::Right),
        ("FIRST START", Stand::Left),
        ("LAST START", Stand::Left),
    ]);
    for row in rows {
        table.row(vec![
            Cell::plain(&row.name),
            Cell::plain(&row.partition),
            Cell::plain(count(row.spans)),
            Cell::plain(count(row.traces)),
            Cell::plain(count(row.bytes)),
            Cell::plain(ratio(row.bytes, row.spans)),
            Cell::plain(moment(&row.min_start_unix_nano)),
            Cell::plain(moment(&row.max_start_unix_nano)),
        ]);
    }
    let about = look.paint.bold(&sentence(&about, look.columns));
    format!("{about}\n\n{}", table.draw(look.columns, look.paint))
}

/// With one decimal, rounded down.
fn ratio(bytes: u64, spans: u64) -> String {
    match (u128::from(bytes) * 10).checked_div(u128::from(spans)) {
        Some(tenths) => format!("{}.{}", tenths / 10, tenths % 10),
        None => "-".to_owned(),
    }
}

fn moment(nanos: &str) -> String {
    let time = nanos.parse().map(time::date_time);
    time.map_or_else(|_| nanos.to_owned(), |time| time.chars().take(19).collect())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{START, look};
    use super::*;

    fn row(number: u64) -> Row {
        Row {
            name: format!("segments/default/default/2026-11-21T06/w-{number:08}.parquet"),
            tenancy: "default/default".into(),
            partition: "2026-11-21T06".into(),
            spans: 1_000 * number,
            traces: 100,
            bytes: 40_000 * number + 90,
            min_start_unix_nano: START.to_string(),
            max_start_unix_nano: (START + 1_000_000_000).to_string(),
            max_end_unix_nano: u64::MAX.to_string(),
        }
    }

    #[test]
    fn one_line_a_segment_and_the_sum() {
        let text = draw(&[row(1), row(2)], look(200));
        assert!(
            text.starts_with(
                "2 segments, 3,000 spans, 120,180 bytes, 40.0 a span; times are UTC\n\n"
            )
        );
        assert!(
            text.contains(
                "w-00000002.parquet  2026-11-21T06  2,000     100  80,090    40.0  \
                               2026-11-21 08:12:33  2026-11-21 08:12:34\n"
            ),
            "{text}"
        );
        assert_eq!(draw(&[], look(80)), "no segments: nothing is sealed yet\n");
        assert_eq!(ratio(1, 0), "-");
    }

    #[test]
    fn the_json_comes_back() {
        let rows = vec![row(1), row(7)];
        let text = json(rows.clone()).to_string();
        assert_eq!(read(&text).unwrap(), rows);
        assert!(read("{}").is_err());
    }
}
