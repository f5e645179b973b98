//! What the loop says to a disk and asks of it: faults to set and to take back, the end, how sound
//! the disk is, and what was counted. None of it is a call of the store's, so none passes the gate.

use super::SimDisk;
use super::fault::{Death, Lie, Scars, Trap};
use crate::sim::report::{Fault, Tally};

impl SimDisk {
    /// Sets a trap.
    pub fn set(&self, trap: Trap) {
        self.lock().traps.push(trap);
    }

    /// The end comes before the call after `n` more.
    pub fn end_after(&self, death: Death, n: u64) {
        self.lock().end = Some((death, n));
    }

    /// Leaves so many bytes free; `None` = as many as one likes.
    pub fn leave_free(&self, bytes: Option<u64>) {
        let mut state = self.lock();
        state.capacity = bytes.map_or(u64::MAX, |bytes| state.used() + bytes);
    }

    /// No trap waits any more.
    pub fn untrap(&self) {
        self.lock().traps.clear();
    }

    /// No trap waits any more and there is room.
    pub fn heal(&self) {
        self.untrap();
        self.lock().capacity = u64::MAX;
    }

    /// Nothing is to happen any more.
    pub fn calm(&self) {
        self.heal();
        self.lock().end = None;
    }

    /// True where nothing can go wrong at the moment.
    pub fn is_sound(&self) -> bool {
        let state = self.lock();
        state.traps.is_empty() && state.capacity == u64::MAX && state.end.is_none()
    }

    /// True where there may not be room for everything.
    pub fn is_limited(&self) -> bool {
        self.lock().capacity != u64::MAX
    }

    /// True once the end has come.
    pub fn is_dead(&self) -> bool {
        self.lock().dead.is_some()
    }

    /// What faults did since the store was opened.
    pub fn scars(&self) -> Scars {
        self.lock().scars.clone()
    }

    /// A new life of the store begins.
    pub fn begin_life(&self) {
        self.lock().scars = Scars::default();
    }

    /// Makes the disk lie.
    pub fn lie(&self, lie: Lie) {
        self.lock().lie = Some(lie);
    }

    /// Writes down every call from now on.
    pub fn keep_journal(&self) {
        self.lock().journal.get_or_insert_default();
    }

    /// The calls written down.
    pub fn journal(&self) -> Vec<String> {
        self.lock().journal.clone().unwrap_or_default()
    }

    /// A hash of all calls, in order, with their bytes.
    pub fn hash(&self) -> u64 {
        self.lock().hash
    }

    /// Takes what was counted.
    pub fn take_tally(&self) -> Tally {
        std::mem::take(&mut self.lock().tally)
    }

    /// The end comes now: what the store's threads still do reaches no disk.
    pub fn end(&self, death: Death) {
        let mut state = self.lock();
        state.dead = Some(death);
        state.note("END", "", death as u64);
    }

    /// Counts a fault that the caller made.
    pub fn count(&self, fault: Fault) {
        self.lock().tally.add(fault);
    }
}
