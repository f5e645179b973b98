//! Sizes and pressures beyond the usual: a nesting bomb, thousands of odd timestamps, a trace too
//! large to sort, a head at its memory limit, a disk that fills up under the log. Real data sets
//! against the oracle where they lie beside the project.

use std::time::Duration;

use spanlake::{Cancel, ErrorKind, Options, Store, Tenancy, TraceId, TraceQuery};
use spanlake_tests::e2e::data_set;
use spanlake_tests::model::case::{Encoding, bytes_of, export};
use spanlake_tests::model::check::drain;
use spanlake_tests::model::files::{Fault, MemFiles};
use spanlake_tests::model::invent::{Universe, pair};
use spanlake_tests::model::wire::{Node, TRACES};
use spanlake_tests::model::{Checker, Dice, Model};

fn open(files: &MemFiles, options: Options) -> Store {
    Store::open_in(files.world(1), options).expect("open")
}

fn span(trace: u8, id: u64, start: u64) -> Node {
    Node::default()
        .with_bytes(1, [trace; 16])
        .with_bytes(2, (id + 1).to_be_bytes())
        .with_number(7, start)
        .with_number(8, start.saturating_add(5))
}

fn batch(service: &str, spans: impl IntoIterator<Item = Node>) -> Vec<u8> {
    let name = pair(b"service.name", Node::default().with_bytes(1, service));
    let scope = Node::default().with_nodes(2, spans);
    let resource =
        Node::default().with_node(1, Node::default().with_nodes(1, [name])).with_nodes(2, [scope]);
    Node::default().with_nodes(1, [resource]).tidy(&TRACES).encode(&TRACES)
}

fn put_length(out: &mut Vec<u8>, tag: u8, mut n: usize) {
    // Backwards, as the whole message is built from its inside out.
    let mut digits = vec![tag];
    while n >= 0x80 {
        digits.push(n as u8 | 0x80);
        n >>= 7;
    }
    digits.push(n as u8);
    out.extend(digits.iter().rev());
}

/// A span with an attribute of lists within lists.
fn nested(levels: usize) -> Vec<u8> {
    let mut backwards = Vec::new();
    for _ in 0..levels {
        for tag in [0x0a, 0x2a] {
            let inside = backwards.len();
            put_length(&mut backwards, tag, inside);
        }
    }
    backwards.reverse();
    let value = backwards;
    let key_value = [&[0x0a, 1, b'k'][..], &wrap(0x12, &value)].concat();
    let mut span = span(1, 1, 1_771_027_200_000_000_000).encode(&spanlake_tests::model::wire::SPAN);
    span.extend(wrap(0x4a, &key_value));
    wrap(0x0a, &wrap(0x12, &wrap(0x12, &span)))
}

fn wrap(tag: u8, inside: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    put_length(&mut head, tag, inside.len());
    head.reverse();
    head.extend_from_slice(inside);
    head
}

/// Refused by name or taken whole, but no stack is overrun: not at the walk, not at a search, not
/// at the seal.
#[test]
fn a_nesting_bomb_overruns_no_stack() {
    for levels in [45, 60, 200, 5_000, 200_000] {
        let files = MemFiles::new();
        let store = open(&files, Options::default());
        let tenancy = Tenancy::default();
        let taken = match store.ingest(&tenancy, nested(levels).into()) {
            Ok(ingested) => ingested.accepted == 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Invalid, "{levels} levels: {error}");
                false
            }
        };
        assert!(taken || levels > 45, "what prost and Go take is taken");
        let mut query = TraceQuery::default();
        query.attributes.push(spanlake::AttributeEquals { key: "k".into(), value: "x".into() });
        for _ in 0..2 {
            let view = store.view();
            let found = view.find_trace_ids(&tenancy, &query, &Cancel::new()).expect("search");
            assert!(found.is_empty(), "{levels} levels");
            let stream = view.get_traces(&tenancy, vec![TraceId([1; 16])], Cancel::new());
            let mut stream = stream;
            let first = stream.next_chunk(1 << 20).expect("a chunk");
            assert_eq!(first.is_some(), taken, "{levels} levels");
            store.flush().expect("flush");
        }
        store.ingest(&tenancy, batch("s", [span(2, 1, 1)]).into()).expect("life goes on");
    }
}

/// design.md §3: no late or absurd span pins the log or opens a file of its own.
#[test]
fn thousands_of_odd_timestamps_make_one_segment() {
    let files = MemFiles::new();
    let store = open(&files, Options::default());
    let mut model = Model::default();
    let step = u64::MAX / 8192;
    let spans = (0..8192u64).map(|n| span((n % 100) as u8 + 1, n, n * step));
    export(&store, &mut model, &batch("odd", spans), "odd");
    store.flush().expect("flush");
    assert_eq!(store.stats().segments, 1, "one mixed segment");
    assert_eq!(store.stats().head_spans, 0);
    let view = store.view();
    let checker = Checker::new(&view, &model, "odd timestamps");
    checker.traces((1..=100).map(|t| TraceId([t; 16])).collect(), 1 << 20);
    for limit in [1, 7, 100, 1000] {
        checker.search(&TraceQuery { limit, ..TraceQuery::default() }, 1 << 20);
        let start_max = Some(u64::MAX / 3);
        checker.search(&TraceQuery { limit, start_max, ..TraceQuery::default() }, 1 << 20);
    }
}

/// More rows than a trace is sorted in memory with, in several segments and the head, with
/// retries and copies across all of them.
#[test]
fn a_large_torn_trace_streams_each_copy_once() {
    let files = MemFiles::new();
    let store = open(&files, Options::default());
    let mut model = Model::default();
    let base = 1_771_027_200_000_000_000u64;
    let part = |from: u64, to: u64| {
        batch("large", (from..to).map(|n| span(1, n, base + n % 7 * 3_600_000_000_000)))
    };
    for (from, to, copies, sealed) in [
        (0, 3_000, 1, true),
        (2_000, 5_000, 2, true),
        (0, 1_500, 1, true),
        (4_000, 9_000, 1, false),
        (0, 500, 3, false),
        (4_500, 5_500, 2, false),
    ] {
        let bytes = part(from, to).repeat(copies);
        export(&store, &mut model, &bytes, &format!("{from}..{to} x {copies}"));
        if sealed {
            store.flush().expect("flush");
        }
        let view = store.view();
        let checker = Checker::new(&view, &model, format!("after {from}..{to} x {copies}"));
        checker.traces(vec![TraceId([1; 16])], 1 << 20);
        checker.search(&TraceQuery::default(), 50_000);
    }
    store.flush().expect("flush");
    let view = store.view();
    Checker::new(&view, &model, "all sealed").traces(vec![TraceId([1; 16])], 1 << 18);
}

/// A head that cannot be sealed fills its memory: refused with a time to come back, everything
/// acknowledged stays and is answered; when seals work again, so does ingest.
#[test]
fn memory_pressure_refuses_before_the_append() {
    let files = MemFiles::new();
    let options = Options { memory_limit: 4 << 20, ..Options::default() };
    let store = open(&files, options.clone());
    let mut model = Model::default();
    files.inject(Fault::CreateFails);
    let big = |n: u64| {
        // Equal values would be kept once.
        let value = Node::default().with_bytes(1, n.to_string().repeat(20_000).into_bytes());
        let one = span(n as u8 % 50 + 1, n, 1_771_027_200_000_000_000 + n);
        batch("big", [one.with_nodes(9, [pair(b"padding", value)])])
    };
    let mut refusal = None;
    for n in 0..400 {
        match store.ingest(&Tenancy::default(), big(n).into()) {
            Ok(_) => drop(model.export(&big(n)).expect("oracle")),
            Err(error) => {
                refusal = Some(error);
                break;
            }
        }
    }
    let error = refusal.expect("24 MB do not fit into 4");
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(error.retry_after_millis().is_some(), "{error} says when to come back");
    assert!(error.message().contains("memory"), "{error} names the limit");
    let ids: Vec<TraceId> = model.traces.keys().copied().map(TraceId).collect();
    assert!(ids.len() > 5, "some were taken first");
    let view = store.view();
    Checker::new(&view, &model, "under pressure").traces(ids.clone(), 1 << 20);
    drop(view);
    // A restart under the same pressure neither loses nor refuses what was acknowledged.
    let restarted = open(&files.killed_now(), options);
    let view = restarted.view();
    Checker::new(&view, &model, "restarted under pressure").traces(ids.clone(), 1 << 20);

    files.heal();
    store.flush().expect("seals work again");
    for n in 400..420 {
        export(&store, &mut model, &big(n), "after the pressure");
    }
    let view = store.view();
    Checker::new(&view, &model, "after the pressure").traces(ids, 1 << 20);
}

/// A disk that fills up under the log: each refused Export leaves nothing, and when there is room
/// again the same store goes on.
#[test]
fn a_full_disk_under_the_log_refuses_and_recovers() {
    let mut dice = Dice::new(9);
    let mut universe = Universe::plain(&mut dice);
    let files = MemFiles::new();
    let store = open(&files, Options::default());
    let mut model = Model::default();
    for round in 0..6 {
        for _ in 0..3 {
            let bytes = bytes_of(&universe.batch(&mut dice), Encoding::Plain);
            export(&store, &mut model, &bytes, "room");
        }
        files.inject(Fault::DiskFull);
        for _ in 0..3 {
            let bytes = batch("refused", [span(200, dice.roll() % 99, 5)]);
            let error = store.ingest(&Tenancy::default(), bytes.into()).expect_err("no room");
            let gentle = matches!(error.kind(), ErrorKind::Exhausted | ErrorKind::Unavailable);
            assert!(gentle, "round {round}: {error}");
            assert!(error.message().contains("disk"), "round {round}: {error}");
        }
        let crashed = open(&files.killed_now(), Options::default());
        let view = crashed.view();
        Checker::new(&view, &model, format!("crashed, round {round}")).check_all(&universe);
        files.heal();
        if round % 2 == 1 {
            store.flush().expect("flush");
        }
        let view = store.view();
        Checker::new(&view, &model, format!("round {round}")).check_all(&universe);
    }
    let view = store.view();
    let stream = view.get_traces(&Tenancy::default(), vec![TraceId([200; 16])], Cancel::new());
    assert!(drain(stream, 1000, "refused").is_empty(), "nothing of a refused Export is stored");
    store.close(Duration::from_secs(60)).expect("close");
}

const MIB: u64 = 1 << 20;

/// Ingest stops while there is still room to seal, goes on by itself once there is more, and
/// follows a volume that grows; at 0 bytes free a store starts, answers and gives room back.
#[test]
fn ingest_stops_before_the_disk_is_full_and_a_full_disk_opens_answers_and_purges() {
    let mut dice = Dice::new(10);
    let universe = Universe::plain(&mut dice);
    let files = MemFiles::new();
    files.set_volume(24 * MIB, 0);
    let store = open(&files, Options::default());
    let mut model = Model::default();
    let mut refused = |store: &Store, model: &mut Model| {
        for n in 0..10_000u64 {
            let noise: Vec<u8> = (0..8192).flat_map(|_| dice.roll().to_le_bytes()).collect();
            let value = Node::default().with_bytes(7, noise);
            let span = span(n as u8, n, 5).with_nodes(9, [pair(b"noise", value)]);
            let bytes = batch("noisy", [span]);
            match store.ingest(&Tenancy::default(), bytes.clone().into()) {
                Ok(_) => model.export(&bytes).expect("a valid batch"),
                Err(error) => return error,
            };
        }
        panic!("a small volume holds no 640 MiB");
    };
    let error = refused(&store, &mut model);
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    assert!(error.message().contains("enlarge") && error.retry_after_millis().is_some(), "{error}");
    assert!(!store.stats().write_available);
    assert!(store.stats().disk_free > MIB, "{} bytes are left", store.stats().disk_free);
    store.settle().expect("there is room to seal");

    files.set_volume(48 * MIB, 0);
    assert!(store.stats().write_available, "a grown volume is seen at once");
    refused(&store, &mut model);
    let checked = |store: &Store, when: &str| {
        Checker::new(&store.view(), &model, when).check_all(&universe);
    };
    checked(&store, "refused again");

    // Somebody else takes every byte.
    let others = store.stats().disk_free;
    files.set_volume(48 * MIB, others);
    assert_eq!(store.stats().disk_free, 0);
    checked(&store, "0 bytes free");
    drop(store);
    let crashed = files.killed_now();
    crashed.set_volume(48 * MIB, others);
    let store = open(&crashed, Options::default());
    checked(&store, "restarted with 0 bytes free");
    let bytes = batch("refused", [span(1, 1, 5)]);
    let error = store.ingest(&Tenancy::default(), bytes.clone().into()).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error}");
    store.purge().expect("what frees room finds some");
    assert_eq!(store.stats().segments, 0);

    crashed.set_volume(48 * MIB, 0);
    store.ingest(&Tenancy::default(), bytes.into()).expect("goes on by itself");
    store.close(Duration::from_secs(60)).expect("close");
}

/// Two hosts on one network volume, where no lock reaches: the later open wins, and the earlier
/// store acknowledges nothing that the later one does not know.
#[test]
fn a_store_that_was_taken_over_commits_nothing_and_closes_its_gate() {
    let files = MemFiles::new();
    let first = open(&files, Options::default());
    let bytes = batch("first", [span(1, 1, 5)]);
    first.ingest(&Tenancy::default(), bytes.clone().into()).expect("Export");
    let second = open(&files, Options::default());
    let error = first.flush().expect_err("the epoch is not its own any more");
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert!(!first.stats().write_available);
    let error = first.ingest(&Tenancy::default(), bytes.into()).expect_err("the gate is closed");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    second.flush().expect("it is its own");
    assert_eq!(second.stats().segment_spans, 1);
}

/// Also without a commit of its own, within seconds.
#[test]
fn a_store_that_was_taken_over_notices_while_idle() {
    let files = MemFiles::new();
    let first = open(&files, Options::default());
    let _second = open(&files, Options::default());
    let began = std::time::Instant::now();
    while first.stats().write_available {
        assert!(began.elapsed() < Duration::from_secs(30), "it never notices");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads that fail say so and pass: the next one succeeds.
#[test]
fn a_read_error_is_an_error_not_an_empty_answer() {
    let mut dice = Dice::new(11);
    let mut universe = Universe::plain(&mut dice);
    let files = MemFiles::new();
    let store = open(&files, Options::default());
    let mut model = Model::default();
    for _ in 0..5 {
        let bytes = bytes_of(&universe.batch(&mut dice), Encoding::Plain);
        export(&store, &mut model, &bytes, "before");
    }
    store.flush().expect("flush");
    files.inject(Fault::ReadFails);
    let view = store.view();
    let id = TraceId(*model.traces.keys().next().expect("a trace"));
    let mut stream = view.get_traces(&Tenancy::default(), vec![id], Cancel::new());
    // What is cached may still be answered; an empty answer would be a lie.
    match stream.next_chunk(1 << 20) {
        Ok(chunk) => assert!(chunk.is_some(), "an empty answer from a disk that cannot be read"),
        Err(error) => assert!(error.message().contains("segments/"), "{error} names the file"),
    }
    files.heal();
    let view = store.view();
    Checker::new(&view, &model, "healed").check_all(&universe);
}

/// The oracle against answers somebody else computed by brute force, and the engine against the
/// oracle, on production oddities: 428 ids that occur twice, traces over 16 services.
#[test]
fn the_zipkin_set_answers_like_the_oracle_and_its_known_answers() {
    let Ok(path) = data_set("zipkin") else {
        println!("SKIPPED: the zipkin data set does not lie beside the project");
        return;
    };
    let known = std::fs::read(path.with_file_name("zipkin.expected.json")).expect("known answers");
    let known: serde_json::Value = serde_json::from_slice(&known).expect("JSON");
    let packed = std::fs::read(&path).expect("the set");
    let bytes = zstd::decode_all(packed.as_slice()).expect("a zstd frame");
    let files = MemFiles::new();
    let store = open(&files, Options::default());
    let mut model = Model::default();
    for (n, request) in requests(&bytes).into_iter().enumerate() {
        export(&store, &mut model, request, &format!("request {n}"));
        if n % 2 == 1 {
            store.flush().expect("flush");
        }
    }
    assert_eq!(Some(model.spans().count() as u64), known["spans"].as_u64());
    assert_eq!(Some(model.services().len() as u64), known["services"].as_u64());
    let mut edges: Vec<(String, String, u64)> = known["dependencies"]
        .as_array()
        .expect("edges")
        .iter()
        .map(|e| {
            let name = |i: usize| e[i].as_str().unwrap_or_default().to_owned();
            (name(0), name(1), e[2].as_u64().unwrap_or(0))
        })
        .collect();
    edges.sort();
    let ours: Vec<(String, String, u64)> = model
        .dependencies(None, None)
        .into_iter()
        .map(|d| (d.parent, d.child, d.call_count))
        .collect();
    assert_eq!(ours, edges, "the oracle's edges (left) and the known ones");

    let view = store.view();
    let checker = Checker::new(&view, &model, "zipkin");
    checker.dependencies(None, None);
    checker.traces(model.traces.keys().copied().map(TraceId).collect(), 1 << 16);
    checker.search(&TraceQuery::default(), 1 << 20);
    for service in model.services() {
        checker.operations(&service, None);
        let query = TraceQuery { service: Some(service), limit: 3, ..TraceQuery::default() };
        checker.search(&query, 1 << 20);
    }
}

/// The length-delimited requests of a data set.
fn requests(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let byte = bytes[0];
            bytes = &bytes[1..];
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        found.push(&bytes[..length]);
        bytes = &bytes[length..];
    }
    found
}

/// A sender that retries everything it sent, after the seal: read and sealed again, nothing is
/// added. (It once decoded a page for each repeated row.)
#[test]
fn a_retry_of_a_large_sealed_trace_adds_nothing() {
    let files = MemFiles::new();
    let store = open(&files, Options::default());
    let mut model = Model::default();
    let base = 1_771_027_200_000_000_000u64;
    let value = Node::default().with_bytes(1, vec![b'v'; 200]);
    let bytes = batch(
        "large",
        (0..20_000).map(|n| {
            let text = pair(b"text", value.clone());
            span(1, n, base + n * 1000).with_nodes(9, [text])
        }),
    );
    let read = |what: &str| {
        let view = store.view();
        let tenancy = Tenancy::default();
        let mut stream = view.get_traces(&tenancy, vec![TraceId([1; 16])], Cancel::new());
        let mut spans = 0;
        while let Some(chunk) = stream.next_chunk(1 << 20).expect("a chunk") {
            spans += chunk.spans;
        }
        assert_eq!(spans, 20_000, "{what}");
    };
    export(&store, &mut model, &bytes, "first");
    store.flush().expect("flush");
    read("sealed");
    export(&store, &mut model, &bytes, "retry");
    read("repeated in the head");
    store.flush().expect("flush");
    read("sealed again");
    assert_eq!(store.stats().duplicate_spans, 20_000);
}
