//! Whole data sets with known answers (`../shared/data`, skipped where absent): counts, services,
//! operations, dependencies, and every span read back; while the server lives and again from
//! segments after a restart.

use spanlake_tests::e2e::{Oracle, Result, Spanlake, data_set, need, say, skipped};

const MIB: u64 = 1 << 20;

/// Loads a set into an empty store, checks it, and tells the most memory the server ever held.
fn load(name: &str) -> Result<Option<u64>> {
    let file = match need("the wire oracle", &["go"]).and_then(|()| data_set(name)) {
        Ok(file) => file,
        Err(missing) => return skipped(&missing).map(|()| None),
    };
    let oracle = Oracle::build()?;
    let dir = tempfile::tempdir()?;
    // The sets are years old; nothing of them may expire.
    let mut server = Spanlake::start(dir.path(), &["--retention.time", "0"])?;
    let file = file.to_str().ok_or("the set's name is not UTF-8")?;
    let grpc = server.grpc();
    oracle.run(&["dataset", "--grpc", &grpc, "--file", file])?;
    let writing = server.peak_memory()?;
    // The same questions once more, to segments alone.
    server.stop_cleanly()?;
    server.restart()?;
    oracle.run(&["dataset", "--grpc", &grpc, "--file", file, "--written"])?;
    let peak = writing.max(server.peak_memory()?);
    say(format!("{name}: at most {} MiB resident", peak / MIB));
    Ok(Some(peak))
}

#[test]
fn astronomy() -> Result<()> {
    load("astronomy").map(drop)
}

#[test]
fn zipkin() -> Result<()> {
    load("zipkin").map(drop)
}

#[test]
fn nezha_trainticket_sample() -> Result<()> {
    load("nezha-trainticket-sample").map(drop)
}

#[test]
fn depgraph() -> Result<()> {
    load("depgraph").map(drop)
}

#[test]
fn graft_100k_within_600_mib() -> Result<()> {
    if let Some(peak) = load("graft-100k")? {
        assert!(peak < 600 * MIB, "the server held {} MiB", peak / MIB);
    }
    Ok(())
}
