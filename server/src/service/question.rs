//! One question from its first byte to the end of its answer: a clock, a cancel switch, and the
//! promise that both end however the answer ends, also when the client simply goes away. What it
//! cost goes to the metrics, and to the log where it was slow.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use spanlake::Cancel;

use super::meter::Meter;
use super::slow::{SlowLog, Story};

/// Lives as long as the question; its drop throws the switch and counts.
#[derive(Debug)]
pub struct Question {
    meter: Arc<dyn Meter>,
    slow: Arc<SlowLog>,
    operation: &'static str,
    about: String,
    started: Instant,
    cancel: Cancel,
    results: AtomicU64,
    spans: AtomicU64,
    client_nanos: AtomicU64,
    answered: bool,
}

impl Question {
    pub(super) fn new(meter: Arc<dyn Meter>, slow: Arc<SlowLog>, operation: &'static str) -> Self {
        meter.query_started();
        Self {
            meter,
            slow,
            operation,
            about: String::new(),
            started: Instant::now(),
            cancel: Cancel::new(),
            results: AtomicU64::new(0),
            spans: AtomicU64::new(0),
            client_nanos: AtomicU64::new(0),
            answered: false,
        }
    }

    /// Notes what is asked, for the log: no values of attributes.
    pub fn about(&mut self, what: impl Into<String>) {
        self.about = what.into();
    }

    /// The switch its reads watch.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Results found: traces, summaries, names, calls.
    pub fn found(&self, results: usize) {
        self.results.fetch_add(results as u64, Relaxed);
    }

    /// Spans sent in its answer.
    pub fn returned(&self, spans: usize) {
        self.spans.fetch_add(spans as u64, Relaxed);
        self.meter.returned_spans(spans as u64);
    }

    /// Time in which the client had no room for more of the answer.
    pub(super) fn waited_for_client(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.client_nanos.fetch_add(nanos, Relaxed);
    }

    /// Ends it well; dropped without this it counts as failed.
    pub fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.cancel.cancel();
        let (took, work) = (self.started.elapsed(), self.cancel.work().counts());
        self.meter.query(self.operation, self.answered, took.as_secs_f64());
        self.meter.query_work(&work);
        self.meter.query_finished();
        self.slow.hear(&Story {
            operation: self.operation,
            about: &self.about,
            ok: self.answered,
            took,
            client: Duration::from_nanos(self.client_nanos.load(Relaxed)),
            results: self.results.load(Relaxed),
            spans: self.spans.load(Relaxed),
            work,
        });
    }
}
