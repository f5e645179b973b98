//! Dependencies and rates against brute force: from rows and from rollups, whatever was sealed when, sent
//! again, dropped, or written before there were rollups.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::made::{Dice, EPOCH, export};
use super::naive::Plain;
use super::store::{Small, fingerprint};
use crate::query::dependencies::{Window, dependencies};
use crate::query::rates::rates;
use crate::query::request::Cancel;
use crate::rollup::MINUTE;
use crate::rollup::rates::Latency;
use crate::{ErrorKind, SpanKind, TraceId};

fn caller<'a>(child: &Plain, spans: &[&'a Plain]) -> Option<&'a Plain> {
    let least = |span: &&&Plain| (span.start(), span.span.encode_to_vec(), span.service());
    if child.span.kind == 2 {
        let twins = spans.iter().filter(|s| s.span.span_id == child.span.span_id);
        if let Some(client) = twins.filter(|s| s.span.kind == 3).min_by_key(least) {
            return Some(client);
        }
    }
    let parent = child.parent()?;
    let named = spans.iter().filter(|s| s.span.span_id == parent);
    let rank = |s: &&&Plain| (s.service() != child.service(), s.span.kind != 2);
    named.min_by_key(|s| (rank(s), least(s))).copied()
}

fn expected(store: &Small, window: Window) -> BTreeMap<(String, String), u64> {
    let mut by_trace: BTreeMap<TraceId, Vec<&Plain>> = BTreeMap::new();
    store.all().for_each(|span| by_trace.entry(span.trace_id()).or_default().push(span));
    let mut expected = BTreeMap::new();
    for spans in by_trace.values() {
        for child in spans {
            let start = child.start();
            if start < window.start || window.end.is_some_and(|end| start >= end) {
                continue;
            }
            let Some(caller) = caller(child, spans) else { continue };
            if caller.service() != child.service() {
                *expected.entry((caller.service(), child.service())).or_default() += 1;
            }
        }
    }
    expected
}

/// Spans some minutes apart, and some at the ends of time.
fn spread(dice: &mut Dice, export: &mut ExportTraceServiceRequest) {
    let spans = export.resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans);
    for span in spans.flat_map(|s| &mut s.spans) {
        let start = match dice.below(60) {
            0 => 0,
            1 => u64::MAX,
            2 => i64::MAX as u64,
            3 => dice.below(3) as u64 * MINUTE,
            // Now and then the first or the last moment of a minute.
            4 | 5 => (EPOCH / MINUTE + dice.below(4) as u64) * MINUTE - dice.below(2) as u64,
            _ => span.start_time_unix_nano + dice.below(8) as u64 * MINUTE / 3,
        };
        // Few different ones, so that spans tie.
        span.start_time_unix_nano = start;
        span.end_time_unix_nano =
            start.saturating_add(*dice.pick(&[0, 1, 4, 1_000, 1_500_000, 7_777_777]));
    }
}

fn window(dice: &mut Dice) -> Window {
    let bound = |dice: &mut Dice| match dice.below(4) {
        0 => EPOCH + dice.below(400) as u64,
        1 => EPOCH + dice.below(160) as u64 * 1_000_000_000,
        2 => (EPOCH / MINUTE + dice.below(5) as u64) * MINUTE,
        _ => *dice.pick(&[0, 1, MINUTE, MINUTE + 1, u64::MAX, u64::MAX / MINUTE * MINUTE]),
    };
    let start = if dice.one_in(3) { 0 } else { bound(dice) };
    let end = if dice.one_in(3) { None } else { Some(bound(dice)) };
    Window { start, end }
}

fn check(store: &Small, window: Window, case: &str) -> usize {
    let got = dependencies(&store.places(), window, fingerprint, &Cancel::new()).unwrap();
    let sorted = got
        .windows(2)
        .all(|pair| (&pair[0].parent, &pair[0].child) < (&pair[1].parent, &pair[1].child));
    assert!(sorted, "{case}: {got:?}");
    let edges = got.len();
    let got: BTreeMap<(String, String), u64> =
        got.into_iter().map(|d| ((d.parent, d.child), d.call_count)).collect();
    assert_eq!(got, expected(store, window), "{case}: {window:?} (left: engine)");
    check_rates(store, window, case);
    edges
}

fn check_rates(store: &Small, window: Window, case: &str) {
    let mut expected: BTreeMap<(String, SpanKind, u64), (u64, Vec<u64>)> = BTreeMap::new();
    let inside = |span: &&Plain| {
        span.start() >= window.start && window.end.is_none_or(|end| span.start() < end)
    };
    for span in store.all().filter(inside) {
        let minute = span.start() / MINUTE * MINUTE;
        let (errors, durations) = expected
            .entry((span.service(), SpanKind::from_number(span.span.kind), minute))
            .or_default();
        *errors += u64::from(span.status() == 2);
        durations.push(span.span.end_time_unix_nano.saturating_sub(span.start()));
    }
    let got = rates(&store.places(), window, fingerprint, &Cancel::new()).unwrap();
    assert_eq!(got.len(), expected.len(), "{case}: {window:?} {got:?} {expected:?}");
    for (got, ((service, kind, minute), (errors, mut durations))) in got.into_iter().zip(expected) {
        assert_eq!(
            (&got.service, got.kind, got.minute),
            (&service, kind, minute),
            "{case}: {window:?}"
        );
        let calls = durations.len() as u64;
        assert_eq!((got.calls, got.errors), (calls, errors), "{case}: {window:?} {service}");
        assert_eq!(got.latency.count(), calls);
        durations.sort_unstable();
        for q in [0.0, 0.3, 0.5, 0.99, 1.0] {
            let rank = ((q * calls as f64).ceil() as usize).max(1);
            let exact = durations[rank - 1] as f64;
            let quantile = got.latency.quantile(q).unwrap() as f64;
            let most = exact * Latency::RELATIVE_ERROR + 0.5;
            assert!((quantile - exact).abs() <= most, "{case}: {q}: {quantile} for {exact}");
        }
    }
}

#[test]
fn dependencies_are_counted_over_whole_traces() {
    let (mut edges, mut forgotten, mut old, mut spoiled) = (0, 0, 0, 0);
    for seed in 0..400 {
        let mut dice = Dice::new(seed);
        let mut store = Small::default();
        let mut sent = Vec::new();
        for step in 0..2 + dice.below(10) {
            let spans = 1 + dice.below(25);
            let mut export = export(&mut dice, spans, 12);
            if !dice.one_in(5) {
                spread(&mut dice, &mut export);
            }
            store.ingest(&export);
            sent.push(export);
            if dice.one_in(3) {
                let again = dice.pick(&sent).clone();
                store.ingest(&again);
            }
            store.without_rollup = dice.one_in(8);
            old += usize::from(store.without_rollup);
            match dice.below(9) {
                0 => store.merge(),
                1..5 => store.seal(),
                8 if store.segments() > 0 => {
                    // A seal must not fail for what an older file does.
                    let number = dice.below(store.segments());
                    store.spoil(number, true);
                    store.seal();
                    store.spoil(number, false);
                    spoiled += 1;
                }
                5 if store.segments() > 0 && seed % 2 == 0 => {
                    let number = dice.below(store.segments());
                    store.forget(number);
                    forgotten += 1;
                }
                _ => {}
            }
            let window = window(&mut dice);
            edges += check(&store, window, &format!("seed {seed} step {step}"));
        }
        for _ in 0..3 {
            edges += check(&store, window(&mut dice), &format!("seed {seed}"));
        }
        store.seal();
        edges += check(&store, window(&mut dice), &format!("seed {seed}, all sealed"));
        edges += check(&store, Window { start: 0, end: None }, &format!("seed {seed}, all"));
    }
    assert!(edges > 8_000, "{edges}");
    assert!(forgotten > 40 && old > 200 && spoiled > 100, "{forgotten} {old} {spoiled}");
}

/// What a trace that is never done costs a seal has an end, and the answer stays exact.
#[test]
fn a_trace_in_many_segments_or_of_many_rows_is_not_corrected_and_still_counted() {
    let everything = Window { start: 0, end: None };
    let mut dice = Dice::new(1);
    let mut store = Small::default();
    for _ in 0..70 {
        store.ingest(&export(&mut dice, 4, 1));
        store.seal();
    }
    let last = store.calls(store.segments() - 1);
    assert!(last.torn.iter().all(|torn| torn.bases.is_empty()), "{last:?}");
    assert!(!store.calls(10).torn[0].bases.is_empty());
    check(&store, everything, "many segments");

    let mut store = Small::default();
    for spans in [8_300, 8_300, 10] {
        store.ingest(&export(&mut dice, spans, 1));
        store.seal();
    }
    let bases = |number| store.calls(number).torn.first().map(|torn| torn.bases.len());
    assert_eq!([bases(0), bases(1), bases(2)], [None, Some(1), Some(0)]);
    let got = dependencies(&store.places(), everything, fingerprint, &Cancel::new()).unwrap();
    assert!(!got.is_empty());
    (0..3).for_each(|number| store.say(number, None));
    let live = dependencies(&store.places(), everything, fingerprint, &Cancel::new()).unwrap();
    assert_eq!(got, live);
}

/// Sums that cannot be are damage, with the name of the file that is most to blame.
#[test]
fn sums_below_zero_name_a_file() {
    let mut dice = Dice::new(2);
    let mut store = Small::default();
    for _ in 0..3 {
        store.ingest(&export(&mut dice, 60, 4));
        store.seal();
    }
    let mut calls = store.calls(1);
    assert!(!calls.torn.is_empty() && calls.torn[0].bases.len() == 1);
    for absurd in [-1_000_000, i64::MIN, i64::MIN + 1] {
        calls.torn[0].corrections = vec![(calls.alone[0].0, absurd)];
        store.say(1, Some(&calls));
        let everything = Window { start: 0, end: None };
        let got = dependencies(&store.places(), everything, fingerprint, &Cancel::new());
        let error = got.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupted);
        assert!(error.to_string().contains("segment-1"), "{error}");
    }
    // As large as can be: no sum overflows into a panic.
    calls.torn[0].corrections = vec![(calls.alone[0].0, i64::MAX)];
    store.say(1, Some(&calls));
    let everything = Window { start: 0, end: None };
    let _ = dependencies(&store.places(), everything, fingerprint, &Cancel::new());
}
