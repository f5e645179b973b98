//! As in a container: process 1, a root that cannot be written, no HOME, no /tmp, a volume.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Running, flags, get, temp};

/// Makes the volume, makes the rest read-only, becomes the server.
const SETUP: &str = "mount -t tmpfs none \"$1\" && mount --bind / / && mount -o remount,bind,ro / \
                     && shift && exec \"$@\"";

#[test]
fn it_runs_as_process_1_on_a_read_only_root_and_stops_on_sigterm() {
    let dir = temp();
    let enter = ["--mount", "--pid", "--fork", "--kill-child"];
    let allowed = Command::new("unshare").args(enter).args(["mount", "--bind", "/", "/"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        // Namespaces need privileges that not every machine of a developer gives.
        return;
    }
    let mut command = Command::new("unshare");
    command.args(enter).args(["sh", "-c", SETUP, "sh"]).arg(dir.path());
    command.arg(env!("CARGO_BIN_EXE_spanlake")).args(flags(dir.path()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).current_dir("/");
    let mut server = Running::start(command);
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

fn only_child(parent: u32) -> i32 {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))
        .expect("is there");
    children.trim().parse().expect("one child")
}
