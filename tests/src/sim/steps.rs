//! What can happen to a store, as values. A seed flows in, a plan flows out: how the store is
//! set up and what happens to it, step by step. Nothing here knows what became of a step, so a
//! plan can be printed, cut short and played again.

use std::fmt;

use spanlake::Options;

use super::disk::{Call, Death, Trap};
use crate::model::Dice;
use crate::model::case::{Encoding, bytes_of, part_of};
use crate::model::invent::Universe;
use crate::model::spans::{acceptable, placed};
use crate::model::wire::{Node, TRACES};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
const HOUR: u64 = 3600 * SECOND;

/// An Export to be sent.
#[derive(Clone)]
pub struct Sent {
    /// Whose.
    pub tenancy: usize,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Sent {
    /// True where a span of it is accepted.
    fn is_worth_keeping(&self) -> bool {
        placed(&self.bytes).is_ok_and(|spans| spans.iter().any(|p| acceptable(&p.span)))
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spans = placed(&self.bytes).map_or(0, |spans| spans.len());
        write!(f, "of {}: {spans} spans, {} bytes", self.tenancy, self.bytes.len())
    }
}

/// Work of the sealing thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Seal everything.
    Flush,
    /// Seal what is due.
    SealDue,
    /// Remove everything.
    Purge,
}

/// How a life of the store ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// An orderly close with its seal.
    Close,
    /// The last clone is dropped; nothing is sealed.
    Drop,
    /// Between two steps the process dies or the machine loses power.
    Sudden(Death),
}

/// One step. What compaction, retention, deletion and snapshots do will be further variants.
#[derive(Debug, Clone)]
pub enum Step {
    /// One Export, alone.
    Export(Sent),
    /// Several at once: the first is a group of its own, the others become the next.
    Group(Vec<Sent>),
    /// Work of the sealing thread.
    Do(Task),
    /// The same, and while its thread stands still at its call to the disk of this number, other
    /// steps.
    Meanwhile(Task, u32, Vec<Step>),
    /// Questions by this seed.
    Ask(u64),
    /// A walk through pages begins.
    Walk(u64),
    /// A walk goes on by a page.
    WalkOn(u64),
    /// A view is kept.
    Hold(usize),
    /// A kept view is asked again.
    Look(u64),
    /// Time passes.
    Wait(u64),
    /// The wall's clock is set so far forward or back.
    ClockJump(i64),
    /// Calls to the disk will fail.
    Trap(Trap),
    /// So many bytes are left free.
    Full(u64),
    /// The disk is sound again.
    Heal,
    /// The end comes after so many calls, in whatever step that is.
    EndAfter(Death, u64),
    /// The store ends and is opened again; the faults strike while it opens.
    Reopen(End, Vec<Trap>, Option<(Death, u64)>),
    /// A segment of the running store has a bad place for a while.
    SpoilSegment(u64),
    /// A copy of the disk is spoiled at rest and opened.
    SpoilCopy(u64),
}

/// How often things go wrong in a run: runs differ, so that each kind of fault also meets long
/// stretches without the others.
#[derive(Debug, Clone, Copy)]
struct Temper {
    crashes: bool,
    traps: bool,
    space: bool,
    spoils: bool,
    jumps: bool,
    purges: bool,
}

/// Everything a seed decides.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Where spans and questions come from, one a tenancy.
    pub universes: Vec<Universe>,
    /// What the wall's clock shows at first.
    pub now: u64,
    /// Limits of the store.
    pub limits: Limits,
    /// What happens.
    pub steps: Vec<Step>,
}

/// What a run sets of [`Options`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// [`Options::seal_bytes`], and so on.
    pub seal_bytes: u64,
    /// As there.
    pub wal_bytes_max: u64,
    /// As there.
    pub seal_idle: u64,
    /// As there.
    pub seal_age: u64,
    /// As there.
    pub memory_limit: u64,
    /// As there.
    pub log_file_bytes: u64,
    /// As there.
    pub catalog_edit_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let Options {
            seal_bytes,
            wal_bytes_max,
            seal_idle,
            seal_age,
            memory_limit,
            log_file_bytes,
            catalog_edit_bytes,
            ..
        } = Options::default();
        Self {
            seal_bytes,
            wal_bytes_max,
            seal_idle,
            seal_age,
            memory_limit,
            log_file_bytes,
            catalog_edit_bytes,
        }
    }
}

impl Limits {
    fn of(dice: &mut Dice) -> Self {
        let defaults = Self::default();
        Self {
            seal_bytes: *dice.pick(&[defaults.seal_bytes, 1, 3_000, 30_000]),
            wal_bytes_max: *dice.pick(&[defaults.wal_bytes_max, 8_192, 50_000]),
            seal_idle: *dice.pick(&[defaults.seal_idle, 5 * MILLISECOND]),
            seal_age: *dice.pick(&[defaults.seal_age, HOUR]),
            memory_limit: *dice.pick(&[
                defaults.memory_limit,
                defaults.memory_limit,
                defaults.memory_limit,
                60_000,
            ]),
            log_file_bytes: *dice.pick(&[defaults.log_file_bytes, 4_097, 6_000, 12_000]),
            catalog_edit_bytes: *dice.pick(&[defaults.catalog_edit_bytes, 1, 2_000]),
        }
    }

    /// True where Exports may be refused for want of memory.
    pub fn is_tight(&self) -> bool {
        self.memory_limit < Self::default().memory_limit
    }

    /// The options of a store.
    pub fn options(&self) -> Options {
        Options {
            seal_bytes: self.seal_bytes,
            wal_bytes_max: self.wal_bytes_max,
            seal_idle: self.seal_idle,
            seal_age: self.seal_age,
            memory_limit: self.memory_limit,
            log_file_bytes: self.log_file_bytes,
            catalog_edit_bytes: self.catalog_edit_bytes,
            seal_by_itself: false,
            ..Options::default()
        }
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let universes = (0..dice.between(1, 3))
            .map(|_| match dice.percent(50) {
                true => Universe::plain(&mut dice),
                false => Universe::wild(&mut dice),
            })
            .collect();
        let temper = Temper {
            crashes: dice.percent(75),
            traps: dice.percent(60),
            space: dice.percent(40),
            spoils: dice.percent(40),
            jumps: dice.percent(30),
            purges: dice.percent(40),
        };
        let mut inventor = Inventor { dice, universes, sent: Vec::new(), temper };
        let limits = Limits::of(&mut inventor.dice);
        let now = *inventor.dice.pick(&[1_771_100_000 * SECOND, 1_771_100_000 * SECOND, SECOND]);
        let length = inventor.dice.between(5, 45);
        let steps = (0..length).map(|_| inventor.step()).collect();
        Self { seed, universes: inventor.universes, now, limits, steps }
    }
}

impl Plan {
    /// A plan of one tenancy told by hand; `tell` gets a maker of Exports, none of them empty.
    pub fn told(
        seed: u64,
        limits: Limits,
        tell: impl FnOnce(&mut dyn FnMut() -> Sent) -> Vec<Step>,
    ) -> Self {
        let mut dice = Dice::new(seed);
        let mut universe = Universe::plain(&mut dice);
        let mut export = || loop {
            let bytes = bytes_of(&universe.batch(&mut dice), Encoding::Plain);
            let sent = Sent { tenancy: 0, bytes };
            if sent.is_worth_keeping() {
                return sent;
            }
        };
        let steps = tell(&mut export);
        Self { seed, universes: vec![universe], now: 1_771_100_000 * SECOND, limits, steps }
    }
}

/// Makes up steps, remembering what was sent.
struct Inventor {
    dice: Dice,
    universes: Vec<Universe>,
    sent: Vec<(usize, Node)>,
    temper: Temper,
}

impl Inventor {
    fn step(&mut self) -> Step {
        let Temper { crashes, traps, space, spoils, jumps, purges } = self.temper;
        loop {
            return match self.dice.below(100) {
                0..8 => Step::Do(Task::Flush),
                8..15 => Step::Do(Task::SealDue),
                15 | 16 if purges => Step::Do(Task::Purge),
                17..24 => self.meanwhile(),
                24..30 => Step::Group(self.group()),
                30..36 => Step::Ask(self.dice.roll()),
                36..39 => Step::Walk(self.dice.roll()),
                39..43 => Step::WalkOn(self.dice.roll()),
                43 | 44 => Step::Hold(self.dice.below(self.universes.len())),
                45 | 46 => Step::Look(self.dice.roll()),
                47 | 48 => Step::Wait(*self.dice.pick(&[MILLISECOND, 6 * SECOND, 2 * HOUR])),
                49 if jumps => {
                    let hours = self.dice.between(0, 1000) as i64 - 500;
                    Step::ClockJump(hours * HOUR as i64)
                }
                50..56 if traps => Step::Trap(self.trap()),
                56..58 if space => Step::Full(self.dice.below(9000) as u64),
                58..61 if traps || space => Step::Heal,
                61..66 if crashes => self.end_after(),
                66..72 => self.reopen(),
                72 if spoils => Step::SpoilSegment(self.dice.roll()),
                73 | 74 if spoils => Step::SpoilCopy(self.dice.roll()),
                75.. => Step::Export(self.export()),
                _ => continue,
            };
        }
    }

    fn reopen(&mut self) -> Step {
        let end = match self.dice.below(6) {
            0 => End::Close,
            1 => End::Drop,
            _ if self.temper.crashes => End::Sudden(self.death()),
            _ => End::Drop,
        };
        let count = if self.temper.traps { self.dice.below(2) } else { 0 };
        let traps = (0..count).map(|_| self.trap()).collect();
        let again = self.temper.crashes && self.dice.percent(30);
        let death = again.then(|| (self.death(), self.dice.below(60) as u64));
        Step::Reopen(end, traps, death)
    }

    fn death(&mut self) -> Death {
        *self.dice.pick(&[Death::Power, Death::Kill])
    }

    fn end_after(&mut self) -> Step {
        let calls = if self.dice.percent(60) { 8 } else { 40 };
        Step::EndAfter(self.death(), self.dice.below(calls) as u64)
    }

    fn meanwhile(&mut self) -> Step {
        let task = match self.dice.below(8) {
            0 if self.temper.purges => Task::Purge,
            1 | 2 => Task::SealDue,
            _ => Task::Flush,
        };
        let call = self.dice.below(24) as u32;
        let steps = (0..self.dice.between(1, 4))
            .map(|_| match self.dice.below(12) {
                0 => Step::Ask(self.dice.roll()),
                1 => Step::WalkOn(self.dice.roll()),
                2 => Step::Hold(self.dice.below(self.universes.len())),
                3 => Step::Look(self.dice.roll()),
                4 if self.temper.traps => Step::Trap(self.trap()),
                5 if self.temper.crashes => self.end_after(),
                6 => Step::Group(self.group()),
                _ => Step::Export(self.export()),
            })
            .collect();
        Step::Meanwhile(task, call, steps)
    }

    fn trap(&mut self) -> Trap {
        let call = *self.dice.pick(&[
            Call::Read,
            Call::Write,
            Call::Write,
            Call::Sync,
            Call::Sync,
            Call::SyncNames,
            Call::Name,
        ]);
        let room = *self.dice.pick(&["", "wal", "catalog", "segments", "tmp"]);
        let skip = *self.dice.pick(&[0, 0, 0, 1, 2, 5, 9]);
        let times = *self.dice.pick(&[1, 1, 1, 2, 20]);
        Trap { call, room, skip, times }
    }

    /// At least two, each with a span to keep.
    fn group(&mut self) -> Vec<Sent> {
        let count = self.dice.between(2, 6);
        let mut all = Vec::new();
        while all.len() < count {
            let sent = self.export();
            if sent.is_worth_keeping() {
                all.push(sent);
            }
        }
        all
    }

    fn export(&mut self) -> Sent {
        let tenancy = self.dice.below(self.universes.len());
        let retried = !self.sent.is_empty() && self.dice.percent(30);
        let (tenancy, tree) = match retried {
            true => self.dice.pick(&self.sent).clone(),
            false => (tenancy, self.batch(tenancy)),
        };
        let encoding = match self.dice.below(12) {
            0 => Encoding::Twisted(self.dice.roll()),
            1 => Encoding::Doubled,
            _ => Encoding::Plain,
        };
        let tree = match retried && self.dice.percent(25) {
            true => part_of(&tree, &mut self.dice),
            false => tree,
        };
        self.sent.push((tenancy, tree.clone()));
        Sent { tenancy, bytes: bytes_of(&tree, encoding) }
    }

    /// Mostly a few spans, now and then many.
    fn batch(&mut self, tenancy: usize) -> Node {
        let universe = &mut self.universes[tenancy];
        if !self.dice.percent(2) {
            return universe.batch(&mut self.dice);
        }
        let count = self.dice.between(20, 120);
        let spans: Vec<Node> = (0..count).map(|_| universe.span(&mut self.dice)).collect();
        let scope = Node::default().with_nodes(2, spans);
        let resource = Node::default().with_nodes(2, [scope]);
        Node::default().with_nodes(1, [resource]).tidy(&TRACES)
    }
}
