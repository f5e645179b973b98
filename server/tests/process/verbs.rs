//! The administrator's verbs: explain, segments and flush, asked of a server and done on a
//! directory; the slow-query log.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Doors, Run, Running, flags, get, http, run, spanlake, temp};

const SPANS: &str = r#"{"resourceSpans": [{
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
    "scopeSpans": [{"spans": [
        {"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
         "name": "GET /secret-name", "startTimeUnixNano": "1795248753000000000",
         "endTimeUnixNano": "1795248753500000000",
         "attributes": [{"key": "user", "value": {"stringValue": "secret-value"}}]}]}]}]}"#;

fn store_spans(doors: &Doors) {
    let answer = http(doors.otlp_http, "POST", "/v1/traces", SPANS.as_bytes(), "application/json");
    assert_eq!(answer.0, 200, "{}", answer.1);
}

/// Runs a verb against a server's admin port.
fn ask(doors: &Doors, words: &[&str]) -> Run {
    let address = doors.admin.to_string();
    let done = run(spanlake(&[words, &["--server", &address]].concat()));
    done.assert_no_crash();
    done
}

fn ask_directory(directory: &Path, words: &[&str]) -> Run {
    let directory = directory.to_str().expect("is UTF-8");
    run(spanlake(&[words, &["--data-dir", directory]].concat()))
}

fn said(done: &Run) -> String {
    assert_eq!(done.code, Some(0), "{done:?}");
    done.stdout.clone()
}

fn json(done: &Run) -> Value {
    serde_json::from_str(&said(done)).expect("is JSON")
}

fn metric(doors: &Doors, name: &str) -> f64 {
    let text = get(doors.admin, "/metrics").1;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().expect("is a number")
}

#[test]
fn flush_seals_the_head_and_segments_lists_what_came_of_it() {
    let dir = temp();
    let mut server = Running::serve(dir.path(), &[]);
    let doors = server.started();
    assert_eq!(said(&ask(&doors, &["segments"])), "no segments: nothing is sealed yet\n");
    let nothing = ask(&doors, &["segments", "--duckdb"]);
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.stderr.contains("`spanlake flush` first"), "{}", nothing.stderr);
    store_spans(&doors);
    assert_eq!(metric(&doors, "spanlake_head_spans"), 1.0);
    assert_eq!(said(&ask(&doors, &["flush"])), "sealed\n");
    assert_eq!(metric(&doors, "spanlake_head_spans"), 0.0);
    let done = ask(&doors, &["flush", "--wait"]);
    assert_eq!(said(&done), "sealed; no background work is due\n");
    assert_eq!(metric(&doors, "spanlake_wal_oldest_timestamp_seconds"), 0.0);

    let list = json(&ask(&doors, &["segments", "--json"]));
    let [segment] = list["segments"].as_array().expect("a list").as_slice() else {
        panic!("one segment, not {list}");
    };
    assert_eq!((&segment["spans"], &segment["traces"]), (&1.into(), &1.into()));
    assert_eq!(segment["partition"], "2026-11-21T06");
    assert_eq!(segment["min_start_unix_nano"], "1795248753000000000");
    let file = dir.path().join(segment["name"].as_str().expect("a name"));
    assert_eq!(segment["bytes"], file.metadata().expect("is there").len());
    let table = said(&ask(&doors, &["segments"]));
    assert!(table.starts_with("1 segment, 1 span, "), "{table}");

    let sql = said(&ask(&doors, &["segments", "--duckdb"]));
    let path = file.to_str().expect("is UTF-8");
    assert!(sql.contains("VIEW spans") && sql.contains(&format!("'{path}'")), "{sql}");

    // The verbs of a directory say the same when nobody serves it, and are refused while someone
    // does.
    let locked = ask_directory(dir.path(), &["segments"]);
    assert_eq!(locked.code, Some(3), "{locked:?}");
    server.signal(Signal::TERM);
    server.ended();
    assert_eq!(json(&ask_directory(dir.path(), &["segments", "--json"])), list);
    assert_eq!(said(&ask_directory(dir.path(), &["segments", "--duckdb"])), sql);
    let flushed = said(&ask_directory(dir.path(), &["flush"]));
    assert_eq!(flushed, "sealed; no background work is due\n");
    let nobody = ask(&doors, &["flush"]);
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("`spanlake serve`"), "{}", nobody.stderr);
}

#[test]
fn explain_takes_the_flags_of_traces_and_tells_how_it_was_answered() {
    let dir = temp();
    let mut server = Running::serve(dir.path(), &[]);
    let doors = server.started();
    store_spans(&doors);
    said(&ask(&doors, &["flush"]));
    let question = [
        "explain",
        "--service",
        "shop",
        "--tag",
        "user=secret-value",
        "--min-duration",
        "100ms",
        "--since",
        "2026-11-21T00:00",
    ];
    let text = said(&ask(&doors, &question));
    for part in ["shop", "user", "secret-value", "100000000", "1 of 1 blocks read", "rows scanned"]
    {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    let found = json(&ask(&doors, &[&question[..], &["--json"]].concat()));
    assert_eq!(found["found"], 1, "{found}");
    assert!(found["counts"]["rows_scanned"].as_u64() > Some(0), "{found}");
    let nothing = json(&ask(&doors, &["explain", "--service", "none", "--json"]));
    assert_eq!(nothing["found"], 0, "{nothing}");
    assert_eq!(ask(&doors, &["explain", "--min-duration", "soon"]).code, Some(2));

    let raw = |body: &str| http(doors.admin, "POST", "/explain", body.as_bytes(), "text/plain");
    // The harness says `host: x`, which is another host's name.
    assert_eq!(raw("{}").0, 403);

    server.signal(Signal::TERM);
    server.ended();
    let offline = json(&ask_directory(dir.path(), &[&question[..], &["--json"]].concat()));
    assert_eq!(offline["found"], 1, "{offline}");
    assert_eq!(offline["predicate"], found["predicate"]);
}

/// An address of this machine that is not loopback, if it has one; nothing is sent.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback())
}

#[test]
fn verbs_answer_on_loopback_only_whatever_the_listener_is() {
    let dir = temp();
    let mut command = spanlake(&[]);
    let elsewhere =
        |flag: String| flag.replace("admin.endpoint=127.0.0.1", "admin.endpoint=0.0.0.0");
    command.args(flags(dir.path()).into_iter().map(elsewhere));
    let mut server = Running::start(command);
    let doors = server.started();
    let local =
        Doors { admin: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), doors.admin.port()), ..doors };
    assert_eq!(said(&ask(&local, &["flush"])), "sealed\n");
    let Some(outer) = outer_address() else { return };
    let there = Doors { admin: SocketAddr::new(outer, local.admin.port()), ..local };
    assert_eq!(get(there.admin, "/healthz").0, 200, "health is for everyone");
    for words in [&["flush"][..], &["segments"], &["explain"]] {
        let refused = ask(&there, words);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let expected = "answers on the server's own machine only";
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
}

#[test]
fn a_slow_question_is_logged_with_its_plan_and_without_values() {
    let dir = temp();
    let mut server = Running::serve(dir.path(), &["--query.slow_threshold=1ns"]);
    let doors = server.started();
    store_spans(&doors);
    let address = doors.grpc.to_string();
    let search = [
        "traces",
        "--service",
        "shop",
        "--operation",
        "GET /secret-name",
        "--tag",
        "user=secret-value",
        "--server",
        &address,
    ];
    for _ in 0..3 {
        assert!(said(&run(spanlake(&search))).contains("secret-name"));
    }
    let line = server.line("slow query");
    let line: Value = serde_json::from_str(&line).expect("a log line is JSON");
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["operation"], "find_trace_summaries");
    assert_eq!((&line["results"], &line["ok"]), (&1.into(), &true.into()));
    assert!(line["took_ms"].is_u64() && line["client_ms"].is_u64(), "{line}");
    let plan = line["plan"].as_str().expect("is text");
    assert!(plan.contains("shop") && plan.contains("user"), "{plan}");
    assert!(line["work"].as_str().expect("is text").contains("rows_scanned=1"), "{line}");

    server.signal(Signal::TERM);
    server.ended();
    let lines = |word: &str| server.seen.iter().filter(|line| line.contains(word)).count();
    assert_eq!(lines("slow query"), 1, "one line in ten seconds: {:#?}", server.seen);
    assert_eq!(lines("secret"), 0, "{:#?}", server.seen);
}

#[test]
fn quick_questions_are_not_logged_and_zero_turns_the_log_off() {
    let dir = temp();
    for threshold in ["1h", "0"] {
        let flag = format!("--query.slow_threshold={threshold}");
        let mut server = Running::serve(dir.path(), &[&flag]);
        let doors = server.started();
        said(&run(spanlake(&["traces", "--server", &doors.grpc.to_string()])));
        server.signal(Signal::TERM);
        server.ended();
        assert!(!server.seen.iter().any(|line| line.contains("slow query")), "{:#?}", server.seen);
    }
}
