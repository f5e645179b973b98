//! All that a disk is, behind one lock: its tree of names, its dice, what waits to go wrong and
//! what was counted. Paths flow in, nodes flow out; every call and fault is noted in one hash. It
//! fails only for want of a name: whether a call may happen at all is the [gate](super::gate)'s.

use std::collections::BTreeMap;
use std::io;

use super::fault::{Death, Lie, Scars, Trap};
use super::hold::{Hold, Thread};
use super::node::{Directory, File, Id, Node};
use super::{ENOENT, errno};
use crate::model::Dice;
use crate::sim::report::{Fault, Tally};

pub(super) const ROOT: Id = 0;

#[derive(Debug)]
pub(super) struct State {
    pub(super) nodes: BTreeMap<Id, Node>,
    pub(super) next_id: Id,
    pub(super) dice: Dice,
    pub(super) traps: Vec<Trap>,
    /// The end comes before the call after so many more.
    pub(super) end: Option<(Death, u64)>,
    pub(super) dead: Option<Death>,
    pub(super) capacity: u64,
    /// What this life's faults touched.
    pub(super) scars: Scars,
    pub(super) holds: BTreeMap<Thread, Hold>,
    pub(super) lie: Option<Lie>,
    pub(super) calls: u64,
    pub(super) hash: u64,
    pub(super) tally: Tally,
    pub(super) journal: Option<Vec<String>>,
}

/// Directory and last name of a path.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl State {
    pub(super) fn new(dice: Dice) -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::Directory(Directory::default()))]),
            next_id: 1,
            dice,
            traps: Vec::new(),
            end: None,
            dead: None,
            capacity: u64::MAX,
            scars: Scars::default(),
            holds: BTreeMap::new(),
            lie: None,
            calls: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            tally: Tally::default(),
            journal: None,
        }
    }

    pub(super) fn directory(&mut self, id: Id) -> io::Result<&mut Directory> {
        match self.nodes.get_mut(&id) {
            Some(Node::Directory(directory)) => Ok(directory),
            _ => Err(errno(ENOENT)),
        }
    }

    pub(super) fn file(&mut self, id: Id) -> io::Result<&mut File> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(errno(ENOENT)),
        }
    }

    pub(super) fn find(&self, path: &str) -> Option<Id> {
        let mut at = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match self.nodes.get(&at)? {
                Node::Directory(directory) => at = *directory.cached.get(name)?,
                Node::File(_) => return None,
            }
        }
        Some(at)
    }

    pub(super) fn parent(&mut self, path: &str) -> io::Result<&mut Directory> {
        let id = self.find(split(path).0).ok_or_else(|| errno(ENOENT))?;
        self.directory(id)
    }

    pub(super) fn used(&self) -> u64 {
        let bytes = |node: &Node| match node {
            Node::File(f) if f.names > 0 || f.handles > 0 => f.cached.len() as u64,
            _ => 0,
        };
        self.nodes.values().map(bytes).sum()
    }

    pub(super) fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used())
    }

    pub(super) fn add(&mut self, node: Node) -> Id {
        let id = self.next_id;
        self.next_id += 1;
        self.nodes.insert(id, node);
        id
    }

    pub(super) fn note(&mut self, what: &str, path: &str, detail: u64) {
        let name = match Thread::current() {
            Some(Thread::Log) => "log",
            Some(Thread::Seal) => "seal",
            None => "",
        };
        for byte in [what, path, name].iter().flat_map(|s| s.bytes()).chain(detail.to_le_bytes()) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        if let Some(journal) = &mut self.journal {
            journal.push(format!("{:>5} {name:4} {what:10} {path} {detail}", self.calls));
        }
    }

    pub(super) fn scar(&mut self, fault: Fault, path: &str, space: bool) {
        self.tally.add(fault);
        self.scars.any += 1;
        self.scars.hard += u64::from(!space);
        // The root's names are everybody's.
        self.scars.log |= !space && (path.starts_with("wal") || path.is_empty());
        self.scars.catalog |= !space && (path.starts_with("catalog") || path.is_empty());
        self.note("FAULT", path, fault as u64);
    }
}
