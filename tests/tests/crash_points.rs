//! Invariants 1 and 3, at every point where power can fail: what the disk then holds opens, holds
//! every acknowledged batch whole, and at most the one batch in flight beside them, whole too.
//! `SEED=n` plays one case, `CASES=n` so many.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use spanlake::{Cancel, Options, Store, Tenancy, TraceId};
use spanlake_tests::model::case::{Encoding, bytes_of};
use spanlake_tests::model::check::drain;
use spanlake_tests::model::dice::{Dice, plan};
use spanlake_tests::model::files::{Fault, MemFiles};
use spanlake_tests::model::invent::Universe;
use spanlake_tests::model::wire::Node;
use spanlake_tests::model::{Checker, Model};

/// What the writer did, so that any prefix can be told.
enum Deed {
    Batch(Vec<u8>),
    Purge,
}

fn model_after(deeds: &[Deed]) -> Model {
    let mut model = Model::default();
    for deed in deeds {
        match deed {
            Deed::Batch(bytes) => drop(model.export(bytes).expect("the oracle takes it")),
            Deed::Purge => model.purge(),
        }
    }
    model
}

/// Everything a store holds of these traces, as a model.
fn content(store: &Store, ids: Vec<TraceId>, case: &str) -> Model {
    let stream = store.view().get_traces(&Tenancy::default(), ids, Cancel::new());
    let traces = drain(stream, 1 << 20, case).into_iter().map(|(id, set)| (id.0, set)).collect();
    Model { traces }
}

fn crash_case(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut universe = Universe::wild(&mut dice);
    let files = MemFiles::new();
    let options = || {
        let mut dice = Dice::new(seed ^ 77);
        let defaults = Options::default();
        Options {
            seal_bytes: *dice.pick(&[defaults.seal_bytes, 1, 5_000]),
            wal_bytes_max: *dice.pick(&[defaults.wal_bytes_max, 4_096]),
            ..defaults
        }
    };
    let open = |files: &MemFiles, what: &str| {
        Store::open_in(files.world(seed), options())
            .unwrap_or_else(|e| panic!("seed {seed}: {what}: {e}"))
    };
    files.crash_after(dice.below(150) as u64);
    let store = open(&files, "open");
    let mut deeds: Vec<Deed> = Vec::new();
    for _ in 0..dice.between(1, 20) {
        files.submitted.fetch_add(1, Ordering::SeqCst);
        if dice.percent(4) {
            deeds.push(Deed::Purge);
            store.purge().expect("purge");
        } else {
            let bytes = bytes_of(&universe.batch(&mut dice), Encoding::Plain);
            deeds.push(Deed::Batch(bytes.clone()));
            store.ingest(&Tenancy::default(), bytes.into()).expect("ingest");
        }
        files.acked.fetch_add(1, Ordering::SeqCst);
        if dice.percent(25) {
            store.flush().expect("flush");
        }
    }
    if dice.percent(50) {
        store.close(Duration::from_secs(60)).expect("close");
    }
    // Where the moment did not come, power fails at the end.
    let (image, acked, submitted) = files
        .crash_image(&mut dice)
        .unwrap_or_else(|| (files.crash_now(&mut dice), deeds.len() as u64, deeds.len() as u64));
    drop(store);

    let ids = universe.trace_ids();
    let survivor = open(&image, "open after the crash");
    let found = content(&survivor, ids, &format!("seed {seed}"));
    let whole = (acked..=submitted)
        .map(|n| model_after(&deeds[..n as usize]))
        .find(|model| model.traces == found.traces);
    let Some(mut model) = whole else {
        panic!(
            "seed {seed}: after the crash the store holds neither the {acked} acknowledged batches \
             nor the {submitted} submitted ones: {found:?}"
        );
    };

    // The survivor works: it takes more, answers exactly, and lives through a second crash.
    for _ in 0..3 {
        let bytes = bytes_of(&universe.batch(&mut dice), Encoding::Plain);
        model.export(&bytes).expect("oracle");
        survivor.ingest(&Tenancy::default(), bytes.into()).expect("ingest after the crash");
    }
    let view = survivor.view();
    Checker::new(&view, &model, format!("seed {seed} survivor")).check_all(&universe);
    let second = open(&image.crash_now(&mut dice), "open after the second crash");
    let view = second.view();
    Checker::new(&view, &model, format!("seed {seed} second crash")).check_all(&universe);
}

#[test]
fn power_may_fail_at_any_write() {
    let (first, count) = plan(250);
    for seed in first..first + count {
        crash_case(seed);
    }
}

fn batch(universe: &mut Universe, dice: &mut Dice) -> Vec<u8> {
    loop {
        let tree: Node = universe.batch(dice);
        let bytes = bytes_of(&tree, Encoding::Plain);
        if Model::default().export(&bytes).is_ok_and(|o| o.accepted > 0) {
            return bytes;
        }
    }
}

/// After a failed sync nothing may be acknowledged again; reads go on, and a restart brings back
/// every acknowledged batch.
#[test]
fn a_failed_sync_stops_acknowledgement_for_good() {
    for fault in [Fault::SyncFails, Fault::WriteFails] {
        let mut dice = Dice::new(5);
        let mut universe = Universe::plain(&mut dice);
        let files = MemFiles::new();
        let store = Store::open_in(files.world(1), Options::default()).expect("open");
        let mut model = Model::default();
        for _ in 0..3 {
            let bytes = batch(&mut universe, &mut dice);
            model.export(&bytes).expect("oracle");
            store.ingest(&Tenancy::default(), bytes.into()).expect("ingest");
        }
        let lost = batch(&mut universe, &mut dice);
        files.inject(fault);
        let error = store
            .ingest(&Tenancy::default(), Bytes::from(lost.clone()))
            .expect_err("no acknowledgement without a sync");
        assert_eq!(error.kind(), spanlake::ErrorKind::Unavailable, "{fault:?}: {error}");
        assert!(!store.stats().write_available, "{fault:?}: the store says so");

        // The kernel reports a lost write once; the next sync would succeed and mean nothing.
        files.heal();
        let error = store.ingest(&Tenancy::default(), Bytes::from(lost.clone()));
        let error = error.expect_err("a later sync must not be trusted");
        assert_eq!(error.kind(), spanlake::ErrorKind::Unavailable, "{fault:?}: {error}");
        let view = store.view();
        Checker::new(&view, &model, format!("{fault:?} reads")).check_all(&universe);

        let restarted =
            Store::open_in(files.crash_now(&mut dice).world(2), Options::default()).expect("open");
        let found = content(&restarted, universe.trace_ids(), "restarted");
        let mut with_lost = model.clone();
        with_lost.export(&lost).expect("oracle");
        let whole = found.traces == model.traces || found.traces == with_lost.traces;
        assert!(whole, "{fault:?}: the refused batch is whole or absent, the others are there");
        restarted.ingest(&Tenancy::default(), lost.into()).expect("a restarted store takes it");
        let view = restarted.view();
        Checker::new(&view, &with_lost, format!("{fault:?} restarted")).check_all(&universe);
    }
}

/// A seal that fails loses nothing: the log still holds the spans.
#[test]
fn a_seal_on_a_full_disk_loses_nothing() {
    let mut dice = Dice::new(6);
    let mut universe = Universe::plain(&mut dice);
    let files = MemFiles::new();
    let store = Store::open_in(files.world(1), Options::default()).expect("open");
    let mut model = Model::default();
    for _ in 0..4 {
        let bytes = batch(&mut universe, &mut dice);
        model.export(&bytes).expect("oracle");
        store.ingest(&Tenancy::default(), bytes.into()).expect("ingest");
    }
    files.inject(Fault::DiskFull);
    store.flush().expect_err("a full disk fails the flush by name");
    let view = store.view();
    Checker::new(&view, &model, "full disk").check_all(&universe);
    let crashed = Store::open_in(files.killed_now().world(2), Options::default()).expect("open");
    let view = crashed.view();
    Checker::new(&view, &model, "killed on a full disk").check_all(&universe);
    files.heal();
    store.flush().expect("there is room again");
    let view = store.view();
    Checker::new(&view, &model, "room again").check_all(&universe);
}
