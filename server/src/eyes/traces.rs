//! The table of traces.
//!
//! Summaries flow in, in the order of the search (newest match first), one line each flows out,
//! or JSON. Nothing is sorted or left out here: what the search said is what is shown.

use serde_json::{Value, json};
use spanlake::TraceSummary;

use super::Look;
use super::table::{Cell, Stand, Table, Tone, sentence};
use super::text::{count, plural};
use super::time;

/// The table. `limit` is what was asked for: as many answers may not be all there is.
pub(crate) fn draw(summaries: &[TraceSummary], limit: usize, look: Look) -> String {
    let Some(newest) = summaries.first() else {
        return "no traces match\n".to_owned();
    };
    let day = day(newest.min_start);
    let one_day = summaries.iter().all(|s| self::day(s.min_start) == day);
    let mut about = plural(summaries.len() as u64, "trace");
    about.push_str(", newest first; times are UTC");
    if one_day {
        about.push_str(&format!(" on {day}"));
    }
    if summaries.len() >= limit {
        about.push_str(&format!("; there may be more than --limit {limit}"));
    }
    let mut table = Table::new(&[
        ("START", Stand::Left),
        ("TRACE", Stand::Left),
        ("ROOT", Stand::Elastic),
        ("DURATION", Stand::Right),
        ("SPANS", Stand::Right),
        ("ERRS", Stand::Right),
        ("SVCS", Stand::Right),
    ]);
    for summary in summaries {
        table.row(row(summary, one_day));
    }
    let about = look.paint.bold(&sentence(&about, look.columns));
    format!("{about}\n\n{}", table.draw(look.columns, look.paint))
}

fn day(nanos: u64) -> String {
    time::date_time(nanos).chars().take("2026-11-21".len()).collect()
}

fn row(summary: &TraceSummary, one_day: bool) -> Vec<Cell> {
    let start = time::date_time(summary.min_start);
    // The date or the milliseconds: both would leave no room for the root's name.
    let start: String = if one_day {
        start.chars().skip("2026-11-21 ".len()).collect()
    } else {
        start.chars().take("2026-11-21 08:12:33".len()).collect()
    };
    let tone = if summary.error_span_count > 0 { Tone::Error } else { Tone::Plain };
    vec![
        Cell::plain(start),
        Cell::plain(summary.trace_id.to_string()),
        root(summary),
        Cell::plain(time::duration(duration(summary))),
        Cell::plain(count(summary.span_count)),
        Cell::new(tone, count(summary.error_span_count)),
        Cell::plain(count(summary.services.len() as u64)),
    ]
}

fn root(summary: &TraceSummary) -> Cell {
    if summary.root_service.is_empty() && summary.root_operation.is_empty() {
        return Cell::new(Tone::Dim, "(no root span)");
    }
    Cell::plain(format!("{} {}", summary.root_service, summary.root_operation))
}

fn duration(summary: &TraceSummary) -> u64 {
    summary.max_end.saturating_sub(summary.min_start)
}

/// `{"traces": [{"trace_id", "root_service", "root_operation", "start_unix_nano",
/// "duration_nano", "spans", "errors", "orphans", "services": [{"name", "spans", "errors"}]}]}`;
/// moments are strings, durations integers, ids hex.
pub(crate) fn json(summaries: &[TraceSummary]) -> Value {
    let one = |s: &TraceSummary| {
        let services = s
            .services
            .iter()
            .map(|s| json!({"name": s.name, "spans": s.span_count, "errors": s.error_span_count}));
        json!({
            "trace_id": s.trace_id.to_string(),
            "root_service": s.root_service,
            "root_operation": s.root_operation,
            "start_unix_nano": s.min_start.to_string(),
            "duration_nano": duration(s),
            "spans": s.span_count,
            "errors": s.error_span_count,
            "orphans": s.orphan_span_count,
            "services": services.collect::<Vec<_>>(),
        })
    };
    json!({ "traces": summaries.iter().map(one).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{START, look};
    use super::*;
    use spanlake::{ServiceSummary, TraceId};

    fn summary(id: u8, start: u64, root: (&str, &str)) -> TraceSummary {
        TraceSummary {
            trace_id: TraceId([id; 16]),
            root_service: root.0.into(),
            root_operation: root.1.into(),
            min_start: start,
            max_end: start + 1_240_000_000,
            span_count: 1_034,
            error_span_count: u64::from(id) - 1,
            orphan_span_count: 0,
            services: vec![ServiceSummary {
                name: "cart".into(),
                span_count: 1_034,
                error_span_count: 0,
            }],
        }
    }

    #[test]
    fn one_line_a_trace_in_the_given_order() {
        let traces = [
            summary(1, START, ("frontend", "GET /cart")),
            summary(2, START - 1_500_000_000, ("", "")),
            summary(3, START - 2_000_000_000, ("evil\u{1b}[31m", "a\nb very long operation name")),
        ];
        assert_eq!(
            draw(&traces, 20, look(100)),
            "3 traces, newest first; times are UTC on 2026-11-21\n\
             \n\
             START         TRACE                             ROOT                     DURATION  SPANS  ERRS  SVCS\n\
             08:12:33.000  01010101010101010101010101010101  frontend GET /cart         1.24 s  1,034     0     1\n\
             08:12:31.500  02020202020202020202020202020202  (no root span)             1.24 s  1,034     1     1\n\
             08:12:31.000  03030303030303030303030303030303  evil� a b very long op…    1.24 s  1,034     2     1\n"
        );
    }

    #[test]
    fn dates_stand_where_they_differ_and_the_limit_is_named() {
        let day = 86_400_000_000_000;
        let traces = [summary(1, START, ("a", "b")), summary(1, START - day, ("a", "b"))];
        let text = draw(&traces, 2, look(120));
        assert!(text.starts_with(
            "2 traces, newest first; times are UTC; there may be more than --limit 2\n"
        ));
        assert!(text.contains("\n2026-11-20 08:12:33  0101"), "{text}");
    }

    #[test]
    fn nothing_found_is_said() {
        assert_eq!(draw(&[], 20, look(80)), "no traces match\n");
        assert_eq!(json(&[]), json!({"traces": []}));
    }

    #[test]
    fn the_json_is_the_documented_one() {
        assert_eq!(
            json(&[summary(2, START, ("frontend", "GET /"))]),
            json!({"traces": [{
                "trace_id": "02020202020202020202020202020202",
                "root_service": "frontend",
                "root_operation": "GET /",
                "start_unix_nano": "1795248753000000000",
                "duration_nano": 1_240_000_000,
                "spans": 1034,
                "errors": 1,
                "orphans": 0,
                "services": [{"name": "cart", "spans": 1034, "errors": 0}],
            }]})
        );
    }
}
