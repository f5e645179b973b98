//! Where the process stands: recovering, serving or draining, and whether the store can write.
//! Written by the life cycle, the watchdog and the engine's events (any thread); read by the
//! health pages and by the task that keeps gRPC health in step.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::watch;

/// The process's phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The store is being opened; spans are not served yet.
    Recovering,
    /// All doors are open.
    Serving,
    /// A signal came; what runs is finished, nothing new is taken.
    Draining,
}

/// What readiness depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// The phase.
    pub phase: Phase,
    /// Whether the store acknowledges writes.
    pub writable: bool,
}

/// Shared by everyone who asks or tells.
#[derive(Debug)]
pub struct State {
    condition: watch::Sender<Condition>,
    /// The first write that failed for good: nothing is acknowledged until a restart.
    failed: watch::Sender<bool>,
    recovery_done: AtomicU64,
    recovery_total: AtomicU64,
}

impl Default for State {
    fn default() -> Self {
        let start = Condition { phase: Phase::Recovering, writable: true };
        Self {
            condition: watch::Sender::new(start),
            failed: watch::Sender::new(false),
            recovery_done: AtomicU64::new(0),
            recovery_total: AtomicU64::new(0),
        }
    }
}

impl State {
    /// The condition of this moment.
    pub fn now(&self) -> Condition {
        *self.condition.borrow()
    }

    /// Told of every change from here on.
    pub fn watch(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// Enters `phase`.
    pub fn enter(&self, phase: Phase) {
        self.condition.send_if_modified(|now| std::mem::replace(&mut now.phase, phase) != phase);
    }

    /// Notes whether the store can write.
    pub fn set_writable(&self, writable: bool) {
        self.condition
            .send_if_modified(|now| std::mem::replace(&mut now.writable, writable) != writable);
    }

    /// Notes that log or catalog cannot be written any more.
    pub fn fail(&self) {
        self.set_writable(false);
        self.failed.send_replace(true);
    }

    /// Waits until [`State::fail`].
    pub async fn failed(&self) {
        let mut failed = self.failed.subscribe();
        // The sender lives as long as `self`.
        let _ = failed.wait_for(|failed| *failed).await;
    }

    /// Notes how far recovery is, in bytes of the log.
    pub fn set_progress(&self, done: u64, total: u64) {
        self.recovery_done.store(done, Relaxed);
        self.recovery_total.store(total, Relaxed);
    }

    /// Bytes of the log read, and to read in all; zeros before the engine has said so.
    pub fn progress(&self) -> (u64, u64) {
        (self.recovery_done.load(Relaxed), self.recovery_total.load(Relaxed))
    }
}
