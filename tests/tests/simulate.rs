//! The simulator over many seeds: no acknowledged Export is lost, none is half there, no answer
//! is wrong, whatever the disk does. `SPANLAKE_SEED=n` plays one seed and tells its steps and
//! calls; `SPANLAKE_SEEDS=from..to` plays a range, best with `--release`:
//!
//! ```sh
//! SPANLAKE_SEEDS=1..1000001 cargo test -p spanlake-tests --release --test simulate -- --nocapture
//! ```

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use spanlake_tests::sim::disk::Lie;
use spanlake_tests::sim::report::Tally;
use spanlake_tests::sim::run::{Failure, Manner, simulate};

/// Seeds of a run without wishes.
const SEEDS: u64 = 3000;

fn wished(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn seeds() -> Range<u64> {
    if let Some(seed) = wished("SPANLAKE_SEED") {
        let seed = seed.parse().expect("SPANLAKE_SEED is a number");
        return seed..seed + 1;
    }
    let Some(range) = wished("SPANLAKE_SEEDS") else { return 1..SEEDS + 1 };
    let (from, to) = range.split_once("..").expect("SPANLAKE_SEEDS is from..to");
    from.parse().expect("a number")..to.parse().expect("a number")
}

/// Plays seeds on all cores; stops at the first few failures.
fn play(seeds: Range<u64>, manner: Manner) -> (Tally, Vec<Failure>) {
    let next = AtomicU64::new(seeds.start);
    let sums = Mutex::new((Tally::default(), Vec::new()));
    let worker = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = simulate(seed, manner);
            let mut sums = sums.lock().expect("sums");
            match outcome {
                Ok(outcome) => sums.0.join(&outcome.tally),
                Err(failure) => sums.1.push(failure),
            }
            if sums.1.len() >= 5 {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| drop(scope.spawn(worker)));
    });
    sums.into_inner().expect("sums")
}

#[test]
fn no_fault_loses_a_span_or_makes_an_answer_wrong() {
    let (seeds, began) = (seeds(), Instant::now());
    let manner = Manner { journal: wished("SPANLAKE_SEED").is_some(), ..Manner::default() };
    let (tally, failures) = play(seeds.clone(), manner);
    let count = seeds.end - seeds.start;
    println!("seeds {seeds:?} in {:.1?}: {tally}", began.elapsed());
    if let Some(first) = failures.first() {
        let others: Vec<String> =
            failures.iter().map(|f| format!("seed {}: {}", f.seed, f.what)).collect();
        panic!("{} of {count} seeds failed: {others:#?}\n{first}", failures.len());
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1..=40 {
        let manner = Manner { journal: true, ..Manner::default() };
        let runs = [1, 2].map(|_| simulate(seed, manner));
        let [first, second] = runs.map(|run| run.unwrap_or_else(|failure| panic!("{failure}")));
        let calls = first.journal.iter().zip(&second.journal);
        if let Some((a, b)) = calls.clone().find(|(a, b)| a != b) {
            panic!("seed {seed}: once {a}, once {b}");
        }
        assert_eq!((first.hash, first.tally), (second.hash, second.tally), "seed {seed}");
    }
}

/// A simulation that finds nothing proves nothing unless it finds what is there.
#[test]
fn a_disk_that_lies_is_caught() {
    for lie in [
        Lie::SyncForgets,
        Lie::SyncNamesForgets,
        Lie::WriteForgets,
        Lie::WriteFlips,
        Lie::SyncForgetsLast,
    ] {
        let manner = Manner { lie: Some(lie), ..Manner::default() };
        let caught = (1..=200).find(|seed| simulate(*seed, manner).is_err());
        println!("{lie:?} is caught by seed {caught:?}");
        assert!(caught.is_some(), "{lie:?} goes unnoticed");
    }
}
