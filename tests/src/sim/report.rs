//! What a run did, in numbers: faults by kind, steps, answers. Sums over many seeds are what a
//! test prints.

use std::fmt;

/// Kinds of faults, as they are counted: only what really happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The machine lost power.
    PowerCut,
    /// The process was killed.
    Kill,
    /// An unsynced write was lost.
    WriteLost,
    /// An unsynced write was kept in part, by sectors.
    WriteTorn,
    /// An unsynced name was lost.
    NameLost,
    /// A removed name came back, its directory unsynced.
    NameBack,
    /// After a failed sync the kernel forgot what it had shown.
    PageDropped,
    /// A sync failed with EIO.
    SyncFailed,
    /// A write failed with EIO, a part of it done.
    WriteFailed,
    /// Something needed space and failed with ENOSPC, a part of it done.
    NoSpace,
    /// A read failed with EIO.
    ReadFailed,
    /// Making, giving, taking or opening a name failed with EIO.
    NameFailed,
    /// A bit of a file at rest was flipped.
    BitFlip,
    /// A sector of a file at rest was zeroed.
    SectorZeroed,
    /// The wall's clock jumped.
    ClockJump,
}

const FAULTS: [(Fault, &str); 15] = [
    (Fault::PowerCut, "power cuts"),
    (Fault::Kill, "kills"),
    (Fault::WriteLost, "unsynced writes lost"),
    (Fault::WriteTorn, "unsynced writes torn"),
    (Fault::NameLost, "unsynced names lost"),
    (Fault::NameBack, "removed names back"),
    (Fault::PageDropped, "files re-read after a failed sync"),
    (Fault::SyncFailed, "syncs failed"),
    (Fault::WriteFailed, "writes failed or short"),
    (Fault::NoSpace, "no space"),
    (Fault::ReadFailed, "reads failed"),
    (Fault::NameFailed, "names failed"),
    (Fault::BitFlip, "bits flipped at rest"),
    (Fault::SectorZeroed, "sectors zeroed at rest"),
    (Fault::ClockJump, "clock jumps"),
];

/// Numbers of one run or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    faults: [u64; FAULTS.len()],
    /// Steps taken.
    pub steps: u64,
    /// Exports acknowledged.
    pub acked: u64,
    /// Exports that failed, by what they may have left: nothing, or perhaps all of them.
    pub refused: u64,
    /// Exports whose fate only the next start told.
    pub unsure: u64,
    /// Times a store was opened.
    pub opened: u64,
    /// Questions answered exactly.
    pub answers: u64,
    /// Questions answered by an error that names the fault.
    pub named: u64,
}

impl Tally {
    /// Counts a fault.
    pub fn add(&mut self, fault: Fault) {
        if let Some(count) = self.faults.get_mut(fault as usize) {
            *count += 1;
        }
    }

    /// Adds another's numbers.
    pub fn join(&mut self, other: &Tally) {
        self.faults.iter_mut().zip(&other.faults).for_each(|(a, b)| *a += b);
        self.steps += other.steps;
        self.acked += other.acked;
        self.refused += other.refused;
        self.unsure += other.unsure;
        self.opened += other.opened;
        self.answers += other.answers;
        self.named += other.named;
    }

    /// How many of a kind.
    pub fn of(&self, fault: Fault) -> u64 {
        self.faults.get(fault as usize).copied().unwrap_or(0)
    }

    /// All faults.
    pub fn faults(&self) -> u64 {
        self.faults.iter().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} steps; {} Exports acknowledged, {} refused, {} unsure; {} starts; {} answers exact, \
             {} named errors; {} faults:",
            self.steps,
            self.acked,
            self.refused,
            self.unsure,
            self.opened,
            self.answers,
            self.named,
            self.faults()
        )?;
        FAULTS.iter().try_for_each(|(fault, name)| writeln!(f, "{:>10} {name}", self.of(*fault)))
    }
}
