//! Spans through a real server's whole life: accepted, counted, still there after each kind of
//! end, and damage to them is found.

use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;

use crate::harness::{Doors, Running, get, http, run, spanlake, temp, try_http};

/// The trace id of [`export`]'s span.
pub(crate) fn trace_id(n: u64) -> String {
    format!("0000000000000001{n:016x}")
}

/// One span as OTLP/JSON, with `bulk` as an attribute.
pub(crate) fn export(n: u64, bulk: &str) -> String {
    let id = trace_id(n);
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name",
        "value":{{"stringValue":"shop"}}}}]}},"scopeSpans":[{{"spans":[{{
        "traceId":"{id}","spanId":"00000000000000aa","name":"GET /",
        "startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000000001000",
        "attributes":[{{"key":"bulk","value":{{"stringValue":"{bulk}"}}}}]
        }}]}}]}}]}}"#
    )
}

fn send(otlp_http: SocketAddr, n: u64) {
    let body = export(n, "");
    let (status, body) = http(otlp_http, "POST", "/v1/traces", body.as_bytes(), "application/json");
    assert_eq!(status, 200, "{body}");
}

pub(crate) fn metric(admin: SocketAddr, name: &str) -> f64 {
    let (_, text) = get(admin, "/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.trim().parse().expect("is a number")
}

/// Spans of the directory, whether in heads or in segments.
fn stored(data_dir: &Path, doors: &Doors) -> f64 {
    let head = metric(doors.admin, "spanlake_head_spans ");
    let segments = metric(doors.admin, "spanlake_segments{state=\"live\"} ");
    assert!(head > 0.0 || segments > 0.0, "{} is empty", data_dir.display());
    head
}

#[test]
fn spans_survive_a_kill_in_the_log_and_a_stop_in_segments() {
    let dir = temp();
    let mut server = Running::serve(dir.path(), &[]);
    let doors = server.started();
    for n in 0..3 {
        send(doors.otlp_http, n);
    }
    let accepted = "spanlake_receiver_accepted_spans_total{transport=\"http\"} ";
    assert_eq!(metric(doors.admin, accepted), 3.0);
    assert_eq!(metric(doors.admin, "spanlake_export_duration_seconds_count "), 3.0);
    assert!(metric(doors.admin, "spanlake_wal_committed_batches_total ") >= 1.0);
    assert!(metric(doors.admin, "spanlake_wal_bytes ") > 0.0);
    server.signal(Signal::KILL);
    server.ended();

    let mut server = Running::serve(dir.path(), &[]);
    let doors = server.started();
    let recovered = server.line("\"recovered\"");
    assert!(recovered.contains("\"spans\":3"), "{recovered}");
    assert_eq!(stored(dir.path(), &doors), 3.0);
    server.signal(Signal::TERM);
    assert_eq!(server.ended().code(), Some(0));
    assert!(server.seen.iter().any(|line| line.contains("everything is sealed")), "{server:#?}");

    let mut server = Running::serve(dir.path(), &[]);
    let doors = server.started();
    assert_eq!(metric(doors.admin, "spanlake_head_spans "), 0.0);
    assert!(metric(doors.admin, "spanlake_segments{state=\"live\"} ") >= 1.0);
    assert!(metric(doors.admin, "spanlake_segment_bytes ") > 0.0);
    assert_eq!(metric(doors.admin, "spanlake_oldest_span_timestamp_seconds "), 1.7e9);
}

#[test]
fn purge_removes_what_is_in_heads_and_segments() {
    let dir = temp();
    let mut server = Running::serve(dir.path(), &["--allow-purge"]);
    let doors = server.started();
    send(doors.otlp_http, 1);
    assert_eq!(stored(dir.path(), &doors), 1.0);
    assert_eq!(http(doors.admin, "POST", "/purge", b"", "text/plain").0, 200);
    assert_eq!(metric(doors.admin, "spanlake_head_spans "), 0.0);
    assert_eq!(metric(doors.admin, "spanlake_segments{state=\"live\"} "), 0.0);
}

#[test]
fn verify_finds_one_flipped_byte_and_the_server_says_so_too() {
    let dir = temp();
    let mut server = Running::serve(dir.path(), &[]);
    send(server.started().otlp_http, 1);
    server.signal(Signal::TERM);
    assert_eq!(server.ended().code(), Some(0));
    let path = dir.path().to_str().expect("is UTF-8");
    assert_eq!(run(spanlake(&["verify", path])).code, Some(0));
    let segment = only_file(&dir.path().join("segments"));
    let mut bytes = std::fs::read(&segment).expect("is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&segment, bytes).expect("is written");
    let found = run(spanlake(&["verify", path]));
    assert_eq!(found.code, Some(4), "{found:?}");
    let name = segment.file_name().and_then(|name| name.to_str()).expect("is UTF-8");
    assert!(found.stdout.contains(name) && found.stdout.contains("1 problem"), "{found:?}");
}

/// The one regular file below `dir`, however deep.
fn only_file(dir: &Path) -> std::path::PathBuf {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(at) = pending.pop() {
        for entry in std::fs::read_dir(&at).expect("is a directory") {
            let path = entry.expect("is readable").path();
            if path.is_dir() { pending.push(path) } else { found.push(path) }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn what_was_sent_is_seen_by_the_reading_commands() {
    let dir = temp();
    let mut server = Running::serve(dir.path(), &[]);
    let doors = server.started();
    send(doors.otlp_http, 7);
    let url = format!("http://{}", doors.grpc);
    for (args, word) in [
        (&["services"][..], "shop"),
        (&["traces", "--service", "shop"], "00000000000000010000000000000007"),
        (&["trace", "00000000000000010000000000000007"], "GET /"),
    ] {
        let mut command = spanlake(args);
        command.args(["--server", &url]);
        let seen = run(command);
        assert_eq!(seen.code, Some(0), "{args:?}: {seen:?}");
        assert!(seen.stdout.contains(word), "{args:?}: {seen:?}");
    }
}

#[test]
fn a_stop_under_load_loses_nothing_that_was_acknowledged() {
    let dir = temp();
    let mut server = Running::serve(dir.path(), &[]);
    let doors = server.started();
    let senders: Vec<_> = (0..4u64)
        .map(|sender| {
            let to = doors.otlp_http;
            std::thread::spawn(move || {
                let mut acknowledged = 0;
                while try_send(to, sender << 32 | acknowledged) {
                    acknowledged += 1;
                }
                acknowledged
            })
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(700));
    server.signal(Signal::TERM);
    let acknowledged: u64 = senders.into_iter().map(|s| s.join().expect("ends")).sum();
    assert_eq!(server.ended().code(), Some(0), "{:#?}", server.seen);
    assert!(acknowledged > 10, "{acknowledged}");
    let verified = run(spanlake(&["verify", "--json", dir.path().to_str().expect("is UTF-8")]));
    let verified: serde_json::Value = serde_json::from_str(&verified.stdout).expect("is JSON");
    // The last answers may have been lost on the way; no stored span was refused.
    let stored = verified["spans"].as_u64().expect("is a number");
    assert!((acknowledged..=acknowledged + 4).contains(&stored), "{stored} of {acknowledged}");
}

/// Whether the Export was acknowledged; a server that leaves may refuse or hang up.
fn try_send(to: SocketAddr, n: u64) -> bool {
    let answer = try_http(to, "POST", "/v1/traces", export(n, "").as_bytes(), "application/json");
    answer.is_ok_and(|(status, _)| status == 200)
}
