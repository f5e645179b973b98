//! The store's calls on an open file: reads see what the kernel shows, writes may fall short or
//! find no room, a sync makes durable what came before it, or fails once and forgets. A lying
//! disk's lies about bytes are told here.

use std::io;

use spanlake::world::DiskFile;

use super::fault::{Call, Lie};
use super::node::{Change, Id, Node};
use super::state::State;
use super::{EIO, ENOENT, ENOSPC, SimDisk, errno};
use crate::sim::report::Fault;

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) id: Id,
    pub(super) path: String,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Ok(file) = self.disk.lock().file(self.id) {
            file.handles = file.handles.saturating_sub(1);
        }
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let (mut state, _) = self.disk.enter(Call::Read, "length", &self.path, 0)?;
        Ok(state.file(self.id)?.cached.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let (mut state, _) = self.disk.enter(Call::Read, "read", &self.path, offset)?;
        let file = state.file(self.id)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = from.checked_add(buffer.len()).and_then(|to| file.cached.get(from..to));
        let Some(found) = found else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.write(self.id, &self.path, Change::Write(offset as usize, bytes.to_vec()))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.write(self.id, &self.path, Change::Length(length as usize))
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, fails) = self.disk.enter(Call::Sync, "sync", &self.path, 0)?;
        let State { nodes, dice, tally, lie, .. } = &mut *state;
        let Some(Node::File(file)) = nodes.get_mut(&self.id) else { return Err(errno(ENOENT)) };
        if *lie == Some(Lie::SyncForgets) {
            return Ok(());
        }
        if fails {
            // The kernel tells of a failed write once and then takes its pages for clean.
            file.stale |= !file.pending.is_empty();
            file.settle(dice, tally);
            state.scar(Fault::SyncFailed, &self.path, false);
            return Err(errno(EIO));
        }
        let forgotten = match lie {
            Some(Lie::SyncForgetsLast) => file.pending.pop(),
            _ => None,
        };
        for change in std::mem::take(&mut file.pending) {
            change.apply(&mut file.durable);
        }
        file.pending.extend(forgotten);
        Ok(())
    }
}

impl SimDisk {
    fn write(&self, id: Id, path: &str, change: Change) -> io::Result<()> {
        let detail = match &change {
            Change::Write(at, data) => (*at as u64) << 32 ^ u64::from(crc32c::crc32c(data)),
            Change::Length(length) => *length as u64,
        };
        let what = if matches!(change, Change::Write(..)) { "write" } else { "cut" };
        let (mut state, fails) = self.enter(Call::Write, what, path, detail)?;
        let (space, lie) = (state.free(), state.lie);
        let State { dice, .. } = &mut *state;
        let part = dice.roll();
        let forgotten = match lie {
            Some(Lie::WriteForgets) => path.starts_with("wal") && dice.below(8) == 0,
            _ => false,
        };
        let flips = lie == Some(Lie::WriteFlips) && dice.below(8) == 0;
        if forgotten {
            return Ok(());
        }
        let file = state.file(id)?;
        match change {
            Change::Write(at, mut data) => {
                if flips && !data.is_empty() {
                    let bit = part as usize % (data.len() * 8);
                    data[bit / 8] ^= 1 << (bit % 8);
                }
                let end = at + data.len();
                let grows = end.saturating_sub(file.cached.len()) as u64;
                let fits = if grows > space {
                    data.len() - (grows - space) as usize
                } else if fails {
                    part as usize % (data.len() + 1)
                } else {
                    file.change(Change::Write(at, data));
                    return Ok(());
                };
                data.truncate(fits);
                if !data.is_empty() {
                    file.change(Change::Write(at, data));
                }
                let (fault, code) = match grows > space {
                    true => (Fault::NoSpace, ENOSPC),
                    false => (Fault::WriteFailed, EIO),
                };
                state.scar(fault, path, code == ENOSPC);
                Err(errno(code))
            }
            Change::Length(_) if fails => {
                state.scar(Fault::WriteFailed, path, false);
                Err(errno(EIO))
            }
            change => {
                file.change(change);
                Ok(())
            }
        }
    }
}
