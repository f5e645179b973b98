//! Equality of everything, for ordinary and for odd spans, whole and in part.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::made::{Rolls, odd, shop};
use super::*;
use crate::batch::{Cells, Field, What};
use crate::otlp::attributes;
use crate::segment::{BLOCK_ROWS, build, fingerprint};
use crate::terms;

const SMALL: Limits = Limits { rows: 2 * BLOCK_ROWS, weight: 256 << 20 };

fn check(batches: &[Batch], limits: Limits) {
    let sources: Vec<&Batch> = batches.iter().collect();
    let order = order(&sources);
    let built = built_within(&sources, &order, limits);
    let segment = open(&built.bytes).unwrap();
    segment.verify().unwrap();
    assert_eq!(segment.facts(), &built.facts);
    assert_eq!(segment.facts().spans, order.len() as u64);
    let read = segment.read(0..segment.rows(), &Projection::all()).unwrap();
    assert_eq!(read.rows(), order.len());
    assert_same(&read, 0, &sources, &order);
    check_terms(&segment, &read);
    // What was read is written again, and is the same file.
    let again: Vec<(u32, u32)> = (0..read.rows() as u32).map(|row| (0, row)).collect();
    let sequences = Some((built.facts.sequence_min, built.facts.sequence_max));
    let registry = Registry::default();
    let input =
        Input { sources: &[&read], order: &again, registry: &registry, sequences, rollup: None };
    let rebuilt = build_within(&input, limits).unwrap();
    let segment = open(&rebuilt.bytes).unwrap();
    segment.verify().unwrap();
    let read = segment.read(0..segment.rows(), &Projection::all()).unwrap();
    assert_same(&read, 0, &sources, &order);
}

/// No block that has a term lacks in its set.
fn check_terms(segment: &Segment, read: &Batch) {
    for row in 0..read.rows() {
        let block = (row / BLOCK_ROWS) as u32;
        let bytes = span(read, row);
        let mut all = vec![
            terms::service(read.service(row)),
            terms::operation(&String::from_utf8_lossy(read.name(row))),
        ];
        let mut give = |(key, value): (&[u8], crate::otlp::value::AnyValue<'_>)| {
            let key = String::from_utf8_lossy(key);
            all.push(terms::attribute(key.as_bytes(), &value.text()));
        };
        attributes::of_span(&bytes, &mut give);
        attributes::of_resource(read.resource(row).unwrap()).for_each(&mut give);
        attributes::of_scope(read.scope(row).unwrap()).for_each(&mut give);
        for term in all {
            assert!(segment.blocks_of(term).contains(block), "row {row}");
        }
    }
}

#[test]
fn odd_spans_come_back() {
    for seed in 0..150 {
        let rows = 1 + seed * 7 % 300;
        check(&odd(rows, 1 + seed as usize % 4, seed), Limits::default());
    }
}

#[test]
fn odd_spans_come_back_over_blocks_and_row_groups() {
    check(&odd(5000, 3, 1000), SMALL);
    // A row group of a few giant rows.
    check(&odd(700, 2, 1001), Limits { rows: 1 << 20, weight: 50_000 });
}

#[test]
fn ordinary_spans_come_back_over_row_groups() {
    check(&shop(5000, 3), SMALL);
}

#[test]
fn any_range_is_that_part_of_the_whole() {
    let batches = shop(5000, 4);
    let sources: Vec<&Batch> = batches.iter().collect();
    let order = order(&sources);
    let built = built_within(&sources, &order, SMALL);
    let segment = open(&built.bytes).unwrap();
    let all = segment.rows();
    let mut rolls = Rolls::new(5);
    let random = (0..60).map(|_| {
        let from = rolls.below(u64::from(all)) as u32;
        from..from + rolls.below(u64::from(all - from)) as u32 + 1
    });
    let edges = [0..0, all..all, 0..1, all - 1..all, 1023..1025, 2047..2049, 2048..4096, 0..all];
    for range in edges.into_iter().chain(random) {
        let read = segment.read(range.clone(), &Projection::all()).unwrap();
        assert_eq!(read.rows(), range.len());
        assert_same(&read, range.start as usize, &sources, &order);
    }
    assert!(segment.read(0..all + 1, &Projection::all()).is_err());
}

#[test]
fn several_ranges_are_those_parts_of_the_whole() {
    let batches = shop(5000, 14);
    let sources: Vec<&Batch> = batches.iter().collect();
    let order = order(&sources);
    let segment = open(&built_within(&sources, &order, SMALL).bytes).unwrap();
    let mut rolls = Rolls::new(15);
    for _ in 0..40 {
        let mut ranges = Vec::new();
        let mut at = 0;
        let longest = [3, 40, 1500][rolls.below(3) as usize];
        while at < segment.rows() {
            let from = at + rolls.below(longest) as u32;
            let to = from + rolls.below(longest) as u32;
            if to > segment.rows() {
                break;
            }
            ranges.push(from..to);
            at = to;
        }
        let read = segment.read_ranges(&ranges, &Projection::all()).unwrap();
        let part: Vec<(u32, u32)> = ranges
            .iter()
            .flat_map(|rows| &order[rows.start as usize..rows.end as usize])
            .copied()
            .collect();
        assert_eq!(read.rows(), part.len());
        assert_same(&read, 0, &sources, &part);
    }
    #[expect(clippy::reversed_empty_ranges, reason = "it is wrong")]
    for wrong in [[5..6, 4..5], [5..7, 6..8], [4..3, 5..6], [0..1, 1..segment.rows() + 1]] {
        assert!(segment.read_ranges(&wrong, &Projection::all()).is_err());
    }
}

/// A row's cells, by what they say.
fn cells(batch: &Batch, row: usize, is_wanted: impl Fn(&What) -> bool) -> Vec<(What, Vec<u8>)> {
    let cells = batch.cells(row).filter_map(|(column, cell)| {
        let what = batch.what(column).unwrap();
        let value = match what.is_textual() {
            true => batch.text(column, cell).to_vec(),
            false => cell.to_le_bytes().to_vec(),
        };
        is_wanted(what).then(|| (what.clone(), value))
    });
    cells.collect()
}

fn random_projection(rolls: &mut Rolls) -> Projection {
    let mut flag = || rolls.below(2) == 0;
    let mut projection = Projection {
        span_id: flag(),
        parent: flag(),
        end: flag(),
        kind: flag(),
        status: flag(),
        name: flag(),
        resource: flag(),
        scope: flag(),
        cells: Cells::None,
    };
    let keys = [&b"http.method"[..], b"", b"a", b"\xff broken", b"id", b"absent", b"request.id"];
    let keys: BTreeSet<Bytes> =
        keys.into_iter().filter(|_| flag()).map(Bytes::from_static).collect();
    let fields: BTreeSet<Field> = Field::ALL.into_iter().filter(|_| flag()).collect();
    projection.cells = match rolls.below(6) {
        0 => Cells::None,
        1 => Cells::All,
        2 => Cells::Keys(keys, BTreeSet::new()),
        3 => Cells::Keys(BTreeSet::new(), fields),
        _ => Cells::Keys(keys, fields),
    };
    projection
}

#[test]
fn a_projection_is_that_part_of_the_whole() {
    let mut rolls = Rolls::new(6);
    for batches in [odd(3000, 2, 7), odd(200, 1, 8), shop(3000, 9)] {
        let sources: Vec<&Batch> = batches.iter().collect();
        let order = order(&sources);
        let built = built_within(&sources, &order, SMALL);
        let segment = open(&built.bytes).unwrap();
        let whole = segment.read(0..segment.rows(), &Projection::all()).unwrap();
        for _ in 0..40 {
            let wanted = random_projection(&mut rolls);
            let first = rolls.below(u64::from(segment.rows()));
            let count = 1 + rolls.below(u64::from(segment.rows()) - first);
            let rows = first as usize..(first + count) as usize;
            let part = segment.read(rows.start as u32..rows.end as u32, &wanted).unwrap();
            assert_part(&part, &whole, rows, &wanted);
        }
    }
}

fn assert_part(part: &Batch, whole: &Batch, rows: Range<usize>, wanted: &Projection) {
    fn same<T: PartialEq + std::fmt::Debug>(part: &[T], whole: &[T], is_wanted: bool) {
        assert_eq!(part, if is_wanted { whole } else { &[] });
    }
    same(&part.trace_id, &whole.trace_id[rows.clone()], true);
    same(&part.start, &whole.start[rows.clone()], true);
    same(&part.span_id, &whole.span_id[rows.clone()], wanted.span_id);
    same(&part.parent, &whole.parent[rows.clone()], wanted.parent);
    same(&part.end, &whole.end[rows.clone()], wanted.end);
    same(&part.kind, &whole.kind[rows.clone()], wanted.kind);
    same(&part.status, &whole.status[rows.clone()], wanted.status);
    assert_eq!(part.name.len(), if wanted.name { rows.len() } else { 0 });
    assert_eq!(part.shape.is_empty(), wanted.cells == Cells::None);
    let is_wanted = |what: &What| match (&wanted.cells, what) {
        (Cells::None, _) => false,
        (Cells::All, _) => true,
        (Cells::Keys(_, fields), What::Field(field)) => fields.contains(field),
        (Cells::Keys(keys, _), What::Attribute { key, .. }) => keys.contains(key),
    };
    for (at, row) in rows.enumerate() {
        if wanted.name {
            assert_eq!(part.name(at), whole.name(row));
        }
        let context =
            |batch: &Batch, row| (batch.resource(row).cloned(), batch.scope(row).cloned());
        let (resource, scope) = context(whole, row);
        let expected = (resource.filter(|_| wanted.resource), scope.filter(|_| wanted.scope));
        assert_eq!(context(part, at), expected);
        assert_eq!(cells(part, at, |_| true), cells(whole, row, is_wanted));
    }
}

#[test]
fn every_trace_is_located_and_no_other() {
    let batches = shop(3000, 10);
    let sources: Vec<&Batch> = batches.iter().collect();
    let order = order(&sources);
    let segment = open(&built(&sources, &order).bytes).unwrap();
    let mut traces: BTreeMap<_, Range<u32>> = BTreeMap::new();
    for (at, &(source, row)) in (0u32..).zip(&order) {
        let id = sources[source as usize].trace_id[row as usize];
        traces.entry(id).or_insert(at..at).end = at + 1;
    }
    for (id, rows) in &traces {
        assert_eq!(segment.locate(id).unwrap(), Some(rows.clone()));
        assert!(segment.may_hold(id));
    }
    let listed: BTreeSet<(u32, u32)> = segment.traces().map(|(f, rows)| (f, rows.start)).collect();
    assert_eq!(listed, traces.iter().map(|(id, rows)| (fingerprint(id), rows.start)).collect());
    let absent = crate::span::TraceId([7; 16]);
    assert_eq!(segment.locate(&absent).unwrap(), None);
}

#[test]
fn rows_out_of_order_are_refused() {
    let batches = shop(300, 11);
    let sources: Vec<&Batch> = batches.iter().collect();
    let good = order(&sources);
    let registry = Registry::default();
    let build_of = |order: &[(u32, u32)]| {
        build(&Input {
            sources: &sources,
            order,
            registry: &registry,
            sequences: None,
            rollup: None,
        })
    };
    assert!(build_of(&good).is_ok());
    assert!(build_of(&[]).is_err());
    for at in 1..40 {
        let mut bad = good.clone();
        bad.swap(at, at - 1);
        assert!(build_of(&bad).is_err());
    }
    let torn = [&good[20..], &good[..20]].concat();
    assert!(build_of(&torn).is_err());
}

#[test]
fn registered_columns_keep_their_names() {
    let batches = shop(500, 12);
    let sources: Vec<&Batch> = batches.iter().collect();
    let order = order(&sources);
    let first = built_within(&sources, &order, Limits::default());
    let names: Vec<&str> = first.columns.iter().map(|column| column.name.as_str()).collect();
    assert!(names.contains(&"span_http_method") && names.contains(&"span_ratio_double"));
    assert!(names.contains(&"span_http_status_code_int") && names.contains(&"span_cached_bool"));
    let mut registry = Registry::default();
    first.columns.iter().for_each(|column| registry.add(column).unwrap());
    let input = Input {
        sources: &sources,
        order: &order,
        registry: &registry,
        sequences: None,
        rollup: None,
    };
    let second = build(&input).unwrap();
    assert!(second.columns.is_empty());
    assert_eq!(second.bytes, first.bytes);
}
