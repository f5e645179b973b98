//! A disk that keeps exactly what Unix promises: written bytes are the kernel's until their file
//! is synced, names are the kernel's until their directory is. It stands under the engine's own
//! [`DiskFiles`](spanlake::world::DiskFiles), so the engine's real order of calls is what is
//! tried. A seed flows in and decides what a power cut keeps; faults are set as traps; every call
//! is counted and hashed, so that two runs of a seed can be held against each other. It knows
//! nothing of logs, segments or catalogs but their directories' names.
//!
//! | room | holds |
//! |---|---|
//! | `fault` | what can go wrong, as values |
//! | `node` | files and directories: shown, durable, and what lies between |
//! | `state` | everything behind the lock: the tree, the hash, the counts |
//! | `gate` | what every call passes first: the end, traps |
//! | `hold` | threads stopped at a call |
//! | `names` | the store's calls that deal in names |
//! | `file` | the store's calls on an open file |
//! | `control` | what the loop says to the disk and asks of it |
//! | `after` | the disk after a power cut or a kill |
//! | `rest` | names and bytes at rest, copied and spoiled |

mod after;
mod control;
mod fault;
mod file;
mod gate;
mod hold;
mod names;
mod node;
mod rest;
mod state;

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

pub use self::fault::{Call, Death, Lie, Scars, Trap};
pub use self::file::SimFile;
pub use self::hold::Thread;
use self::state::State;
use super::clock::SimClock;
use crate::model::Dice;

const EIO: i32 = 5;
const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const ENOSPC: i32 = 28;

#[derive(Debug)]
struct Machine {
    state: Mutex<State>,
    wake: Condvar,
    clock: Arc<SimClock>,
}

/// The disk; clones share it.
#[derive(Debug, Clone)]
pub struct SimDisk {
    machine: Arc<Machine>,
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64, clock: Arc<SimClock>) -> Self {
        Self::of(State::new(Dice::new(seed)), clock)
    }

    fn of(state: State, clock: Arc<SimClock>) -> Self {
        let machine = Machine { state: Mutex::new(state), wake: Condvar::new(), clock };
        Self { machine: Arc::new(machine) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.machine.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
