//! The book of metrics: a registry that remembers what was registered, so that docs/metrics.md is
//! written from the same calls that make the metrics.

use std::fmt::Write as _;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// The one label of a family; no metric of ours has more, but for `build_info`.
pub type Label = [(&'static str, &'static str); 1];
/// The label's name or names and every value it may take, for the page.
type Values = &'static [&'static str];

/// A gauge of any number.
pub type Number = Gauge<f64, std::sync::atomic::AtomicU64>;
/// A counter of seconds or another fraction.
pub type Amount = Counter<f64, std::sync::atomic::AtomicU64>;
/// Histograms by label.
pub type Histograms = Family<Label, Histogram, fn() -> Histogram>;

/// What a gauge shows of a whole number.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 bytes are 8 PiB")]
pub(super) fn number(value: u64) -> f64 {
    value as f64
}

/// One registered metric, as the page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Full name, as a query writes it.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Names of its labels.
    pub labels: String,
    /// One sentence.
    pub help: &'static str,
}

/// The registry and its table of contents.
#[derive(Debug)]
pub struct Book {
    ours: Registry,
    process: Registry,
    /// What was registered, in order.
    pub entries: Vec<Entry>,
}

const PREFIX: &str = "spanlake";

impl Default for Book {
    fn default() -> Self {
        Self {
            ours: Registry::with_prefix(PREFIX),
            process: Registry::default(),
            entries: Vec::new(),
        }
    }
}

impl Book {
    fn add<M: Metric + Clone>(
        &mut self,
        (name, kind, labels): (&str, &'static str, &str),
        help: &'static str,
        metric: &M,
    ) {
        // The encoder adds `_total` to a counter's name and a full stop to its help.
        let shown = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        let standard = name.starts_with("process_");
        let full = if standard { shown } else { format!("{PREFIX}_{shown}") };
        self.entries.push(Entry { name: full, kind, labels: labels.to_owned(), help });
        let registry = if standard { &mut self.process } else { &mut self.ours };
        registry.register(name, help, metric.clone());
    }

    /// A counter; `name` without `_total`.
    pub fn counter(&mut self, name: &str, help: &'static str) -> Counter {
        let metric = Counter::default();
        self.add((name, "counter", ""), help, &metric);
        metric
    }

    /// A counter of fractions; `name` without `_total`.
    pub fn amount(&mut self, name: &str, help: &'static str) -> Amount {
        let metric = Amount::default();
        self.add((name, "counter", ""), help, &metric);
        metric
    }

    /// A gauge.
    pub fn gauge(&mut self, name: &str, help: &'static str) -> Number {
        let metric = Number::default();
        self.add((name, "gauge", ""), help, &metric);
        metric
    }

    /// A gauge that is counted up and down.
    pub fn integer(&mut self, name: &str, help: &'static str, metric: &Gauge) {
        self.add((name, "gauge", ""), help, metric);
    }

    /// A histogram with these upper bounds.
    pub fn histogram(
        &mut self,
        name: &str,
        help: &'static str,
        make: fn() -> Histogram,
    ) -> Histogram {
        let metric = make();
        self.add((name, "histogram", ""), help, &metric);
        metric
    }

    /// Counters by label set, each of `start` at zero from the beginning, so that a rate has
    /// something to start from; `name` without `_total`.
    pub fn counters<S>(
        &mut self,
        name: &str,
        help: &'static str,
        labels: &str,
        start: impl IntoIterator<Item = S>,
    ) -> Family<S, Counter>
    where
        S: LabelSet,
    {
        let metric = Family::<S, Counter>::default();
        self.family((name, "counter", labels), help, start, &metric);
        metric
    }

    /// Gauges by one label.
    pub fn gauges(
        &mut self,
        name: &str,
        help: &'static str,
        label: &'static str,
        values: Values,
    ) -> Family<Label, Number> {
        let metric = Family::<Label, Number>::default();
        let start = values.iter().map(|value| [(label, *value)]);
        self.family((name, "gauge", label), help, start, &metric);
        metric
    }

    /// Histograms by one label.
    pub fn histograms(
        &mut self,
        name: &str,
        help: &'static str,
        label: &'static str,
        values: Values,
        make: fn() -> Histogram,
    ) -> Histograms {
        let metric = Histograms::new_with_constructor(make);
        let start = values.iter().map(|value| [(label, *value)]);
        self.family((name, "histogram", label), help, start, &metric);
        metric
    }

    /// `build_info`: one, with facts as labels.
    pub fn facts(&mut self, name: &str, help: &'static str, facts: [(&'static str, String); 3]) {
        let labels = facts.each_ref().map(|(label, _)| *label).join(", ");
        let metric = Family::<[(&'static str, String); 3], Number>::default();
        metric.get_or_create(&facts).set(1.0);
        self.add((name, "gauge", &labels), help, &metric);
    }

    fn family<S, M, C>(
        &mut self,
        described: (&str, &'static str, &str),
        help: &'static str,
        start: impl IntoIterator<Item = S>,
        metric: &Family<S, M, C>,
    ) where
        S: LabelSet,
        M: prometheus_client::metrics::TypedMetric
            + prometheus_client::encoding::EncodeMetric
            + std::fmt::Debug
            + Send
            + Sync
            + 'static,
        C: MetricConstructor<M> + Clone + std::fmt::Debug + Send + Sync + 'static,
    {
        for labels in start {
            drop(metric.get_or_create(&labels));
        }
        self.add(described, help, metric);
    }

    /// Everything in the OpenMetrics text format.
    ///
    /// # Errors
    /// None that is known: writing to a string does not fail.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        encode_registry(&mut out, &self.ours)?;
        encode_registry(&mut out, &self.process)?;
        encode_eof(&mut out)?;
        Ok(out)
    }

    /// The page docs/metrics.md.
    pub fn page(&self) -> String {
        let mut out = String::from(PAGE_HEAD);
        for entry in &self.entries {
            let Entry { name, kind, labels, help } = entry;
            // Writing to a String cannot fail.
            let _ = writeln!(out, "| `{name}` | {kind} | {labels} | {help} |");
        }
        out
    }
}

const PAGE_HEAD: &str = "\
# Metrics

`GET /metrics` on the admin port (17270), OpenMetrics text, which Prometheus reads as it is.
Base units: seconds, bytes. Counters end in `_total`; a histogram `x` has `x_bucket`, `x_sum` and
`x_count`. No label takes unbounded values. Metrics of what is not built yet (compaction,
retention, snapshots) are absent, not zero.

This page is generated: `UPDATE=1 cargo test -p spanlake-server metrics_page` writes it, and the
same test fails where it differs from the registry.

| name | type | labels | meaning |
|---|---|---|---|
";

/// What a family can be keyed by.
pub trait LabelSet:
    prometheus_client::encoding::EncodeLabelSet
    + Clone
    + std::hash::Hash
    + Eq
    + std::fmt::Debug
    + Send
    + Sync
    + 'static
{
}

impl<T> LabelSet for T where
    T: prometheus_client::encoding::EncodeLabelSet
        + Clone
        + std::hash::Hash
        + Eq
        + std::fmt::Debug
        + Send
        + Sync
        + 'static
{
}
