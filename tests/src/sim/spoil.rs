//! Bits flipped and sectors zeroed at rest: whatever the place, the store says which file is at
//! fault or answers exactly; what it lacks then it says it lacks; it never makes spans up and
//! never panics.

use std::sync::{Arc, Mutex};

use spanlake::{Cancel, Error, ErrorKind, Event, Observer, Store, TraceQuery};

use super::disk::SimDisk;
use super::report::Fault;
use super::run::{Run, names_a_fault};
use super::truth::contains;
use crate::model::{Checker, Dice, Model};

/// Hears of losses.
#[derive(Debug, Default)]
struct LossEar(Mutex<Vec<String>>);

impl Observer for LossEar {
    fn observe(&self, event: &Event) {
        let loss = match event {
            Event::LogDamaged { .. } => true,
            Event::Recovered { torn_bytes, .. } => *torn_bytes > 0,
            _ => false,
        };
        if loss {
            self.0.lock().expect("an ear").push(format!("{event:?}"));
        }
    }
}

/// Changes one place of a file; says how.
fn spoil(disk: &SimDisk, file: &str, dice: &mut Dice) -> String {
    let bytes = disk.bytes(file);
    let at = dice.below(bytes.len().max(1));
    if dice.percent(75) {
        let bit = dice.below(8);
        disk.spoil(file, |bytes| bytes[at] ^= 1 << bit);
        disk.count(Fault::BitFlip);
        return format!("{file}: bit {bit} of byte {at} of {} flipped", bytes.len());
    }
    let from = at / 512 * 512;
    let to = (from + 512).min(bytes.len());
    disk.spoil(file, |bytes| bytes[from..to].fill(0));
    disk.count(Fault::SectorZeroed);
    format!("{file}: {from}..{to} of {} zeroed", bytes.len())
}

impl Run<'_> {
    /// A bad place in a segment of the running store: every answer is exact or names the file.
    pub(super) fn spoil_segment(&mut self, seed: u64) {
        let mut dice = Dice::new(seed);
        let files: Vec<String> =
            self.store().segments().into_iter().map(|segment| segment.name).collect();
        if files.is_empty() {
            return;
        }
        let file = dice.pick(&files).clone();
        let sound = self.disk.bytes(&file);
        let how = spoil(&self.disk, &file, &mut dice);
        self.tell(format_args!("{how}, for a while"));
        let view = self.store().view();
        for (at, universe) in self.plan.universes.iter().enumerate() {
            let checker = Checker {
                tenancy: self.tenancy(at),
                forgives: names_a_fault,
                ..Checker::new(&view, &self.truth.sides[at], format!("{how}, tenancy {at}"))
            };
            checker.check_all(universe);
            checker.check_some(universe, &mut dice, 4);
            self.tally.answers += checker.exact.get();
            self.tally.named += checker.forgiven.get();
        }
        self.disk.spoil(&file, |bytes| *bytes = sound);
    }

    /// A bad place in any file of a copy of the disk.
    pub(super) fn spoil_copy(&mut self, seed: u64) {
        if !self.truth.is_certain() {
            return;
        }
        let mut dice = Dice::new(seed);
        let copy = self.disk.copy();
        // One trouble at a time.
        copy.heal();
        let files: Vec<String> =
            copy.names().into_iter().filter(|name| !copy.bytes(name).is_empty()).collect();
        let file = dice.pick(&files).clone();
        let how = spoil(&copy, &file, &mut dice);
        let ear = Arc::new(LossEar::default());
        let opened = Store::open_in(self.world(&copy), self.options(ear.clone()));
        let told = ear.0.lock().expect("an ear").clone();
        let words = opened.as_ref().map_or_else(|e| format!("{e:?}"), |_| format!("{told:?}"));
        self.tell(format_args!("of a copy, {how}: {words}"));
        match opened {
            Ok(store) => self.judge_spoiled(&store, &file, &how, &told),
            Err(error) => {
                assert!(is_named(&error, &file), "{how}: the file is named: {error:?}");
                self.tally.named += 1;
            }
        }
        let tally = copy.take_tally();
        self.tally.join(&tally);
    }

    fn judge_spoiled(&mut self, store: &Store, file: &str, how: &str, told: &[String]) {
        let mut complete = true;
        for at in 0..self.plan.universes.len() {
            let model = &self.truth.sides[at];
            let found = match self.content(store, at) {
                Ok(found) => found,
                Err(error) => {
                    assert!(is_named(&error, file), "{how}: the file is named: {error:?}");
                    self.tally.named += 1;
                    complete = false;
                    continue;
                }
            };
            if found.traces == model.traces {
                self.tally.answers += 1;
                continue;
            }
            let mut whole = Model::default();
            for acked in self.truth.history.iter().filter(|acked| acked.tenancy == at) {
                if contains(&found, &acked.spans) {
                    whole.take(&acked.spans);
                } else {
                    // The log's last group has nobody behind it to vouch for it.
                    let beyond_telling = file.starts_with("wal/") && self.truth.is_last(acked);
                    let named = !told.is_empty() || beyond_telling;
                    assert!(named, "{how}: spans are missing and nobody said so");
                }
            }
            assert!(whole.traces == found.traces, "{how}: an Export is half there");
        }
        let view = store.view();
        for at in 0..self.plan.universes.len() {
            let (tenancy, query, cancel) = (self.tenancy(at), TraceQuery::default(), Cancel::new());
            let outcomes = [
                view.find_trace_ids(&tenancy, &query, &cancel).map(drop),
                view.find_summaries(&tenancy, &query, &cancel).map(drop),
                view.services(&tenancy).map(drop),
                view.dependencies(&tenancy, None, None, &cancel).map(drop),
            ];
            for error in outcomes.into_iter().filter_map(Result::err) {
                assert!(is_named(&error, file), "{how}: the file is named: {error:?}");
                complete = false;
            }
        }
        if complete {
            let flushed = store.flush();
            assert!(flushed.is_ok(), "{how}: a store that reads everything seals: {flushed:?}");
        }
    }
}

/// True where the error names the damaged file.
fn is_named(error: &Error, file: &str) -> bool {
    let kind = matches!(error.kind(), ErrorKind::Corrupted | ErrorKind::Format);
    let short = file.rsplit('/').next().unwrap_or(file);
    let told = error.message().contains(short)
        || file == "FORMAT" && error.message().contains("data directory has format");
    kind && told
}
