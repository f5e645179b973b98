//! What a run is told and what it gives: a manner flows in, an outcome or a failure flows out. A
//! failure prints all that is needed to play it again.

use std::fmt;

use crate::sim::disk::Lie;
use crate::sim::report::Tally;

/// A run that went wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What was wrong.
    pub what: String,
    /// The steps up to there.
    pub trace: Vec<String>,
    /// The calls to the disk, where a journal was kept.
    pub journal: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, what, trace, journal } = self;
        writeln!(f, "seed {seed}: {what}\nsteps:")?;
        trace.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        if !journal.is_empty() {
            writeln!(f, "last calls to the disk:")?;
            let from = journal.len().saturating_sub(400);
            journal[from..].iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        write!(f, "again: SPANLAKE_SEED={seed} cargo test -p spanlake-tests --test simulate")
    }
}

/// What a run gives.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Numbers.
    pub tally: Tally,
    /// A hash of all calls to the disk: equal for equal runs.
    pub hash: u64,
    /// The calls themselves, where a journal was kept.
    pub journal: Vec<String>,
}

/// How a plan is played.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// A disk that breaks its promises.
    pub lie: Option<Lie>,
    /// Keep the calls to the disk for the report.
    pub journal: bool,
}
