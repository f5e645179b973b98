//! The store's calls that deal in names: opening, making, linking, removing, listing, and the sync
//! of a directory. Each passes the gate, then changes what the kernel shows; only a sync makes
//! names surely durable. Asking for the room left is no call that can fail.

use std::io;

use spanlake::world::{Access, Disk, Kind};

use super::fault::{Call, Lie};
use super::file::SimFile;
use super::node::{Directory, Entry, File, Id, Node};
use super::state::split;
use super::{EEXIST, ENOENT, ENOSPC, SimDisk, errno};
use crate::sim::report::Fault;

impl Disk for SimDisk {
    type File = SimFile;

    fn open(&self, path: &str, access: Access) -> io::Result<SimFile> {
        let (mut state, _) = self.enter(Call::Name, "open", path, access as u64)?;
        let id = match state.find(path) {
            Some(_) if access == Access::Fresh => return Err(errno(EEXIST)),
            Some(id) => id,
            None if access == Access::Read => return Err(errno(ENOENT)),
            None => {
                if state.free() == 0 {
                    state.scar(Fault::NoSpace, path, true);
                    return Err(errno(ENOSPC));
                }
                let id = state.add(Node::File(File { names: 1, ..File::default() }));
                let name = split(path).1.to_owned();
                state.parent(path)?.change(Entry::Given(name, id));
                id
            }
        };
        let file = state.file(id)?;
        file.handles += 1;
        Ok(SimFile { disk: self.clone(), id, path: path.to_owned() })
    }

    fn kind(&self, path: &str) -> io::Result<Option<Kind>> {
        let (state, _) = self.enter(Call::Read, "stat", path, 0)?;
        Ok(state.find(path).and_then(|id| state.nodes.get(&id)).map(|node| match node {
            Node::File(_) => Kind::File,
            Node::Directory(_) => Kind::Directory,
        }))
    }

    fn make_directory(&self, path: &str) -> io::Result<()> {
        let (mut state, _) = self.enter(Call::Name, "mkdir", path, 0)?;
        if state.find(path).is_some() {
            return Err(errno(EEXIST));
        }
        if state.free() == 0 {
            state.scar(Fault::NoSpace, path, true);
            return Err(errno(ENOSPC));
        }
        let id = state.add(Node::Directory(Directory::default()));
        let name = split(path).1.to_owned();
        state.parent(path)?.change(Entry::Given(name, id));
        Ok(())
    }

    fn read_directory(&self, path: &str) -> io::Result<Vec<(String, Kind)>> {
        let (mut state, _) = self.enter(Call::Read, "list", path, 0)?;
        let id = state.find(path).ok_or_else(|| errno(ENOENT))?;
        let names = state.directory(id)?.cached.clone();
        let kind = |id: &Id| match state.nodes.get(id) {
            Some(Node::Directory(_)) => Kind::Directory,
            _ => Kind::File,
        };
        Ok(names.iter().map(|(name, id)| (name.clone(), kind(id))).collect())
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let (mut state, _) = self.enter(Call::Name, "link", to, 0)?;
        if state.find(to).is_some() {
            return Err(errno(EEXIST));
        }
        let id = state.find(from).ok_or_else(|| errno(ENOENT))?;
        state.file(id)?.names += 1;
        let name = split(to).1.to_owned();
        state.parent(to)?.change(Entry::Given(name, id));
        Ok(())
    }

    fn unlink(&self, path: &str) -> io::Result<()> {
        let (mut state, _) = self.enter(Call::Name, "unlink", path, 0)?;
        let id = state.find(path).ok_or_else(|| errno(ENOENT))?;
        state.file(id)?.names -= 1;
        let name = split(path).1.to_owned();
        state.parent(path)?.change(Entry::Taken(name));
        Ok(())
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        let (mut state, _) = self.enter(Call::SyncNames, "sync-names", path, 0)?;
        if state.lie == Some(Lie::SyncNamesForgets) {
            return Ok(());
        }
        let id = state.find(path).ok_or_else(|| errno(ENOENT))?;
        let directory = state.directory(id)?;
        directory.durable = directory.cached.clone();
        directory.pending.clear();
        Ok(())
    }

    fn free_space(&self) -> io::Result<(u64, u64)> {
        let state = self.lock();
        Ok((state.free(), state.capacity))
    }
}
