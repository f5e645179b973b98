//! Rate limits for log lines that could repeat for every batch or question: the first passes, what
//! follows within the interval is counted, and the count is told with the next line that passes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one line pass per interval.
#[derive(Debug)]
pub struct RateLimit {
    every: Duration,
    held: Mutex<Held>,
}

/// Lets one line of each kind pass per interval.
#[derive(Debug)]
pub struct RateLimits {
    every: Duration,
    held: Mutex<HashMap<&'static str, Held>>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    last: Option<Instant>,
    suppressed: u64,
}

impl Held {
    const NOTHING: Self = Self { last: None, suppressed: 0 };

    fn pass(&mut self, every: Duration, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < every) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

impl RateLimit {
    /// One line per `every`.
    pub const fn new(every: Duration) -> Self {
        Self { every, held: Mutex::new(Held::NOTHING) }
    }

    /// Whether a line may pass now; if so, how many were held back since the last one.
    pub fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.pass(self.every, now)
    }
}

impl RateLimits {
    /// One line of each kind per `every`.
    pub fn new(every: Duration) -> Self {
        Self { every, held: Mutex::default() }
    }

    /// Whether a line of this kind may pass now; if so, how many were held back since the last.
    pub fn pass(&self, kind: &'static str) -> Option<u64> {
        self.pass_at(kind, Instant::now())
    }

    fn pass_at(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry(kind).or_insert(Held::NOTHING).pass(self.every, now)
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

    #[test]
    fn each_kind_has_its_own_turn() {
        let limits = RateLimits::new(Duration::from_secs(10));
        let start = Instant::now();
        let at = |kind, seconds| limits.pass_at(kind, start + Duration::from_secs(seconds));
        assert_eq!(at("a", 0), Some(0));
        assert_eq!(at("b", 1), Some(0));
        assert_eq!(at("a", 2), None);
        assert_eq!(at("b", 11), Some(0));
        assert_eq!(at("a", 11), Some(1));
    }
}
