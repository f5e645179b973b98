//! Invariants 1 and 3, at every point where power can fail: what the disk then holds opens, holds
//! every acknowledged batch whole, and at most the one batch in flight beside them, whole too.
//! `SEED=n` plays one case, `CASES=n` so many.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// An Export of one of two tenancies.
    Batch(usize, Vec<u8>),
    Purge,
}

/// One log holds two tenancies, which are sealed one after the other.
fn tenancies() -> [Tenancy; 2] {
    [Tenancy::default(), Tenancy::new("acme", "shop").expect("a name")]
}

fn models_after(deeds: &[Deed]) -> [Model; 2] {
    let mut models = [Model::default(), Model::default()];
    for deed in deeds {
        match deed {
            Deed::Batch(tenancy, bytes) => {
                models[*tenancy].export(bytes).expect("the oracle takes it");
            }
            Deed::Purge => models.iter_mut().for_each(Model::purge),
        }
    }
    models
}

/// Everything a store holds of these traces, as a model.
fn content(store: &Store, tenancy: &Tenancy, ids: Vec<TraceId>, case: &str) -> Model {
    let stream = store.view().get_traces(tenancy, ids, Cancel::new());
    let traces = drain(stream, 1 << 20, case).into_iter().map(|(id, set)| (id.0, set)).collect();
    Model { traces }
}

fn contents(store: &Store, ids: &[TraceId], case: &str) -> [Model; 2] {
    tenancies().map(|tenancy| content(store, &tenancy, ids.to_vec(), case))
}

fn check_all(store: &Store, models: &[Model; 2], universe: &Universe, case: &str) {
    let view = store.view();
    for (tenancy, model) in tenancies().into_iter().zip(models) {
        let case = format!("{case}, {tenancy}");
        Checker { tenancy, ..Checker::new(&view, model, case) }.check_all(universe);
    }
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
            let whose = dice.below(2);
            deeds.push(Deed::Batch(whose, bytes.clone()));
            store.ingest(&tenancies()[whose], bytes.into()).expect("ingest");
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
    let found = contents(&survivor, &ids, &format!("seed {seed}"));
    let same = |models: &[Model; 2]| models.iter().zip(&found).all(|(m, f)| m.traces == f.traces);
    let whole = (acked..=submitted).map(|n| models_after(&deeds[..n as usize])).find(same);
    let Some(mut models) = whole else {
        panic!(
            "seed {seed}: after the crash the store holds neither the {acked} acknowledged batches \
             nor the {submitted} submitted ones: {found:?}"
        );
    };

    // The survivor works: it takes more, answers exactly, and lives through a second crash.
    for n in 0..4 {
        let bytes = bytes_of(&universe.batch(&mut dice), Encoding::Plain);
        models[n % 2].export(&bytes).expect("oracle");
        survivor.ingest(&tenancies()[n % 2], bytes.into()).expect("ingest after the crash");
    }
    check_all(&survivor, &models, &universe, &format!("seed {seed} survivor"));
    let second = open(&image.crash_now(&mut dice), "open after the second crash");
    check_all(&second, &models, &universe, &format!("seed {seed} second crash"));
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
        let tenancy = Tenancy::default();
        let found = content(&restarted, &tenancy, universe.trace_ids(), "restarted");
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

/// What arrives while a seal runs stays in the log: writers of two tenancies and a flusher at
/// once, and at any moment a copy of the disk opens with every batch acknowledged by then.
#[test]
fn what_arrives_during_a_seal_survives_a_kill() {
    for seed in 0..4 {
        let files = MemFiles::new();
        let store = Store::open_in(files.world(seed), Options::default()).expect("open");
        let stop = AtomicBool::new(false);
        let acked: [Mutex<Model>; 2] = Default::default();
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..2u8)
                .map(|who| {
                    let (store, acked, stop) = (&store, &acked, &stop);
                    scope.spawn(move || write_until(store, who, &acked[usize::from(who)], stop))
                })
                .collect();
            let flusher = scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    store.flush().expect("flush");
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            let mut dice = Dice::new(seed);
            for moment in 0..10 {
                std::thread::sleep(Duration::from_millis(dice.below(20) as u64));
                let before = acked.each_ref().map(|m| m.lock().expect("acked").clone());
                let image =
                    if dice.percent(50) { files.killed_now() } else { files.crash_now(&mut dice) };
                let copy = Store::open_in(image.world(seed), Options::default()).expect("open");
                for (tenancy, model) in tenancies().iter().zip(&before) {
                    let case = format!("seed {seed} moment {moment} {tenancy}");
                    let ids: Vec<TraceId> = model.traces.keys().copied().map(TraceId).collect();
                    let found = content(&copy, tenancy, ids, &case);
                    assert!(found.traces == model.traces, "{case}: an acknowledged batch is lost");
                }
            }
            stop.store(true, Ordering::SeqCst);
            let ends: Vec<_> = writers.into_iter().chain([flusher]).map(|t| t.join()).collect();
            ends.into_iter().for_each(|end| end.expect("a thread"));
        });
    }
}

/// Batches of one new trace each, for a tenancy of its own; told once they are acknowledged.
fn write_until(store: &Store, who: u8, acked: &Mutex<Model>, stop: &AtomicBool) {
    let tenancy = &tenancies()[usize::from(who)];
    for n in 1u64.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let spans = (1..=3u64).map(|i| {
            Node::default()
                .with_bytes(1, [n.to_be_bytes(), [who + 1; 8]].concat())
                .with_bytes(2, i.to_be_bytes())
                .with_number(7, 1_771_027_200_000_000_000 + n * 1_000_000_000_000)
        });
        let scope = Node::default().with_nodes(2, spans);
        let tree = Node::default().with_nodes(1, [Node::default().with_nodes(2, [scope])]);
        let bytes = bytes_of(&tree, Encoding::Plain);
        store.ingest(tenancy, bytes.clone().into()).expect("ingest");
        acked.lock().expect("acked").export(&bytes).expect("oracle");
        // Enough for a seal to meet, few enough to look at often.
        std::thread::sleep(Duration::from_millis(1));
    }
}
