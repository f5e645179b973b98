//! Bytes a span, by part. `cargo test -p spanlake segment::tests::size -- --nocapture` prints them.

use std::collections::BTreeMap;

use super::made::shop;
use super::*;
use crate::otlp::walk::{Interner, admit};
use crate::query::places::Shelf;
use crate::rollup::rates::{Group, RateRollup};
use crate::seal::rollup::{New, rollups};
use crate::segment::blob::{Blob, Cursor};
use crate::segment::footer;
use crate::segment::layout::Leaf;
use crate::segment::{fingerprint, rates, rollup};
use crate::span::SpanKind;

/// Prints where the bytes are. Gives bytes a span, and the share that index and footer have.
fn report(what: &str, built: &Built) -> (f64, f64) {
    let spans = built.facts.spans as f64;
    let per_span = |bytes: u64| bytes as f64 / spans;
    let total = per_span(built.facts.bytes);
    println!("{what}: {spans} spans, {total:.2} B/span");
    let segment = open(&built.bytes).unwrap();
    let index = &segment.index;
    let mut leaves: Vec<(u64, String)> = Vec::new();
    for (number, leaf) in index.layout.leaves.iter().enumerate() {
        let groups = 0..index.pages.groups().len();
        let bytes = groups.map(|group| index.pages.chunk_bytes(group, number)).sum();
        let name = match leaf {
            Leaf::Attribute { column, .. } => {
                format!("{:?}", index.layout.columns[*column as usize].what)
            }
            leaf => format!("{leaf:?}"),
        };
        leaves.push((bytes, name));
    }
    leaves.sort_by_key(|leaf| std::cmp::Reverse(leaf.0));
    leaves.iter().for_each(|(bytes, name)| println!("  {:>8.3} {name}", per_span(*bytes)));
    let located = footer::locate(&built.bytes, built.facts.bytes).unwrap();
    let blob = located.blob.start as usize..located.blob.end as usize;
    for (part, bytes) in Blob::parse(&Bytes::copy_from_slice(&built.bytes[blob])).unwrap().sizes() {
        println!("  {:>8.3} part {part} of the index", per_span(bytes as u64));
    }
    let behind = built.facts.bytes - located.blob.start;
    println!("  {:>8.3} index and footer", per_span(behind));
    println!("  {:>8.3} in memory when open", per_span(segment.memory_bytes() as u64));
    (total, behind as f64 / built.facts.bytes as f64)
}

#[test]
fn a_shop_of_64k_spans() {
    let batches = shop(65_536, 21);
    let sources: Vec<&Batch> = batches.iter().collect();
    let order = order(&sources);
    let raw: usize =
        sources.iter().map(|b| (0..b.rows()).map(|r| span(b, r).len()).sum::<usize>()).sum();
    let (total, index) = report("shop", &built(&sources, &order));
    assert!(total * 4.0 < raw as f64 / order.len() as f64, "no better than a quarter of OTLP");
    assert!(index < 0.2, "{index} of it is index");
}

/// The batches of a data set of `shared/data`, where that lies beside the project.
fn data_set(name: &str) -> Option<Vec<Batch>> {
    let places = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let packed = places
        .filter_map(|d| std::fs::File::open(d.join(format!("shared/data/{name}.otlp.zst"))).ok())
        .next()?;
    let frames = zstd::stream::decode_all(packed).unwrap();
    let interner = Interner::default();
    let (mut cursor, mut batches) = (Cursor::new(&frames), Vec::new());
    while cursor.left() > 0 {
        batches.push(admit(cursor.bytes().unwrap(), &interner).unwrap().batch);
    }
    Some(batches)
}

/// Real spans come back, and take no more room than they should.
fn check(name: &str, most: f64) {
    let Some(batches) = data_set(name) else { return };
    let sources: Vec<&Batch> = batches.iter().collect();
    let order = order(&sources);
    let built = built(&sources, &order);
    let (total, index) = report(name, &built);
    assert!(total < most, "{total} B/span");
    assert!(index < 0.12, "{index} of it is index");
    let segment = open(&built.bytes).unwrap();
    segment.verify().unwrap();
    let read = segment.read(0..segment.rows(), &Projection::all()).unwrap();
    assert_same(&read, 0, &sources, &order);
}

/// The bytes of the rollups, at ten million spans over ten days: 694 a minute.
#[test]
fn rollups_are_small() {
    let Some(mut batches) = data_set("astronomy") else { return };
    let first = batches.iter().flat_map(|b| &b.start).copied().min().unwrap();
    let last = batches.iter().flat_map(|b| &b.start).copied().max().unwrap();
    let spans: usize = batches.iter().map(Batch::rows).sum();
    let wanted = spans as u64 * 60_000_000_000 / 694;
    println!("{spans} spans of {} s", (last - first) / 1_000_000_000);
    for batch in &mut batches {
        for (start, end) in batch.start.iter_mut().zip(&mut batch.end) {
            let moved = u128::from(*start - first) * u128::from(wanted) / u128::from(last - first);
            *end = end.wrapping_sub(*start).wrapping_add(first + moved as u64);
            *start = first + moved as u64;
        }
    }
    let sources: Vec<&Batch> = batches.iter().collect();
    let order = order(&sources);
    let new = New { name: "new", order: &order };
    let made = rollups(&sources, &[new], &Shelf::default(), fingerprint).unwrap();
    let per_span = |bytes: &[u8]| bytes.len() as f64 / spans as f64;
    let calls = per_span(&rollup::encode(&made[0].calls).unwrap());
    println!("calls {calls:.3} B/span");
    for is_by_kind in [true, false] {
        for coarser in [1, 2, 4] {
            let rates = coarse(&made[0].rates, coarser, is_by_kind);
            let bytes = per_span(&rates::encode(&rates).unwrap());
            let (steps, buckets) = (8 / coarser, rates.groups.iter().map(|g| g.buckets.len()));
            let buckets: usize = buckets.sum();
            println!(
                "rates by kind {is_by_kind}, {steps} buckets an octave: {bytes:.3} B/span, {buckets} buckets"
            );
        }
    }
    let rates = per_span(&rates::encode(&made[0].rates).unwrap());
    assert!(calls + rates < 0.35, "{calls} + {rates}");
}

/// The same in fewer buckets, or without kinds.
fn coarse(rates: &RateRollup, coarser: u16, is_by_kind: bool) -> RateRollup {
    let mut groups: BTreeMap<_, (u64, BTreeMap<u16, u64>)> = BTreeMap::new();
    for group in &rates.groups {
        let (name, kind) = rates.series[group.series as usize].clone();
        let kind = if is_by_kind { kind } else { SpanKind::Unspecified };
        let into = groups.entry(((name, kind), group.minute)).or_default();
        into.0 += group.errors;
        for (bucket, count) in &group.buckets {
            let bucket = bucket.checked_sub(1).map_or(0, |above| above / coarser + 1);
            *into.1.entry(bucket).or_default() += count;
        }
    }
    let mut out = RateRollup::default();
    for ((one, minute), (errors, buckets)) in groups {
        if out.series.last() != Some(&one) {
            out.series.push(one);
        }
        let series = out.series.len() as u32 - 1;
        out.groups.push(Group { series, minute, errors, buckets: buckets.into_iter().collect() });
    }
    out
}

#[test]
fn astronomy() {
    check("astronomy", 40.0);
}

#[test]
fn nezha() {
    check("nezha-trainticket-sample", 28.5);
}
