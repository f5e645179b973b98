//! Start, ready, stop; the admin port through all of it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Doors, Running, flags, get, http, spanlake, temp};

#[test]
fn a_server_starts_answers_and_stops_on_either_signal() {
    let dir = temp();
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Running::serve(dir.path(), &[]);
        let doors = server.started();
        assert_eq!(get(doors.admin, "/healthz"), (200, "ok\n".to_owned()));
        assert_eq!(get(doors.admin, "/readyz"), (200, "ready\n".to_owned()));
        assert_eq!(get(doors.admin, "/readyz?check=write").0, 200);
        let (status, metrics) = get(doors.admin, "/metrics");
        assert_eq!(status, 200);
        for line in ["spanlake_write_available 1.0", "spanlake_build_info{", "# EOF"] {
            assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
        }
        assert_eq!(get(doors.admin, "/nonsense").0, 404);
        server.signal(signal);
        assert_eq!(server.ended().code(), Some(0), "{:#?}", server.seen);
    }
}

#[test]
fn the_start_up_line_says_it_all() {
    let dir = temp();
    let mut server = Running::serve(dir.path(), &["--retention.time=3d", "--memory.limit=256MiB"]);
    server.started();
    let line = server.line("spanlake started");
    let line: serde_json::Value = serde_json::from_str(&line).expect("is JSON");
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(line["data_dir"], dir.path().to_str().expect("is UTF-8"));
    assert_eq!(line["memory_limit"], "256.0 MiB");
    let retention = line["retention"].as_str().expect("is text");
    assert!(retention.contains("time 3d") && retention.contains("not enforced"), "{retention}");
    for field in ["revision", "config", "file_system", "free", "fsync", "grpc", "admin"] {
        assert!(line[field].is_string(), "{field} is missing in {line}");
    }
}

#[test]
fn purge_is_served_only_where_it_was_allowed() {
    let dir = temp();
    let mut server = Running::serve(&dir.path().join("a"), &[]);
    let admin = server.started().admin;
    let (status, body) = http(admin, "POST", "/purge", b"", "text/plain");
    assert_eq!(status, 403);
    assert!(body.contains("--allow-purge"), "{body}");
    let mut server = Running::serve(&dir.path().join("b"), &["--allow-purge"]);
    let admin = server.started().admin;
    assert_eq!(get(admin, "/purge").0, 405);
    assert_eq!(http(admin, "POST", "/purge", b"", "text/plain").0, 200);
}

#[test]
fn a_directory_at_the_root_of_a_mount_works() {
    let dir = temp();
    std::fs::create_dir(dir.path().join("lost+found")).expect("is made");
    let mut server = Running::serve(dir.path(), &[]);
    server.started();
    server.signal(Signal::TERM);
    assert_eq!(server.ended().code(), Some(0));
    assert!(dir.path().join("lost+found").is_dir());
}

#[test]
fn while_it_waits_for_the_directory_it_is_alive_not_ready_and_stops_when_asked() {
    let dir = temp();
    let mut first = Running::serve(dir.path(), &[]);
    first.started();
    // A port of its own choosing would only be told once it has started.
    let free = TcpListener::bind("127.0.0.1:0").expect("binds");
    let admin = free.local_addr().expect("has an address");
    drop(free);
    let mut command = spanlake(&["serve", "--data-dir"]);
    command.arg(dir.path()).args(["--storage.lock_timeout=50s", "--log.format=json"]);
    command.args(["--grpc.endpoint=off", "--otlp.grpc.endpoint=off", "--otlp.http.endpoint=off"]);
    let mut second = Running::start({
        command.arg(format!("--admin.endpoint={admin}"));
        command
    });
    while TcpStream::connect(admin).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(get(admin, "/healthz").0, 200);
    let (status, body) = get(admin, "/readyz");
    assert_eq!(status, 503);
    assert!(body.contains("recovering"), "{body}");
    assert_eq!(get(admin, "/metrics").0, 200);
    second.signal(Signal::TERM);
    assert_eq!(second.ended().code(), Some(0), "{:#?}", second.seen);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = temp();
    let mut server = Running::serve(dir.path(), &["--shutdown.timeout=50s"]);
    let doors = server.started();
    // A request whose body never comes keeps the orderly stop waiting.
    let mut stuck = TcpStream::connect(doors.otlp_http).expect("connects");
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
                content-length: 1000\r\n\r\nx";
    stuck.write_all(head.as_bytes()).expect("is sent");
    std::thread::sleep(Duration::from_millis(300));
    server.signal(Signal::TERM);
    server.line("stopping");
    let (status, body) = get(doors.admin, "/readyz");
    assert_eq!(status, 503);
    assert!(body.contains("draining"), "{body}");
    server.signal(Signal::TERM);
    assert_eq!(server.ended().code(), Some(128 + 15));
}

#[test]
fn a_default_otlp_port_that_is_taken_costs_a_warning() {
    // Whoever holds 4317, we or another process of this machine: it is taken.
    let _holder = TcpListener::bind("127.0.0.1:4317");
    let dir = temp();
    let mut command = spanlake(&["serve", "--log.format=json", "--data-dir"]);
    command.arg(dir.path());
    command.args(["--grpc.endpoint=127.0.0.1:0", "--admin.endpoint=127.0.0.1:0"]);
    command.arg("--otlp.http.endpoint=127.0.0.1:0");
    let mut server = Running::start(command);
    let warning = server.line("otlp.grpc.endpoint");
    assert!(warning.contains("WARN") && warning.contains("is taken by"), "{warning}");
    let doors = server.started();
    assert_eq!(get(doors.admin, "/readyz").0, 200);
    assert!(TcpStream::connect(doors.grpc).is_ok());
}

#[test]
fn a_server_whose_log_nobody_reads_lives_on() {
    let dir = temp();
    let mut command = spanlake(&[]);
    command.args(flags(dir.path())).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let stderr = BufReader::new(child.stderr.take().expect("is piped"));
    let mut lines = stderr.lines().map_while(Result::ok);
    let started = lines.find(|line| line.contains("spanlake started")).expect("starts");
    drop(lines);
    let doors = Doors::of(&started);
    assert_eq!(get(doors.admin, "/readyz").0, 200);
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).expect("is delivered");
    let status = child.wait().expect("ends");
    assert_eq!(status.code(), Some(0));
}
