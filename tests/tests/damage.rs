//! A disk that lies: one file of a sound directory is changed in one place, cut, or gone. Whatever
//! it is, the store opens or says which file is at fault; what it answers is the truth, or less
//! than the truth with an event or an error that says so; it never panics and never makes spans
//! up. `SEED=n` plays one case, `CASES=n` so many.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use spanlake::{Cancel, ErrorKind, Event, Observer, Options, Store, Tenancy, TraceId, TraceQuery};
use spanlake_tests::model::case::{Encoding, bytes_of};
use spanlake_tests::model::dice::plan;
use spanlake_tests::model::files::MemFiles;
use spanlake_tests::model::invent::Universe;
use spanlake_tests::model::spans::{Multiset, placed};
use spanlake_tests::model::{Dice, Model};

/// Remembers whether anything was said about lost data.
#[derive(Debug, Default)]
struct Ear(Mutex<Vec<String>>);

impl Observer for Ear {
    fn observe(&self, event: &Event) {
        let loss = match event {
            Event::LogDamaged { .. } | Event::SegmentDamaged { .. } => true,
            // The last frames of a log are never told from a torn tail, which is cut and named.
            Event::Recovered { torn_bytes, .. } => *torn_bytes > 0,
            _ => false,
        };
        if loss {
            self.0.lock().expect("an ear").push(format!("{event:?}"));
        }
    }
}

/// A sound directory with segments and a log, and what it holds.
fn sound(dice: &mut Dice) -> (MemFiles, Model, Universe) {
    let files = MemFiles::new();
    let mut universe = Universe::plain(dice);
    let mut model = Model::default();
    let store = Store::open_in(files.world(1), Options::default()).expect("open");
    for _ in 0..dice.between(3, 10) {
        let bytes = bytes_of(&universe.batch(dice), Encoding::Plain);
        model.export(&bytes).expect("the oracle takes it");
        store.ingest(&Tenancy::default(), bytes.into()).expect("ingest");
        if dice.percent(35) {
            store.flush().expect("flush");
        }
    }
    store.close(Duration::ZERO).expect("close");
    (files.killed_now(), model, universe)
}

/// Spoils one file; says how.
fn spoil(files: &MemFiles, dice: &mut Dice) -> (String, String) {
    let names: Vec<String> = files.names().into_iter().filter(|n| files.size(n) > 0).collect();
    let name: String = dice.pick(&names).clone();
    let size = files.size(&name);
    let at = dice.below(size);
    let (how, bit) = (dice.below(10), dice.below(8));
    let end = dice.between(at, size.min(at + 64));
    let told = match how {
        0 => format!("cut at {at} of {size}"),
        1 => "emptied".to_owned(),
        2 => format!("zeros at {at}..{end} of {size}"),
        3 => format!("{at}..{end} of {size} gone from the middle"),
        _ => format!("bit {bit} of byte {at} of {size} flipped"),
    };
    files.spoil(&name, |bytes| match how {
        0 => bytes.truncate(at),
        1 => bytes.clear(),
        2 => bytes[at..end].fill(0),
        3 => drop(bytes.drain(at..end)),
        _ => bytes[at] ^= 1 << bit,
    });
    (name, told)
}

/// True where every span of `part` is in `whole`, no copy more.
fn within(part: &Multiset, whole: Option<&Multiset>) -> bool {
    part.iter().all(|(span, n)| whole.and_then(|w| w.get(span)).is_some_and(|m| n <= m))
}

fn damage_case(seed: u64) {
    let mut dice = Dice::new(seed);
    let (files, model, universe) = sound(&mut dice);
    let (file, how) = spoil(&files, &mut dice);
    let case = format!("seed {seed}: {file} {how}");
    let named = |error: &spanlake::Error| {
        let kind = matches!(error.kind(), ErrorKind::Corrupted | ErrorKind::Format);
        assert!(kind, "{case}: {:?} {error}", error.kind());
        let short = file.rsplit('/').next().unwrap_or(&file);
        assert!(error.message().contains(short), "{case}: the file is named: {error}");
    };
    let ear = Arc::new(Ear::default());
    let options = Options { observer: ear.clone(), ..Options::default() };
    let store = match Store::open_in(files.world(2), options) {
        Ok(store) => store,
        Err(error) => return named(&error),
    };

    let tenancy = Tenancy::default();
    let mut complete = true;
    let mut found = Model::default();
    for id in universe.trace_ids() {
        let mut stream = store.view().get_traces(&tenancy, vec![id], Cancel::new());
        loop {
            match stream.next_chunk(1000) {
                Ok(None) => break,
                Ok(Some(chunk)) => {
                    for span in placed(&chunk.otlp).expect("OTLP") {
                        *found.traces.entry(id.0).or_default().entry(span).or_default() += 1;
                    }
                }
                Err(error) => {
                    named(&error);
                    complete = false;
                    break;
                }
            }
        }
    }
    for (id, set) in &found.traces {
        let sound = within(set, model.traces.get(id));
        assert!(sound, "{case}: trace {} holds what nobody sent", TraceId(*id));
    }
    let told = ear.0.lock().expect("an ear").clone();
    if complete && found.traces != model.traces {
        assert!(!told.is_empty(), "{case}: spans are missing and nobody said so");
    }

    // Every other question has an answer or an error that names the file; none panics.
    let view = store.view();
    let query = TraceQuery::default();
    let cancel = Cancel::new();
    let outcomes = [
        view.find_trace_ids(&tenancy, &query, &cancel).map(drop),
        view.find_summaries(&tenancy, &query, &cancel).map(drop),
        view.services(&tenancy).map(drop),
        view.operations(&tenancy, "shop", None).map(drop),
        view.dependencies(&tenancy, None, None, &cancel).map(drop),
    ];
    for outcome in outcomes {
        if let Err(error) = outcome {
            named(&error);
        }
    }
    // And new spans are taken.
    let bytes = bytes_of(&universe.clone().batch(&mut dice), Encoding::Plain);
    store.ingest(&tenancy, bytes.into()).unwrap_or_else(|e| panic!("{case}: ingest: {e}"));
}

#[test]
fn a_lying_disk_is_named_and_never_believed() {
    let (first, count) = plan(400);
    for seed in first..first + count {
        damage_case(seed);
    }
}

/// A segment that is gone altogether.
#[test]
fn a_missing_segment_is_named() {
    let mut dice = Dice::new(3);
    let (files, _, _) = sound(&mut dice);
    let store = Store::open_in(files.world(1), Options::default()).expect("open");
    store.flush().expect("flush");
    store.close(Duration::from_secs(60)).expect("close");
    let files = files.killed_now();
    let name = files.names().into_iter().find(|n| n.contains("segments/")).expect("a segment");
    let error = {
        use spanlake::world::Files as _;
        files.remove(&name).expect("removed");
        Store::open_in(files.world(2), Options::default())
    };
    match error {
        Err(error) => {
            let short = name.rsplit('/').next().unwrap_or(&name);
            assert!(error.message().contains(short), "{error} names {name}");
        }
        Ok(_) => panic!("a store without one of its segments opened as if nothing were missing"),
    }
}
