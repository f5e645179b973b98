//! Questions: to the store as it is, and to views that were kept. The model of what must be shown
//! stands behind each; on a disk that is not sound an answer may name a fault instead, and
//! never be wrong.

use spanlake::{Cancel, Error, ErrorKind, Result, Store, View};

use super::{Run, brief, tenancy};
use crate::model::check::try_drain;
use crate::model::{Checker, Dice, Model};

/// A view that was kept, and what it showed.
pub(super) struct Held {
    view: View,
    tenancy: usize,
    model: Model,
    since: usize,
}

/// Kinds of errors a fault of the disk may surface as in an answer.
pub(in crate::sim) fn names_a_fault(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Corrupted)
}

impl Run<'_> {
    /// A checker of what the store shows now.
    pub(super) fn check(
        &self,
        view: &View,
        model: &Model,
        at: usize,
        words: &str,
        ask: impl FnOnce(&Checker<'_>),
    ) -> (u64, u64) {
        let case = format!("{} {words}, tenancy {at}", self.label());
        let sound = self.disk.is_sound();
        let checker = Checker {
            tenancy: tenancy(at),
            forgives: if sound { |_| false } else { names_a_fault },
            ..Checker::new(view, model, case)
        };
        ask(&checker);
        (checker.exact.get(), checker.forgiven.get())
    }

    /// What the view must show; `None` where a fault hides it.
    pub(super) fn shown(&self, view: &View, at: usize) -> Option<&Model> {
        let (certain, purged) = self.truth.shown(at);
        let Some(purged) = purged else { return Some(certain) };
        let sound = self.disk.is_sound();
        match self.content_of(view, at) {
            Ok(found) if found.traces == certain.traces => Some(certain),
            Ok(found) if found.traces == purged.traces => Some(purged),
            Ok(_) => panic!("{}: a view shows half a purge", self.label()),
            Err(error) if !sound && names_a_fault(&error) => None,
            Err(error) => panic!("{}: {error:?}", self.label()),
        }
    }

    pub(super) fn count(&mut self, (exact, forgiven): (u64, u64)) {
        // Power went while the answer was made: nobody hears it.
        self.tally.answers += exact;
        self.tally.named += forgiven;
    }

    pub(super) fn ask(&mut self, seed: u64) {
        let mut dice = Dice::new(seed);
        let at = dice.below(self.plan.universes.len());
        self.tell(format_args!("ask, tenancy {at}"));
        let view = self.store().view();
        let Some(model) = self.shown(&view, at) else { return };
        let counts = self.check(&view, model, at, "ask", |checker| {
            checker.check_some(&self.plan.universes[at], &mut dice, 3);
        });
        self.count(counts);
    }

    pub(super) fn hold(&mut self, at: usize) {
        self.tell(format_args!("a view is kept, tenancy {at}"));
        if self.held.len() >= 3 {
            self.held.remove(0);
        }
        let view = self.store().view();
        let Some(model) = self.shown(&view, at).cloned() else { return };
        self.held.push(Held { view, tenancy: at, model, since: self.at });
    }

    pub(super) fn look(&mut self, seed: u64) {
        if self.held.is_empty() {
            return;
        }
        let mut dice = Dice::new(seed);
        let at = dice.below(self.held.len());
        let Held { view, tenancy, model, since } = &self.held[at];
        let (words, side) = (format!("view of step {since}"), *tenancy);
        let counts = self.check(view, model, side, &words, |checker| {
            checker.check_some(&self.plan.universes[side], &mut dice, 2);
        });
        self.tell(format_args!("the {words} is asked"));
        self.count(counts);
    }

    /// On a sound disk everything works that no fault of this life has broken for good.
    pub(super) fn works(&mut self) {
        if self.disk.is_dead() || !self.disk.is_sound() {
            return;
        }
        let scars = self.disk.scars();
        let store = self.store();
        if !scars.log && !scars.catalog {
            assert!(store.stats().write_available, "{}: the gate is open: {scars:?}", self.label());
        }
        if !scars.catalog && !scars.log {
            let flushed = store.flush();
            self.tell(format_args!("flush: {}", brief(&flushed)));
            assert!(flushed.is_ok(), "{}: flush on a sound disk: {flushed:?}", self.label());
        }
        let view = store.view();
        for at in 0..self.plan.universes.len() {
            let counts = self.check(&view, &self.truth.sides[at], at, "all", |checker| {
                checker.check_all(&self.plan.universes[at]);
            });
            self.count(counts);
        }
    }

    /// Everything a tenancy holds of its universe.
    pub(in crate::sim) fn content(&self, store: &Store, at: usize) -> Result<Model> {
        self.content_of(&store.view(), at)
    }

    fn content_of(&self, view: &View, at: usize) -> Result<Model> {
        let ids = self.plan.universes[at].trace_ids();
        let stream = view.get_traces(&tenancy(at), ids, Cancel::new());
        let traces = try_drain(stream, 1 << 20, &self.label())?;
        Ok(Model { traces: traces.into_iter().map(|(id, set)| (id.0, set)).collect() })
    }
}
