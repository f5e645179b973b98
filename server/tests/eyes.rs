//! The reading commands and the demo as a person runs them: the binary, its output, its exit code.

#![expect(clippy::expect_used, reason = "a test says what it expects")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use prost::Message;
use serde_json::Value;
use spanlake::{Options, Store, Tenancy};
use spanlake_proto::otlp::collector::ExportTraceServiceRequest;
use spanlake_proto::otlp::trace::{ResourceSpans, ScopeSpans, Span};

/// Runs `spanlake WORDS` in `folder` with nothing of the developer's environment but the PATH.
fn spanlake(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spanlake"))
        .args(words)
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

fn text(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("output is UTF-8")
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&text(output)).expect("output is JSON")
}

fn complaint(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).expect("complaints are UTF-8")
}

#[test]
fn the_demo_draws_and_its_directory_answers_afterwards() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let shown = text(&spanlake(folder, &["demo", "--once"]));
    for part in [
        "Spanlake demo: a small shop, stored in ./spanlake-demo\n",
        "\n== Services\n8 services\n",
        "\n== Newest traces\n10 traces, newest first",
        "\n== A checkout that failed\ntrace ",
        "frontend POST /checkout ERROR",
        "! GatewayTimeoutError: no answer from bank.example within 900 ms\n",
    ] {
        assert!(shown.contains(part), "{part:?} is missing in:\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "colours in a pipe");

    let here = ["--data-dir", "./spanlake-demo"];
    let ask = |words: &[&str]| spanlake(folder, &[words, &here].concat());
    let services = json(&ask(&["services", "--json", "--operations"]));
    let names: Vec<&str> = services["services"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|s| s["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "cart",
            "catalog",
            "checkout",
            "email",
            "frontend",
            "payment",
            "recommendation",
            "shipping"
        ]
    );
    let failed = json(&ask(&[
        "traces",
        "--service",
        "payment",
        "--status",
        "error",
        "--limit",
        "3",
        "--json",
    ]));
    let failed = failed["traces"].as_array().expect("a list");
    assert_eq!(failed.len(), 3);
    for summary in failed {
        assert!(summary["errors"].as_u64() > Some(0));
        let id = summary["trace_id"].as_str().expect("an id");
        let trace = json(&ask(&["trace", id, "--json"]));
        assert_eq!(
            trace["spans"].as_array().map(Vec::len),
            summary["spans"].as_u64().map(|n| n as usize)
        );
        assert_eq!(trace["duration_nano"], summary["duration_nano"]);
        assert_eq!(trace["services"], summary["services"]);
    }
    let slow = text(&ask(&["traces", "--service", "catalog", "--min-duration", "1s"]));
    assert!(slow.contains("frontend GET /search"), "{slow}");
    let none = text(&ask(&["traces", "--tag", "no.such=thing"]));
    assert_eq!(none, "no traces match\n");
    let unknown = complaint(&ask(&["trace", "abc"]), 1);
    assert_eq!(unknown, format!("error: no trace {:0>32} in ./spanlake-demo\n", "abc"));
}

/// One span whose name tries to take over the terminal and is not UTF-8 either.
fn hostile() -> Vec<u8> {
    let name = "GET \u{1b}[2J\u{9b}31m\u{202e}gpj.exe MARK";
    let span = Span {
        trace_id: vec![7; 16],
        span_id: vec![7; 8],
        name: name.to_owned(),
        start_time_unix_nano: 1_795_248_753_000_000_000,
        end_time_unix_nano: 1_795_248_754_000_000_000,
        ..Default::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..Default::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..Default::default() }];
    let mut bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let mark = bytes.windows(4).position(|w| w == b"MARK").expect("the mark is there");
    bytes[mark] = 0xff;
    bytes
}

#[test]
fn a_hostile_name_reaches_no_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path().join("data"), Options::default()).expect("opens");
    let stored = store.ingest(&Tenancy::default(), hostile().into()).expect("is stored");
    assert_eq!(stored.accepted, 1);
    let locked = complaint(&spanlake(folder.path(), &["services", "--data-dir", "data"]), 3);
    assert!(locked.contains("--server URL"), "{locked}");
    drop(store);
    let id = "07".repeat(16);
    for words in [
        vec!["trace", id.as_str()],
        vec!["trace", id.as_str(), "--attributes"],
        vec!["trace", id.as_str(), "--json"],
        vec!["traces"],
        vec!["traces", "--json"],
        vec!["services", "--operations"],
    ] {
        let shown =
            text(&spanlake(folder.path(), &[words.as_slice(), &["--data-dir", "data"]].concat()));
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.contains(bad), "{words:?}: {shown:?}");
    }
}

#[test]
fn where_nothing_is_the_answer_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let ask = |words: &[&str]| spanlake(folder.path(), words);
    let missing = complaint(&ask(&["traces", "--data-dir", "typo"]), 1);
    assert!(missing.starts_with("error: no Spanlake data in typo; "), "{missing}");
    assert!(!folder.path().join("typo").exists());
    let nobody = complaint(&ask(&["services", "--server", "127.0.0.1:1"]), 1);
    assert!(nobody.contains("`spanlake serve`"), "{nobody}");
    complaint(&ask(&["trace", "not-hex"]), 2);
    complaint(&ask(&["traces", "--since", "yesterday"]), 2);
}
