//! The bars of issue 4: what a figure is held to, and whether it holds.

use super::{Direct, Report, percentile};
use crate::arguments::Place;
use crate::queries::Asked;

const MIB: f64 = 1024.0 * 1024.0;
/// Where a bar is set by the question: name, percentile, bar, stretch; ms.
const LATENCIES: [(&str, f64, f64, f64); 14] = [
    ("trace by id", 0.5, 2.0, 0.6),
    ("trace by id", 0.99, 8.0, 3.0),
    ("unknown id", 0.5, 1.0, 0.3),
    ("20 newest by service", 0.5, 8.0, 3.0),
    ("20 newest by operation", 0.5, 8.0, 3.0),
    ("20 newest by duration", 0.5, 8.0, 3.0),
    ("20 newest by time", 0.5, 8.0, 3.0),
    ("20 newest whole traces by service", 0.5, 12.0, 6.0),
    ("20 newest by rare attribute", 0.5, 5.0, 3.0),
    ("20 newest by common attribute", 0.5, 15.0, 8.0),
    ("20 newest by all filters", 0.5, 10.0, 5.0),
    ("services", 0.5, 1.0, 0.3),
    ("operations", 0.5, 1.0, 0.3),
    ("page of 20", 0.5, 8.0, 3.0),
];
/// Bytes a span, by set.
const BYTES: [(&str, f64, f64); 2] =
    [("astronomy", 44.0, 38.0), ("nezha-trainticket-sample", 30.0, 26.0)];

/// A figure beside its bar.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) axis: String,
    pub(super) measured: f64,
    pub(super) bar: f64,
    pub(super) stretch: f64,
    /// True where more is better.
    more: bool,
}

impl Bar {
    fn most(axis: impl Into<String>, measured: f64, bar: f64, stretch: f64) -> Self {
        Self { axis: axis.into(), measured, bar, stretch, more: false }
    }

    pub(super) fn verdict(&self) -> &'static str {
        let holds = |wanted: f64| match self.more {
            true => self.measured >= wanted,
            false => self.measured <= wanted,
        };
        match (holds(self.stretch), holds(self.bar)) {
            (true, _) => "stretch",
            (_, true) => "met",
            _ => "MISSED",
        }
    }
}

/// Every bar that the run says something about.
pub(super) fn bars(report: &Report, run: &Direct) -> Vec<Bar> {
    let mut bars = Vec::new();
    if let Some(ingest) = run.ingest.as_ref().filter(|_| run.place == Place::Segments) {
        let measured = ingest.spans as f64 / ingest.cpu_done;
        let axis = "durable ingest, spans a CPU-second".to_owned();
        bars.push(Bar { axis, measured, bar: 100_000.0, stretch: 150_000.0, more: true });
    }
    if run.disk.segments > 0 && run.place == Place::Segments {
        let bytes = run.disk.segment_bytes() as f64 / run.spans as f64;
        let of_set = BYTES.iter().find(|(set, ..)| *set == report.scale.set().name);
        bars.extend(of_set.map(|(_, bar, stretch)| {
            Bar::most("bytes a span, data and indexes", bytes, *bar, *stretch)
        }));
        let share = run.index_share() * 100.0;
        bars.push(Bar::most("index, directory, filters, % of segments", share, 12.0, 8.0));
    }
    for (name, share, bar, stretch) in LATENCIES {
        let Some(asked) = run.queries.iter().find(|a| a.name == name && !a.warm.is_empty()) else {
            continue;
        };
        let axis = format!("{name}, p{:.0}, ms", share * 100.0);
        bars.push(Bar::most(axis, percentile(&asked.warm, share), bar, stretch));
    }
    if let Some(live) = &run.live {
        let axis = format!("RSS max at {} spans/s, asked, MiB", live.rate);
        bars.push(Bar::most(axis, live.rss_max as f64 / MIB, 768.0, 512.0));
    }
    bars.extend(run.queries.iter().filter_map(|asked| ratio(report, asked)));
    bars
}

/// By id and newest-N against an earlier run: more segments, or more spans.
fn ratio(report: &Report, asked: &Asked) -> Option<Bar> {
    let is_held = asked.name == "trace by id" || asked.name.starts_with("20 newest");
    let before = report.against.as_ref()?.p50(asked.name).filter(|_| is_held)?;
    let axis = format!("{}, p50 against the earlier run, x", asked.name);
    Some(Bar::most(axis, percentile(&asked.warm, 0.5) / before, 1.5, 1.2))
}
