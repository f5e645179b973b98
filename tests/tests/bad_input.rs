//! Bad bytes, bad configuration, bad disks: each a clear error that names its cause, and nothing
//! else lost. The real server over its real ports, on file systems of our own where the disk is
//! the culprit.

use std::process::ExitStatus;
use std::time::Duration;

use spanlake_proto::jaeger::storage::v2::{GetServicesRequest, GetTraceParams, GetTracesRequest};
use spanlake_proto::raw::RawMessage;
use spanlake_tests::model::invent::pair;
use spanlake_tests::model::spans::{Multiset, multiset, placed};
use spanlake_tests::model::wire::{Node, TRACES};
use spanlake_tests::mounts::Room;
use spanlake_tests::server::{Launch, Server, http};
use tonic::Code;

fn span(trace: u8, id: u8) -> Node {
    Node::default()
        .with_bytes(1, [trace; 16])
        .with_bytes(2, [id; 8])
        .with_bytes(5, "work")
        .with_number(7, 1_771_027_200_000_000_000 + u64::from(id))
}

fn batch(spans: impl IntoIterator<Item = Node>) -> Vec<u8> {
    let scope = Node::default().with_nodes(2, spans);
    let service = pair(b"service.name", Node::default().with_bytes(1, "shop"));
    let resource = Node::default()
        .with_node(1, Node::default().with_nodes(1, [service]))
        .with_nodes(2, [scope]);
    Node::default().with_nodes(1, [resource]).encode(&TRACES)
}

fn padded(trace: u8, bytes: usize) -> Vec<u8> {
    let value = Node::default().with_bytes(1, vec![b'x'; bytes]);
    batch([span(trace, 1).with_nodes(9, [pair(b"padding", value)])])
}

async fn stored(server: &Server, trace: u8) -> Multiset {
    server.trace([trace; 16]).await
}

/// What was stored before is there, and new Exports are taken.
async fn still_well(server: &Server, before: &[u8], next: u8) {
    let expected = multiset(placed(before).expect("OTLP"));
    let trace = expected.keys().next().expect("a span").trace_id()[0];
    assert_eq!(stored(server, trace).await, expected, "what was stored before");
    let bytes = batch([span(next, 1)]);
    let mut writer = server.writer().await;
    writer.export(RawMessage(bytes.clone().into())).await.expect("a good Export");
    assert_eq!(stored(server, next).await, multiset(placed(&bytes).expect("OTLP")));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("gzip to memory")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_exports_over_grpc() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Launch::new(directory.path()).start();
    let mut writer = server.writer().await;
    let good = batch([span(1, 1), span(1, 2)]);
    writer.export(RawMessage(good.clone().into())).await.expect("a good Export");

    let cut = good[..good.len() - 1].to_vec();
    let error = writer.export(RawMessage(cut.into())).await.expect_err("malformed");
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert!(error.message().len() > 15, "it says what is wrong: {error}");

    let error = writer.export(RawMessage(padded(9, 65 << 20).into())).await.expect_err("oversize");
    let refused =
        [Code::OutOfRange, Code::ResourceExhausted, Code::InvalidArgument].contains(&error.code());
    assert!(refused, "{error}");
    let message = error.message().to_lowercase();
    let named = ["67108864", "64 mib", "64mib"].iter().any(|limit| message.contains(limit));
    assert!(named, "the message names the limit of 64 MiB: {message}");

    // The connection survived both, or another does.
    let mut writer = server.writer().await;
    let mixed = batch([
        span(2, 1),
        span(2, 2).with_bytes(1, [2; 15]),
        span(2, 3).with_bytes(2, [2; 4]),
        span(2, 4).with_bytes(1, [0; 16]),
        span(2, 5),
    ]);
    let answer = writer.export(RawMessage(mixed.into())).await.expect("the batch is taken");
    let partial = answer.into_inner().partial_success.expect("and says what is missing");
    assert_eq!(partial.rejected_spans, 3, "{partial:?}");
    assert!(partial.error_message.contains("trace"), "{partial:?}");
    let expected = multiset(placed(&batch([span(2, 1), span(2, 5)])).expect("OTLP"));
    assert_eq!(stored(&server, 2).await, expected, "the good spans of the batch");

    for header in ["x-tenant", "x-namespace"] {
        let mut request = tonic::Request::new(RawMessage(batch([span(3, 1)]).into()));
        request.metadata_mut().insert(header, "acme".parse().expect("a value"));
        let error = writer.export(request).await.expect_err("a tenancy that is not served");
        assert!(error.message().contains("acme"), "{header}: {error} names it");
    }
    assert!(stored(&server, 3).await.is_empty(), "nothing is mixed into the default");
    let metrics = server.admin("GET", "/metrics").expect("metrics").text();
    for reason in ["invalid", "trace_id"] {
        assert!(metrics.contains(reason), "the counters tell {reason}");
    }
    still_well(&server, &good, 4).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_exports_over_http() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Launch::new(directory.path()).start();
    let port = server.ports.http;
    let post = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        http(port, "POST", path, headers, body).unwrap_or_else(|e| panic!("{path}: {e}"))
    };
    let protobuf = ("content-type", "application/x-protobuf");
    let json = ("content-type", "application/json");
    let good = batch([span(1, 1)]);
    assert_eq!(post("/v1/traces", &[protobuf], &good).status, 200);

    let cut = &good[..good.len() - 1];
    assert_eq!(post("/v1/traces", &[protobuf], cut).status, 400, "malformed protobuf");
    let answer = post("/v1/traces", &[json], b"{\"resourceSpans\": [{\"scopeSpans\": 7}]}");
    assert_eq!(answer.status, 400, "JSON of the wrong shape");
    assert!(answer.text().len() > 15, "it says what is wrong: {}", answer.text());
    assert_eq!(post("/v1/traces", &[json], b"{nonsense").status, 400, "no JSON");
    assert_eq!(post("/v1/traces", &[("content-type", "text/csv")], b"a,b").status, 415);
    assert_eq!(post("/v1/trace", &[protobuf], &good).status, 404, "a mistyped path");
    let zipped = [protobuf, ("content-encoding", "gzip")];
    assert_eq!(post("/v1/traces", &zipped, b"no gzip").status, 400, "broken gzip");
    assert_eq!(post("/v1/traces", &[protobuf], &padded(9, 65 << 20)).status, 413, "oversize");
    assert_eq!(http(port, "GET", "/v1/traces", &[], b"").expect("answer").status, 405);

    // A bomb: 2 GiB of zeros in 9 MB must neither be taken nor unpacked whole.
    let mebibyte = gzip(&vec![0; 1 << 20]);
    let bomb: Vec<u8> = mebibyte.iter().copied().cycle().take(mebibyte.len() * 2048).collect();
    let answer = post("/v1/traces", &zipped, &bomb);
    assert!([400, 413].contains(&answer.status), "a gzip bomb: {}", answer.status);
    let peak = server.resident(true);
    assert!(peak < 700 << 20, "the server peaked at {} MiB", peak >> 20);
    still_well(&server, &good, 2).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_questions() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Launch::new(directory.path()).start();
    let good = batch([span(1, 1)]);
    let mut writer = server.writer().await;
    writer.export(RawMessage(good.clone().into())).await.expect("a good Export");
    let mut reader = server.reader().await;
    for length in [0usize, 1, 15, 17, 1000] {
        let one = GetTraceParams { trace_id: vec![1; length], start_time: None, end_time: None };
        let request = GetTracesRequest { query: vec![one] };
        let error = match reader.get_traces(request).await {
            Err(error) => error,
            Ok(stream) => stream.into_inner().message().await.expect_err("an id that is none"),
        };
        assert_eq!(error.code(), Code::InvalidArgument, "a trace id of {length} bytes: {error}");
    }
    // Absurd times neither crash nor hide anything.
    let absurd = |seconds: i64, nanos: i32| Some(prost_types::Timestamp { seconds, nanos });
    for (from, to) in [
        (absurd(i64::MIN, 0), absurd(i64::MAX, 999_999_999)),
        (absurd(-62_135_596_800, 0), absurd(-62_135_596_800, 0)),
        (absurd(0, -1), absurd(0, i32::MAX)),
    ] {
        let one = GetTraceParams { trace_id: vec![1; 16], start_time: from, end_time: to };
        let request = GetTracesRequest { query: vec![one] };
        if let Ok(stream) = reader.get_traces(request).await {
            // Times are hints here: the trace comes, or an error says why not.
            let mut stream = stream.into_inner();
            match stream.message().await {
                Ok(chunk) => assert!(chunk.is_some(), "{from:?}..{to:?} hid the trace"),
                Err(error) => assert_eq!(error.code(), Code::InvalidArgument, "{error}"),
            }
        }
    }
    still_well(&server, &good, 2).await;
}

/// Starts a server that cannot start: its exit code and its words.
fn refused(launch: Launch) -> (Option<i32>, String) {
    let mut server = launch.spawn();
    let status: Option<ExitStatus> = server.wait(Duration::from_secs(30));
    let words = server.words();
    let status = status.unwrap_or_else(|| panic!("it started in spite of all:\n{words}"));
    (status.code(), words)
}

#[test]
fn bad_configuration_exits_with_2_and_says_what_to_write() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let file = directory.path().join("spanlake.yaml");
    std::fs::write(&file, "otlp:\n  grpc:\n    endpiont: ':4317'\n").expect("a file");
    let file = file.to_str().expect("a UTF-8 path");
    let (code, words) = refused(Launch::new(&data).flag("--config", file));
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("endpiont") && words.contains("otlp.grpc.endpoint"), "{words}");
    assert!(!words.contains("panicked"), "it must not look like a crash: {words}");

    for (flag, value, named) in [
        ("--memory.limit", "plenty", "memory.limit"),
        ("--set", "memory.limt=1GiB", "memory.limit"),
        ("--admin.endpoint", "127.0.0.1:99999", "admin.endpoint"),
        ("--no-such-flag", "1", "--no-such-flag"),
        ("--config", "/no/such/file.yaml", "/no/such/file.yaml"),
    ] {
        let (code, words) = refused(Launch::new(&data).flag(flag, value));
        assert_eq!(code, Some(2), "{flag} {value}: {words}");
        assert!(words.contains(named), "{flag} {value} names {named}: {words}");
    }
    assert!(!data.exists(), "nothing was made on disk");
}

#[test]
fn an_unknown_variable_is_a_warning_and_service_links_are_silent() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Launch::new(directory.path().join("data"))
        .env("SPANLAKE_MEMORY_LIMT", "1GiB")
        .env("SPANLAKE_PORT", "tcp://10.0.0.1:17271")
        .env("SPANLAKE_SERVICE_HOST", "10.0.0.1")
        .start();
    let words = server.words();
    assert!(words.contains("SPANLAKE_MEMORY_LIMT"), "{words}");
    assert!(!words.contains("SPANLAKE_PORT") && !words.contains("SERVICE_HOST"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_in_use_exits_with_3_and_names_its_holder() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Launch::new(directory.path()).start();
    let good = batch([span(1, 1)]);
    server.writer().await.export(RawMessage(good.clone().into())).await.expect("Export");
    let again = Launch::new(directory.path()).flag("--storage.lock_timeout", "1s");
    let (code, words) = refused(again);
    assert!(words.contains("waiting"), "{words}");
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains(&server.pid().to_string()), "{words} names pid {}", server.pid());
    still_well(&server, &good, 2).await;
    // No lock is stale after a kill.
    server.kill();
    let server = Launch::new(directory.path()).start();
    still_well(&server, &good, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_formats_exit_with_4_and_touch_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Launch::new(directory.path()).start();
    let good = batch([span(1, 1)]);
    server.writer().await.export(RawMessage(good.clone().into())).await.expect("Export");
    server.stop();
    let format = directory.path().join("FORMAT");
    let ours = std::fs::read_to_string(&format).expect("FORMAT");
    let newer: String = ours.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_ne!(ours, newer, "FORMAT holds a number");

    let catalog = newest_catalog(directory.path());
    let catalog_bytes = std::fs::read(&catalog).expect("the catalog");
    let future = br#"{"version":999999,"at":0,"changes":[{"kind":"from_the_future"}]}"#;
    let line = format!("{:08x} {}\n", crc32c::crc32c(future), String::from_utf8_lossy(future));
    let newer_catalog = [&catalog_bytes[..], line.as_bytes()].concat();

    for (path, bytes, back) in [
        (&format, newer.as_bytes(), ours.as_bytes()),
        (&catalog, newer_catalog.as_slice(), catalog_bytes.as_slice()),
    ] {
        std::fs::write(path, bytes).expect("vandalism");
        let before = listing(directory.path());
        let (code, words) = refused(Launch::new(directory.path()));
        assert_eq!(code, Some(4), "{}: {words}", path.display());
        assert!(words.contains("newer"), "{}: {words}", path.display());
        assert_eq!(listing(directory.path()), before, "nothing was touched");
        std::fs::write(path, back).expect("repair");
    }
    let server = Launch::new(directory.path()).start();
    still_well(&server, &good, 2).await;
}

fn newest_catalog(data_dir: &std::path::Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(data_dir.join("catalog")).expect("a catalog");
    let paths = entries.filter_map(|e| e.ok().map(|e| e.path()));
    paths.filter(|path| path.extension() == Some("jsonl".as_ref())).max().expect("a catalog file")
}

/// Names and sizes of all files but the lock.
fn listing(directory: &std::path::Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
            let (path, meta) = (entry.path(), entry.metadata().expect("metadata"));
            if meta.is_dir() {
                open.push(path);
            } else if !path.ends_with("LOCK") {
                found.push((path, meta.len()));
            }
        }
    }
    found.sort();
    found
}

/// A file system to spoil, or the reason why this test cannot run here.
fn room(size: &str) -> Option<Room> {
    let room = Room::new(size);
    if room.is_none() {
        println!(
            "SKIPPED: mounting is not permitted here; crash_points.rs tests the same faults below \
             the file system"
        );
    }
    room
}

fn launch_in(room: &Room) -> Launch {
    let enter = room.enter();
    let words: Vec<&str> = enter.iter().map(String::as_str).collect();
    Launch::new(room.data_dir()).under(&words)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_by_name_and_loses_nothing() {
    let Some(room) = room("24m") else { return };
    let mut server = launch_in(&room).start();
    let mut writer = server.writer().await;
    // Incompressible, so that nothing squeezes it.
    let mut dice = spanlake_tests::model::Dice::new(1);
    let mut noise = || (0..32_768).flat_map(|_| dice.roll().to_le_bytes()).collect::<Vec<u8>>();
    let mut acked: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut refusal = None;
    for trace in 1..=200u8 {
        let value = Node::default().with_bytes(7, noise());
        let bytes = batch([span(trace, 1).with_nodes(9, [pair(b"noise", value)])]);
        match writer.export(RawMessage(bytes.clone().into())).await {
            Ok(_) => acked.push((trace, bytes)),
            Err(error) => {
                refusal = Some(error);
                break;
            }
        }
    }
    let error = refusal.expect("24 MiB do not hold 50 MiB");
    assert!([Code::Unavailable, Code::ResourceExhausted].contains(&error.code()), "{error}");
    let words = format!("{} {}", error.message(), server.words()).to_lowercase();
    assert!(words.contains("no space") || words.contains("disk"), "the cause is named: {words}");
    assert!(acked.len() > 10, "{} Exports were taken first", acked.len());

    // Reads go on; the server is alive and says what it cannot do.
    for (trace, bytes) in &acked {
        assert_eq!(stored(&server, *trace).await, multiset(placed(bytes).expect("OTLP")));
    }
    let services = server.reader().await.get_services(GetServicesRequest {}).await;
    assert_eq!(services.expect("services").into_inner().services, ["shop"]);
    assert_eq!(server.admin("GET", "/healthz").expect("healthz").status, 200);
    assert_eq!(server.admin("GET", "/readyz").expect("readyz").status, 200);

    // A crash on the full disk, and room again: everything acknowledged is there.
    server.kill();
    room.remount("size=128m");
    let server = launch_in(&room).start();
    for (trace, bytes) in &acked {
        assert_eq!(stored(&server, *trace).await, multiset(placed(bytes).expect("OTLP")));
    }
    still_well(&server, &acked[0].1, 250).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_full_disk_answers_questions() {
    let Some(room) = room("24m") else { return };
    let mut server = launch_in(&room).start();
    let good = batch([span(1, 1)]);
    server.writer().await.export(RawMessage(good.clone().into())).await.expect("Export");
    server.kill();
    let filler = room.path().join("filler");
    let filler = filler.to_str().expect("a UTF-8 path");
    room.run(&["dd", "if=/dev/zero", &format!("of={filler}"), "bs=4096"]);
    let mut server = launch_in(&room).start();
    assert_eq!(stored(&server, 1).await, multiset(placed(&good).expect("OTLP")));
    let refused = server.writer().await.export(RawMessage(batch([span(3, 1)]).into())).await;
    assert_eq!(refused.expect_err("no room").code(), Code::ResourceExhausted);
    assert_eq!(server.admin("GET", "/readyz").expect("readyz").status, 200);
    assert_eq!(server.admin("GET", "/readyz?check=write").expect("readyz").status, 503);
    server.kill();
    assert!(room.run(&["rm", filler]));
    let server = launch_in(&room).start();
    still_well(&server, &good, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_disk_is_named_and_reads_go_on() {
    let Some(room) = room("64m") else { return };
    let mut server = launch_in(&room).start();
    let good = batch([span(1, 1)]);
    let mut writer = server.writer().await;
    writer.export(RawMessage(good.clone().into())).await.expect("Export");
    // The kernel remounts read-only only where nobody writes.
    server.kill();
    room.remount("ro");
    let (code, words) = refused(launch_in(&room));
    assert_eq!(code, Some(1), "{words}");
    assert!(words.to_lowercase().contains("read-only"), "{words}");
    let place = room.data_dir();
    assert!(words.contains(place.to_str().expect("UTF-8")), "{words} names the directory");
    room.remount("rw");
    let server = launch_in(&room).start();
    still_well(&server, &good, 2).await;
}
