//! A disk that keeps exactly what Unix promises: written bytes are the kernel's until their file
//! is synced, names are the kernel's until their directory is. It stands under the engine's own
//! [`DiskFiles`](spanlake::world::DiskFiles), so the engine's real order of calls is what is
//! tried. A seed flows in and decides what a power cut keeps; faults are set as traps; every call
//! is counted and hashed, so that two runs of a seed can be held against each other. It knows
//! nothing of logs, segments or catalogs but their directories' names.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use spanlake::world::{Access, Disk, DiskFile, Kind};

use super::clock::SimClock;
use super::report::{Fault, Tally};
use crate::model::Dice;

const EIO: i32 = 5;
const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const ENOSPC: i32 = 28;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A file's or directory's number.
type Id = u64;

/// A change of a file that no sync has covered.
#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// What the kernel shows, what the disk surely holds, and what lies between.
#[derive(Debug, Clone, Default)]
struct File {
    cached: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// A failed sync dropped changes that the kernel still shows.
    stale: bool,
    names: usize,
    handles: usize,
}

/// A name given or taken that no sync has covered.
#[derive(Debug, Clone)]
enum Entry {
    Given(String, Id),
    Taken(String),
}

#[derive(Debug, Clone, Default)]
struct Directory {
    cached: BTreeMap<String, Id>,
    durable: BTreeMap<String, Id>,
    pending: Vec<Entry>,
}

#[derive(Debug, Clone)]
enum Node {
    File(File),
    Directory(Directory),
}

/// Kinds of calls, as far as faults tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Reading bytes, lengths or names.
    Read,
    /// Writing bytes or setting a length.
    Write,
    /// Syncing a file.
    Sync,
    /// Syncing a directory.
    SyncNames,
    /// Making, giving or taking names; opening.
    Name,
}

/// A fault that waits for its moment.
#[derive(Debug, Clone)]
pub struct Trap {
    /// Calls of this kind,
    pub call: Call,
    /// on paths that begin so,
    pub room: &'static str,
    /// after letting so many pass,
    pub skip: u32,
    /// fail, so many of them.
    pub times: u32,
}

/// How a machine ends between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Power fails.
    Power,
    /// The process dies, the kernel lives on.
    Kill,
}

/// A disk that breaks its own promises, to prove that the simulation notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// A file's sync does nothing.
    SyncForgets,
    /// A directory's sync does nothing.
    SyncNamesForgets,
    /// One write in eight to the log is acknowledged and not kept.
    WriteForgets,
    /// One write in eight changes one bit.
    WriteFlips,
    /// A file's sync makes all changes durable but the last.
    SyncForgetsLast,
}

/// A thread of the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thread {
    /// The log's.
    Log,
    /// The sealing one.
    Seal,
}

impl Thread {
    fn current() -> Option<Self> {
        match std::thread::current().name() {
            Some("spanlake-log") => Some(Self::Log),
            Some("spanlake-seal") => Some(Self::Seal),
            _ => None,
        }
    }
}

/// A thread stopped at one of its calls.
#[derive(Debug, Default)]
struct Hold {
    /// Calls to let pass.
    skip: u32,
    armed: bool,
    waiting: bool,
    /// What was to be held is over.
    over: bool,
}

#[derive(Debug)]
struct State {
    nodes: BTreeMap<Id, Node>,
    next_id: Id,
    dice: Dice,
    traps: Vec<Trap>,
    /// The end comes before the call after so many more.
    end: Option<(Death, u64)>,
    dead: Option<Death>,
    capacity: u64,
    /// What this life's faults touched.
    scars: Scars,
    holds: BTreeMap<Thread, Hold>,
    lie: Option<Lie>,
    calls: u64,
    hash: u64,
    tally: Tally,
    journal: Option<Vec<String>>,
}

/// What faults did to one life of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scars {
    /// Faults of any kind.
    pub any: u64,
    /// Those that no lack of space explains.
    pub hard: u64,
    /// Failures in `wal/` for want of anything but space.
    pub log: bool,
    /// The same in `catalog/`.
    pub catalog: bool,
}

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

const ROOT: Id = 0;

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// Directory and last name of a path.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn put(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(data);
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => put(bytes, *at, data),
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }

    /// The part of it that reached the disk: whole sectors.
    fn apply_torn(&self, bytes: &mut Vec<u8>, dice: &mut Dice) {
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
    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.pending.push(change);
    }

    /// What the disk may hold after a moment in which nothing more can be synced.
    fn settle(&mut self, dice: &mut Dice, tally: &mut Tally) {
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
    fn change(&mut self, entry: Entry) {
        entry.apply(&mut self.cached);
        self.pending.push(entry);
    }

    fn settle(&mut self, counts: bool, dice: &mut Dice, tally: &mut Tally) {
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
    fn apply(&self, names: &mut BTreeMap<String, Id>) {
        match self {
            Self::Given(name, id) => drop(names.insert(name.clone(), *id)),
            Self::Taken(name) => drop(names.remove(name)),
        }
    }
}

impl State {
    fn new(dice: Dice) -> Self {
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

    fn directory(&mut self, id: Id) -> io::Result<&mut Directory> {
        match self.nodes.get_mut(&id) {
            Some(Node::Directory(directory)) => Ok(directory),
            _ => Err(errno(ENOENT)),
        }
    }

    fn file(&mut self, id: Id) -> io::Result<&mut File> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(errno(ENOENT)),
        }
    }

    fn find(&self, path: &str) -> Option<Id> {
        let mut at = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match self.nodes.get(&at)? {
                Node::Directory(directory) => at = *directory.cached.get(name)?,
                Node::File(_) => return None,
            }
        }
        Some(at)
    }

    fn parent(&mut self, path: &str) -> io::Result<&mut Directory> {
        let id = self.find(split(path).0).ok_or_else(|| errno(ENOENT))?;
        self.directory(id)
    }

    fn used(&self) -> u64 {
        let bytes = |node: &Node| match node {
            Node::File(f) if f.names > 0 || f.handles > 0 => f.cached.len() as u64,
            _ => 0,
        };
        self.nodes.values().map(bytes).sum()
    }

    fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.used())
    }

    fn add(&mut self, node: Node) -> Id {
        let id = self.next_id;
        self.next_id += 1;
        self.nodes.insert(id, node);
        id
    }

    fn note(&mut self, what: &str, path: &str, detail: u64) {
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

    fn scar(&mut self, fault: Fault, path: &str, space: bool) {
        self.tally.add(fault);
        self.scars.any += 1;
        self.scars.hard += u64::from(!space);
        // The root's names are everybody's.
        self.scars.log |= !space && (path.starts_with("wal") || path.is_empty());
        self.scars.catalog |= !space && (path.starts_with("catalog") || path.is_empty());
        self.note("FAULT", path, fault as u64);
    }

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

    /// Every call comes through here first: it may be held, be the one at which power goes, or
    /// fall into a trap (`true`: it fails, in the manner of its kind).
    fn enter(&self, call: Call, what: &str, path: &str, detail: u64) -> io::Result<Entered<'_>> {
        let mut state = self.lock();
        let thread = Thread::current();
        let mut stands = false;
        while let Some(hold) = thread.and_then(|t| state.holds.get_mut(&t)).filter(|h| h.armed) {
            if !stands && hold.skip > 0 {
                hold.skip -= 1;
                break;
            }
            stands = true;
            hold.waiting = true;
            self.machine.wake.notify_all();
            state = self.machine.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
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

    /// Sets a trap.
    pub fn set(&self, trap: Trap) {
        self.lock().traps.push(trap);
    }

    /// The end comes before the call after `n` more.
    pub fn end_after(&self, death: Death, n: u64) {
        self.lock().end = Some((death, n));
    }

    /// Leaves so many bytes free; `None` = as many as one likes.
    pub fn leave_free(&self, bytes: Option<u64>) {
        let mut state = self.lock();
        state.capacity = bytes.map_or(u64::MAX, |bytes| state.used() + bytes);
    }

    /// No trap waits any more.
    pub fn untrap(&self) {
        self.lock().traps.clear();
    }

    /// No trap waits any more and there is room.
    pub fn heal(&self) {
        self.untrap();
        self.lock().capacity = u64::MAX;
    }

    /// Nothing is to happen any more.
    pub fn calm(&self) {
        self.heal();
        self.lock().end = None;
    }

    /// True where nothing can go wrong at the moment.
    pub fn is_sound(&self) -> bool {
        let state = self.lock();
        state.traps.is_empty() && state.capacity == u64::MAX && state.end.is_none()
    }

    /// True where there may not be room for everything.
    pub fn is_limited(&self) -> bool {
        self.lock().capacity != u64::MAX
    }

    /// True once the end has come.
    pub fn is_dead(&self) -> bool {
        self.lock().dead.is_some()
    }

    /// What faults did since the store was opened.
    pub fn scars(&self) -> Scars {
        self.lock().scars.clone()
    }

    /// A new life of the store begins.
    pub fn begin_life(&self) {
        self.lock().scars = Scars::default();
    }

    /// Makes the disk lie.
    pub fn lie(&self, lie: Lie) {
        self.lock().lie = Some(lie);
    }

    /// Writes down every call from now on.
    pub fn keep_journal(&self) {
        self.lock().journal.get_or_insert_default();
    }

    /// The calls written down.
    pub fn journal(&self) -> Vec<String> {
        self.lock().journal.clone().unwrap_or_default()
    }

    /// A hash of all calls, in order, with their bytes.
    pub fn hash(&self) -> u64 {
        self.lock().hash
    }

    /// Takes what was counted.
    pub fn take_tally(&self) -> Tally {
        std::mem::take(&mut self.lock().tally)
    }

    /// Stops the thread at its call after `skip` more.
    pub fn hold(&self, thread: Thread, skip: u32) {
        let hold = Hold { skip, armed: true, ..Hold::default() };
        self.lock().holds.insert(thread, hold);
    }

    /// What was to be held has ended.
    pub fn over(&self, thread: Thread) {
        self.lock().holds.entry(thread).or_default().over = true;
        self.machine.wake.notify_all();
    }

    /// Waits until the thread stands still (true) or what it did is over (false).
    pub fn wait_held(&self, thread: Thread) -> bool {
        let mut state = self.lock();
        loop {
            let hold = state.holds.entry(thread).or_default();
            if hold.waiting || hold.over {
                return hold.waiting;
            }
            state = self.machine.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets it go on.
    pub fn release(&self, thread: Thread) {
        self.lock().holds.remove(&thread);
        self.machine.wake.notify_all();
    }

    /// The end comes now: what the store's threads still do reaches no disk.
    pub fn end(&self, death: Death) {
        let mut state = self.lock();
        state.dead = Some(death);
        state.note("END", "", death as u64);
    }

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

    fn successor(
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

    /// Counts a fault that the caller made.
    pub fn count(&self, fault: Fault) {
        self.lock().tally.add(fault);
    }

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

type Entered<'a> = (MutexGuard<'a, State>, bool);

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

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    id: Id,
    path: String,
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
