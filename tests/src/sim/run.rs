//! The loop: a step is taken, and what the store says to it is held against the truth. A plan
//! flows in; out flow numbers, or a failure with the steps that were taken. An error is accepted
//! only where a fault of this life of the store explains it, and what faults did not touch must
//! work again once the disk is sound.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use spanlake::world::{Clock as _, DiskFiles, World};
use spanlake::{
    Cancel, Cursor, Error, ErrorKind, Event, Ingested, Observer, Options, Result, Store, Tenancy,
    TraceId, TraceQuery, View,
};

use super::clock::SimClock;
use super::disk::{Death, Lie, SimDisk, Thread, Trap};
use super::report::{Fault, Tally};
use super::steps::{End, Plan, Sent, Step, Task};
use super::truth::Truth;
use crate::model::check::try_drain;
use crate::model::{Checker, Dice, Model};

/// Longer than any close of so small a store takes.
const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: u64 = 3600 * 1_000_000_000;

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

/// Plays the plan of a seed.
///
/// # Errors
/// The failure, with its steps.
pub fn simulate(seed: u64, manner: Manner) -> std::result::Result<Outcome, Failure> {
    play(&Plan::of(seed), manner)
}

/// Plays a plan.
///
/// # Errors
/// The failure, with its steps.
pub fn play(plan: &Plan, manner: Manner) -> std::result::Result<Outcome, Failure> {
    let mut run = Run::new(plan, manner);
    let outcome = catch_unwind(AssertUnwindSafe(|| run.play()));
    match outcome {
        Ok(()) => {
            let (hash, journal) = (run.disk.hash(), run.disk.journal());
            Ok(Outcome { tally: run.tally, hash, journal })
        }
        Err(panic) => {
            // Whatever stands still must be let go before the store is dropped.
            run.disk.release(Thread::Log);
            run.disk.release(Thread::Seal);
            run.disk.end(Death::Power);
            let (what, journal) = (words(&*panic), run.disk.journal());
            Err(Failure { seed: plan.seed, what, trace: run.trace, journal })
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_else(|| "a panic without words".to_owned())
}

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

/// A walk through pages.
struct Walk {
    tenancy: usize,
    query: TraceQuery,
    after: Option<Cursor>,
    seen: BTreeSet<TraceId>,
}

/// A view that was kept, and what it showed.
struct Held {
    view: View,
    tenancy: usize,
    model: Model,
    since: usize,
}

pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pub(super) disk: SimDisk,
    clock: Arc<SimClock>,
    pub(super) store: Option<Store>,
    ear: Arc<Ear>,
    pub(super) truth: Truth,
    walks: Vec<Walk>,
    held: Vec<Held>,
    trace: Vec<String>,
    pub(super) tally: Tally,
    at: usize,
    /// Stores opened; each has a seed of its own.
    lives: u64,
    /// Depth of steps within steps.
    within: usize,
}

/// Lets a thread go on when a check fails while it stands still.
struct LetGo<'a>(&'a SimDisk, Thread);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        self.0.release(self.1);
    }
}

/// Kinds of errors a fault of the disk may surface as in an answer.
pub(super) fn names_a_fault(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Corrupted)
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, manner: Manner) -> Self {
        let clock = Arc::new(SimClock::new(plan.now));
        let disk = SimDisk::new(plan.seed ^ 0xd15c, Arc::clone(&clock));
        if let Some(lie) = manner.lie {
            disk.lie(lie);
        }
        if manner.journal {
            disk.keep_journal();
        }
        Self {
            plan,
            disk,
            clock,
            store: None,
            ear: Arc::default(),
            truth: Truth::new(plan.universes.len()),
            walks: Vec::new(),
            held: Vec::new(),
            trace: Vec::new(),
            tally: Tally::default(),
            at: 0,
            lives: 0,
            within: 0,
        }
    }

    fn play(&mut self) {
        self.open();
        for (at, step) in self.plan.steps.iter().enumerate() {
            self.at = at;
            self.step(step);
            self.quiet();
            if self.disk.is_dead() {
                self.end();
                self.open();
            }
        }
        // The end of every story: all that was promised, from a disk that lost power last.
        self.at = self.plan.steps.len();
        self.disk.calm();
        self.works();
        self.disk.end(Death::Power);
        self.end();
        self.open();
        self.works();
        self.tell("close");
        let closed = self.store().close(PATIENCE);
        assert!(matches!(closed, Ok(true)), "the last close: {closed:?}");
        (self.store, self.held) = (None, Vec::new());
        self.open();
        self.gather_tally();
    }

    fn gather_tally(&mut self) {
        let tally = self.disk.take_tally();
        self.tally.join(&tally);
    }

    /// A line of the trace.
    pub(super) fn tell(&mut self, words: impl fmt::Display) {
        let indent = "  ".repeat(self.within);
        self.trace.push(format!("{:>3} {indent}{words}", self.at));
    }

    pub(super) fn store(&self) -> Store {
        self.store.clone().expect("the store is open")
    }

    pub(super) fn tenancy(&self, at: usize) -> Tenancy {
        tenancy(at)
    }

    fn label(&self) -> String {
        format!("step {}", self.at)
    }

    pub(super) fn options(&self, ear: Arc<dyn Observer>) -> Options {
        Options { observer: ear, ..self.plan.limits.options() }
    }

    pub(super) fn world(&self, disk: &SimDisk) -> World {
        World {
            files: Arc::new(DiskFiles::over(disk.clone())),
            clock: self.clock.clone(),
            seed: self.plan.seed.wrapping_mul(1000) + self.lives,
        }
    }

    /// Nothing was said that should not be: no acknowledged frame is ever damaged here, and no
    /// thread ends in a bug.
    fn quiet(&self) {
        let heard = self.ear.0.lock().expect("an ear");
        assert!(heard.is_empty(), "{}: {heard:?}", self.label());
    }

    fn step(&mut self, step: &Step) {
        self.tally.steps += 1;
        match step {
            Step::Export(sent) => self.export(sent),
            Step::Group(all) => self.group(all),
            Step::Do(task) => self.work(*task),
            Step::Meanwhile(task, call, steps) => self.meanwhile(*task, *call, steps),
            Step::Ask(seed) => self.ask(*seed),
            Step::Walk(seed) => self.walk(*seed),
            Step::WalkOn(seed) => self.walk_on(*seed),
            Step::Hold(tenancy) => self.hold(*tenancy),
            Step::Look(seed) => self.look(*seed),
            Step::Wait(nanos) => {
                self.tell(format_args!("{} ms pass", nanos / 1_000_000));
                self.clock.pass(*nanos);
            }
            Step::ClockJump(by) => {
                let now = self.clock.now().saturating_add_signed(*by);
                self.tell(format_args!("the clock jumps to {now}"));
                self.disk.count(Fault::ClockJump);
                self.clock.set(now);
            }
            Step::Trap(trap) => {
                self.tell(format_args!("{trap:?}"));
                self.disk.set(trap.clone());
            }
            Step::Full(free) => {
                self.tell(format_args!("{free} bytes free"));
                self.disk.leave_free(Some(*free));
            }
            Step::Heal => {
                self.tell("heal");
                self.disk.heal();
                self.works();
            }
            Step::EndAfter(death, calls) => {
                self.tell(format_args!("{death:?} after {calls} calls"));
                self.disk.end_after(*death, *calls);
            }
            Step::Reopen(end, traps, death) => self.reopen(*end, traps, *death),
            Step::SpoilSegment(seed) => self.spoil_segment(*seed),
            Step::SpoilCopy(seed) => self.spoil_copy(*seed),
        }
    }

    // Writing.

    fn export(&mut self, sent: &Sent) {
        let store = self.store();
        let (open, now) = (store.stats().write_available, self.clock.now());
        let answer = store.ingest(&tenancy(sent.tenancy), Bytes::from(sent.bytes.clone()));
        self.tell(format_args!("Export {sent:?}: {}", brief(&answer)));
        self.truth.next_group();
        self.answered(sent, answer, open, now);
    }

    /// The log's thread stands still at its first call, so that the others gather behind.
    fn group(&mut self, all: &[Sent]) {
        let (store, disk) = (self.store(), self.disk.clone());
        let (open, now) = (store.stats().write_available, self.clock.now());
        let (answers, answered) = mpsc::channel();
        let submit = |at: usize, sent: &Sent| {
            let (answers, disk) = (answers.clone(), disk.clone());
            store.submit(&tenancy(sent.tenancy), Bytes::from(sent.bytes.clone()), move |answer| {
                disk.over(Thread::Log);
                drop(answers.send((at, answer)));
            });
        };
        disk.hold(Thread::Log, 0);
        let mut got = Vec::new();
        let next = || answered.recv_timeout(PATIENCE).expect("an answer");
        let mut left = all.iter().enumerate();
        let let_go = LetGo(&disk, Thread::Log);
        if let Some((at, first)) = left.next() {
            submit(at, first);
        }
        if disk.wait_held(Thread::Log) {
            left.for_each(|(at, sent)| submit(at, sent));
            drop(let_go);
            got.extend(all.iter().map(|_| next()));
        } else {
            // Refused before the log: nothing stands still, so one after the other.
            drop(let_go);
            got.push(next());
            for (at, sent) in left {
                submit(at, sent);
                got.push(next());
            }
        }
        self.tell("a group:");
        for (at, answer) in got {
            // The first is alone, then come all others.
            if at <= 1 {
                self.truth.next_group();
            }
            self.tell(format_args!("  Export {:?}: {}", all[at], brief(&answer)));
            self.answered(&all[at], answer, open, now);
        }
    }

    /// Holds the answer to an Export against what may be.
    fn answered(&mut self, sent: &Sent, answer: Result<Ingested>, open: bool, now: u64) {
        let scars = self.disk.scars();
        match answer {
            Ok(got) => {
                let (expected, spans) = self.truth.ack(sent.tenancy, &sent.bytes);
                let rejected: u64 = got.rejected.iter().map(|r| r.count).sum();
                assert_eq!(
                    (got.accepted, rejected),
                    (expected.accepted, expected.rejected),
                    "{}: accepted and rejected (left: engine)",
                    self.label()
                );
                let started = |test: &dyn Fn(u64) -> bool| -> u64 {
                    spans.iter().filter(|(span, _)| test(span.start())).map(|(_, n)| n).sum()
                };
                let late = started(&|start| start < now.saturating_sub(HOUR));
                let future = started(&|start| start > now.saturating_add(HOUR / 6));
                assert_eq!(
                    (got.late, got.future),
                    (late, future),
                    "{}: late, future",
                    self.label()
                );
                self.tally.acked += 1;
            }
            Err(error) if self.disk.is_dead() && error.kind() == ErrorKind::Unavailable => {
                self.doubt(sent);
            }
            Err(error) if error.kind() == ErrorKind::Exhausted => {
                let room = self.disk.is_limited() || self.plan.limits.is_tight();
                let explained = scars.any > 0 || room;
                assert!(explained, "{}: refused without a fault: {error}", self.label());
                self.tally.refused += 1;
            }
            Err(error)
                if error.kind() == ErrorKind::Unavailable && (scars.log || scars.catalog) =>
            {
                match open {
                    true => self.doubt(sent),
                    false => self.tally.refused += 1,
                }
            }
            Err(error) => panic!("{}: Export: {error:?} {scars:?}", self.label()),
        }
    }

    fn doubt(&mut self, sent: &Sent) {
        self.truth.doubt(sent.tenancy, &sent.bytes);
        self.tally.unsure += 1;
    }

    // The sealing thread's work.

    fn work(&mut self, task: Task) {
        if task == Task::Purge {
            self.truth.begin_purge();
        }
        let done = work(&self.store(), task);
        self.tell(format_args!("{task:?}: {}", brief(&done)));
        self.worked(task, &done);
    }

    fn worked(&mut self, task: Task, done: &Result<()>) {
        if task == Task::Purge {
            self.truth.end_purge(done.is_ok());
            if done.is_ok() {
                self.walks.iter_mut().for_each(|walk| walk.seen.clear());
            }
        }
        if let Err(error) = done {
            let explained = self.disk.scars().any > 0 || self.disk.is_dead();
            assert!(explained, "{}: {task:?} without a fault: {error:?}", self.label());
        }
    }

    fn meanwhile(&mut self, task: Task, call: u32, steps: &[Step]) {
        let (store, disk) = (self.store(), self.disk.clone());
        if task == Task::Purge {
            self.truth.begin_purge();
        }
        disk.hold(Thread::Seal, call);
        let done = std::thread::scope(|scope| {
            let let_go = LetGo(&disk, Thread::Seal);
            let worker = scope.spawn(|| {
                let done = work(&store, task);
                disk.over(Thread::Seal);
                done
            });
            let held = disk.wait_held(Thread::Seal);
            let words = if held { "stands still" } else { "was over" };
            self.tell(format_args!("{task:?}, {words} at its call {call}:"));
            self.within += 1;
            if !held && task == Task::Purge {
                // Over before the steps: they see its end.
                drop(let_go);
                let done = worker.join().expect("a worker");
                self.worked(task, &done);
                self.each(steps);
                self.within -= 1;
                return None;
            }
            self.each(steps);
            self.within -= 1;
            drop(let_go);
            Some(worker.join().expect("a worker"))
        });
        if let Some(done) = done {
            self.tell(format_args!("{task:?}: {}", brief(&done)));
            self.worked(task, &done);
        }
    }

    fn each(&mut self, steps: &[Step]) {
        for step in steps {
            if self.disk.is_dead() {
                break;
            }
            self.step(step);
        }
    }

    // Reading.

    /// A checker of what the store shows now.
    fn check(
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
    fn shown(&self, view: &View, at: usize) -> Option<&Model> {
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

    fn count(&mut self, (exact, forgiven): (u64, u64)) {
        // Power went while the answer was made: nobody hears it.
        self.tally.answers += exact;
        self.tally.named += forgiven;
    }

    fn ask(&mut self, seed: u64) {
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

    fn walk(&mut self, seed: u64) {
        let mut dice = Dice::new(seed);
        let tenancy = dice.below(self.plan.universes.len());
        let query = self.plan.universes[tenancy].query(&self.truth.sides[tenancy], &mut dice);
        if self.walks.len() >= 3 {
            self.walks.remove(0);
        }
        self.tell(format_args!("walk, tenancy {tenancy}, pages of {}", query.limit));
        self.walks.push(Walk { tenancy, query, after: None, seen: BTreeSet::new() });
        self.page(self.walks.len() - 1);
    }

    fn walk_on(&mut self, seed: u64) {
        if !self.walks.is_empty() {
            let at = Dice::new(seed).below(self.walks.len());
            self.tell(format_args!("walk {at} goes on"));
            self.page(at);
        }
    }

    /// A page must be what a search without limit gives now, behind the cursor.
    fn page(&mut self, at: usize) {
        let (label, sound) = (self.label(), self.disk.is_sound());
        let view = self.store().view();
        let shown = self.shown(&view, self.walks[at].tenancy).cloned();
        let Walk { tenancy: side, query, after, seen } = &mut self.walks[at];
        let page = view.page_trace_ids(&tenancy(*side), query, *after, &Cancel::new());
        let page = match page {
            Ok(page) => page,
            Err(error) if !sound && names_a_fault(&error) => {
                self.tally.named += 1;
                return;
            }
            Err(error) => panic!("{label}: page: {error:?}"),
        };
        let Some(model) = shown else { return };
        let all = model.find(&TraceQuery { limit: usize::MAX, ..query.clone() });
        let key = |newest: u64, id: TraceId| (std::cmp::Reverse(newest), id);
        let mut expected: Vec<_> = all
            .into_iter()
            .filter(|f| {
                let behind =
                    |c: Cursor| key(f.newest_match, f.trace_id) > key(c.newest_match, c.trace_id);
                after.is_none_or(behind)
            })
            .collect();
        let more = expected.len() > query.limit;
        expected.truncate(query.limit);
        assert_eq!(page.found, expected, "{label}: page after {after:?} of {query:?}");
        assert_eq!(page.next.is_some(), more, "{label}: page after {after:?} of {query:?}");
        for found in &page.found {
            assert!(seen.insert(found.trace_id), "{label}: {} comes twice", found.trace_id);
        }
        *after = page.next;
        if !more {
            self.walks.remove(at);
        }
        self.tally.answers += 1;
    }

    fn hold(&mut self, at: usize) {
        self.tell(format_args!("a view is kept, tenancy {at}"));
        if self.held.len() >= 3 {
            self.held.remove(0);
        }
        let view = self.store().view();
        let Some(model) = self.shown(&view, at).cloned() else { return };
        self.held.push(Held { view, tenancy: at, model, since: self.at });
    }

    fn look(&mut self, seed: u64) {
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
    fn works(&mut self) {
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

    // Ends and beginnings.

    fn reopen(&mut self, end: End, traps: &[Trap], death: Option<(Death, u64)>) {
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
    fn end(&mut self) {
        self.tell("the end");
        let disk = self.disk.after_end();
        (self.store, self.held) = (None, Vec::new());
        self.gather_tally();
        self.disk = disk;
    }

    /// Opens the store, again where a fault prevents it, and holds what it has against what it
    /// must have.
    fn open(&mut self) {
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

    /// Everything a tenancy holds of its universe.
    pub(super) fn content(&self, store: &Store, at: usize) -> Result<Model> {
        self.content_of(&store.view(), at)
    }

    fn content_of(&self, view: &View, at: usize) -> Result<Model> {
        let ids = self.plan.universes[at].trace_ids();
        let stream = view.get_traces(&tenancy(at), ids, Cancel::new());
        let traces = try_drain(stream, 1 << 20, &self.label())?;
        Ok(Model { traces: traces.into_iter().map(|(id, set)| (id.0, set)).collect() })
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

/// The tenancy of a number.
fn tenancy(at: usize) -> Tenancy {
    match at {
        0 => Tenancy::default(),
        1 => Tenancy::new("acme", "shop").expect("a name"),
        _ => Tenancy::new("acme", "cart").expect("a name"),
    }
}

fn work(store: &Store, task: Task) -> Result<()> {
    match task {
        Task::Flush => store.flush(),
        Task::SealDue => store.seal_due(),
        Task::Purge => store.purge(),
    }
}

fn brief<T>(result: &Result<T>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}
