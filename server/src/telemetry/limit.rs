//! Rate limit for log lines that could repeat for every batch: the first passes, what follows
//! within the interval is counted, and the count is told with the next line that passes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one line pass per interval.
#[derive(Debug)]
pub struct RateLimit {
    every: Duration,
    held: Mutex<Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    last: Option<Instant>,
    suppressed: u64,
}

impl RateLimit {
    /// One line per `every`.
    pub const fn new(every: Duration) -> Self {
        Self { every, held: Mutex::new(Held { last: None, suppressed: 0 }) }
    }

    /// Whether a line may pass now; if so, how many were held back since the last one.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.last.is_some_and(|last| now.saturating_duration_since(last) < self.every) {
            held.suppressed += 1;
            return None;
        }
        held.last = Some(now);
        Some(std::mem::take(&mut held.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_passes_and_the_next_tells_how_many_were_held_back() {
        let limit = RateLimit::new(Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| limit.pass_at(start + Duration::from_secs(seconds));
        assert_eq!(at(0), Some(0));
        assert_eq!(at(1), None);
        assert_eq!(at(9), None);
        assert_eq!(at(10), Some(2));
        assert_eq!(at(25), Some(0));
    }
}
