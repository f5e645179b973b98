//! A data directory of each format that main ever wrote must open and answer, or be refused by
//! name where a format was announced as passing: segments of format 0. The directories in
//! tests/golden are written once by this test (`UPDATE=1`, where there is none yet) and then only
//! read; the spans in them are those that this file describes.

use std::fs;
use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status, TracesData, span,
};
use prost::Message;
use spanlake::{Cancel, Options, Store, Tenancy, TraceId, TraceQuery};

/// 2026-11-21T00:00:00Z.
const BASE: u64 = 1_795_219_200_000_000_000;

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

/// Spans a trace has, enough for attributes to get columns of their own.
const SPANS: u8 = 150;

/// Attributes of every type; a few spans have keys that none else has.
fn attributes(number: u8) -> Vec<KeyValue> {
    let list = ArrayValue { values: vec![AnyValue { value: Some(Value::BoolValue(true)) }] };
    let mut attributes = vec![
        text("golden", "yes"),
        text("number", &number.to_string()),
        attribute("retries", Value::IntValue(i64::from(number) - 7)),
        attribute("load", Value::DoubleValue(f64::from(number) / 3.0)),
        attribute("odd", Value::BoolValue(number % 2 == 1)),
        attribute("raw", Value::BytesValue(vec![0, 255, number])),
        attribute("list", Value::ArrayValue(list)),
    ];
    if number.is_multiple_of(50) {
        attributes.push(text(&format!("rare.{number}"), ""));
    }
    attributes
}

/// Spans of one trace, the last of them with an id that admission refuses.
fn export(trace: u8, service: &str) -> ExportTraceServiceRequest {
    let time = |number: u8| BASE + u64::from(trace) * 1_000_000 + u64::from(number);
    let span = |number: u8| Span {
        trace_id: vec![trace; 16],
        span_id: if number == SPANS { vec![9; 5] } else { vec![number; 8] },
        parent_span_id: if number > 1 { vec![number / 2; 8] } else { Vec::new() },
        name: format!("step {}", number % 5),
        kind: i32::from(number % 6),
        start_time_unix_nano: time(number),
        end_time_unix_nano: time(number) + 500_000,
        attributes: attributes(number),
        events: (0..number % 3)
            .map(|event| span::Event {
                time_unix_nano: time(number) + u64::from(event),
                name: "event".to_owned(),
                attributes: vec![text("message", &format!("{number} went wrong"))],
                ..Default::default()
            })
            .collect(),
        links: (0..number % 2)
            .map(|_| span::Link {
                trace_id: vec![7; 16],
                span_id: vec![8; 8],
                ..Default::default()
            })
            .collect(),
        status: number.is_multiple_of(4).then(|| Status { message: "no".to_owned(), code: 2 }),
        flags: 1,
        ..Default::default()
    };
    let spans = (1..=SPANS).map(span).collect();
    let resource =
        Resource { attributes: vec![text("service.name", service)], ..Default::default() };
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    let resource = Some(resource);
    let group = ResourceSpans { resource, scope_spans, schema_url: "golden".to_owned() };
    ExportTraceServiceRequest { resource_spans: vec![group] }
}

fn golden(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format)
}

/// One trace in a segment, one in the log.
fn write(directory: &Path) {
    let store = Store::open(directory, Options::default()).expect("a new directory opens");
    let ingest = |request: ExportTraceServiceRequest| {
        let done = store.ingest(&Tenancy::default(), request.encode_to_vec().into());
        assert_eq!(done.expect("an Export").accepted, u64::from(SPANS) - 1);
    };
    ingest(export(1, "sealed"));
    store.flush().expect("a seal");
    ingest(export(2, "logged"));
    drop(store);
    fs::write(directory.join("LOCK"), "").expect("the lock's text goes");
    drop(fs::remove_dir(directory.join("tmp")));
}

/// One trace torn over two segments: half of it called by the other half.
fn write_torn(directory: &Path) {
    let store = Store::open(directory, Options::default()).expect("a new directory opens");
    for request in [export(1, "front"), called_by_front()] {
        let done = store.ingest(&Tenancy::default(), request.encode_to_vec().into());
        assert_eq!(done.expect("an Export").accepted, u64::from(SPANS) - 1);
        store.flush().expect("a seal");
    }
    drop(store);
    fs::write(directory.join("LOCK"), "").expect("the lock's text goes");
    drop(fs::remove_dir(directory.join("tmp")));
}

/// Spans of the same trace, each the child of one of `front`'s.
fn called_by_front() -> ExportTraceServiceRequest {
    let mut request = export(1, "back");
    let spans = request.resource_spans.iter_mut().flat_map(|group| &mut group.scope_spans);
    for span in spans.flat_map(|scope| &mut scope.spans) {
        if let Some(first) = span.span_id.first_mut() {
            *first = 0xbb;
        }
    }
    request
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a golden directory").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a copy");
        }
    }
}

/// Format 0 was announced as a start that the next build refuses: by name, with a way out, and
/// without touching a byte.
#[test]
fn segments_of_format_0_are_refused_by_name() {
    let here = tempfile::tempdir().expect("a directory");
    copy(&golden("format-1-segment-0"), here.path());
    let error = Store::open(here.path(), Options::default()).expect_err("format 0 is refused");
    assert_eq!(error.kind(), spanlake::ErrorKind::Format);
    let message = error.to_string();
    for word in ["00000001.parquet", "format", "0", "use the version of spanlake that wrote it"] {
        assert!(message.contains(word), "{message:?} lacks {word:?}");
    }
    let segment = "segments/default/default/2026-11-21T00/we2786524-00000001.parquet";
    assert_eq!(
        fs::read(here.path().join(segment)).expect("the segment"),
        fs::read(golden("format-1-segment-0").join(segment)).expect("the golden segment"),
    );
}

#[test]
fn format_1_opens_and_answers() {
    let golden = golden("format-1-segment-1");
    if std::env::var_os("UPDATE").is_some() && !golden.exists() {
        write(&golden);
    }
    let here = tempfile::tempdir().expect("a directory");
    copy(&golden, here.path());
    let store = Store::open(here.path(), Options::default()).expect("it opens");
    let (view, tenancy, cancel) = (store.view(), Tenancy::default(), Cancel::new());
    assert_eq!(view.services(&tenancy).expect("services"), ["logged", "sealed"]);
    let found = view.find_trace_ids(&tenancy, &TraceQuery::default(), &cancel).expect("a search");
    let ids: Vec<_> = found.iter().map(|trace| trace.trace_id).collect();
    assert_eq!(ids, [TraceId([2; 16]), TraceId([1; 16])]);
    for (trace, service) in [(1, "sealed"), (2, "logged")] {
        let mut stream = view.get_traces(&tenancy, vec![TraceId([trace; 16])], cancel.clone());
        let chunk = stream.next_chunk(1 << 20).expect("a chunk").expect("the trace");
        let mut expected = export(trace, service);
        expected.resource_spans[0].scope_spans[0].spans.pop();
        let got = TracesData::decode(chunk.otlp).expect("OTLP");
        assert_eq!(got.resource_spans, expected.resource_spans, "{service}");
        assert!(stream.next_chunk(1 << 20).expect("the end").is_none());
    }
    // This segment is of before rollups: its rows are counted.
    let rates = view.rates(&tenancy, None, None, &cancel).expect("rates");
    let calls = |service: &str| -> u64 {
        rates.iter().filter(|rate| rate.service == service).map(|rate| rate.calls).sum()
    };
    assert_eq!((calls("sealed"), calls("logged")), (149, 149));
    assert_eq!(view.dependencies(&tenancy, None, None, &cancel).expect("dependencies"), []);
    drop(store);
    let report = spanlake::verify(here.path()).expect("a verification");
    assert_eq!(
        (report.segments, report.spans, report.findings.len()),
        (1, u64::from(SPANS) - 1, 0)
    );
}

/// Segments with rollups: what they say, and what counting their rows would, are one.
#[test]
fn format_1_with_rollups_opens_and_answers() {
    let golden = golden("format-1-segment-1-rollups");
    if std::env::var_os("UPDATE").is_some() && !golden.exists() {
        write_torn(&golden);
    }
    let here = tempfile::tempdir().expect("a directory");
    copy(&golden, here.path());
    let store = Store::open(here.path(), Options::default()).expect("it opens");
    let (view, tenancy, cancel) = (store.view(), Tenancy::default(), Cancel::new());
    let calls = |start, end| {
        let found = view.dependencies(&tenancy, start, end, &cancel).expect("dependencies");
        let calls = |call: spanlake::Dependency| (call.parent, call.child, call.call_count);
        found.into_iter().map(calls).collect::<Vec<_>>()
    };
    let all = vec![("front".to_owned(), "back".to_owned(), 148)];
    assert_eq!(calls(None, None), all);
    // No whole minute: from rows.
    assert_eq!(calls(Some(BASE + 1), Some(BASE + 59_000_000_000)), all);
    let rates = view.rates(&tenancy, None, None, &cancel).expect("rates");
    assert_eq!(rates, view.rates(&tenancy, Some(BASE + 1), None, &cancel).expect("rates"));
    assert_eq!(rates.iter().map(|rate| rate.calls).sum::<u64>(), 298);
    assert_eq!(rates.iter().map(|rate| rate.errors).sum::<u64>(), 2 * 37);
    drop(store);
    let report = spanlake::verify(here.path()).expect("a verification");
    assert_eq!((report.segments, report.spans, report.findings.len()), (2, 298, 0));
}
