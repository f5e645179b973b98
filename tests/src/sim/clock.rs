//! A clock that goes when it is told to: calls to the disk take a little time, steps take more,
//! and the wall's time may jump either way. Monotonic time never goes back.

use std::sync::atomic::{AtomicU64, Ordering};

use spanlake::world::Clock;

/// The clock of a simulated machine.
#[derive(Debug)]
pub struct SimClock {
    now: AtomicU64,
    monotonic: AtomicU64,
}

impl SimClock {
    /// A clock that shows `now`, ns since 1970.
    pub fn new(now: u64) -> Self {
        Self { now: AtomicU64::new(now), monotonic: AtomicU64::new(0) }
    }

    /// Time passes.
    pub fn pass(&self, nanos: u64) {
        self.monotonic.fetch_add(nanos, Ordering::SeqCst);
        let now = self.now.load(Ordering::SeqCst);
        self.now.store(now.saturating_add(nanos), Ordering::SeqCst);
    }

    /// Somebody sets the wall's clock.
    pub fn set(&self, now: u64) {
        self.now.store(now, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> u64 {
        self.monotonic.load(Ordering::SeqCst)
    }
}
