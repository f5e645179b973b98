//! Files and directories: what the kernel shows of each, what the disk surely holds, and the
//! changes between the two. Changes flow in; [`File::settle`] and [`Directory::settle`] let dice
//! decide which of them the disk keeps. A node knows neither its path nor the calls that change it.

use std::collections::BTreeMap;

use crate::model::Dice;
use crate::sim::report::{Fault, Tally};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A file's or directory's number.
pub(super) type Id = u64;

/// A change of a file that no sync has covered.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// What the kernel shows, what the disk surely holds, and what lies between.
#[derive(Debug, Clone, Default)]
pub(super) struct File {
    pub(super) cached: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<Change>,
    /// A failed sync dropped changes that the kernel still shows.
    pub(super) stale: bool,
    pub(super) names: usize,
    pub(super) handles: usize,
}

/// A name given or taken that no sync has covered.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Given(String, Id),
    Taken(String),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    pub(super) cached: BTreeMap<String, Id>,
    pub(super) durable: BTreeMap<String, Id>,
    pub(super) pending: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    File(File),
    Directory(Directory),
}

fn put(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(data);
}

impl Change {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => put(bytes, *at, data),
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }

    /// The part of it that reached the disk: whole sectors.
    pub(super) fn apply_torn(&self, bytes: &mut Vec<u8>, dice: &mut Dice) {
        let Self::Write(at, data) = self else { return self.apply(bytes) };
        let (before, end) = (bytes.len(), at + data.len());
        let keep = dice.between(5, 95);
        let mut from = *at;
        while from < end {
            let to = (from / SECTOR + 1) * SECTOR;
            let to = to.min(end);
            if dice.percent(keep) {
                put(bytes, from, &data[from - at..to - at]);
            }
            from = to;
        }
        // A length may be written before its bytes.
        if end > before && dice.percent(30) && bytes.len() < end {
            bytes.resize(end, 0);
        }
    }
}

impl File {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.pending.push(change);
    }

    /// What the disk may hold after a moment in which nothing more can be synced.
    pub(super) fn settle(&mut self, dice: &mut Dice, tally: &mut Tally) {
        let manner = dice.below(4);
        let prefix = dice.between(0, self.pending.len());
        for (at, change) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            let fate = match manner {
                0 => 0,
                1 => usize::from(at < prefix),
                _ => dice.below(3),
            };
            match fate {
                0 => tally.add(Fault::WriteLost),
                1 => change.apply(&mut self.durable),
                _ => {
                    change.apply_torn(&mut self.durable, dice);
                    tally.add(Fault::WriteTorn);
                }
            }
        }
    }
}

impl Directory {
    pub(super) fn change(&mut self, entry: Entry) {
        entry.apply(&mut self.cached);
        self.pending.push(entry);
    }

    pub(super) fn settle(&mut self, counts: bool, dice: &mut Dice, tally: &mut Tally) {
        let manner = dice.below(3);
        let prefix = dice.between(0, self.pending.len());
        for (at, entry) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            let kept = match manner {
                0 => false,
                1 => at < prefix,
                _ => dice.percent(50),
            };
            match (kept, &entry) {
                (true, _) => entry.apply(&mut self.durable),
                (false, _) if !counts => {}
                (false, Entry::Given(..)) => tally.add(Fault::NameLost),
                (false, Entry::Taken(_)) => tally.add(Fault::NameBack),
            }
        }
        self.cached = self.durable.clone();
    }
}

impl Entry {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, Id>) {
        match self {
            Self::Given(name, id) => drop(names.insert(name.clone(), *id)),
            Self::Taken(name) => drop(names.remove(name)),
        }
    }
}
