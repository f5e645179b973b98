//! Rollups: what a segment's rows add up to by the minute, so that counting over days reads sums
//! and not rows. Rows of batches flow in, counts flow out: calls between services ([`calls`]),
//! exact also where a trace lies in several segments ([`CallRollup`]), and
//! calls, errors and durations of services ([`rates`]). Pure; knows batches and
//! nothing else: seals make rollups, segments keep them, queries add them up.

pub(crate) mod calls;
pub(crate) mod rates;

use std::sync::Arc;

use hashbrown::HashMap;

use crate::batch::Batch;

/// Nanoseconds that one count stands for.
pub(crate) const MINUTE: u64 = 60_000_000_000;
/// Minutes there are; a start in 64 bits lies in one of them.
pub(crate) const MINUTES: u32 = (u64::MAX / MINUTE) as u32 + 1;

/// The minute a start lies in, counted from 1970.
pub(crate) fn minute_of(start: u64) -> u32 {
    // Below MINUTES, hence within 32 bits.
    (start / MINUTE) as u32
}

/// Names of services, each with a number.
#[derive(Debug, Default)]
pub(crate) struct Services {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Services {
    pub(crate) fn number(&mut self, name: &Arc<str>) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len() as u32;
        self.names.push(Arc::clone(name));
        self.numbers.insert(Arc::clone(name), number);
        number
    }

    /// By number of resource of a batch, the number of its service.
    pub(crate) fn of_resources(&mut self, batch: &Batch) -> Vec<u32> {
        batch.resources.iter().map(|resource| self.number(&resource.service)).collect()
    }

    pub(crate) fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", |name| name)
    }

    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.names
    }
}

/// Calls of one minute between two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Edge {
    pub(crate) minute: u32,
    pub(crate) caller: u32,
    pub(crate) called: u32,
}

/// Sums by edge. What comes from a file may be absurd: sums wrap, and whoever reads them checks.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    sums: HashMap<Edge, i64>,
    /// The edge that was counted last: spans that follow each other mostly repeat it.
    last: Option<(Edge, i64)>,
}

impl Counts {
    pub(crate) fn add(&mut self, edge: Edge, more: i64) {
        match &mut self.last {
            Some((last, sum)) if *last == edge => *sum = sum.wrapping_add(more),
            _ => {
                self.settle();
                self.last = Some((edge, more));
            }
        }
    }

    fn settle(&mut self) {
        if let Some((edge, more)) = self.last.take() {
            let sum = self.sums.entry(edge).or_default();
            *sum = sum.wrapping_add(more);
        }
    }

    /// All sums but zeros, by edge.
    pub(crate) fn sorted(mut self) -> Vec<(Edge, i64)> {
        self.settle();
        let mut all: Vec<(Edge, i64)> = self.sums.into_iter().filter(|(_, n)| *n != 0).collect();
        all.sort_unstable();
        all
    }
}

/// What a segment keeps of its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rollup {
    pub(crate) calls: CallRollup,
    pub(crate) rates: rates::RateRollup,
}

/// The calls a segment adds to a store. Over the segments that are there, the sum of all `alone`
/// and of the corrections of all torn traces is what counting over whole traces gives, as long
/// as the segments each correction was made with are still there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CallRollup {
    /// What the numbers of edges stand for.
    pub(crate) services: Vec<Arc<str>>,
    /// Its traces, counted as if it were the only segment; by edge, none below 1.
    pub(crate) alone: Vec<(Edge, i64)>,
    /// Names of the segments that corrections were made with.
    pub(crate) bases: Vec<String>,
    /// Traces with rows in other segments too, by first row.
    pub(crate) torn: Vec<Torn>,
}

/// A trace that had rows in other segments when this one was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Torn {
    /// Its first row in this segment.
    pub(crate) first_row: u32,
    /// The other segments, as places in [`CallRollup::bases`]. None where it could not be told
    /// what they hold: such a trace has no correction, and is counted from its rows for ever.
    pub(crate) bases: Vec<u32>,
    /// What the trace is over all these rows, less what it is over theirs, less what it is here
    /// alone; by edge, no zeros.
    pub(crate) corrections: Vec<(Edge, i64)>,
}
