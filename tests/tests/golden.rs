//! A data directory of each format that main ever wrote must open and answer. The directories in
//! tests/golden are written once by this test (`UPDATE=1`, where there is none yet) and then only
//! read; the spans in them are those that this file describes.

use std::fs;
use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message;
use spanlake::{Cancel, Options, Store, Tenancy, TraceId, TraceQuery};

/// 2026-11-21T00:00:00Z.
const BASE: u64 = 1_795_219_200_000_000_000;

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}

/// Three spans of one trace, the last of them with an id that admission refuses.
fn export(trace: u8, service: &str) -> ExportTraceServiceRequest {
    let span = |number: u8| Span {
        trace_id: vec![trace; 16],
        span_id: if number == 3 { vec![9; 5] } else { vec![number; 8] },
        parent_span_id: if number == 2 { vec![1; 8] } else { Vec::new() },
        name: format!("step {number}"),
        start_time_unix_nano: BASE + u64::from(trace) * 1_000_000 + u64::from(number),
        end_time_unix_nano: BASE + u64::from(trace) * 1_000_000 + 500_000,
        attributes: vec![text("golden", "yes")],
        ..Default::default()
    };
    let spans = (1..=3).map(span).collect();
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
        assert_eq!(done.expect("an Export").accepted, 2);
    };
    ingest(export(1, "sealed"));
    store.flush().expect("a seal");
    ingest(export(2, "logged"));
    drop(store);
    fs::write(directory.join("LOCK"), "").expect("the lock's text goes");
    drop(fs::remove_dir(directory.join("tmp")));
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

#[test]
fn format_1_with_segments_of_format_0_opens_and_answers() {
    let golden = golden("format-1-segment-0");
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
    drop(store);
    let report = spanlake::verify(here.path()).expect("a verification");
    assert_eq!((report.segments, report.spans, report.findings.len()), (1, 2, 0));
}
