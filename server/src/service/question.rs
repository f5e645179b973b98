//! One question from its first byte to the end of its answer: a clock, a cancel switch, and the
//! promise that both end however the answer ends, also when the client simply goes away.

use std::sync::Arc;
use std::time::Instant;

use spanlake::Cancel;

use super::meter::Meter;

/// Lives as long as the question; its drop throws the switch and counts.
#[derive(Debug)]
pub struct Question {
    meter: Arc<dyn Meter>,
    operation: &'static str,
    started: Instant,
    cancel: Cancel,
    answered: bool,
}

impl Question {
    pub(super) fn new(meter: Arc<dyn Meter>, operation: &'static str) -> Self {
        meter.query_started();
        Self { meter, operation, started: Instant::now(), cancel: Cancel::new(), answered: false }
    }

    /// The switch its reads watch.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Spans sent in its answer.
    pub fn returned(&self, spans: usize) {
        self.meter.returned_spans(spans as u64);
    }

    /// Ends it well; dropped without this it counts as failed.
    pub fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.meter.query(self.operation, self.answered, self.started.elapsed().as_secs_f64());
        self.meter.query_finished();
    }
}
