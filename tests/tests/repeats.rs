//! Invariant 8: a retry adds nothing, real copies stay; whatever lies between the first Export
//! and its repeat (nothing, a seal, a restart, a crash).

use std::time::Duration;

use spanlake::{Cancel, Options, Store, Tenancy, TraceId, TraceQuery};
use spanlake_tests::model::case::{Encoding, bytes_of, export};
use spanlake_tests::model::check::drain;
use spanlake_tests::model::files::MemFiles;
use spanlake_tests::model::invent::pair;
use spanlake_tests::model::wire::{Node, TRACES};
use spanlake_tests::model::{Model, spans};

const TRACE: [u8; 16] = [3; 16];

/// What happens between two Exports.
#[derive(Debug, Clone, Copy)]
enum Between {
    Nothing,
    Seal,
    Restart,
    SealAndRestart,
    Kill,
}

const ALL: [Between; 5] =
    [Between::Nothing, Between::Seal, Between::Restart, Between::SealAndRestart, Between::Kill];

struct Stage {
    files: MemFiles,
    store: Store,
    model: Model,
}

impl Stage {
    fn new() -> Self {
        let files = MemFiles::new();
        let store = open(&files);
        Self { files, store, model: Model::default() }
    }

    fn export(&mut self, tree: &Node, encoding: Encoding, case: &str) {
        export(&self.store, &mut self.model, &bytes_of(tree, encoding), case);
    }

    fn pass(&mut self, between: Between) {
        match between {
            Between::Nothing => {}
            Between::Seal => self.store.flush().expect("flush"),
            Between::Restart => self.restart(Duration::ZERO),
            Between::SealAndRestart => {
                self.store.flush().expect("flush");
                self.restart(Duration::from_secs(60));
            }
            Between::Kill => {
                self.files = self.files.killed_now();
                self.store = open(&self.files);
            }
        }
    }

    fn restart(&mut self, patience: Duration) {
        self.store.close(patience).expect("close");
        self.files = self.files.killed_now();
        self.store = open(&self.files);
    }

    /// Copies of all spans of the trace, as every kind of answer counts them.
    fn copies(&self, case: &str) -> u64 {
        let (view, tenancy) = (self.store.view(), Tenancy::default());
        let stream = view.get_traces(&tenancy, vec![TraceId(TRACE)], Cancel::new());
        let traces = drain(stream, 1 << 20, case);
        let [(_, set)] = traces.as_slice() else { panic!("{case}: {} traces", traces.len()) };
        let expected = &self.model.traces[&TRACE];
        spanlake_tests::model::check::compare_sets(set, expected, case);
        let spans: u64 = set.values().sum();
        let query = TraceQuery::default();
        let summaries = view.find_summaries(&tenancy, &query, &Cancel::new()).expect("summaries");
        assert_eq!(summaries[0].span_count, spans, "{case}: the summary counts the same");
        spans
    }
}

fn open(files: &MemFiles) -> Store {
    Store::open_in(files.world(1), Options::default()).expect("open")
}

fn span(id: u8, attributes: &[(&str, u64)]) -> Node {
    let value = |n: u64| Node::default().with_number(3, n);
    let attributes = attributes.iter().map(|(key, n)| pair(key.as_bytes(), value(*n)));
    Node::default()
        .with_bytes(1, TRACE)
        .with_bytes(2, [id; 8])
        .with_number(7, 1_771_027_200_000_000_000 + u64::from(id))
        .with_nodes(9, attributes)
}

fn batch(spans: impl IntoIterator<Item = Node>) -> Node {
    let scope = Node::default().with_nodes(2, spans);
    let resource = Node::default().with_nodes(2, [scope]);
    Node::default().with_nodes(1, [resource]).tidy(&TRACES)
}

#[test]
fn the_same_export_three_times_adds_nothing() {
    for first in ALL {
        for second in ALL {
            let case = format!("{first:?}, {second:?}");
            let mut stage = Stage::new();
            let tree = batch([span(1, &[("a", 1)]), span(2, &[])]);
            stage.export(&tree, Encoding::Plain, &case);
            stage.pass(first);
            stage.export(&tree, Encoding::Plain, &case);
            stage.pass(second);
            stage.export(&tree, Encoding::Plain, &case);
            assert_eq!(stage.copies(&case), 2, "{case}");
            stage.pass(Between::SealAndRestart);
            assert_eq!(stage.copies(&case), 2, "{case}, sealed");
        }
    }
}

#[test]
fn a_retry_in_another_encoding_adds_nothing() {
    for between in ALL {
        let mut stage = Stage::new();
        let tree = batch([span(1, &[("a", 1), ("b", 2)]), span(2, &[("a", 0)])]);
        stage.export(&tree, Encoding::Plain, "plain");
        for seed in 0..10 {
            let case = format!("{between:?}, twisted {seed}");
            stage.pass(between);
            stage.export(&tree, Encoding::Twisted(seed), &case);
            assert_eq!(stage.copies(&case), 2, "{case}");
        }
    }
}

#[test]
fn two_equal_spans_in_one_export_stay_two() {
    for between in ALL {
        let case = format!("{between:?}");
        let mut stage = Stage::new();
        let tree = batch([span(1, &[]), span(1, &[])]);
        stage.export(&tree, Encoding::Plain, &case);
        stage.pass(between);
        assert_eq!(stage.copies(&case), 2, "{case}");
        stage.export(&tree, Encoding::Plain, &case);
        stage.pass(between);
        assert_eq!(stage.copies(&case), 2, "{case}, and again");
        stage.export(&batch([span(1, &[])]), Encoding::Plain, &case);
        assert_eq!(stage.copies(&case), 2, "{case}, a retry of one of them");
    }
}

/// Copies of one Export may stand in different `ResourceSpans` of equal content.
#[test]
fn copies_in_two_resources_of_one_export_stay_two() {
    for between in ALL {
        let case = format!("{between:?}");
        let mut stage = Stage::new();
        stage.export(&batch([span(1, &[])]), Encoding::Doubled, &case);
        stage.pass(between);
        assert_eq!(stage.copies(&case), 2, "{case}");
    }
}

#[test]
fn an_export_with_more_copies_raises_the_count_to_its_own() {
    for between in ALL {
        for (earlier, later) in [(1usize, 2usize), (2, 1), (2, 3), (3, 3), (1, 5)] {
            let case = format!("{between:?}, {earlier} then {later}");
            let mut stage = Stage::new();
            let tree = |n: usize| batch(std::iter::repeat_n(span(1, &[("k", 4)]), n));
            stage.export(&tree(earlier), Encoding::Plain, &case);
            stage.pass(between);
            stage.export(&tree(later), Encoding::Plain, &case);
            let most = earlier.max(later) as u64;
            assert_eq!(stage.copies(&case), most, "{case}, the later in the head");
            stage.pass(between);
            assert_eq!(stage.copies(&case), most, "{case}, {between:?} again");
            stage.pass(Between::SealAndRestart);
            assert_eq!(stage.copies(&case), most, "{case}, sealed");
        }
    }
}

/// The count of copies is the engine's concern at every seal: sealed one by one, they do not sum.
#[test]
fn a_retry_after_every_seal_adds_nothing() {
    let mut stage = Stage::new();
    let tree = batch([span(1, &[]), span(1, &[]), span(2, &[])]);
    for round in 0..6 {
        stage.export(&tree, Encoding::Plain, "rounds");
        stage.pass(Between::Seal);
        assert_eq!(stage.copies(&format!("round {round}")), 3);
    }
}

#[test]
fn spans_that_differ_in_anything_are_kept() {
    let base = span(1, &[("a", 1), ("b", 2)]);
    let in_scope = |scope: Node| {
        let resource = Node::default().with_nodes(2, [scope.with_nodes(2, [base.clone()])]);
        Node::default().with_nodes(1, [resource])
    };
    let in_resource = |resource: Node| {
        let scope = Node::default().with_nodes(2, [base.clone()]);
        Node::default().with_nodes(1, [resource.with_nodes(2, [scope])])
    };
    let attribute = pair(b"r", Node::default().with_bytes(1, "x"));
    let nan = |bits: u64| {
        let value = Node::default().with_number(4, bits);
        batch([base.clone().with_nodes(9, [pair(b"n", value)])])
    };
    let different = [
        ("itself", batch([base.clone()])),
        ("attribute order", batch([span(1, &[("b", 2), ("a", 1)])])),
        ("a repeated attribute", batch([span(1, &[("a", 1), ("b", 2), ("b", 2)])])),
        (
            "the resource",
            in_resource(
                Node::default().with_node(1, Node::default().with_nodes(1, [attribute.clone()])),
            ),
        ),
        ("the resource's schema URL", in_resource(Node::default().with_bytes(3, "u"))),
        (
            "the scope's name",
            in_scope(Node::default().with_node(1, Node::default().with_bytes(1, "lib"))),
        ),
        ("the scope's schema URL", in_scope(Node::default().with_bytes(3, "u"))),
        ("the end", batch([base.clone().with_number(8, 1)])),
        ("flags", batch([base.clone().with_number(16, 1)])),
        ("an unknown field", batch([base.clone().with_unknown([0xf8, 0x07, 1])])),
        ("a NaN", nan(0x7ff8_0000_0000_0000)),
        ("another NaN", nan(0x7ff8_0000_0000_0001)),
        ("zero", nan(0)),
        ("minus zero", nan(1 << 63)),
    ];
    for between in ALL {
        let mut stage = Stage::new();
        for (n, (what, tree)) in different.iter().enumerate() {
            let case = format!("{between:?}, {what}");
            stage.export(tree, Encoding::Plain, &case);
            stage.pass(between);
            assert_eq!(stage.copies(&case), n as u64 + 1, "{case}");
        }
        // And a retry of each adds nothing.
        for (what, tree) in &different {
            let case = format!("{between:?}, retry of {what}");
            stage.export(tree, Encoding::Plain, &case);
            assert_eq!(stage.copies(&case), different.len() as u64, "{case}");
        }
    }
}

/// A retry that overtakes: two Exports of the same batch at the same moment.
#[test]
fn concurrent_retries_add_nothing() {
    let files = MemFiles::new();
    let store = open(&files);
    let tree = batch((1..=50).map(|i| span(i, &[("a", u64::from(i))])));
    let bytes = tree.encode(&TRACES);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (store, bytes) = (&store, bytes.clone());
            scope.spawn(move || {
                for _ in 0..5 {
                    store.ingest(&Tenancy::default(), bytes.clone().into()).expect("ingest");
                    if thread == 0 {
                        store.flush().expect("flush");
                    }
                }
            });
        }
    });
    let stream = store.view().get_traces(&Tenancy::default(), vec![TraceId(TRACE)], Cancel::new());
    let traces = drain(stream, 1 << 20, "concurrent");
    let expected = spans::multiset(spans::placed(&bytes).expect("valid"));
    spanlake_tests::model::check::compare_sets(&traces[0].1, &expected, "concurrent");
}

/// Tenancies share a log and nothing else: the same Export in two of them is there once in each.
#[test]
fn the_same_export_in_two_tenancies_is_no_repeat() {
    let files = MemFiles::new();
    let tenancies = [
        Tenancy::default(),
        Tenancy::new("default", "other").expect("a name"),
        Tenancy::new("other", "default").expect("a name"),
    ];
    let bytes = batch([span(1, &[]), span(1, &[]), span(2, &[])]).encode(&TRACES);
    let expected = spans::multiset(spans::placed(&bytes).expect("valid"));
    let mut store = open(&files);
    for round in 0..3 {
        for (n, tenancy) in tenancies.iter().enumerate() {
            if round > n {
                continue;
            }
            store.ingest(tenancy, bytes.clone().into()).expect("ingest");
        }
        for tenancy in &tenancies {
            let stream = store.view().get_traces(tenancy, vec![TraceId(TRACE)], Cancel::new());
            let traces = drain(stream, 1 << 20, "tenancies");
            let case = format!("round {round}, {tenancy}");
            spanlake_tests::model::check::compare_sets(&traces[0].1, &expected, &case);
            let found = store
                .view()
                .find_trace_ids(tenancy, &TraceQuery::default(), &Cancel::new())
                .expect("search");
            assert_eq!(found.len(), 1, "{case}");
        }
        let nobody = Tenancy::new("nobody", "default").expect("a name");
        let stream = store.view().get_traces(&nobody, vec![TraceId(TRACE)], Cancel::new());
        assert!(drain(stream, 1000, "nobody").is_empty());
        if round == 1 {
            store.flush().expect("flush");
        }
        store = open(&files.killed_now());
    }
}
