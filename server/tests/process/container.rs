//! As in a container: process 1, a root that cannot be written, no HOME, no /tmp, a volume.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Running, flags, get, http, run, spanlake, temp};
use crate::spans::{export, trace_id};

/// Makes the volume (options, directory), makes the rest read-only, becomes the server.
const SETUP: &str = "mount -t tmpfs -o \"$1\" none \"$2\" && mount --bind / / && \
                     mount -o remount,bind,ro / && shift 2 && exec \"$@\"";
const ENTER: [&str; 4] = ["--mount", "--pid", "--fork", "--kill-child"];

/// Namespaces need privileges that not every machine of a developer gives.
fn allowed() -> bool {
    let probe = Command::new("unshare").args(ENTER).args(["mount", "--bind", "/", "/"]).status();
    probe.is_ok_and(|status| status.success())
}

/// A server on `data_dir`, with a volume of these mount options at `volume`.
fn contained(options: &str, volume: &Path, data_dir: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(ENTER).args(["sh", "-c", SETUP, "sh", options]).arg(volume);
    command.arg(env!("CARGO_BIN_EXE_spanlake")).args(flags(data_dir));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).current_dir("/");
    command
}

#[test]
fn it_runs_as_process_1_on_a_read_only_root_and_stops_on_sigterm() {
    if !allowed() {
        return;
    }
    let dir = temp();
    let mut server = Running::start(contained("size=1g", dir.path(), dir.path()));
    let doors = server.started();
    assert_eq!(get(doors.admin, "/readyz").0, 200);
    assert!(server.line("in memory").contains("WARN"), "{:#?}", server.seen);
    let first = only_child(server.pid());
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).expect("is there");
    let pids = status.lines().find(|line| line.starts_with("NSpid:")).expect("has a line");
    assert!(pids.ends_with("\t1"), "{pids}");
    // A signal from outside reaches process 1 only where it has installed a handler.
    kill_process(Pid::from_raw(first).expect("is not 0"), Signal::TERM).expect("is delivered");
    assert_eq!(server.ended().code(), Some(0), "{:#?}", server.seen);
    assert!(!Path::new("/spanlake-data").exists());
}

#[test]
fn a_read_only_data_directory_is_named_with_what_mends_it() {
    if !allowed() {
        return;
    }
    let (volume, dir) = (temp(), temp());
    let done = run(contained("size=1m", volume.path(), &dir.path().join("lake")));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("read-only") && done.stderr.contains("--data-dir"), "{done:?}");
    done.assert_no_crash();
}

#[test]
fn a_full_disk_refuses_exports_and_answers_questions() {
    if !allowed() {
        return;
    }
    let dir = temp();
    let mut server = Running::start(contained("size=6m", dir.path(), dir.path()));
    let doors = server.started();
    let bulk = "x".repeat(100_000);
    let mut accepted = 0;
    let refused = loop {
        let body = export(accepted, &bulk);
        match http(doors.otlp_http, "POST", "/v1/traces", body.as_bytes(), "application/json") {
            (200, _) => accepted += 1,
            answer => break answer,
        }
        assert!(accepted < 1000, "6 MiB hold no 100 MB");
    };
    assert!(accepted > 0);
    assert!(matches!(refused.0, 429 | 503), "{refused:?}");
    assert_eq!(get(doors.admin, "/readyz").0, 200);
    assert_eq!(get(doors.admin, "/healthz").0, 200);
    let mut command = spanlake(&["traces", "--limit", "1500"]);
    command.args(["--json", "--server", &format!("http://{}", doors.grpc)]);
    let seen = run(command);
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    for n in 0..accepted {
        assert!(seen.stdout.contains(&trace_id(n)), "{n} of {accepted} is missing");
    }
}

fn only_child(parent: u32) -> i32 {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
        .expect("is there");
    children.trim().parse().expect("one child")
}
