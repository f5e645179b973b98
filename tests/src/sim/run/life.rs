//! Lives of the store: how one ends, how the next begins, and what it must then hold. A start that
//! fails is tried again once its faults are gone; what a start shows is judged before any other
//! step. What the store says by itself is heard here, too.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use spanlake::{Event, Observer, Store};

use super::{PATIENCE, Run, brief};
use crate::sim::disk::{Death, Trap};
use crate::sim::steps::End;

/// Remembers what must not be overheard.
#[derive(Debug, Default)]
pub(super) struct Ear(Mutex<Vec<String>>);

impl Observer for Ear {
    fn observe(&self, event: &Event) {
        let told = match event {
            Event::LogDamaged { .. } => true,
            Event::WriteFailed { cause } => cause.contains("ended in a bug"),
            _ => false,
        };
        if told {
            self.0.lock().expect("an ear").push(format!("{event:?}"));
        }
    }
}

impl Run<'_> {
    /// Nothing was said that should not be: no acknowledged frame is ever damaged here, and no
    /// thread ends in a bug.
    pub(super) fn quiet(&self) {
        let heard = self.ear.0.lock().expect("an ear");
        assert!(heard.is_empty(), "{}: {heard:?}", self.label());
    }

    pub(super) fn reopen(&mut self, end: End, traps: &[Trap], death: Option<(Death, u64)>) {
        self.tell(format_args!("{end:?}, then {traps:?} {death:?}"));
        match end {
            End::Close => {
                let closed = self.store().close(PATIENCE);
                let explained = self.disk.scars().any > 0 || self.disk.is_dead();
                let fine = matches!(closed, Ok(true)) || explained;
                assert!(fine, "{}: close without a fault: {closed:?}", self.label());
                self.store = None;
            }
            End::Drop => self.store = None,
            End::Sudden(death) => self.disk.end(death),
        }
        if self.disk.is_dead() {
            self.end();
        }
        // A full disk stays full: there must be a way to start on it.
        self.disk.untrap();
        traps.iter().for_each(|trap| self.disk.set(trap.clone()));
        if let Some((death, calls)) = death {
            self.disk.end_after(death, calls);
        }
        self.open();
    }

    /// The machine or the process has ended; what comes next is another disk.
    pub(super) fn end(&mut self) {
        self.tell("the end");
        let disk = self.disk.after_end();
        (self.store, self.held) = (None, Vec::new());
        self.gather_tally();
        self.disk = disk;
    }

    /// Opens the store, again where a fault prevents it, and holds what it has against what it
    /// must have.
    pub(super) fn open(&mut self) {
        loop {
            self.lives += 1;
            self.disk.begin_life();
            self.ear = Arc::default();
            let opened = Store::open_in(self.world(&self.disk), self.options(self.ear.clone()));
            self.tell(format_args!("open: {}", brief(&opened)));
            self.quiet();
            match opened {
                Ok(store) => self.store = Some(store),
                Err(error) => {
                    let dead = self.disk.is_dead();
                    let explained = self.disk.scars().any > 0 || dead;
                    assert!(explained, "{}: open without a fault: {error:?}", self.label());
                }
            }
            if self.disk.is_dead() {
                self.end();
                continue;
            }
            self.disk.calm();
            if self.store.is_some() {
                break;
            }
        }
        self.tally.opened += 1;
        self.judge();
    }

    fn judge(&mut self) {
        let store = self.store();
        let found = (0..self.plan.universes.len())
            .map(|at| self.content(&store, at).expect("a sound disk is read"))
            .collect();
        if let Err(words) = self.truth.settle(found) {
            panic!("{}: after a start the store holds what it must not: {words}", self.label());
        }
        let listed: BTreeSet<String> = store.segments().into_iter().map(|s| s.name).collect();
        let names = self.disk.names();
        let there: BTreeSet<String> =
            names.iter().filter(|n| n.starts_with("segments/")).cloned().collect();
        assert_eq!(there, listed, "{}: files of segments (right: listed)", self.label());
        // A draft that this start could not take away is the next one's.
        let faultless = self.disk.scars().any == 0;
        let left: Vec<&String> = names
            .iter()
            .filter(|n| n.starts_with("quarantine/") || faultless && n.starts_with("tmp/"))
            .collect();
        assert!(left.is_empty(), "{}: left behind: {left:?}", self.label());
        let view = store.view();
        for at in 0..self.plan.universes.len() {
            // The spans themselves have just been compared.
            let counts = self.check(&view, &self.truth.sides[at], at, "start", |checker| {
                checker.check_outlines(&self.plan.universes[at]);
            });
            self.count(counts);
        }
    }
}
