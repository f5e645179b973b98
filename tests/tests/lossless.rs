//! Invariant 7: what OTLP carried comes back equal, from the head, from a segment, and after a
//! restart; and one bad span never refuses its batch. Everything is judged on raw bytes by the
//! oracle's own decoder.

use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use spanlake::{Cancel, Options, Store, Tenancy, TraceId};
use spanlake_tests::model::case::export;
use spanlake_tests::model::check::{compare_sets, drain};
use spanlake_tests::model::files::MemFiles;
use spanlake_tests::model::invent::pair;
use spanlake_tests::model::spans::Multiset;
use spanlake_tests::model::wire::{Item, Kind, Node, Rule, Schema, TRACES};
use spanlake_tests::model::{Dice, Model, twist};

const TRACE: [u8; 16] = [7; 16];

/// Sends the bytes and asks for all traces in every place spans can lie.
fn comes_back(bytes: &[u8], what: &str) {
    let mut model = Model::default();
    let files = MemFiles::new();
    let open = |files: &MemFiles| {
        Store::open_in(files.world(1), Options::default()).unwrap_or_else(|e| panic!("{what}: {e}"))
    };
    let store = open(&files);
    export(&store, &mut model, bytes, what);
    assert!(!model.traces.is_empty(), "{what}: the case holds a span");
    equal(&store, &model, &format!("{what}, head"));
    let replayed = open(&files.killed_now());
    equal(&replayed, &model, &format!("{what}, replayed head"));
    store.flush().unwrap_or_else(|e| panic!("{what}: flush: {e}"));
    assert_eq!(store.stats().head_spans, 0, "{what}: the flush empties the head");
    equal(&store, &model, &format!("{what}, segment"));
    store.close(Duration::from_secs(60)).unwrap_or_else(|e| panic!("{what}: close: {e}"));
    let reopened = open(&files.killed_now());
    equal(&reopened, &model, &format!("{what}, reopened segment"));
}

fn equal(store: &Store, model: &Model, case: &str) {
    let ids: Vec<TraceId> = model.traces.keys().copied().map(TraceId).collect();
    let stream = store.view().get_traces(&Tenancy::default(), ids.clone(), Cancel::new());
    let got = drain(stream, 1 << 20, case);
    assert_eq!(got.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids, "{case}: traces");
    for (id, set) in got {
        compare_sets(&set, &model.traces[&id.0], &format!("{case}: {id}"));
    }
}

fn export_of(resource_spans: Vec<Node>) -> Vec<u8> {
    Node::default().with_nodes(1, resource_spans).encode(&TRACES)
}

fn one_span(span: Node) -> Vec<u8> {
    let scope = Node::default().with_nodes(2, [span]);
    export_of(vec![Node::default().with_nodes(2, [scope])])
}

fn plain_span(id: u8) -> Node {
    Node::default().with_bytes(1, TRACE).with_bytes(2, [id; 8]).with_number(7, 1_771_027_200 << 30)
}

/// How [`fill`] fills a message.
#[derive(Clone, Copy)]
struct Filling {
    /// What strings hold.
    text: &'static [u8],
    /// Raw fields that no schema knows, appended to every message.
    unknown: &'static [u8],
    /// Added to every number, so that fillings differ.
    bump: u64,
}

/// Every field of every message, down to `depth` nested values.
fn fill(schema: &'static Schema, filling: Filling, depth: u32) -> Node {
    let mut node = Node::default().with_unknown(filling.unknown);
    for field in schema.fields {
        let n = u64::from(field.number) + filling.bump;
        let id = id_length(schema.name, field.number);
        let item = |nth: u64| match field.kind {
            Kind::Message(_) if depth == 0 => None,
            Kind::Message(inner) => Some(Item::Node(fill(inner, filling, depth - 1))),
            Kind::Bytes if id > 0 => Some(Item::Bytes(vec![7; id])),
            Kind::Bytes => Some(Item::Bytes([filling.text, &[b'0' + nth as u8]].concat())),
            Kind::Bool => Some(Item::Number(1)),
            _ => Some(Item::Number(n + nth)),
        };
        let times = if field.rule == Rule::Many { 2 } else { 1 };
        let items: Vec<Item> = (0..times).filter_map(item).collect();
        if field.rule == Rule::Choice {
            node.fields.clear();
        }
        if !items.is_empty() {
            node.fields.insert(field.number, items);
        }
    }
    node
}

fn id_length(message: &str, field: u32) -> usize {
    match (message, field) {
        ("Span" | "Link", 1) => 16,
        ("Span" | "Link", 2) | ("Span", 4) => 8,
        _ => 0,
    }
}

/// One attribute of every value type, nested two levels deep.
fn all_values(filling: Filling) -> Vec<Node> {
    let scalars = |tag: u8| -> Vec<Node> {
        let text = [filling.text, &[tag]].concat();
        vec![
            Node::default(),
            Node::default().with_bytes(1, text.clone()),
            Node::default().with_bytes(1, ""),
            Node::default().with_number(2, 1),
            Node::default().with_number(2, 0),
            Node::default().with_number(3, i64::MIN as u64),
            Node::default().with_number(3, 0),
            Node::default().with_number(4, 0x7ff8_dead_beef_0001),
            Node::default().with_number(4, 0xfff0_0000_0000_0001),
            Node::default().with_number(4, (-0.0f64).to_bits()),
            Node::default().with_number(4, 0),
            Node::default().with_bytes(7, text),
            Node::default().with_bytes(7, ""),
            Node::default().with_number(8, 5),
            Node::default().with_unknown(filling.unknown),
        ]
    };
    let list = |v: Vec<Node>| Node::default().with_node(5, Node::default().with_nodes(1, v));
    let map = |v: Vec<Node>| {
        let pairs = v.into_iter().enumerate().map(|(i, v)| pair(&[b'k', i as u8 % 3], v));
        Node::default().with_node(6, Node::default().with_nodes(1, pairs))
    };
    let mut values = scalars(b'a');
    values.push(list(vec![]));
    values.push(map(vec![]));
    values.push(list(scalars(b'b')));
    values.push(map(scalars(b'c')));
    values.push(list(vec![map(vec![list(scalars(b'd'))]), list(vec![])]));
    values
}

#[test]
fn every_field_of_every_message() {
    for (bump, text) in [(0, &b"text"[..]), (u64::from(u32::MAX) - 40, b"")] {
        let filling = Filling { text, unknown: &[], bump };
        let bytes = fill(&TRACES, filling, 6).encode(&TRACES);
        // Somebody else's decoder finds the case valid.
        TracesData::decode(bytes.as_slice()).expect("valid OTLP");
        comes_back(&bytes, &format!("every field, bump {bump}"));
    }
}

#[test]
fn invalid_utf8_in_every_string() {
    for text in [&b"\xff"[..], b"a\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98 ok", b"nul\0\x80"] {
        let filling = Filling { text, unknown: &[], bump: 0 };
        let bytes = fill(&TRACES, filling, 6).encode(&TRACES);
        comes_back(&bytes, &format!("invalid UTF-8 {}", text.escape_ascii()));
    }
}

#[test]
fn unknown_fields_in_every_message() {
    let unknowns: [&[u8]; 6] = [
        &[0xf8, 0x07, 0x01],
        &[0xf9, 0x07, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0xfa, 0x07, 0x03, 0xff, 0x00, 0x7f],
        &[0xfd, 0x07, 9, 8, 7, 6],
        // A group with a field and a group inside.
        &[0xfb, 0x07, 0x08, 0x01, 0x0b, 0x10, 0x05, 0x0c, 0xfc, 0x07],
        // Two of them, the same field twice, an overlong varint, the largest field number.
        &[0xfa, 0x07, 0x00, 0xf8, 0x07, 0x80, 0x00, 0xf8, 0xff, 0xff, 0xff, 0x0f, 0x01],
    ];
    for unknown in unknowns {
        let filling = Filling { text: b"t", unknown, bump: 0 };
        let bytes = fill(&TRACES, filling, 6).encode(&TRACES);
        comes_back(&bytes, &format!("unknown {unknown:02x?}"));
    }
}

#[test]
fn every_value_type_on_every_level() {
    for (text, unknown) in [(&b"v"[..], &[][..]), (b"\xfe", &[0xf8, 0x07, 0x01])] {
        let filling = Filling { text, unknown, bump: 0 };
        let attributes = || {
            let values = all_values(filling).into_iter().enumerate();
            // Keys repeat, one is empty.
            values.map(|(i, v)| pair([&b"a"[..], b"b", b""][i % 3], v)).collect::<Vec<_>>()
        };
        let span = plain_span(1)
            .with_nodes(9, attributes())
            .with_nodes(11, [Node::default().with_nodes(3, attributes())])
            .with_nodes(13, [Node::default().with_nodes(4, attributes())]);
        let scope_body = Node::default().with_nodes(3, attributes());
        let scope = Node::default().with_node(1, scope_body).with_nodes(2, [span]);
        let resource = Node::default()
            .with_node(1, Node::default().with_nodes(1, attributes()))
            .with_nodes(2, [scope]);
        comes_back(&export_of(vec![resource]), &format!("values {}", text.escape_ascii()));
    }
}

#[test]
fn emptiness_of_every_kind() {
    let empty = Node::default;
    let without_value = empty().with_bytes(1, "no value");
    let span = plain_span(1)
        .with_nodes(9, [empty(), without_value, pair(b"", empty())])
        .with_nodes(11, [empty(), empty()])
        .with_nodes(13, [empty(), empty()])
        .with_node(15, empty());
    comes_back(&one_span(span.clone()), "empty events, links, status, attributes");
    comes_back(&one_span(plain_span(1)), "no resource, no scope");
    let scope = empty().with_node(1, empty()).with_nodes(2, [span]);
    let resource = empty().with_node(1, empty()).with_nodes(2, [scope]);
    comes_back(&export_of(vec![resource]), "resource and scope present and empty");
    comes_back(&one_span(plain_span(1).with_bytes(4, [0; 8])), "a parent of eight zeros");
}

#[test]
fn times_at_the_ends_of_the_range() {
    let edges = [
        0,
        1,
        i64::MAX as u64 - 1,
        i64::MAX as u64,
        i64::MAX as u64 + 1,
        9_500_000_000_000_000_000,
        u64::MAX - 1,
        u64::MAX,
    ];
    let spans = edges.iter().flat_map(|start| edges.iter().map(move |end| (*start, *end)));
    let spans = spans.enumerate().map(|(i, (start, end))| {
        let event = Node::default().with_number(1, end);
        plain_span(1 + i as u8).with_number(7, start).with_number(8, end).with_nodes(11, [event])
    });
    let scope = Node::default().with_nodes(2, spans);
    let resource = Node::default().with_nodes(2, [scope]);
    let bytes = Node::default().with_nodes(1, [resource]).tidy(&TRACES).encode(&TRACES);
    comes_back(&bytes, "times");
}

#[test]
fn numbers_that_no_enum_defines() {
    let kinds = [6, 7, 1000, i32::MAX as u32, -1i32 as u32, i32::MIN as u32];
    let spans = kinds.iter().enumerate().map(|(i, n)| {
        let status = Node::default().with_number(3, u64::from(*n));
        plain_span(1 + i as u8).with_number(6, u64::from(*n)).with_node(15, status)
    });
    let scope = Node::default().with_nodes(2, spans);
    comes_back(&export_of(vec![Node::default().with_nodes(2, [scope])]), "enum numbers");
}

#[test]
fn order_and_repeats_of_attributes() {
    let value = |n: u64| Node::default().with_number(3, n);
    let orders: [&[(&[u8], u64)]; 4] = [
        &[(b"a", 1), (b"b", 2), (b"a", 3)],
        &[(b"a", 3), (b"b", 2), (b"a", 1)],
        &[(b"b", 2), (b"a", 1), (b"a", 3)],
        &[(b"a", 1), (b"a", 1), (b"a", 1)],
    ];
    // All four differ only in the order of their attributes: four spans, none a copy.
    let spans = orders.iter().map(|order| {
        plain_span(1).with_nodes(9, order.iter().map(|(key, n)| pair(key, value(*n))))
    });
    let scope = Node::default().with_nodes(2, spans);
    comes_back(&export_of(vec![Node::default().with_nodes(2, [scope])]), "attribute orders");
}

#[test]
fn a_value_nested_forty_lists_deep() {
    let mut value = Node::default().with_bytes(1, "deep");
    // Each list costs two messages; prost and Go stop at 100 and 10,000.
    for _ in 0..40 {
        value = Node::default().with_node(5, Node::default().with_nodes(1, [value]));
    }
    comes_back(&one_span(plain_span(1).with_nodes(9, [pair(b"deep", value)])), "deep");
}

#[test]
fn a_span_of_five_megabytes() {
    let value = Node::default().with_bytes(1, vec![b'x'; 5 << 20]);
    comes_back(&one_span(plain_span(1).with_nodes(9, [pair(b"big", value)])), "big");
}

#[test]
fn a_non_canonical_encoding_comes_back_as_the_same_spans() {
    let tree = fill(&TRACES, Filling { text: b"t", unknown: &[0xf8, 0x07, 1], bump: 0 }, 6);
    for seed in 0..20 {
        let bytes = twist::twist(&tree, &TRACES, &mut Dice::new(seed));
        comes_back(&bytes, &format!("twisted {seed}"));
    }
}

/// Every way a span can be refused, between two good ones.
#[test]
fn a_bad_span_never_refuses_its_batch() {
    let link = |field: u32, bytes: Vec<u8>| {
        plain_span(2).with_nodes(13, [Node::default(), Node::default().with_bytes(field, bytes)])
    };
    let mut bad: Vec<(String, Node)> = Vec::new();
    for length in [0usize, 1, 8, 15, 17, 32] {
        bad.push((format!("trace id of {length}"), plain_span(2).with_bytes(1, vec![1; length])));
    }
    for length in [0usize, 1, 7, 9, 16] {
        bad.push((format!("span id of {length}"), plain_span(2).with_bytes(2, vec![1; length])));
    }
    for length in [1usize, 7, 9, 16] {
        bad.push((format!("parent of {length}"), plain_span(2).with_bytes(4, vec![1; length])));
        bad.push((format!("link span id of {length}"), link(2, vec![1; length])));
    }
    for length in [1usize, 8, 15, 17] {
        bad.push((format!("link trace id of {length}"), link(1, vec![1; length])));
    }
    bad.push(("trace id of zeros".to_owned(), plain_span(2).with_bytes(1, [0; 16])));
    bad.push(("span id of zeros".to_owned(), plain_span(2).with_bytes(2, [0; 8])));

    let service = pair(b"service.name", Node::default().with_bytes(1, "culprit"));
    let batch = |spans: Vec<Node>| {
        let scope = Node::default().with_nodes(2, spans);
        let resource = Node::default().with_nodes(1, [service.clone()]);
        export_of(vec![Node::default().with_node(1, resource).with_nodes(2, [scope])])
    };
    for (what, span) in &bad {
        let bytes = batch(vec![plain_span(1), span.clone(), plain_span(3)]);
        comes_back(&bytes, what);
        let files = MemFiles::new();
        let store = Store::open_in(files.world(1), Options::default()).expect("open");
        let got = store.ingest(&Tenancy::default(), bytes.into()).expect("the batch is taken");
        let [rejection] = got.rejected.as_slice() else { panic!("{what}: {:?}", got.rejected) };
        assert_eq!((got.accepted, rejection.count), (2, 1), "{what}");
        assert_eq!(rejection.service, "culprit", "{what}: the log line can name the service");
    }

    // All of them at once, and nothing else: still no error, and nothing stored.
    let store = Store::open_in(MemFiles::new().world(1), Options::default()).expect("open");
    let bytes = batch(bad.iter().map(|(_, span)| span.clone()).collect());
    let got = store.ingest(&Tenancy::default(), bytes.into()).expect("an answer, not an error");
    let rejected: u64 = got.rejected.iter().map(|r| r.count).sum();
    assert_eq!((got.accepted, rejected), (0, bad.len() as u64));
    assert!(got.rejected.len() >= 3, "reasons are told apart: {:?}", got.rejected);
    let reasons: std::collections::BTreeSet<_> = got.rejected.iter().map(|r| r.reason).collect();
    assert_eq!(reasons.len(), got.rejected.len(), "one entry a reason: {:?}", got.rejected);
}

/// An Export without spans, in every form, is taken and adds nothing.
#[test]
fn an_export_of_nothing_is_fine() {
    let store = Store::open_in(MemFiles::new().world(1), Options::default()).expect("open");
    let empty = Node::default;
    let forms = [
        export_of(vec![]),
        export_of(vec![empty()]),
        export_of(vec![empty().with_nodes(2, [empty()])]),
        // An unknown field of the request itself.
        vec![0xf8, 0x07, 0x01],
    ];
    for bytes in forms {
        let got = store.ingest(&Tenancy::default(), bytes.into()).expect("taken");
        assert_eq!(got.accepted, 0);
        assert!(got.rejected.is_empty());
    }
    store.flush().expect("flush of nothing");
    assert!(store.view().services(&Tenancy::default()).expect("services").is_empty());
}

/// Undecodable bytes are refused whole, by a message that helps, and change nothing.
#[test]
fn malformed_bytes_are_refused_and_change_nothing() {
    let good = one_span(plain_span(1));
    let mut nested = good.clone();
    // The span says it is longer than its scope.
    let at = nested.iter().position(|b| *b == 0x0a).expect("a tag") + 1;
    nested[at] += 1;
    let forms: Vec<(&str, Vec<u8>)> = vec![
        ("a cut message", good[..good.len() - 1].to_vec()),
        ("an overrunning length", nested),
        ("a lone tag", vec![0x0a]),
        ("field number zero", vec![0x02, 0x00]),
        ("a varint of eleven bytes", [&[0xf8, 0x07][..], &[0xff; 11]].concat()),
        ("text", b"GET / HTTP/1.1\r\n".to_vec()),
        ("a group that never ends", vec![0xfb, 0x07, 0x08, 0x01]),
    ];
    let store = Store::open_in(MemFiles::new().world(1), Options::default()).expect("open");
    let mut model = Model::default();
    for (what, bytes) in forms {
        let bytes = Bytes::from(bytes);
        assert!(Model::default().export(&bytes).is_err(), "{what}: the oracle agrees");
        let error = store.ingest(&Tenancy::default(), bytes).expect_err(what);
        assert_eq!(error.kind(), spanlake::ErrorKind::Invalid, "{what}: {error}");
        assert!(error.message().len() > 10, "{what}: {error} helps");
    }
    let ids = vec![TraceId(TRACE)];
    let stream = store.view().get_traces(&Tenancy::default(), ids, Cancel::new());
    assert_eq!(drain(stream, 1000, "after malformed"), Vec::<(TraceId, Multiset)>::new());
    export(&store, &mut model, &good, "a good one after them");
    equal(&store, &model, "a good one after them");
}
