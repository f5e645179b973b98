//! The loop: a step is taken, and what the store says to it is held against the truth. A plan
//! flows in; out flow numbers, or a failure with the steps that were taken. An error is accepted
//! only where a fault of this life of the store explains it, and what faults did not touch must
//! work again once the disk is sound.
//!
//! | room | holds |
//! |---|---|
//! | `outcome` | how a plan is played, and what that gives |
//! | `export` | Exports and their answers |
//! | `work` | the sealing thread's work, and steps in the middle of it |
//! | `ask` | questions, views that are kept, and that everything works on a sound disk |
//! | `walk` | pages |
//! | `life` | ends and starts, and what a start must show |

mod ask;
mod export;
mod life;
mod outcome;
mod walk;
mod work;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use spanlake::world::{Clock as _, DiskFiles, World};
use spanlake::{Observer, Options, Result, Store, Tenancy};

use self::ask::Held;
pub(super) use self::ask::names_a_fault;
use self::life::Ear;
pub use self::outcome::{Failure, Manner, Outcome};
use self::walk::Walk;
use super::clock::SimClock;
use super::disk::{Death, SimDisk, Thread};
use super::report::{Fault, Tally};
use super::steps::{Plan, Step};
use super::truth::Truth;

/// Longer than any close of so small a store takes.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// A plan being played: its machine, its store, and what is known of both.
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
}

/// The tenancy of a number.
fn tenancy(at: usize) -> Tenancy {
    match at {
        0 => Tenancy::default(),
        1 => Tenancy::new("acme", "shop").expect("a name"),
        _ => Tenancy::new("acme", "cart").expect("a name"),
    }
}

fn brief<T>(result: &Result<T>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}
