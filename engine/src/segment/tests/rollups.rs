//! Rollups in a file: they come back, lies are found, damage never panics.

use super::made::{odd, shop};
use super::*;
use crate::query::places::Shelf;
use crate::rollup::Torn;
use crate::segment::{rates, rollup};
use crate::world::Dice;

/// Rows and what they come to, with traces that look torn.
fn sample(batches: &[Batch]) -> (Vec<&Batch>, Vec<(u32, u32)>, Rollup) {
    let sources: Vec<&Batch> = batches.iter().collect();
    let order = order(&sources);
    let new = New { name: "default/7.parquet", order: &order };
    let mut made = rollups(&sources, &[new], &Shelf::default(), fingerprint).unwrap().remove(0);
    let edges = made.calls.alone.clone();
    let firsts: Vec<u32> = {
        let id = |at: usize| sources[order[at].0 as usize].trace_id[order[at].1 as usize];
        (0..order.len()).filter(|&at| at == 0 || id(at) != id(at - 1)).map(|at| at as u32).collect()
    };
    made.calls.bases = vec!["default/5.parquet".to_owned(), "default/6.parquet".to_owned()];
    made.calls.torn = vec![
        Torn { first_row: firsts[0], bases: vec![0, 1], corrections: edges[..2].to_vec() },
        Torn { first_row: firsts[3], bases: vec![1], corrections: vec![(edges[1].0, -4)] },
        Torn { first_row: firsts[4], ..Torn::default() },
    ];
    (sources, order, made)
}

#[test]
fn rollups_come_back() {
    for batches in [shop(2_000, 31), odd(700, 3, 32)] {
        let (sources, order, made) = sample(&batches);
        let segment = open(&built_with(&sources, &order, &made).bytes).unwrap();
        assert_eq!(segment.unpack_calls().unwrap().as_ref(), Some(&made.calls));
        assert_eq!(segment.unpack_rates().unwrap().as_ref(), Some(&made.rates));
        assert!(segment.calls().unwrap().is_lacking);
        segment.verify().unwrap();
        let counted: u64 = made.rates.groups.iter().map(|group| group.calls()).sum();
        assert_eq!(counted, order.len() as u64);
    }
}

#[test]
fn verify_finds_rollups_of_other_rows() {
    let batches = shop(1_500, 33);
    let (sources, order, made) = sample(&batches);
    let lies: &[fn(&mut Rollup)] = &[
        |made| made.calls.alone[0].1 += 1,
        |made| {
            made.calls.alone.pop();
        },
        |made| made.calls.alone[1].0.minute += 1,
        |made| made.calls.torn[1].first_row += 1,
        |made| made.calls.torn[1].corrections[0].1 = 0,
        |made| made.calls.services[0] = "nobody".into(),
        |made| made.rates.groups[0].buckets[0].1 += 1,
        |made| drop(made.rates.groups.pop()),
        |made| made.rates.groups[1].minute += 1,
        |made| {
            let group = made.rates.groups.iter_mut().find(|group| group.errors > 0);
            group.unwrap().errors -= 1;
        },
    ];
    for (number, lie) in lies.iter().enumerate() {
        let mut made = made.clone();
        lie(&mut made);
        let segment = open(&built_with(&sources, &order, &made).bytes).unwrap();
        let error = segment.verify().unwrap_err().to_string();
        assert!(error.contains("default/7.parquet"), "{number}: {error}");
        assert!(error.contains("rollup") || error.contains("rates"), "{number}: {error}");
    }
}

/// Under a right checksum, too, nothing may panic or take memory without end.
#[test]
fn forged_rollups_are_refused_or_read() {
    let batches = shop(300, 34);
    let (_, order, made) = sample(&batches);
    let rows = order.len() as u32;
    let calls = rollup::encode(&made.calls).unwrap();
    let rates = rates::encode(&made.rates).unwrap();
    assert!(rollup::PackedCalls::decode(&calls, rows).unwrap().unpack().is_ok());
    assert!(rates::PackedRates::decode(&rates).unwrap().unpack().is_ok());
    let mut dice = Dice::new(35);
    let mut refused = 0;
    let mut look = |calls: &[u8], rates: &[u8]| {
        let calls = rollup::PackedCalls::decode(calls, rows).and_then(|calls| calls.unpack());
        let rates = rates::PackedRates::decode(rates).and_then(|rates| rates.unpack());
        refused += usize::from(calls.is_err()) + usize::from(rates.is_err());
    };
    for _ in 0..4_000 {
        let mut bad = [calls.clone(), rates.clone()];
        for bytes in &mut bad {
            let at = (dice.roll() % bytes.len() as u64) as usize;
            bytes[at] ^= 1 << (dice.roll() % 8);
        }
        look(&bad[0], &bad[1]);
    }
    for cut in 0..calls.len().max(rates.len()) {
        look(&calls[..cut.min(calls.len())], &rates[..cut.min(rates.len())]);
    }
    assert!(refused > 4_000, "{refused}");
    // The bodies too, behind their compression.
    let body = rollup::encode_body(&made.calls, made.calls.alone[0].0.minute);
    for at in 0..body.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bad = body.clone();
            bad[at] = value;
            let _ = rollup::PackedCalls::of_body(&made.calls, rows, &bad).unpack();
            let _ = rollup::PackedCalls::of_body(&made.calls, rows, &bad[..at]).unpack();
        }
    }
}
