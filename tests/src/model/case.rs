//! A story of a store as data: Exports, flushes, restarts, crashes, purges. A seed flows in, a
//! list of steps flows out; [`run`] plays it on an engine and an oracle side by side and compares
//! answers after every step. A story that fails is made shorter before it is told.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use spanlake::{Options, Store, Tenancy, View};

use super::check::Checker;
use super::dice::Dice;
use super::files::MemFiles;
use super::invent::Universe;
use super::spans::Model;
use super::twist::twist;
use super::wire::{Item, Node, TRACES};

/// Where the spans lie when they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is ever sealed.
    HeadOnly,
    /// A flush follows every Export.
    SegmentsOnly,
    /// Flushes at random, and automatic seals by small limits.
    Mixed,
}

/// How a tree becomes bytes.
#[derive(Debug, Clone, Copy)]
pub enum Encoding {
    /// Canonical.
    Plain,
    /// Some other way, by seed.
    Twisted(u64),
    /// The canonical bytes twice: protobuf joins them, so every span stands there twice.
    Doubled,
}

/// How a store ends before it is opened again.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// `close` with time to seal.
    Closed,
    /// `close` without time to seal.
    ClosedAtOnce,
    /// The process dies; the system keeps its writes.
    Killed,
    /// Power fails; unsynced writes are kept, lost or torn, by seed.
    PowerLost(u64),
}

/// One step.
#[derive(Debug, Clone)]
pub enum Step {
    /// An Export of these spans.
    Export(Node, Encoding),
    /// `flush`.
    Flush,
    /// An end and a new beginning.
    Reopen(End),
    /// `purge`.
    Purge,
    /// Keeps a view, which must go on answering from this moment.
    Hold,
}

/// A story.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its seed, which also draws the questions.
    pub seed: u64,
    /// Where questions come from.
    pub universe: Universe,
    /// Where spans lie.
    pub mode: Mode,
    /// What happens.
    pub steps: Vec<Step>,
}

impl Case {
    /// The story of a seed.
    pub fn invent(seed: u64, mode: Mode) -> Self {
        let mut dice = Dice::new(seed);
        let mut universe =
            if dice.percent(50) { Universe::plain(&mut dice) } else { Universe::wild(&mut dice) };
        let mut sent: Vec<Node> = Vec::new();
        let mut steps = Vec::new();
        for _ in 0..dice.between(1, 24) {
            let step = invent_step(&mut dice, mode, &mut universe, &sent);
            if let Step::Export(tree, _) = &step {
                sent.push(tree.clone());
            }
            let export = matches!(step, Step::Export(..));
            steps.push(step);
            if export && mode == Mode::SegmentsOnly {
                steps.push(Step::Flush);
            }
        }
        Self { seed, universe, mode, steps }
    }

    fn options(&self) -> Options {
        let mut options = Options::default();
        if self.mode == Mode::Mixed {
            let mut dice = Dice::new(self.seed ^ 0x0515);
            options.seal_bytes = *dice.pick(&[options.seal_bytes, 1, 3_000, 30_000]);
            options.wal_bytes_max = *dice.pick(&[options.wal_bytes_max, 4_096, 100_000]);
            options.seal_idle = *dice.pick(&[options.seal_idle, 5_000_000]);
        }
        options
    }
}

fn invent_step(dice: &mut Dice, mode: Mode, universe: &mut Universe, sent: &[Node]) -> Step {
    let roll = dice.below(100);
    let sealing = mode != Mode::HeadOnly;
    match roll {
        0..10 if sealing => Step::Flush,
        10..18 => Step::Reopen(match dice.below(4) {
            0 if sealing => End::Closed,
            0 | 1 => End::ClosedAtOnce,
            2 => End::Killed,
            _ => End::PowerLost(dice.roll()),
        }),
        18 => Step::Purge,
        19..23 => Step::Hold,
        23..45 if !sent.is_empty() => {
            let earlier = dice.pick(sent).clone();
            match dice.below(5) {
                0 | 1 => Step::Export(earlier, Encoding::Plain),
                2 => Step::Export(earlier, Encoding::Twisted(dice.roll())),
                3 => Step::Export(earlier, Encoding::Doubled),
                _ => Step::Export(part_of(&earlier, dice), Encoding::Plain),
            }
        }
        _ => Step::Export(universe.batch(dice), Encoding::Plain),
    }
}

/// The batch without some of its spans.
pub fn part_of(batch: &Node, dice: &mut Dice) -> Node {
    let mut part = batch.clone();
    for resource in children(&mut part, 1) {
        for scope in children(resource, 2) {
            let spans: Vec<Node> = scope.nodes(2).filter(|_| dice.percent(60)).cloned().collect();
            *scope = std::mem::take(scope).with_nodes(2, spans);
        }
    }
    part
}

fn children(node: &mut Node, field: u32) -> impl Iterator<Item = &mut Node> {
    node.fields.get_mut(&field).into_iter().flatten().filter_map(|item| match item {
        Item::Node(node) => Some(node),
        _ => None,
    })
}

/// The bytes of a tree.
pub fn bytes_of(tree: &Node, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Plain => tree.encode(&TRACES),
        Encoding::Twisted(seed) => twist(tree, &TRACES, &mut Dice::new(seed)),
        Encoding::Doubled => tree.encode(&TRACES).repeat(2),
    }
}

/// An engine and an oracle that live through the same story.
#[derive(Debug)]
struct Stage<'a> {
    case: &'a Case,
    files: MemFiles,
    store: Store,
    model: Model,
    held: Option<(View, Model, usize)>,
    dice: Dice,
}

impl Stage<'_> {
    fn label(&self, at: usize) -> String {
        format!("seed {} {:?} step {at}", self.case.seed, self.case.mode)
    }

    fn open(files: &MemFiles, case: &Case, label: &str) -> Store {
        Store::open_in(files.world(case.seed), case.options())
            .unwrap_or_else(|e| panic!("{label}: open: {e}"))
    }

    fn play(&mut self, at: usize, step: &Step) {
        let label = self.label(at);
        match step {
            Step::Export(tree, encoding) => {
                let bytes = bytes_of(tree, *encoding);
                export(&self.store, &mut self.model, &bytes, &label);
            }
            Step::Flush => {
                self.store.flush().unwrap_or_else(|e| panic!("{label}: flush: {e}"));
            }
            Step::Purge => {
                self.store.purge().unwrap_or_else(|e| panic!("{label}: purge: {e}"));
                self.model.purge();
            }
            Step::Hold => self.held = Some((self.store.view(), self.model.clone(), at)),
            Step::Reopen(end) => self.reopen(*end, &label),
        }
    }

    fn reopen(&mut self, end: End, label: &str) {
        // The old store goes on with the old files until it is dropped; the new one sees a copy.
        let files = match end {
            End::Closed | End::ClosedAtOnce => {
                let patience = Duration::from_secs(if matches!(end, End::Closed) { 60 } else { 0 });
                self.store.close(patience).unwrap_or_else(|e| panic!("{label}: close: {e}"));
                self.files.killed_now()
            }
            End::Killed => self.files.killed_now(),
            End::PowerLost(seed) => self.files.crash_now(&mut Dice::new(seed)),
        };
        self.store = Self::open(&files, self.case, label);
        self.files = files;
        let view = self.store.view();
        Checker::new(&view, &self.model, label).check_all(&self.case.universe);
    }

    fn ask(&mut self, at: usize) {
        let label = self.label(at);
        let view = self.store.view();
        let checker = Checker::new(&view, &self.model, label.clone());
        checker.check_some(&self.case.universe, &mut self.dice, 3);
        if let Some((view, model, since)) = &self.held {
            let label = format!("{label}, view held since step {since}");
            let checker = Checker::new(view, model, label);
            checker.check_some(&self.case.universe, &mut self.dice, 2);
        }
    }
}

/// Sends an Export to both and compares what they say.
///
/// # Panics
/// Where the engine refuses what the oracle takes, or counts otherwise.
pub fn export(store: &Store, model: &mut Model, bytes: &[u8], label: &str) {
    let expected = model.export(bytes).unwrap_or_else(|e| panic!("{label}: oracle: {e:?}"));
    let got = store
        .ingest(&Tenancy::default(), Bytes::copy_from_slice(bytes))
        .unwrap_or_else(|e| panic!("{label}: ingest: {e}"));
    let rejected: u64 = got.rejected.iter().map(|r| r.count).sum();
    assert_eq!(
        (got.accepted, rejected),
        (expected.accepted, expected.rejected),
        "{label}: (accepted, rejected) (left: engine): {:?}",
        got.rejected
    );
    for rejection in &got.rejected {
        let named = !rejection.reason.is_empty() && !rejection.detail.is_empty();
        assert!(named && rejection.count > 0, "{label}: {rejection:?} says why and how many");
    }
}

/// Plays a story and compares all along.
///
/// # Panics
/// Where engine and oracle differ.
pub fn run(case: &Case) {
    let files = MemFiles::new();
    let label = format!("seed {} {:?} start", case.seed, case.mode);
    let store = Stage::open(&files, case, &label);
    let dice = Dice::new(case.seed ^ 0xa5c);
    let mut stage = Stage { case, files, store, model: Model::default(), held: None, dice };
    for (at, step) in case.steps.iter().enumerate() {
        stage.play(at, step);
        stage.ask(at);
    }
    for _ in 0..5 {
        stage.ask(case.steps.len());
    }
    let view = stage.store.view();
    Checker::new(&view, &stage.model, stage.label(case.steps.len())).check_all(&case.universe);
}

/// Plays a story; where it fails, finds a shorter one that fails too and panics with it.
///
/// # Panics
/// Where engine and oracle differ.
pub fn run_and_shrink(case: &Case) {
    let Some(first) = failure(case) else { return };
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut short = case.clone();
    let mut message = first.clone();
    // A bounded number of rounds: a hint for people, not a proof of minimality.
    for _ in 0..4 {
        let before = weight(&short);
        for smaller in [drop_steps, drop_spans] {
            smaller(&mut short, &mut message);
        }
        if weight(&short) == before {
            break;
        }
    }
    std::panic::set_hook(quiet);
    let mut told = String::new();
    for (at, step) in short.steps.iter().enumerate() {
        let _ = writeln!(told, "  {at}: {step:?}");
    }
    panic!("{message}\n\nshortest story found:\n{told}\nfirst failure of the whole story: {first}");
}

fn weight(case: &Case) -> usize {
    case.steps.len() + case.steps.iter().map(|s| format!("{s:?}").len()).sum::<usize>()
}

fn failure(case: &Case) -> Option<String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(case)));
    outcome.err().map(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_else(|| "a panic without words".to_owned())
    })
}

fn drop_steps(case: &mut Case, message: &mut String) {
    let mut at = case.steps.len();
    while at > 0 {
        at -= 1;
        let mut shorter = case.clone();
        shorter.steps.remove(at);
        if let Some(words) = failure(&shorter) {
            (*case, *message) = (shorter, words);
        }
    }
}

fn drop_spans(case: &mut Case, message: &mut String) {
    for step in 0..case.steps.len() {
        // Whole resources first, then scopes, then single spans.
        for depth in 1..=3 {
            let mut at = 0;
            while at < 40 {
                let mut shorter = case.clone();
                let Step::Export(tree, _) = &mut shorter.steps[step] else { break };
                if !remove_nth(tree, depth, at) {
                    break;
                }
                match failure(&shorter) {
                    Some(words) => (*case, *message) = (shorter, words),
                    None => at += 1,
                }
            }
        }
    }
}

/// Removes the n-th node of a level (1 resource, 2 scope, 3 span); false where there is none.
fn remove_nth(tree: &mut Node, level: u32, n: usize) -> bool {
    let mut left = n;
    if level == 1 {
        return remove_child(tree, 1, &mut left);
    }
    children(tree, 1).any(|resource| match level {
        2 => remove_child(resource, 2, &mut left),
        _ => children(resource, 2).any(|scope| remove_child(scope, 2, &mut left)),
    })
}

fn remove_child(node: &mut Node, field: u32, left: &mut usize) -> bool {
    let Some(items) = node.fields.get_mut(&field) else { return false };
    if *left >= items.len() {
        *left -= items.len();
        return false;
    }
    items.remove(*left);
    if items.is_empty() {
        node.fields.remove(&field);
    }
    true
}
