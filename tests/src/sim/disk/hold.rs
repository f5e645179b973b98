//! Threads of the store stopped at one of their calls, so that other steps can happen meanwhile.
//! The loop says which thread and which call; the [gate](super::gate) lets the thread stand. Who
//! holds a thread must let it go again: nothing here has a time limit.

use std::sync::{MutexGuard, PoisonError};

use super::SimDisk;
use super::state::State;

/// A thread of the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thread {
    /// The log's.
    Log,
    /// The sealing one.
    Seal,
}

impl Thread {
    pub(super) fn current() -> Option<Self> {
        match std::thread::current().name() {
            Some("spanlake-log") => Some(Self::Log),
            Some("spanlake-seal") => Some(Self::Seal),
            _ => None,
        }
    }
}

/// A thread stopped at one of its calls.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// Calls to let pass.
    skip: u32,
    armed: bool,
    waiting: bool,
    /// What was to be held is over.
    over: bool,
}

impl SimDisk {
    /// Where a thread that is to be held stands until it is let go.
    pub(super) fn stand<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let thread = Thread::current();
        let mut stands = false;
        while let Some(hold) = thread.and_then(|t| state.holds.get_mut(&t)).filter(|h| h.armed) {
            if !stands && hold.skip > 0 {
                hold.skip -= 1;
                break;
            }
            stands = true;
            hold.waiting = true;
            self.machine.wake.notify_all();
            state = self.machine.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    /// Stops the thread at its call after `skip` more.
    pub fn hold(&self, thread: Thread, skip: u32) {
        let hold = Hold { skip, armed: true, ..Hold::default() };
        self.lock().holds.insert(thread, hold);
    }

    /// What was to be held has ended.
    pub fn over(&self, thread: Thread) {
        self.lock().holds.entry(thread).or_default().over = true;
        self.machine.wake.notify_all();
    }

    /// Waits until the thread stands still (true) or what it did is over (false).
    pub fn wait_held(&self, thread: Thread) -> bool {
        let mut state = self.lock();
        loop {
            let hold = state.holds.entry(thread).or_default();
            if hold.waiting || hold.over {
                return hold.waiting;
            }
            state = self.machine.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets it go on.
    pub fn release(&self, thread: Thread) {
        self.lock().holds.remove(&thread);
        self.machine.wake.notify_all();
    }
}
