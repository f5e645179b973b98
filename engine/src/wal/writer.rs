//! The log's writing end, owned by one thread. A group of frames goes in with one write and one
//! sync; files are turned when they are full and recycled, oldest first, because overwriting written
//! blocks halves the cost of `fdatasync`. After a failed sync nothing more is written: what the
//! disk holds is then unknown.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::file::{FRAMES_AT, Header};
use super::file_name;
use super::frame::{self, Head};
use super::recover::{Kept, Recovered};
use crate::limits::{FREE_LOG_FILES_MAX, LOG_FILE_BYTES};
use crate::tenancy::Tenancy;
use crate::world::{Dice, Files, LogFile, is_full};

/// An Export to be logged.
pub(crate) struct Entry<'a> {
    pub(crate) tenancy: &'a Tenancy,
    pub(crate) dropped: &'a [u32],
    pub(crate) payload: &'a [u8],
}

/// Why a group was not logged.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The disk is full; nothing was kept of the group and the log is as before.
    Full(io::Error),
    /// The log's state on disk is unknown; it must not be written again.
    Broken(io::Error),
}

struct Current {
    slot: u32,
    log: Box<dyn LogFile>,
    salt: u64,
    at: u64,
    last_sequence: u64,
}

/// The writing end.
pub(crate) struct LogWriter {
    files: Arc<dyn Files>,
    dice: Dice,
    current: Option<Current>,
    /// Full files with frames that may still be needed, oldest first.
    kept: VecDeque<Kept>,
    /// Slots to recycle, oldest first: so what remains is always an unbroken run of sequences.
    free: VecDeque<u32>,
    next_slot: u32,
    generation: u64,
    next_sequence: u64,
    /// Bytes at which a file is full.
    file_bytes: u64,
}

impl LogWriter {
    /// Continues after a recovery. `sealed` is the highest sequence the catalog knows.
    pub(crate) fn new(
        files: Arc<dyn Files>,
        dice: Dice,
        recovered: Recovered,
        sealed: u64,
    ) -> Self {
        let slots = recovered.kept.iter().map(|k| k.slot).chain(recovered.free.iter().copied());
        Self {
            files,
            dice,
            current: None,
            next_slot: slots.max().map_or(0, |slot| slot + 1),
            generation: recovered.generation,
            next_sequence: recovered.last_sequence.max(sealed) + 1,
            kept: recovered.kept.into(),
            free: recovered.free.into(),
            file_bytes: LOG_FILE_BYTES,
        }
    }

    /// The same with files of another size.
    pub(crate) fn with_file_bytes(self, file_bytes: u64) -> Self {
        Self { file_bytes, ..self }
    }

    /// Writes a group and syncs it. Returns the first frame's sequence; the others follow it.
    pub(crate) fn commit(&mut self, arrival: u64, group: &[Entry<'_>]) -> Result<u64, Failure> {
        let first = self.next_sequence;
        if self.current.as_ref().is_none_or(|c| c.at >= self.file_bytes) {
            self.turn()?;
        }
        let Some(current) = &mut self.current else {
            return Err(Failure::Broken(io::Error::other("no log file")));
        };
        let bytes: usize = group.iter().map(|e| e.payload.len() + 256).sum();
        let mut buffer = Vec::with_capacity(bytes);
        for (sequence, entry) in (first..).zip(group) {
            let head = Head { sequence, synced_through: first - 1, arrival };
            frame::encode(
                &mut buffer,
                current.salt,
                &head,
                entry.tenancy,
                entry.dropped,
                entry.payload,
            );
        }
        if let Err(error) = current.log.write_at(current.at, &buffer) {
            return Err(undo(current, error));
        }
        current.log.sync().map_err(Failure::Broken)?;
        current.at += buffer.len() as u64;
        self.next_sequence += group.len() as u64;
        current.last_sequence = self.next_sequence - 1;
        Ok(first)
    }

    /// Turns to the next file, recycled or new. Its header is durable before its first frame, so
    /// that no frame ever stands under an earlier life's header.
    fn turn(&mut self) -> Result<(), Failure> {
        let slot = self.free.front().copied().unwrap_or(self.next_slot);
        let header = Header {
            generation: self.generation + 1,
            salt: self.dice.roll(),
            first_sequence: self.next_sequence,
        };
        let open = || {
            let mut log = self.files.open_log(&file_name(slot))?;
            log.write_at(0, &header.encode())?;
            log.sync()?;
            Ok(log)
        };
        let log = open().map_err(|e: io::Error| match is_full(&e) {
            true => Failure::Full(e),
            false => Failure::Broken(e),
        })?;
        if self.free.pop_front().is_none() {
            self.next_slot += 1;
        }
        self.generation = header.generation;
        self.retire();
        let (salt, at) = (header.salt, FRAMES_AT as u64);
        self.current = Some(Current { slot, log, salt, at, last_sequence: 0 });
        Ok(())
    }

    /// The current file becomes one of the full ones.
    fn retire(&mut self) {
        if let Some(old) = self.current.take() {
            let Current { slot, at: bytes, last_sequence, .. } = old;
            self.kept.push_back(Kept { slot, last_sequence, bytes });
        }
    }

    /// Gives up every file that holds only frames below `log_start`.
    pub(crate) fn trim(&mut self, log_start: u64) {
        let idle = self
            .current
            .as_ref()
            .is_some_and(|c| c.last_sequence > 0 && c.last_sequence < log_start);
        if idle {
            self.retire();
        }
        while self.kept.front().is_some_and(|k| k.last_sequence < log_start) {
            if let Some(kept) = self.kept.pop_front() {
                self.free.push_back(kept.slot);
            }
        }
        while self.free.len() > FREE_LOG_FILES_MAX {
            let Some(slot) = self.free.pop_front() else { break };
            // A file that cannot be removed costs room, not truth; it is tried at the next start.
            drop(self.files.remove(&file_name(slot)));
        }
    }

    /// Bytes of files whose frames may still be needed.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.kept.iter().map(|k| k.bytes).sum::<u64>() + self.current.as_ref().map_or(0, |c| c.at)
    }
}

/// After a failed write: where the disk was merely full and the file can be cut back to its last
/// good frame, the log lives on.
fn undo(current: &mut Current, error: io::Error) -> Failure {
    if is_full(&error) && current.log.truncate(current.at).and_then(|()| current.log.sync()).is_ok()
    {
        return Failure::Full(error);
    }
    Failure::Broken(error)
}
