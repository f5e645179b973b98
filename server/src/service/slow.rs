//! The slow-query log: one line for a question that took longer than it may, with what it asked,
//! how it was answered and what that cost. Keys and service names are told, values of attributes
//! never; each operation speaks at most once in ten seconds.

use std::time::Duration;

use spanlake::Counts;

use crate::telemetry::RateLimits;

/// Silence between two lines of one operation.
const SILENCE: Duration = Duration::from_secs(10);

/// Decides and writes.
#[derive(Debug)]
pub(super) struct SlowLog {
    threshold: Option<Duration>,
    limits: RateLimits,
}

/// A question that is over.
#[derive(Debug)]
pub(super) struct Story<'a> {
    pub(super) operation: &'static str,
    /// What was asked, without values.
    pub(super) about: &'a str,
    pub(super) ok: bool,
    /// From the question to the end of its answer.
    pub(super) took: Duration,
    /// Of that, time in which the client had no room for the answer.
    pub(super) client: Duration,
    pub(super) results: u64,
    pub(super) spans: u64,
    pub(super) work: Counts,
}

impl SlowLog {
    /// Questions from `threshold` on are slow; zero = none is.
    pub(super) fn new(threshold: Duration) -> Self {
        let threshold = Some(threshold).filter(|threshold| !threshold.is_zero());
        Self { threshold, limits: RateLimits::new(SILENCE) }
    }

    /// A client that reads slowly does not make a slow query.
    fn is_slow(&self, story: &Story<'_>) -> bool {
        self.threshold.is_some_and(|least| story.took.saturating_sub(story.client) >= least)
    }

    /// Writes the line, where it is due.
    pub(super) fn hear(&self, story: &Story<'_>) {
        if !self.is_slow(story) {
            return;
        }
        let Some(suppressed) = self.limits.pass(story.operation) else { return };
        tracing::warn!(
            target: "spanlake::query",
            operation = story.operation,
            took_ms = millis(story.took),
            client_ms = millis(story.client),
            ok = story.ok,
            results = story.results,
            spans = story.spans,
            plan = story.about,
            work = told(&story.work),
            suppressed,
            "slow query"
        );
    }
}

/// What is not zero, as `name=count`.
fn told(work: &Counts) -> String {
    let counts = work.iter().filter(|(_, count)| *count > 0);
    counts.map(|(name, count)| format!("{name}={count}")).collect::<Vec<_>>().join(" ")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_time_is_not_the_querys_and_zero_is_off() {
        let second = Duration::from_secs(1);
        let is_slow = |threshold, took, client| {
            SlowLog::new(threshold).is_slow(&Story {
                operation: "find_traces",
                about: "",
                ok: true,
                took,
                client,
                results: 0,
                spans: 0,
                work: Counts::default(),
            })
        };
        assert!(is_slow(second, second, Duration::ZERO));
        assert!(!is_slow(second, second / 2, Duration::ZERO));
        assert!(!is_slow(second, 5 * second, 5 * second - second / 2));
        assert!(is_slow(second, 5 * second, 4 * second));
        assert!(!is_slow(Duration::ZERO, 100 * second, Duration::ZERO));
    }
}
