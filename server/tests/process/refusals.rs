//! What cannot work is said in words, with the exit code that scripts read.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use crate::harness::{Running, flags, run, spanlake, temp};

#[test]
fn an_unknown_key_ends_with_2_and_a_suggestion() {
    let dir = temp();
    let file = dir.path().join("spanlake.yaml");
    std::fs::write(&file, "log:\n  level: info\nretension:\n  time: 7d\n").expect("is written");
    let file = file.to_str().expect("is UTF-8");
    for verb in [&["serve"][..], &["config", "check"], &["config", "print"]] {
        let mut command = spanlake(verb);
        command.args(["--config", file]);
        let done = run(command);
        assert_eq!(done.code, Some(2), "{verb:?}: {done:?}");
        assert!(done.stderr.contains("line 4"), "{}", done.stderr);
        assert!(done.stderr.contains("did you mean `retention.time`?"), "{}", done.stderr);
        done.assert_no_crash();
    }
}

#[test]
fn an_unknown_verb_or_flag_ends_with_2_and_a_suggestion() {
    let done = run(spanlake(&["srve"]));
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("'serve'"), "{}", done.stderr);
    let done = run(spanlake(&["serve", "--otlp.grpc.endpont", ":1"]));
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("--otlp.grpc.endpoint"), "{}", done.stderr);
    let done = run(spanlake(&["compact"]));
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("later version"), "{}", done.stderr);
    assert_eq!(run(spanlake(&[])).code, Some(2));
    assert_eq!(run(spanlake(&["--help"])).code, Some(0));
}

#[test]
fn version_names_formats() {
    let done = run(spanlake(&["version"]));
    assert_eq!(done.code, Some(0));
    for word in [env!("CARGO_PKG_VERSION"), "segment", "wal", "catalog", "directory"] {
        assert!(done.stdout.contains(word), "{}", done.stdout);
    }
}

#[test]
fn a_kubernetes_service_called_spanlake_changes_nothing() {
    let mut command = spanlake(&["config", "print"]);
    command.envs([
        ("SPANLAKE_PORT", "tcp://10.96.12.7:17271"),
        ("SPANLAKE_SERVICE_HOST", "10.96.12.7"),
        ("SPANLAKE_SERVICE_PORT", "17271"),
        ("SPANLAKE_PORT_17271_TCP", "tcp://10.96.12.7:17271"),
        ("SPANLAKE_PORT_17271_TCP_ADDR", "10.96.12.7"),
    ]);
    let with = run(command);
    let without = run(spanlake(&["config", "print"]));
    assert_eq!((with.code, with.stdout), (Some(0), without.stdout));
    assert_eq!(with.stderr, "");
}

#[test]
fn a_taken_port_that_was_chosen_ends_with_1_and_names_the_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("binds");
    let taken = holder.local_addr().expect("has an address");
    let dir = temp();
    for key in ["grpc.endpoint", "otlp.grpc.endpoint", "otlp.http.endpoint", "admin.endpoint"] {
        let mut command = spanlake(&[]);
        let mut flags = flags(&dir.path().join("lake"));
        flags.retain(|flag| !flag.starts_with(&format!("--{key}=")));
        command.args(flags).arg(format!("--{key}={taken}"));
        let done = run(command);
        assert_eq!(done.code, Some(1), "{key}: {done:?}");
        assert!(done.stderr.contains(key), "{}", done.stderr);
        assert!(done.stderr.contains(&std::process::id().to_string()), "{}", done.stderr);
        done.assert_no_crash();
    }
}

#[test]
fn a_locked_directory_ends_with_3_and_names_the_process() {
    let dir = temp();
    let mut first = Running::serve(dir.path(), &[]);
    first.started();
    let mut command = spanlake(&[]);
    command.args(flags(dir.path()));
    let done = run(command);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains(&first.pid().to_string()), "{}", done.stderr);
    done.assert_no_crash();
}

#[test]
fn a_newer_directory_ends_with_4() {
    let dir = temp();
    let mut first = Running::serve(dir.path(), &[]);
    first.started();
    first.signal(rustix::process::Signal::TERM);
    assert_eq!(first.ended().code(), Some(0));
    let format = dir.path().join("FORMAT");
    let text = std::fs::read_to_string(&format).expect("is there");
    assert!(text.contains('1'), "{text}");
    std::fs::write(&format, text.replacen('1', "9", 1)).expect("is written");
    let mut command = spanlake(&[]);
    command.args(flags(dir.path()));
    let done = run(command);
    assert_eq!(done.code, Some(4), "{done:?}");
    done.assert_no_crash();
}

#[test]
fn an_unwritable_directory_names_uid_owner_and_command() {
    // Only root can become someone else.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = temp();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("is set");
    // The build directory may be root's alone: the stranger runs a copy.
    let copy = temp();
    std::fs::set_permissions(copy.path(), std::fs::Permissions::from_mode(0o755)).expect("is set");
    let binary = copy.path().join("spanlake");
    std::fs::copy(env!("CARGO_BIN_EXE_spanlake"), &binary).expect("is copied");
    let mut command = std::process::Command::new(&binary);
    command.args(flags(&dir.path().join("lake"))).env_clear().current_dir("/").uid(65_534);
    let done = run(command);
    assert_eq!(done.code, Some(1), "{done:?}");
    for word in ["uid 65534", "belongs to uid 0", "install -d -o 65534"] {
        assert!(done.stderr.contains(word), "{word}: {}", done.stderr);
    }
    done.assert_no_crash();
}

#[test]
fn verify_says_sound_locked_or_damaged() {
    let dir = temp();
    let path = dir.path().to_str().expect("is UTF-8");
    let mut server = Running::serve(dir.path(), &[]);
    server.started();
    let locked = run(spanlake(&["verify", path]));
    assert_eq!(locked.code, Some(3), "{locked:?}");
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.ended().code(), Some(0));
    let sound = run(spanlake(&["verify", path]));
    assert_eq!(sound.code, Some(0), "{sound:?}");
    assert!(sound.stdout.contains("all sound"), "{}", sound.stdout);
    let none = run(spanlake(&["verify", "/nowhere"]));
    assert_eq!(none.code, Some(1), "{none:?}");
    none.assert_no_crash();
}
