//! The gate that every call to the disk passes first: a thread may be stopped here, the end may
//! come, a trap may close. A call's kind and path flow in; out flows the locked state, or the
//! error of a call that never happened. What a call then does is not known here.

use std::io;
use std::sync::MutexGuard;

use super::fault::Call;
use super::state::State;
use super::{EIO, SimDisk, errno};
use crate::sim::report::Fault;

/// The state, and whether a trap has closed on the call.
pub(super) type Entered<'a> = (MutexGuard<'a, State>, bool);

impl SimDisk {
    /// Every call comes through here first: it may be held, be the one at which power goes, or
    /// fall into a trap (`true`: it fails, in the manner of its kind).
    pub(super) fn enter(
        &self,
        call: Call,
        what: &str,
        path: &str,
        detail: u64,
    ) -> io::Result<Entered<'_>> {
        let mut state = self.stand(self.lock());
        if state.dead.is_some() {
            return Err(errno(EIO));
        }
        match &mut state.end {
            Some((death, 0)) => {
                let death = *death;
                state.note("END", path, death as u64);
                state.dead = Some(death);
                return Err(errno(EIO));
            }
            Some((_, left)) => *left -= 1,
            None => {}
        }
        state.calls += 1;
        self.machine.clock.pass(if call == Call::Sync { 1_000_000 } else { 20_000 });
        state.note(what, path, detail);
        let fails = state.trapped(call, path);
        if fails && call == Call::Read {
            state.scar(Fault::ReadFailed, path, false);
            return Err(errno(EIO));
        }
        if fails && matches!(call, Call::Name | Call::SyncNames) {
            let fault = if call == Call::Name { Fault::NameFailed } else { Fault::SyncFailed };
            state.scar(fault, path, false);
            return Err(errno(EIO));
        }
        Ok((state, fails))
    }
}

impl State {
    /// True where a trap closes on this call.
    fn trapped(&mut self, call: Call, path: &str) -> bool {
        let mut closes = false;
        for trap in &mut self.traps {
            if closes || trap.call != call || !path.starts_with(trap.room) || trap.times == 0 {
                continue;
            }
            match trap.skip {
                0 => {
                    trap.times -= 1;
                    closes = true;
                }
                _ => trap.skip -= 1,
            }
        }
        self.traps.retain(|trap| trap.times > 0);
        closes
    }
}
