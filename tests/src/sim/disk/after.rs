//! What comes after an end: another disk, with what this one may have kept. After a power cut that
//! is what was durable and some of the rest; after a kill the kernel's view, perhaps without what a
//! failed sync had dropped. The old disk is dead: what still calls it is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::SimDisk;
use super::fault::Death;
use super::node::{Entry, Id, Node};
use super::state::{ROOT, State};
use crate::model::Dice;
use crate::sim::report::{Fault, Tally};

impl SimDisk {
    /// The disk after the end.
    pub fn after_end(&self) -> SimDisk {
        let death = self.lock().dead;
        match death {
            Some(Death::Kill) => self.after_kill(),
            _ => self.after_power_cut(),
        }
    }

    /// The disk after a power cut, with what it may have kept of unsynced changes.
    fn after_power_cut(&self) -> SimDisk {
        let mut state = self.lock();
        let mut nodes = state.nodes.clone();
        let (mut dice, mut tally) =
            (Dice::new(state.dice.roll()), std::mem::take(&mut state.tally));
        tally.add(Fault::PowerCut);
        // Drafts come and go unsynced all the time; what becomes of them is not worth counting.
        let drafts = state.find("tmp");
        for (id, node) in &mut nodes {
            match node {
                Node::File(file) => {
                    file.settle(&mut dice, &mut tally);
                    file.cached = file.durable.clone();
                }
                Node::Directory(directory) => {
                    directory.settle(Some(*id) != drafts, &mut dice, &mut tally);
                }
            }
        }
        self.successor(&state, nodes, dice, tally)
    }

    /// The disk after the process died and the machine did not. What a failed sync had dropped
    /// may be gone from the kernel's memory as well.
    fn after_kill(&self) -> SimDisk {
        let mut state = self.lock();
        let mut nodes = state.nodes.clone();
        let (mut dice, mut tally) =
            (Dice::new(state.dice.roll()), std::mem::take(&mut state.tally));
        tally.add(Fault::Kill);
        evict(&mut nodes, &mut dice, &mut tally);
        self.successor(&state, nodes, dice, tally)
    }

    /// The next disk: what outlasts an end goes over to it.
    pub(super) fn successor(
        &self,
        old: &State,
        nodes: BTreeMap<Id, Node>,
        dice: Dice,
        tally: Tally,
    ) -> SimDisk {
        let (calls, hash, journal) = (old.calls, old.hash, old.journal.clone());
        let mut new = State { nodes, calls, hash, journal, tally, ..State::new(dice) };
        new.next_id = old.next_id;
        new.lie = old.lie;
        new.capacity = old.capacity;
        new.forget_unnamed();
        Self::of(new, Arc::clone(&self.machine.clock))
    }
}

impl State {
    /// Drops what has no name, as a file system does when it is mounted.
    fn forget_unnamed(&mut self) {
        let mut named = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(id) = open.pop() {
            let Some(Node::Directory(directory)) = self.nodes.get(&id) else { continue };
            // What is unsynced may yet come back.
            let pending = directory.pending.iter().filter_map(|entry| match entry {
                Entry::Given(_, id) => Some(id),
                Entry::Taken(_) => None,
            });
            let names = directory.cached.values().chain(directory.durable.values());
            open.extend(names.chain(pending).copied().filter(|id| named.insert(*id)));
        }
        self.nodes.retain(|id, _| named.contains(id));
        for node in self.nodes.values_mut() {
            if let Node::File(file) = node {
                (file.names, file.handles) = (0, 0);
            }
        }
        let directories = self.nodes.values().filter_map(|node| match node {
            Node::Directory(directory) => Some(directory.cached.values()),
            Node::File(_) => None,
        });
        let ids: Vec<Id> = directories.flatten().copied().collect();
        for id in ids {
            if let Some(Node::File(file)) = self.nodes.get_mut(&id) {
                file.names += 1;
            }
        }
    }
}

/// The kernel forgets clean pages whose write had failed: what is read again is the disk's.
fn evict(nodes: &mut BTreeMap<Id, Node>, dice: &mut Dice, tally: &mut Tally) {
    for node in nodes.values_mut() {
        if let Node::File(file) = node
            && file.stale
            && dice.percent(50)
        {
            file.cached = file.durable.clone();
            file.pending.iter().for_each(|change| change.apply(&mut file.cached));
            file.stale = false;
            tally.add(Fault::PageDropped);
        }
    }
}
