//! The engine's events become log lines and metrics here, and nowhere else. Runs on the engine's
//! threads, so it only counts, notes and logs; lines that could repeat are rate-limited.

use std::sync::Arc;
use std::time::Duration;

use spanlake::{Event, Observer};

use super::limit::RateLimit;
use super::metrics::Metrics;
use crate::life::state::State;

/// The server's ear at the engine.
#[derive(Debug)]
pub struct Ear {
    metrics: Arc<Metrics>,
    state: Arc<State>,
    progress: RateLimit,
    failures: RateLimit,
}

impl Ear {
    /// Reports to these.
    pub fn new(metrics: Arc<Metrics>, state: Arc<State>) -> Self {
        Self {
            metrics,
            state,
            progress: RateLimit::new(Duration::from_secs(5)),
            failures: RateLimit::new(Duration::from_secs(10)),
        }
    }

    fn write_failed(&self, cause: &str) {
        self.metrics.wal_fsync_errors.inc();
        self.metrics.set_writable(false);
        self.state.fail();
        if let Some(suppressed) = self.failures.pass() {
            tracing::error!(
                cause,
                suppressed,
                "log or catalog cannot be written: nothing is acknowledged until a restart; reads \
                 go on"
            );
        }
    }
}

impl Observer for Ear {
    fn observe(&self, event: &Event) {
        let metrics = &self.metrics;
        match event {
            Event::Waiting { holder, timeout } => {
                let timeout_ms = Duration::from_nanos(*timeout).as_millis() as u64;
                tracing::info!(
                    holder,
                    timeout_ms,
                    "another process has the data directory; waiting for it to end"
                );
            }
            Event::Recovering { bytes_done, bytes_total } => {
                self.state.set_progress(*bytes_done, *bytes_total);
                if self.progress.pass().is_some() {
                    tracing::info!(bytes_done, bytes_total, "recovering from the log");
                }
            }
            Event::Recovered { batches, spans, torn_bytes, took } => {
                let took_ms = Duration::from_nanos(*took).as_millis() as u64;
                tracing::info!(batches, spans, torn_bytes, took_ms, "recovered");
            }
            Event::LogDamaged { file, offset, missing: (first, last), quarantined } => {
                tracing::error!(
                    file,
                    offset,
                    first_missing = first,
                    last_missing = last,
                    quarantined,
                    "acknowledged batches in the log are damaged and are missing from answers"
                );
            }
            Event::Synced { took, batches, .. } => {
                metrics.wal_fsync_seconds.observe(Duration::from_nanos(*took).as_secs_f64());
                metrics.wal_batches.inc_by(*batches);
            }
            Event::WriteFailed { cause } => self.write_failed(cause),
            Event::Sealed { tenancy, reason, spans, duplicates, segments, bytes, took } => {
                let took = Duration::from_nanos(*took);
                metrics.seal_seconds.observe(took.as_secs_f64());
                metrics.duplicates.inc_by(*duplicates);
                let took_ms = took.as_millis() as u64;
                tracing::debug!(
                    tenancy, reason, spans, duplicates, segments, bytes, took_ms, "sealed"
                );
            }
            Event::SealFailed { cause } => {
                if let Some(suppressed) = self.failures.pass() {
                    tracing::error!(
                        cause,
                        suppressed,
                        "a seal failed; the log keeps the spans, it is tried again"
                    );
                }
            }
            // The engine may learn to tell more than this server knows to report.
            other => tracing::debug!(event = ?other, "engine event"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_reach_metrics_and_state() {
        let (metrics, state) = (Arc::new(Metrics::new()), Arc::new(State::default()));
        let ear = Ear::new(Arc::clone(&metrics), Arc::clone(&state));
        ear.observe(&Event::Recovering { bytes_done: 3, bytes_total: 9 });
        assert_eq!(state.progress(), (3, 9));
        ear.observe(&Event::Synced { took: 2_000_000, batches: 4, bytes: 100 });
        ear.observe(&Event::Sealed {
            tenancy: "default/default".to_owned(),
            reason: "idle",
            spans: 10,
            duplicates: 2,
            segments: 1,
            bytes: 1000,
            took: 5_000_000,
        });
        ear.observe(&Event::WriteFailed { cause: "No space left on device".to_owned() });
        assert!(!state.now().writable);
        let text = metrics.encode();
        for line in [
            "spanlake_wal_committed_batches_total 4",
            "spanlake_wal_fsync_duration_seconds_count 1",
            "spanlake_wal_fsync_errors_total 1",
            "spanlake_duplicate_spans_total 2",
            "spanlake_seal_duration_seconds_count 1",
            "spanlake_write_available 0.0",
        ] {
            assert!(text.lines().any(|held| held == line), "{line} is missing in\n{text}");
        }
    }
}
