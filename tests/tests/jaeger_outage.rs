//! The promise end to end: with the configuration of docs/jaeger.md, whatever a sender was told is accepted
//! survives an outage of Spanlake behind a real Jaeger.

use std::thread::sleep;
use std::time::Duration;

use spanlake_tests::e2e::{Config, Jaeger, Oracle, Result, Spanlake, need, say};
use spanlake_tests::or_skip;

const OUTAGE: Duration = Duration::from_secs(20);

#[test]
fn nothing_accepted_is_lost_when_spanlake_stops_under_load() -> Result<()> {
    survive(Spanlake::stop_cleanly)
}

#[test]
fn nothing_accepted_is_lost_when_spanlake_is_killed_under_load() -> Result<()> {
    survive(Spanlake::kill)
}

fn survive(end: fn(&mut Spanlake) -> Result<()>) -> Result<()> {
    or_skip!(need("a real Jaeger", &["go"]));
    let oracle = Oracle::build()?;
    Jaeger::binary()?;
    let dir = tempfile::tempdir()?;
    let mut server = Spanlake::start(dir.path(), &[])?;
    let configs =
        [Config::Documented("docs/jaeger.md", "wait_for_result"), Config::Tests("around")];
    let jaeger = Jaeger::start(&configs, server.ports.grpc, dir.path())?;
    let acked = dir.path().join("acked.txt");
    let acked = acked.to_str().ok_or("the folder's name is not UTF-8")?;
    let words = dir.path().join("sender.log");
    let target = jaeger.address("otlp_grpc")?;
    // Long deadlines: after an outage Jaeger's gRPC client waits before it connects again, up to
    // as long as the outage was, and its retries wait besides.
    let send = ["send", "--otlp", &target, "--out", acked, "--for", "50s", "--deadline", "2m"];
    let mut sender = oracle.spawn(&send, &words)?;

    sleep(Duration::from_secs(8));
    end(&mut server)?;
    let before = lines(acked)?;
    sleep(OUTAGE);
    // The acks that raced with the end are few; none may be given while nobody can store.
    let during = lines(acked)?;
    server.restart()?;
    let status = sender.wait()?;
    let said = std::fs::read_to_string(&words)?;
    say(&said);
    assert!(status.success(), "the sender failed: {said}");
    let after = lines(acked)?;
    say(format!("accepted before {before}, in the outage {}, in all {after}", during - before));
    assert!(before > 0, "nothing was accepted before the outage");
    assert!(after > during, "nothing was accepted after the outage: {}", jaeger.log());
    assert!(during - before <= 16, "{} traces accepted while Spanlake was gone", during - before);
    oracle.run(&["verify", "--grpc", &server.grpc(), "--acked", acked])?;
    Ok(())
}

fn lines(file: &str) -> Result<usize> {
    Ok(std::fs::read_to_string(file)?.lines().count())
}
