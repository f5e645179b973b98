//! The watchdog: asks the engine for its figures again and again on a thread of its own. An engine
//! that is stuck does not answer, and only then is the process unhealthy: slow disks, refused
//! writes and recovery are not what a restart mends.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use spanlake::Store;

use super::state::State;
use crate::telemetry::Metrics;

/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(500);
/// Without an answer for this long the engine counts as stuck.
const STUCK: Duration = Duration::from_secs(10);

/// When the engine was last asked, and whether it has answered.
#[derive(Debug)]
pub struct Pulse {
    start: Instant,
    /// Milliseconds since `start` at which the open question was asked; 0 where none is open.
    asked: AtomicU64,
    stopped: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { start: Instant::now(), asked: AtomicU64::new(0), stopped: AtomicBool::new(false) }
    }
}

impl Pulse {
    /// How long the engine has not answered, where that is too long.
    pub fn stuck_for(&self) -> Option<Duration> {
        self.stuck_at(self.now())
    }

    fn stuck_at(&self, now: u64) -> Option<Duration> {
        let asked = self.asked.load(Relaxed);
        let age = Duration::from_millis(now.saturating_sub(asked));
        (asked != 0 && age >= STUCK).then_some(age)
    }

    /// Milliseconds since the start, never 0.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Ends the watchdog after its current question.
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }
}

/// Starts to watch `store`; the thread ends with [`Pulse::stop`].
///
/// # Errors
/// The system gives no thread.
pub fn watch(
    store: Store,
    pulse: Arc<Pulse>,
    state: Weak<State>,
    metrics: Weak<Metrics>,
) -> io::Result<()> {
    let watch = move || {
        while !pulse.stopped.load(Relaxed) {
            pulse.asked.store(pulse.now(), Relaxed);
            let stats = store.stats();
            pulse.asked.store(0, Relaxed);
            let (Some(state), Some(metrics)) = (state.upgrade(), metrics.upgrade()) else { return };
            state.set_writable(stats.write_available);
            metrics.set_stats(&stats);
            drop((state, metrics));
            thread::sleep(PAUSE);
        }
    };
    thread::Builder::new().name("spanlake-watch".to_owned()).spawn(watch).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_question_that_stays_open_means_stuck() {
        let pulse = Pulse::default();
        assert_eq!(pulse.stuck_at(1_000_000), None);
        pulse.asked.store(5_000, Relaxed);
        assert_eq!(pulse.stuck_at(14_999), None);
        assert_eq!(pulse.stuck_at(15_000), Some(Duration::from_secs(10)));
        pulse.asked.store(0, Relaxed);
        assert_eq!(pulse.stuck_at(99_000), None);
    }
}
