//! A disk at rest: its names and bytes as a reader finds them, a copy of it, a file spoiled. It
//! passes by the gate: no call is counted, no thread is held, no trap closes.

use super::SimDisk;
use super::node::{Id, Node};
use super::state::{ROOT, State};
use crate::sim::report::Tally;

impl SimDisk {
    /// A copy to be spoiled: the disk as a reader sees it now, all of it durable.
    pub fn copy(&self) -> SimDisk {
        let state = self.lock();
        let mut nodes = state.nodes.clone();
        for node in nodes.values_mut() {
            match node {
                Node::File(file) => {
                    file.durable = file.cached.clone();
                    file.pending.clear();
                }
                Node::Directory(directory) => {
                    directory.durable = directory.cached.clone();
                    directory.pending.clear();
                }
            }
        }
        self.successor(&state, nodes, state.dice.clone(), Tally::default())
    }

    /// Names of all files, sorted.
    pub fn names(&self) -> Vec<String> {
        let (state, mut out) = (self.lock(), Vec::new());
        state.all_names(ROOT, "", &mut out);
        out.into_iter().map(|(name, _)| name).collect()
    }

    /// The bytes of a file.
    pub fn bytes(&self, path: &str) -> Vec<u8> {
        let mut state = self.lock();
        let found = state.find(path);
        found.and_then(|id| state.file(id).ok().map(|f| f.cached.clone())).unwrap_or_default()
    }

    /// Changes a file at rest.
    pub fn spoil(&self, path: &str, spoil: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let Some(id) = state.find(path) else { return };
        if let Ok(file) = state.file(id) {
            spoil(&mut file.cached);
            file.durable = file.cached.clone();
            file.pending.clear();
        }
    }
}

impl State {
    fn all_names(&self, at: Id, path: &str, out: &mut Vec<(String, Id)>) {
        let Some(Node::Directory(directory)) = self.nodes.get(&at) else { return };
        for (name, id) in &directory.cached {
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            match self.nodes.get(id) {
                Some(Node::File(_)) => out.push((path, *id)),
                _ => self.all_names(*id, &path, out),
            }
        }
    }
}
