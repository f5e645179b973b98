//! Every metric of the server, and who feeds it: requests (through the `Meter`), the engine's
//! events, the engine's figures and the process's own at each scrape. docs/metrics.md is written
//! from here. Nothing in this file decides anything.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use spanlake::Stats;

use super::book::{Book, Histograms, Label, Number, number};
use super::process::Process;
use crate::version::{REVISION, VERSION};

/// Doors through which spans come in.
pub const TRANSPORTS: &[&str] = &["grpc", "http"];
/// Operations of Jaeger's storage API, as `operation` label values.
pub const OPERATIONS: &[&str] = &[
    "get_traces",
    "find_traces",
    "find_trace_ids",
    "find_trace_summaries",
    "get_services",
    "get_operations",
    "get_dependencies",
];
const RESULTS: &[&str] = &["ok", "err"];

/// The metrics.
#[derive(Debug)]
pub struct Metrics {
    book: Book,
    process: Process,
    pub(super) accepted: Family<Label, Counter>,
    pub(super) refused: Family<[(&'static str, &'static str); 2], Counter>,
    pub(super) rejected: Family<Label, Counter>,
    pub(super) received_bytes: Counter,
    pub(super) export_seconds: Histogram,
    pub(super) late: Counter,
    pub(super) duplicates: Counter,
    pub(super) skewed: Family<Label, Counter>,

    pub(super) wal_batches: Counter,
    pub(super) wal_fsync_seconds: Histogram,
    pub(super) wal_fsync_errors: Counter,
    wal_bytes: Number,
    wal_oldest: Number,
    head_spans: Number,
    head_bytes: Number,
    memory_used: Family<Label, Number>,
    memory_limit: Number,
    write_available: Number,

    segments: Family<Label, Number>,
    segment_bytes: Number,
    pub(super) seal_seconds: Histogram,

    pub(super) queries: Family<[(&'static str, &'static str); 2], Counter>,
    pub(super) query_seconds: Histograms,
    pub(super) in_flight: Gauge,
    spans_scanned: Counter,
    pub(super) spans_returned: Counter,
    pub(super) query_segments: Family<Label, Counter>,
    pub(super) blocks: Family<Label, Counter>,
    pub(super) trace_lookups: Counter,
    pub(super) trace_probes: Counter,
    pub(super) false_reads: Counter,

    oldest_span: Number,
    disk_used: Family<Label, Number>,
    disk_free: Number,
}

/// 0.1 ms to 10 s: a log sync on anything from NVMe to a bad network disk.
fn sync_buckets() -> Histogram {
    Histogram::new([
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
    ])
}

/// 0.5 ms to 30 s.
fn query_buckets() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}

/// 10 ms to 5 min.
fn work_buckets() -> Histogram {
    Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0])
}

fn pairs(
    first: &'static str,
    firsts: &'static [&'static str],
    second: &'static str,
    seconds: &'static [&'static str],
) -> Vec<[(&'static str, &'static str); 2]> {
    let all = firsts.iter().flat_map(|a| seconds.iter().map(move |b| [(first, *a), (second, *b)]));
    all.collect()
}

fn singles(label: &'static str, values: &'static [&'static str]) -> Vec<Label> {
    values.iter().map(|value| [(label, *value)]).collect()
}

impl Metrics {
    /// All metrics at zero.
    #[expect(clippy::too_many_lines, reason = "a list: one registration a metric, in page order")]
    pub fn new() -> Self {
        let mut book = Book::default();
        let b = &mut book;
        b.facts(
            "build_info",
            "Version, git revision and segment format of the running build; always 1",
            [
                ("version", VERSION.to_owned()),
                ("revision", REVISION.to_owned()),
                ("format", spanlake::formats::SEGMENT.to_string()),
            ],
        );
        let accepted = b.counters(
            "receiver_accepted_spans",
            "Spans acknowledged: durable and visible",
            "transport",
            singles("transport", TRANSPORTS),
        );
        let refused = b.counters(
            "receiver_refused_spans",
            "Spans of batches refused whole; `reason` is the error's kind",
            "transport, reason",
            Vec::new(),
        );
        let rejected = b.counters(
            "receiver_rejected_spans",
            "Bad spans left out of batches that were stored otherwise (partial success)",
            "reason",
            Vec::new(),
        );
        let received_bytes =
            b.counter("receiver_bytes", "Bytes of OTLP received, after decompression");
        let export_seconds = b.histogram(
            "export_duration_seconds",
            "Time from a decoded Export to its answer, its log sync included",
            query_buckets,
        );
        let late =
            b.counter("late_spans", "Accepted spans that start over an hour before their arrival");
        let duplicates = b.counter(
            "duplicate_spans",
            "Copies dropped at seal because an equal span was already stored (retries)",
        );
        let skewed = b.counters(
            "skewed_spans",
            "Accepted spans whose clock is far off: `future` starts over ten minutes after arrival",
            "direction",
            singles("direction", &["future"]),
        );
        let wal_batches = b.counter("wal_committed_batches", "Batches made durable by the log");
        let wal_fsync_seconds = b.histogram(
            "wal_fsync_duration_seconds",
            "Time of one log sync; a group of batches shares one",
            sync_buckets,
        );
        let wal_fsync_errors = b.counter(
            "wal_fsync_errors",
            "Failed log writes or syncs; after the first nothing is acknowledged any more",
        );
        let wal_bytes = b.gauge("wal_bytes", "Bytes of log files that hold spans not yet sealed");
        let wal_oldest = b.gauge(
            "wal_oldest_timestamp_seconds",
            "Arrival of the oldest batch not yet sealed, Unix time; 0 where there is none",
        );
        let head_spans = b.gauge("head_spans", "Spans in memory, not yet in a segment");
        let head_bytes = b.gauge("head_bytes", "Bytes of memory that heads hold");
        let memory_used = b.gauges(
            "memory_used_bytes",
            "Memory charged to the cap, by what holds it",
            "component",
            &["head"],
        );
        let memory_limit = b.gauge("memory_limit_bytes", "The cap, `memory.limit`");
        let write_available = b.gauge(
            "write_available",
            "1 while batches can be acknowledged, 0 from the first failed log write on",
        );
        let segments = b.gauges("segments", "Segments in the catalog", "state", &["live"]);
        let segment_bytes = b.gauge("segment_bytes", "Bytes of live segments");
        let seal_seconds = b.histogram(
            "seal_duration_seconds",
            "Time of one seal, from the cut to the catalog's commit",
            work_buckets,
        );
        let queries = b.counters(
            "query_requests",
            "Answered questions; `result` is ok or err",
            "operation, result",
            pairs("operation", OPERATIONS, "result", RESULTS),
        );
        let query_seconds = b.histograms(
            "query_duration_seconds",
            "Time from a question to the end of its answer, the client's reading included",
            "operation",
            OPERATIONS,
            query_buckets,
        );
        let in_flight = Gauge::<i64>::default();
        b.integer("queries_in_flight", "Questions being answered", &in_flight);
        let spans_scanned = b.counter("query_spans_scanned", "Spans looked at by questions");
        let spans_returned = b.counter("query_spans_returned", "Spans sent in answers");
        let query_segments = b.counters(
            "query_segments",
            "Segments that questions considered: `read`; `pruned_time`, `pruned_index` and \
             `not_reached` (too old to matter) were left out",
            "outcome",
            singles("outcome", &["read", "pruned_time", "pruned_index", "not_reached"]),
        );
        let blocks = b.counters(
            "query_blocks",
            "Blocks of segments that questions `read`, or `pruned` by time or index",
            "outcome",
            singles("outcome", &["read", "pruned"]),
        );
        let trace_lookups =
            b.counter("query_trace_lookups", "Traces whose places were looked up by id");
        let trace_probes =
            b.counter("query_trace_probes", "Segments asked whether they hold a trace");
        let false_reads = b.counter(
            "query_false_reads",
            "Probes that read a segment's file although the trace was not in it",
        );
        let oldest_span = b.gauge(
            "oldest_span_timestamp_seconds",
            "Start of the oldest sealed span, Unix time; 0 where there is none",
        );
        let disk_used = b.gauges(
            "disk_used_bytes",
            "Bytes of the data directory, by kind",
            "kind",
            &["wal", "segments", "catalog"],
        );
        let disk_free = b.gauge("disk_free_bytes", "Bytes free on the data directory's volume");
        let process = Process::new(b);
        write_available.set(1.0);
        Self {
            book,
            process,
            accepted,
            refused,
            rejected,
            received_bytes,
            export_seconds,
            late,
            duplicates,
            skewed,
            wal_batches,
            wal_fsync_seconds,
            wal_fsync_errors,
            wal_bytes,
            wal_oldest,
            head_spans,
            head_bytes,
            memory_used,
            memory_limit,
            write_available,
            segments,
            segment_bytes,
            seal_seconds,
            queries,
            query_seconds,
            in_flight,
            spans_scanned,
            spans_returned,
            query_segments,
            blocks,
            trace_lookups,
            trace_probes,
            false_reads,
            oldest_span,
            disk_used,
            disk_free,
        }
    }

    /// Notes the cap.
    pub fn set_memory_limit(&self, bytes: u64) {
        self.memory_limit.set(number(bytes));
    }

    /// Notes whether the store can write.
    pub fn set_writable(&self, writable: bool) {
        self.write_available.set(if writable { 1.0 } else { 0.0 });
    }

    /// Takes over the engine's figures of this moment.
    pub fn set_stats(&self, stats: &Stats) {
        self.wal_bytes.set(number(stats.wal_bytes));
        self.wal_oldest.set(seconds(stats.wal_oldest));
        self.head_spans.set(number(stats.head_spans));
        self.head_bytes.set(number(stats.head_bytes));
        self.memory_used.get_or_create(&[("component", "head")]).set(number(stats.head_bytes));
        self.set_writable(stats.write_available);
        self.segments.get_or_create(&[("state", "live")]).set(number(stats.segments));
        self.segment_bytes.set(number(stats.segment_bytes));
        self.oldest_span.set(seconds(stats.oldest_span));
        for (kind, bytes) in [
            ("wal", stats.wal_bytes),
            ("segments", stats.segment_bytes),
            ("catalog", stats.catalog_bytes),
        ] {
            self.disk_used.get_or_create(&[("kind", kind)]).set(number(bytes));
        }
        self.disk_free.set(number(stats.disk_free));
        // The engine counts since open, we count since start: a counter must never step back,
        // which a scrape that was overtaken by a later one would make it do.
        self.spans_scanned.inner().fetch_max(stats.spans_scanned, Relaxed);
    }

    /// Everything in the OpenMetrics text format, the process's figures read afresh.
    pub fn encode(&self) -> String {
        self.process.refresh();
        self.book.encode().unwrap_or_default()
    }

    /// The page docs/metrics.md.
    pub fn page(&self) -> String {
        self.book.page()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_page_is_the_registrys() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let page = Metrics::new().page();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).expect("the page is written");
        }
        let held = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(held, page, "docs/metrics.md is old: UPDATE=1 cargo test metrics_page");
    }

    #[test]
    fn every_entry_is_in_the_answer_under_its_documented_name() {
        let metrics = Metrics::new();
        let text = metrics.encode();
        for entry in &metrics.book.entries {
            // Families of open-ended reasons have no series before the first one happens.
            if entry.labels.contains("reason") && entry.name.contains("receiver") {
                continue;
            }
            let series = match entry.kind {
                "histogram" => format!("{}_bucket", entry.name),
                _ => entry.name.clone(),
            };
            let found = text.lines().any(|line| {
                line.strip_prefix(&series).is_some_and(|rest| rest.starts_with([' ', '{']))
            });
            assert!(found, "{series} is missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn figures_arrive_in_base_units() {
        let metrics = Metrics::new();
        let mut stats = Stats::default();
        stats.wal_oldest = 1_500_000_000;
        stats.segment_bytes = 4096;
        stats.spans_scanned = 7;
        metrics.set_stats(&stats);
        let text = metrics.encode();
        for line in [
            "spanlake_wal_oldest_timestamp_seconds 1.5",
            "spanlake_disk_used_bytes{kind=\"segments\"} 4096.0",
            "spanlake_write_available 0.0",
            "spanlake_query_spans_scanned_total 7",
        ] {
            assert!(text.lines().any(|held| held == line), "{line} is missing in\n{text}");
        }
        stats.spans_scanned = 5;
        metrics.set_stats(&stats);
        assert!(metrics.encode().contains("spanlake_query_spans_scanned_total 7"));
    }

    #[test]
    fn the_process_is_described() {
        let text = Metrics::new().encode();
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ] {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
                .unwrap_or_else(|| panic!("{name} is missing in\n{text}"));
            assert!(value > 0.0, "{name} {value}");
        }
    }
}
