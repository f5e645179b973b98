//! What a store must hold and what it may: acknowledged Exports for certain; Exports whose answer
//! never came, each whole or absent; a purge that failed, done or not. After a start the truth is
//! certain again: what was there then must stay, what was not must never come.

use std::sync::Arc;

use crate::model::spans::{Multiset, Outcome, acceptable, multiset, placed};
use crate::model::{Model, Placed};

/// One side per tenancy.
type Sides = Vec<Model>;

/// An Export that was acknowledged.
#[derive(Debug, Clone)]
pub struct Acked {
    /// Whose.
    pub tenancy: usize,
    /// Its accepted spans.
    pub spans: Arc<Multiset>,
    /// Which sync made it durable.
    pub group: u64,
}

/// What is known.
#[derive(Debug, Clone)]
pub struct Truth {
    /// What is certain, and what a running store must show.
    pub sides: Sides,
    /// Every acknowledged Export since the last purge.
    pub history: Vec<Acked>,
    unsure: Vec<Acked>,
    /// What would be certain had the unsure purge happened.
    purged: Option<(Sides, Vec<Acked>)>,
    /// A purge is under way: it takes what was there when it began.
    purging: bool,
    group: u64,
}

fn accepted(bytes: &[u8]) -> (Multiset, Outcome) {
    let (good, bad): (Vec<Placed>, Vec<Placed>) =
        placed(bytes).expect("a valid Export").into_iter().partition(|p| acceptable(&p.span));
    let outcome = Outcome { accepted: good.len() as u64, rejected: bad.len() as u64 };
    (multiset(good), outcome)
}

/// True where every span is there in as many copies.
pub fn contains(side: &Model, spans: &Multiset) -> bool {
    spans.iter().all(|(span, copies)| {
        side.traces.get(&span.trace_id()).and_then(|t| t.get(span)).is_some_and(|n| n >= copies)
    })
}

impl Truth {
    /// Nothing is there yet.
    pub fn new(tenancies: usize) -> Self {
        Self {
            sides: vec![Model::default(); tenancies],
            history: Vec::new(),
            unsure: Vec::new(),
            purged: None,
            purging: false,
            group: 0,
        }
    }

    /// An Export was acknowledged; says what the answer should have been.
    pub fn ack(&mut self, tenancy: usize, bytes: &[u8]) -> (Outcome, Arc<Multiset>) {
        let (spans, outcome) = accepted(bytes);
        let spans = Arc::new(spans);
        let acked = Acked { tenancy, spans: Arc::clone(&spans), group: self.group };
        self.sides[tenancy].take(&spans);
        if let Some((sides, history)) = &mut self.purged {
            sides[tenancy].take(&spans);
            history.push(acked.clone());
        }
        self.history.push(acked);
        (outcome, spans)
    }

    /// What is acknowledged from here on was synced later.
    pub fn next_group(&mut self) {
        self.group += 1;
    }

    /// True for what the last sync made durable.
    pub fn is_last(&self, acked: &Acked) -> bool {
        acked.group == self.history.iter().map(|acked| acked.group).max().unwrap_or(0)
    }

    /// An Export may have been kept.
    pub fn doubt(&mut self, tenancy: usize, bytes: &[u8]) {
        let (spans, _) = accepted(bytes);
        self.unsure.push(Acked { tenancy, spans: Arc::new(spans), group: self.group });
    }

    /// Exports in doubt.
    pub fn doubts(&self) -> usize {
        self.unsure.len()
    }

    /// True where nothing is in doubt.
    pub fn is_certain(&self) -> bool {
        self.unsure.is_empty() && self.purged.is_none()
    }

    /// A purge begins: what is acknowledged from here on survives it.
    pub fn begin_purge(&mut self) {
        self.purging = true;
        self.purged = Some((vec![Model::default(); self.sides.len()], Vec::new()));
    }

    /// The purge is over: done, or in doubt.
    pub fn end_purge(&mut self, done: bool) {
        self.purging = false;
        if done && let Some((sides, history)) = self.purged.take() {
            (self.sides, self.history) = (sides, history);
        }
    }

    /// What a running store may show: what is certain, and while a purge is under way also what
    /// it leaves.
    pub fn shown(&self, tenancy: usize) -> (&Model, Option<&Model>) {
        let purged = self.purged.as_ref().filter(|_| self.purging);
        (&self.sides[tenancy], purged.map(|(sides, _)| &sides[tenancy]))
    }

    /// A start shows what the store holds; from here on that is certain.
    ///
    /// # Errors
    /// Words for what is wrong where no fate of what was in doubt explains it.
    pub fn settle(&mut self, found: Sides) -> Result<(), String> {
        let unpurged = (self.sides.clone(), self.history.clone());
        let alternatives = [Some(unpurged), self.purged.take()];
        let mut differs = None;
        for (mut sides, mut history) in alternatives.into_iter().flatten() {
            for one in &self.unsure {
                if contains(&found[one.tenancy], &one.spans) {
                    sides[one.tenancy].take(&one.spans);
                    history.push(one.clone());
                }
            }
            if sides.iter().zip(&found).all(|(s, f)| s.traces == f.traces) {
                (self.sides, self.history) = (sides, history);
                (self.unsure, self.purging) = (Vec::new(), false);
                return Ok(());
            }
            differs.get_or_insert(difference(&sides, &found));
        }
        Err(format!("{} ({} Exports in doubt)", differs.unwrap_or_default(), self.unsure.len()))
    }
}

/// The first spans that are there and should not be, or the other way round.
fn difference(expected: &[Model], found: &[Model]) -> String {
    let count = |m: &Model| m.traces.values().flat_map(|t| t.values()).sum::<u64>();
    let mut words = Vec::new();
    for (tenancy, (expected, found)) in expected.iter().zip(found).enumerate() {
        if expected.traces == found.traces {
            continue;
        }
        let lacks = |a: &Model, b: &Model| {
            let missing = a.traces.values().flatten().find_map(|(span, n)| {
                let there = b.traces.get(&span.trace_id()).and_then(|t| t.get(span)).copied();
                (there.unwrap_or(0) < *n).then(|| (span.clone(), *n, there.unwrap_or(0)))
            });
            missing.map(|(span, n, there)| {
                format!(
                    "trace {:02x?} span {:02x?}: {there} of {n}",
                    span.trace_id(),
                    span.span_id()
                )
            })
        };
        words.push(format!(
            "tenancy {tenancy}: {} spans instead of {}; missing {:?}; too many {:?}",
            count(found),
            count(expected),
            lacks(expected, found),
            lacks(found, expected),
        ));
    }
    words.join("; ")
}
