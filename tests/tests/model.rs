//! Every answer of the engine equals the oracle's, over random spans, questions, arrival orders,
//! retries, seal points, restarts and crashes. `SEED=n` plays one case, `CASES=n` so many.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use spanlake::{Options, Store, TraceId, TraceQuery};
use spanlake_tests::model::case::{Case, Mode, export, run_and_shrink};
use spanlake_tests::model::check::Checker;
use spanlake_tests::model::dice::{Dice, plan};
use spanlake_tests::model::files::MemFiles;
use spanlake_tests::model::invent::Universe;
use spanlake_tests::model::wire::{Node, TRACES};
use spanlake_tests::model::{Model, twist};

fn play(mode: Mode, cases: u64) {
    let (first, count) = plan(cases);
    for seed in first..first + count {
        run_and_shrink(&Case::invent(seed, mode));
    }
}

#[test]
fn answers_equal_the_oracle_from_the_head_alone() {
    play(Mode::HeadOnly, 150);
}

#[test]
fn answers_equal_the_oracle_from_segments_alone() {
    play(Mode::SegmentsOnly, 80);
}

#[test]
fn answers_equal_the_oracle_from_head_and_segments() {
    play(Mode::Mixed, 200);
}

/// One trace in forty segments and the head, asked for with small budgets.
#[test]
fn a_trace_torn_over_many_segments_comes_back_whole() {
    let mut dice = Dice::new(40);
    let universe = Universe::plain(&mut dice);
    let files = MemFiles::new();
    let store = Store::open_in(files.world(1), Options::default()).expect("open");
    let mut model = Model::default();
    for part in 0..41u64 {
        let spans = (0..5).map(|i| {
            let moment = (part * 7_919) % 41 * 3_600_000_000_000 + i;
            universe
                .span(&mut dice)
                .with_bytes(1, [9; 16])
                .with_number(7, moment)
                .with_number(8, moment + 1)
        });
        let scope = Node::default().with_nodes(2, spans);
        let service = spanlake_tests::model::invent::pair(
            b"service.name",
            Node::default().with_bytes(1, format!("s{}", part % 3)),
        );
        let resource = Node::default()
            .with_node(1, Node::default().with_nodes(1, [service]))
            .with_nodes(2, [scope]);
        let tree = Node::default().with_nodes(1, [resource]).tidy(&TRACES);
        export(&store, &mut model, &tree.encode(&TRACES), "torn");
        if part < 40 {
            store.flush().expect("flush");
        }
    }
    assert!(store.stats().segments >= 40, "a flush each makes a segment each");
    let view = store.view();
    let checker = Checker::new(&view, &model, "torn");
    for budget in [1, 200, 5_000, 1 << 20] {
        checker.traces(vec![TraceId([9; 16])], budget);
        checker.search(&TraceQuery { limit: 1, ..TraceQuery::default() }, budget);
    }
    checker.dependencies(None, None);
}

/// Invariant 2 under load: each writer reads its own spans back at once, exactly, while others
/// write, flush and retry.
#[test]
fn what_is_acked_is_visible_at_once_while_others_write_and_flush() {
    const WRITERS: u64 = 4;
    let files = MemFiles::new();
    let options = Options { seal_bytes: 20_000, ..Options::default() };
    let store = Store::open_in(files.world(3), options).expect("open");
    let stop = Arc::new(AtomicBool::new(false));
    let whole = Mutex::new(Model::default());
    std::thread::scope(|scope| {
        let (flusher, stopped) = (store.clone(), stop.clone());
        let flusher = scope.spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                flusher.flush().expect("flush");
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (store, whole) = (store.clone(), &whole);
                scope.spawn(move || write_and_read(&store, writer, whole))
            })
            .collect();
        let outcomes: Vec<_> = writers.into_iter().map(|w| w.join()).collect();
        stop.store(true, Ordering::Relaxed);
        flusher.join().expect("flusher");
        for outcome in outcomes {
            outcome.expect("writer");
        }
    });
    let model = whole.into_inner().expect("no writer panicked");
    let view = store.view();
    let ids = model.traces.keys().copied().map(TraceId).collect();
    Checker::new(&view, &model, "all writers").traces(ids, 1 << 20);
}

fn write_and_read(store: &Store, writer: u64, whole: &Mutex<Model>) {
    let mut dice = Dice::new(100 + writer);
    let mut universe = Universe::plain(&mut dice);
    let mut model = Model::default();
    let mut earlier = Vec::new();
    for step in 0..40 {
        let label = format!("writer {writer} step {step}");
        let bytes = if !earlier.is_empty() && dice.percent(25) {
            let tree = dice.pick(&earlier);
            let mut chance = Dice::new(step);
            twist::twist(tree, &TRACES, &mut chance)
        } else {
            let tree = own_ids(universe.batch(&mut dice), writer as u8 + 1);
            earlier.push(tree.clone());
            tree.encode(&TRACES)
        };
        export(store, &mut model, &bytes, &label);
        let view = store.view();
        let ids = model.traces.keys().copied().map(TraceId).collect();
        Checker::new(&view, &model, label).traces(ids, 1 << 20);
    }
    whole.lock().expect("no writer panicked").traces.extend(model.traces);
}

/// The batch with trace ids that no other writer has.
fn own_ids(batch: Node, writer: u8) -> Node {
    let resources = batch.nodes(1).map(|resource| {
        let scopes = resource.nodes(2).map(|scope| {
            let spans = scope.nodes(2).map(|span| {
                let mut id = span.bytes(1).to_vec();
                id[7] = writer;
                span.clone().with_bytes(1, id)
            });
            scope.clone().with_nodes(2, spans)
        });
        resource.clone().with_nodes(2, scopes)
    });
    Node::default().with_nodes(1, resources)
}
