//! The services table.
//!
//! Names of services and a sample of the newest traces flow in, a table or JSON flows out. The
//! figures are of the sample and say so: no rollup is asked, nothing is extrapolated.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::Look;
use super::model::Trace;
use super::paint::Palette;
use super::table::{Cell, Stand, Table, Tone, sentence};
use super::text::{count, plural};
use super::time;

/// What the newest traces say about each service.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    traces: u64,
    spans: u64,
    errors: u64,
    /// False where reading stopped at the span budget.
    complete: bool,
    /// Earliest and latest start.
    window: Option<(u64, u64)>,
    tallies: BTreeMap<String, Tally>,
}

/// One service's share of the sample.
#[derive(Debug, Default)]
struct Tally {
    spans: u64,
    errors: u64,
    /// Durations of the spans with which a request enters the service.
    calls: Vec<u64>,
}

impl Sample {
    /// Counts `traces`; `complete` = they are all that was asked for.
    pub(crate) fn of(traces: &[Trace], complete: bool) -> Self {
        let mut sample = Self { complete, ..Self::default() };
        for trace in traces {
            sample.add(trace);
        }
        for tally in sample.tallies.values_mut() {
            tally.calls.sort_unstable();
        }
        sample
    }

    fn add(&mut self, trace: &Trace) {
        self.traces += 1;
        let service_of: HashMap<&[u8], &str> =
            trace.spans.iter().map(|s| (s.id.as_ref(), s.service())).collect();
        for span in &trace.spans {
            self.spans += 1;
            self.errors += u64::from(span.is_error());
            let (first, last) = self.window.unwrap_or((span.start, span.start));
            self.window = Some((first.min(span.start), last.max(span.start)));
            let tally = self.tallies.entry(span.service().to_owned()).or_default();
            tally.spans += 1;
            tally.errors += u64::from(span.is_error());
            if service_of.get(span.parent.as_ref()) != Some(&span.service()) {
                tally.calls.push(span.duration());
            }
        }
    }

    fn sentence(&self) -> String {
        if self.traces == 0 {
            return "no trace was read, so there are no figures".to_owned();
        }
        let (first, last) = self.window.unwrap_or_default();
        let cut = if self.complete { "" } else { ", cut at the span budget" };
        format!(
            "figures of the newest {} ({}{cut}), {} to {} UTC",
            plural(self.traces, "trace"),
            plural(self.spans, "span"),
            to_the_second(first),
            time::clock(last),
        )
    }
}

fn to_the_second(nanos: u64) -> String {
    time::date_time(nanos).chars().take("2026-11-21 08:12:33".len()).collect()
}

/// Nearest rank: the smallest value that at least `percent` % of the sorted values do not exceed.
fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// Operations of a service as (name, kind word), for `--operations`.
pub(crate) type Operations = BTreeMap<String, Vec<(String, &'static str)>>;

/// The table.
pub(crate) fn draw(
    names: &[String],
    sample: &Sample,
    operations: &Operations,
    look: Look,
) -> String {
    if names.is_empty() {
        return "no services yet: nothing has been stored\n".to_owned();
    }
    let mut table = Table::new(&[
        ("SERVICE", Stand::Elastic),
        ("SPANS", Stand::Right),
        ("ERRORS", Stand::Right),
        ("CALLS", Stand::Right),
        ("P50", Stand::Right),
        ("P95", Stand::Right),
    ]);
    let palette = Palette::of(names.iter().map(String::as_str));
    for name in names {
        table.row(row(name, palette.colour(name), sample.tallies.get(name)));
        for (operation, kind) in operations.get(name).into_iter().flatten() {
            let kind = if kind.is_empty() { String::new() } else { format!(" ({kind})") };
            let mut cells = vec![Cell::new(Tone::Dim, format!("  {operation}{kind}"))];
            cells.resize_with(6, || Cell::plain(""));
            table.row(cells);
        }
    }
    let mut out = look.paint.bold(&plural(names.len() as u64, "service"));
    let calls =
        "calls = spans whose parent is in another service or missing; p50 and p95 are of calls";
    for line in [sample.sentence().as_str(), calls] {
        out.push('\n');
        out.push_str(&look.paint.dim(&sentence(line, look.columns)));
    }
    out.push_str("\n\n");
    out + &table.draw(look.columns, look.paint)
}

fn row(name: &str, colour: u8, tally: Option<&Tally>) -> Vec<Cell> {
    let mut cells = vec![Cell::new(Tone::Service(colour), name)];
    let Some(tally) = tally else {
        cells.resize_with(6, || Cell::new(Tone::Dim, "-"));
        return cells;
    };
    let tone = if tally.errors > 0 { Tone::Error } else { Tone::Plain };
    let figure = |percent| match percentile(&tally.calls, percent) {
        Some(nanos) => Cell::plain(time::duration(nanos)),
        None => Cell::new(Tone::Dim, "-"),
    };
    cells.push(Cell::plain(count(tally.spans)));
    cells.push(Cell::new(tone, count(tally.errors)));
    cells.push(Cell::plain(count(tally.calls.len() as u64)));
    cells.push(figure(50));
    cells.push(figure(95));
    cells
}

/// `{"services": [{"name", "spans", "errors", "calls", "p50_nano", "p95_nano"}], "sample":
/// {"traces", "spans", "errors", "complete", "oldest_start_unix_nano", "newest_start_unix_nano"}}`;
/// with `--operations` each service has `"operations": [{"name", "kind"}]`. Percentiles are null
/// for a service without calls in the sample; moments are strings, durations integers.
pub(crate) fn json(names: &[String], sample: &Sample, operations: &Operations) -> Value {
    let nobody = Tally::default();
    let service = |name: &String| {
        let tally = sample.tallies.get(name).unwrap_or(&nobody);
        let mut entry = json!({
            "name": name,
            "spans": tally.spans,
            "errors": tally.errors,
            "calls": tally.calls.len(),
            "p50_nano": percentile(&tally.calls, 50),
            "p95_nano": percentile(&tally.calls, 95),
        });
        if let Some(list) = operations.get(name) {
            entry["operations"] =
                list.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
        }
        entry
    };
    json!({
        "services": names.iter().map(service).collect::<Vec<_>>(),
        "sample": {
            "traces": sample.traces,
            "spans": sample.spans,
            "errors": sample.errors,
            "complete": sample.complete,
            "oldest_start_unix_nano": sample.window.map(|w| w.0.to_string()),
            "newest_start_unix_nano": sample.window.map(|w| w.1.to_string()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{look, shop_trace};
    use super::*;

    fn names() -> Vec<String> {
        ["cart", "checkout", "frontend", "gone quiet"].map(String::from).to_vec()
    }

    #[test]
    fn the_table_counts_only_what_it_read() {
        let sample = Sample::of(&[shop_trace()], true);
        let operations =
            BTreeMap::from([("cart".to_owned(), vec![("Get\u{1b}[2J".to_owned(), "server")])]);
        assert_eq!(
            draw(&names(), &sample, &operations, look(90)),
            "4 services\n\
             figures of the newest 1 trace (6 spans), 2026-11-21 08:12:33 to 08:12:33 UTC\n\
             calls = spans whose parent is in another service or missing; p50 and p95 are of calls\n\
             \n\
             SERVICE          SPANS  ERRORS  CALLS     P50     P95\n\
             cart                 2       0      1   20 ms   20 ms\n\
             \u{20} Get� (server)\n\
             checkout             2       2      1  800 ms  800 ms\n\
             frontend             1       0      1     1 s     1 s\n\
             gone quiet           -       -      -       -       -\n"
        );
    }

    #[test]
    fn an_empty_store_says_so() {
        let sample = Sample::of(&[], true);
        assert_eq!(
            draw(&[], &sample, &Operations::new(), look(80)),
            "no services yet: nothing has been stored\n"
        );
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let values: Vec<u64> = (1..=20).collect();
        assert_eq!(percentile(&values, 50), Some(10));
        assert_eq!(percentile(&values, 95), Some(19));
        assert_eq!(percentile(&[7], 95), Some(7));
        assert_eq!(percentile(&[], 95), None);
    }

    #[test]
    fn the_json_is_the_documented_one() {
        let sample = Sample::of(&[shop_trace()], false);
        let value = json(&names()[..1], &sample, &Operations::new());
        assert_eq!(
            value,
            json!({
                "services": [{"name": "cart", "spans": 2, "errors": 0, "calls": 1,
                    "p50_nano": 20_000_000, "p95_nano": 20_000_000}],
                "sample": {"traces": 1, "spans": 6, "errors": 2, "complete": false,
                    "oldest_start_unix_nano": "1795248753000000000",
                    "newest_start_unix_nano": "1795248753150000000"},
            })
        );
    }
}
