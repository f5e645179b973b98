//! Jaeger's official definitions against Spanlake's storage port: every answer compared with a
//! plain one (tests/oracle).

use std::time::UNIX_EPOCH;

use spanlake_tests::e2e::{Oracle, Result, Spanlake, get, need, post};
use spanlake_tests::or_skip;

#[test]
fn the_storage_port_speaks_jaegers_official_definitions() -> Result<()> {
    or_skip!(need("the wire oracle", &["go"]));
    let oracle = Oracle::build()?;
    let dir = tempfile::tempdir()?;
    let mut server = Spanlake::start(dir.path(), &["--allow-purge"])?;
    let grpc = server.grpc();
    let yesterday = UNIX_EPOCH.elapsed()?.as_secs() / 86_400 - 1;
    let day = yesterday.to_string();
    let http = format!("127.0.0.1:{}", server.ports.otlp_http);
    oracle.run(&["check", "--grpc", &grpc, "--http", &http, "--day", &day])?;

    // All of it is in segments now. Writing it again adds nothing; every answer stays the same.
    server.stop_cleanly()?;
    server.restart()?;
    let again =
        "^search/|^write/|^http/|^suite/(GetTrace|GetLarge|FindTraces (write|typed|strings))";
    oracle.run(&["check", "--grpc", &grpc, "--http", &http, "--day", &day, "--only", again])?;

    // After a purge it is as good as new: the suite's first checks demand an empty store.
    assert_eq!(post(server.ports.admin, "/purge")?.status, 200);
    oracle.run(&["check", "--grpc", &grpc, "--day", &day, "--only", "^suite/"])?;
    Ok(())
}

#[test]
fn answers_are_the_same_from_segments_and_after_restarts() -> Result<()> {
    or_skip!(need("the wire oracle", &["go"]));
    let oracle = Oracle::build()?;
    let dir = tempfile::tempdir()?;
    let mut server = Spanlake::start(dir.path(), &[])?;
    let acked = dir.path().join("acked.txt");
    let acked = acked.to_str().ok_or("the folder's name is not UTF-8")?;
    oracle.run(&["send", "--otlp", &server.grpc(), "--out", acked, "--for", "2s"])?;
    for clean in [true, false, true] {
        if clean {
            assert!(server.stop()?.success(), "a stop by SIGTERM ends with 0");
        } else {
            server.kill()?;
        }
        server.restart()?;
        oracle.run(&["verify", "--grpc", &server.grpc(), "--acked", acked])?;
    }
    Ok(())
}

#[test]
fn purge_is_refused_unless_asked_for() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Spanlake::start(dir.path(), &[])?;
    assert_ne!(post(server.ports.admin, "/purge")?.status, 200);
    assert_eq!(get(server.ports.admin, "/healthz")?.status, 200);
    Ok(())
}
