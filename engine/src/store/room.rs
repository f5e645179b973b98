//! Room on the disk: how much of the volume ingest must leave free, so that what is acknowledged
//! can still be sealed, and a reserve file that is given up when nothing is free, so that a start
//! and the catalog's edits, which free room, still find some. Looks at the volume as it is at each
//! question: a volume that was enlarged needs no restart.

use std::sync::Arc;

use crate::world::{Dice, Files};

const FILE: &str = "reserve";
/// Enough for a new catalog file, a log header and the marks of a start.
const RESERVE_BYTES: u64 = 2 << 20;
/// Small volumes keep less.
const RESERVE_SHARE: u64 = 64;
const FLOOR_SHARE: u64 = 20;
const FLOOR_MAX: u64 = 1 << 30;

/// Free bytes below which nothing more is logged: a twentieth of the volume, at most 1 GiB, and
/// what the heads hold, which is more than their segments will take.
pub(super) fn floor(total: u64, head_bytes: u64) -> u64 {
    (total / FLOOR_SHARE).min(FLOOR_MAX).saturating_add(head_bytes)
}

/// The reserve file.
#[derive(Debug)]
pub(super) struct Reserve {
    files: Arc<dyn Files>,
    held: bool,
}

impl Reserve {
    /// Takes over the reserve that is there, if one is.
    pub(super) fn new(files: &Arc<dyn Files>) -> Self {
        Self { files: Arc::clone(files), held: files.open(FILE).is_ok() }
    }

    /// To be called before something must be written: gives the reserve up where the volume has
    /// less than that free.
    pub(super) fn give_up_if_short(&mut self) {
        let Ok((free, total)) = self.files.free_space() else { return };
        if self.held && free < size(total) {
            self.held = self.files.remove(FILE).is_err();
        }
    }

    /// To be called from time to time: makes it anew where it was given up and ingest would find
    /// room enough.
    pub(super) fn restore(&mut self) {
        let Ok((free, total)) = self.files.free_space() else { return };
        if !self.held && free >= floor(total, size(total)) {
            self.held = self.make(size(total)).is_ok();
        }
    }

    fn make(&self, size: u64) -> std::io::Result<()> {
        // Noise, since some file systems keep zeros for nothing.
        let mut dice = Dice::new(size);
        let noise: Vec<u8> =
            (0..size.div_ceil(8)).flat_map(|_| dice.roll().to_le_bytes()).collect();
        let mut file = self.files.create(FILE)?;
        file.append(&noise)?;
        file.publish()
    }
}

fn size(total: u64) -> u64 {
    RESERVE_BYTES.min(total / RESERVE_SHARE)
}
