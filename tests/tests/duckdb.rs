//! Segments are open files: DuckDB, through the view that `spanlake segments --duckdb` prints, and
//! pyarrow read every attribute of every span back, wherever a file keeps it: the same key in a
//! column of integers in one file, in a column of strings in another, in the remainder of a third.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use prost::Message;
use serde_json::{Value as Json, json};
use spanlake::{Cancel, Options, Store, Tenancy, TraceId};
use spanlake_tests::e2e::{Result, data_set, install, need, run_program, say, skipped};
use spanlake_tests::or_skip;

const START: u64 = 1_795_248_753_000_000_000;
/// Spans of a file in which a key deserves a column.
const MANY: u64 = 2_000;

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

fn span(file: u8, number: u64) -> Span {
    let mut trace_id = vec![file; 16];
    trace_id[8..].copy_from_slice(&(number / 4).to_be_bytes());
    let start = START + number * 1_000_003;
    Span {
        trace_id,
        span_id: (number + 1).to_be_bytes().into(),
        // Each trace's first span is its root; the others hang below the one before them.
        parent_span_id: if number.is_multiple_of(4) { vec![] } else { number.to_be_bytes().into() },
        name: format!("op {}", number % 7),
        kind: (number % 6) as i32,
        start_time_unix_nano: start,
        end_time_unix_nano: start + number * 17,
        status: (!number.is_multiple_of(3)).then(|| Status {
            code: (number % 3) as i32,
            message: if number % 3 == 2 { "it's broken".into() } else { String::new() },
        }),
        ..Span::default()
    }
}

fn export(service: &str, spans: Vec<Span>) -> Vec<u8> {
    let attributes = vec![
        text("service.name", service),
        pair("replicas", Value::IntValue(3)),
        text("quote\"", "größe\n"),
    ];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..Default::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// `code` is an integer; doubles, flags, bytes and an event's attribute have columns too.
fn first_file() -> Vec<Span> {
    let dress = |number: u64| Span {
        attributes: vec![
            pair("code", Value::IntValue(200 + (number % 5) as i64)),
            pair("share", Value::DoubleValue(number as f64 / 8.0)),
            pair("cached", Value::BoolValue(number.is_multiple_of(2))),
            pair("body", Value::BytesValue(number.to_be_bytes().into())),
            text("it's \"odd\"", &format!("v{}", number % 3)),
        ],
        events: (0..number % 3)
            .map(|n| Event {
                time_unix_nano: START + number * 1_000_003 + n,
                name: "retry".into(),
                attributes: vec![
                    text("reason", &format!("r{n}")),
                    pair("n", Value::IntValue(n as i64)),
                ],
                ..Event::default()
            })
            .collect(),
        flags: 1,
        ..span(1, number)
    };
    (0..MANY).map(dress).collect()
}

/// `code` is a string.
fn second_file() -> Vec<Span> {
    let dress = |number: u64| Span {
        attributes: vec![text("code", &(200 + number % 5).to_string()), text("user", "ann")],
        links: (0..number % 2)
            .map(|n| Link {
                trace_id: vec![7; 16],
                span_id: vec![8; 8],
                attributes: vec![text("why", &format!("w{n}"))],
                ..Link::default()
            })
            .collect(),
        trace_state: "a=b".into(),
        ..span(2, number)
    };
    (0..MANY).map(dress).collect()
}

/// Few spans, each with something that no column holds.
fn third_file() -> Vec<Span> {
    let array = ArrayValue {
        values: vec![AnyValue { value: Some(Value::IntValue(1)) }, AnyValue { value: None }],
    };
    let list = KeyValueList { values: vec![text("a", "b")] };
    let odd = [
        vec![pair("code", Value::IntValue(201))],
        vec![text("code", "404")],
        // A key that repeats, with two types.
        vec![text("code", "201"), pair("code", Value::IntValue(500)), text("code", "201")],
        vec![pair("list", Value::ArrayValue(array)), pair("map", Value::KvlistValue(list))],
        vec![
            KeyValue {
                key: "empty".into(),
                value: Some(AnyValue::default()),
                ..KeyValue::default()
            },
            KeyValue { key: "missing".into(), value: None, ..KeyValue::default() },
            text("", "no key"),
            text("nothing", ""),
        ],
        vec![text("a\u{1b}[2J\n\u{202e}'--\0", "x'; DROP VIEW spans; --")],
        [0.0, -0.0, 72.0, 72.5, 1e21, 1e-7, 0.1 + 0.2, f64::MAX, 5e-324, 1e15, -123456789012345.0]
            .iter()
            .chain(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY])
            .enumerate()
            .map(|(n, double)| pair(&format!("d{n}"), Value::DoubleValue(*double)))
            .collect(),
        vec![pair("low", Value::IntValue(i64::MIN)), pair("high", Value::IntValue(i64::MAX))],
        vec![pair("no bytes", Value::BytesValue(vec![])), pair("no", Value::BoolValue(false))],
        vec![],
    ];
    let dress = |(number, attributes): (u64, Vec<KeyValue>)| Span {
        events: vec![
            Event { attributes: attributes.clone(), ..Event::default() },
            Event { name: "e".into(), attributes: vec![text("k", "v")], ..Event::default() },
        ],
        links: vec![Link { attributes: attributes.clone(), ..Link::default() }],
        attributes,
        ..span(3, number)
    };
    (0..).zip(odd).map(dress).collect()
}

/// A value's type and text as the store's own search has it.
fn typed(value: Option<&AnyValue>) -> (&'static str, Json) {
    let Some(value) = value else { return ("missing", Json::Null) };
    let kind = match &value.value {
        None => return ("empty", Json::Null),
        Some(Value::StringValue(_)) => "string",
        Some(Value::BoolValue(_)) => "bool",
        Some(Value::IntValue(_)) => "int",
        // Every bit counts, which the search's text keeps too but for the sign of zero.
        Some(Value::DoubleValue(double)) if double.is_finite() => {
            return ("double", format!("{double:e}").into());
        }
        Some(Value::DoubleValue(_)) => "double",
        Some(Value::BytesValue(_)) => "bytes",
        Some(_) => "json",
    };
    (kind, spanlake::otlp::value::as_string(&value.encode_to_vec()).into())
}

/// A value as the JSON of a resource has it.
fn plain(value: Option<&AnyValue>) -> Json {
    let (kind, text) = typed(value);
    match (kind, text.as_str()) {
        ("int" | "bool" | "double" | "json", Some(text)) => {
            serde_json::from_str(text).expect("is JSON")
        }
        _ => text,
    }
}

fn attributes(pairs: &[KeyValue]) -> Json {
    let one = |pair: &KeyValue| {
        let (kind, text) = typed(pair.value.as_ref());
        json!([pair.key, kind, text])
    };
    pairs.iter().map(one).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A span as the store's API gave it, in the words of the view.
fn told(resource: &Resource, span: &Span) -> Json {
    let status = span.status.clone().unwrap_or_default();
    let service = resource.attributes.iter().find(|pair| pair.key == "service.name");
    let resource: serde_json::Map<String, Json> = resource
        .attributes
        .iter()
        .map(|pair| (pair.key.clone(), plain(pair.value.as_ref())))
        .collect();
    let start = span.start_time_unix_nano;
    let event = |event: &Event| {
        json!({
            "time_since_start": event.time_unix_nano.wrapping_sub(start) as i64,
            "name": event.name,
            "attributes": attributes(&event.attributes),
        })
    };
    let link = |link: &Link| json!({"trace_id": hex(&link.trace_id), "attributes": attributes(&link.attributes)});
    let kinds = ["unspecified", "internal", "server", "client", "producer", "consumer"];
    let statuses = ["unset", "ok", "error"];
    let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "trace_id": hex(&span.trace_id),
        "span_id": hex(&span.span_id),
        "parent_span_id": optional(&hex(&span.parent_span_id)),
        "start": start,
        "duration": span.end_time_unix_nano.wrapping_sub(start) as i64,
        "service": typed(service.and_then(|pair| pair.value.as_ref())).1,
        "name": span.name,
        "kind": kinds[span.kind as usize],
        "status": statuses[status.code as usize],
        "status_message": optional(&status.message),
        "trace_state": optional(&span.trace_state),
        "flags": (span.flags != 0).then_some(span.flags),
        "resource": Json::Object(resource).to_string(),
        "attributes": attributes(&span.attributes),
        "events": span.events.iter().map(event).collect::<Vec<_>>(),
        "links": span.links.iter().map(link).collect::<Vec<_>>(),
    })
}

/// Every span of these traces, through the API.
fn all_spans<'a>(
    store: &Store,
    sent: impl Iterator<Item = &'a Span>,
) -> Result<Vec<(Resource, Span)>> {
    let ids: BTreeSet<TraceId> = sent
        .map(|span| TraceId::from_slice(&span.trace_id))
        .collect::<std::result::Result<_, _>>()?;
    let ids = ids.into_iter().collect();
    let mut stream = store.view().get_traces(&Tenancy::default(), ids, Cancel::new());
    let mut spans = Vec::new();
    while let Some(chunk) = stream.next_chunk(1 << 20)? {
        for resource in TracesData::decode(chunk.otlp)?.resource_spans {
            let context = resource.resource.unwrap_or_default();
            let of_scopes = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(of_scopes.map(|span| (context.clone(), span)));
        }
    }
    Ok(spans)
}

/// What must come back, and the codes of each file.
fn expected(store: &Store, directory: &Path, sent: &[Vec<Span>]) -> Result<Json> {
    let spans = all_spans(store, sent.iter().flatten())?;
    assert_eq!(spans.len(), sent.iter().map(Vec::len).sum::<usize>());
    // Each flush made one file; their names count up.
    let mut files: Vec<String> =
        store.segments().iter().map(|s| directory.join(&s.name).display().to_string()).collect();
    files.sort();
    assert_eq!(files.len(), sent.len(), "{files:?}");
    let codes = |spans: &[Span]| -> Vec<Json> {
        let pairs = spans.iter().flat_map(|span| &span.attributes);
        let codes = pairs.filter(|pair| pair.key == "code");
        codes
            .map(|pair| typed(pair.value.as_ref()))
            .map(|(kind, text)| json!([kind, text]))
            .collect()
    };
    let by_file: BTreeMap<&String, Vec<Json>> =
        files.iter().zip(sent).map(|(file, spans)| (file, codes(spans))).collect();
    let first = |key: &str, value: &str| {
        let of_key = |span: &Span| -> Vec<Json> {
            let pairs = span.attributes.iter().filter(|pair| pair.key == key);
            pairs.map(|pair| typed(pair.value.as_ref()).1).collect()
        };
        // Only spans where all occurrences agree, or the first of several is open.
        let hit = |(_, span): &&(Resource, Span)| of_key(span).first() == Some(&json!(value));
        spans.iter().filter(hit).count()
    };
    let counts: Vec<Json> = [("code", "202"), ("code", "404"), ("user", "ann"), ("cached", "true")]
        .iter()
        .map(|(key, value)| json!([key, value, first(key, value)]))
        .collect();
    Ok(json!({
        "spans": spans.iter().map(|(resource, span)| told(resource, span)).collect::<Vec<_>>(),
        "files": files,
        "codes": by_file,
        "counts": counts,
    }))
}

fn python() -> Result<PathBuf> {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("duckdb/requirements.txt");
    let venv = install("duckdb", std::slice::from_ref(&lock), |dir| {
        run_program(Path::new("python3"), &["-m".as_ref(), "venv".as_ref(), dir.as_ref()])?;
        let pip = dir.join("bin/pip");
        run_program(&pip, &["install".as_ref(), "-q".as_ref(), "-r".as_ref(), lock.as_ref()])
    })?;
    Ok(venv.join("bin/python"))
}

#[test]
fn duckdb_and_pyarrow_read_every_attribute_back() -> Result<()> {
    or_skip!(need("DuckDB and pyarrow", &["python3"]));
    let python = python()?;
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("it's data");
    let store = Store::open(&data, Options::default())?;
    assert_eq!(store.duckdb_view(&Tenancy::default(), &data)?, None, "nothing is sealed");
    let sent = [first_file(), second_file(), third_file()];
    for (number, spans) in sent.iter().enumerate() {
        let service = format!("service-{number}");
        let ingested = store.ingest(&Tenancy::default(), export(&service, spans.clone()).into())?;
        assert_eq!((ingested.accepted, ingested.rejected.len()), (spans.len() as u64, 0));
        store.flush()?;
    }
    let sql = check(&python, &store, &data, expected(&store, &data, &sent)?)?;
    assert!(!sql.contains('\u{1b}') && !sql.contains('\0'), "a key reaches the terminal");
    Ok(())
}

/// Runs the readers against what the API said; gives the SQL of the view.
fn check(python: &Path, store: &Store, data: &Path, expected: Json) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let sql = store.duckdb_view(&Tenancy::default(), data)?.ok_or("segments, and no view")?;
    let names = ["view.sql", "expected.json"];
    let [view, answers] = names.map(|name| directory.path().join(name));
    std::fs::write(&view, &sql)?;
    std::fs::write(&answers, expected.to_string())?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("duckdb/check.py");
    run_program(python, &[script.as_ref(), view.as_ref(), answers.as_ref()])?;
    Ok(sql)
}

/// The requests of a data set: each behind its length.
fn requests(file: &Path) -> Result<Vec<Vec<u8>>> {
    let all = zstd::decode_all(std::fs::File::open(file)?)?;
    let mut rest = all.as_slice();
    let mut requests = Vec::new();
    while !rest.is_empty() {
        let length = prost::decode_length_delimiter(&mut rest)?;
        let (request, after) = rest.split_at_checked(length).ok_or("the set is cut off")?;
        requests.push(request.to_vec());
        rest = after;
    }
    Ok(requests)
}

/// A real data set in several files: near-unique values, keys of two types, rich resources.
#[test]
fn a_real_data_set_comes_back_through_the_view() -> Result<()> {
    const SPANS: usize = 20_000;
    const SPANS_PER_FILE: usize = 6_000;
    or_skip!(need("DuckDB and pyarrow", &["python3"]));
    let file = match data_set("astronomy") {
        Ok(file) => file,
        Err(missing) => return skipped(&missing),
    };
    let python = python()?;
    let directory = tempfile::tempdir()?;
    let store = Store::open(directory.path(), Options::default())?;
    let (mut sent, mut unsealed) = (Vec::new(), 0);
    for request in requests(&file)? {
        let spans = TracesData::decode(request.as_slice())?.resource_spans.into_iter();
        let before = sent.len();
        sent.extend(spans.flat_map(|r| r.scope_spans).flat_map(|scope| scope.spans));
        store.ingest(&Tenancy::default(), request.into())?;
        unsealed += sent.len() - before;
        if unsealed >= SPANS_PER_FILE {
            store.flush()?;
            unsealed = 0;
        }
        if sent.len() >= SPANS {
            break;
        }
    }
    store.flush()?;
    let spans = all_spans(&store, sent.iter())?;
    let all: Vec<Json> = spans.iter().map(|(resource, span)| told(resource, span)).collect();
    let expected = json!({"spans": all, "counts": []});
    let sql = check(&python, &store, directory.path(), expected)?;
    let files = store.segments().len();
    say(format!("{} spans in {files} files, a view of {} bytes", spans.len(), sql.len()));
    assert!(files > 2, "{files} files");
    Ok(())
}
