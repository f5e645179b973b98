//! Searches, pages, whole traces, summaries and dependencies over head and segments, torn and
//! repeated in all ways, against brute force.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use super::filters::query;
use super::made::{Dice, export, plain};
use super::naive::Plain;
use super::store::{Small, content};
use crate::query::request::{Cancel, Cursor, FoundTrace};
use crate::query::{TraceStream, explain, find, page, summaries, traces};
use crate::segment::PRINTS_SEGMENTS;
use crate::world::SystemClock;
use crate::{TraceId, TraceQuery};

/// Some Exports, some of them sealed, some sent again.
fn store(dice: &mut Dice) -> Small {
    let mut store = Small::default();
    let mut sent = Vec::new();
    for _ in 0..2 + dice.below(8) {
        let spans = 1 + dice.below(30);
        let export = export(dice, spans, 20);
        store.ingest(&export);
        sent.push(export);
        if dice.one_in(3) {
            let again = dice.pick(&sent).clone();
            store.ingest(&again);
        }
        match dice.below(5) {
            0 => store.merge(),
            1 | 2 => store.seal(),
            _ => {}
        }
    }
    store
}

pub(super) fn expected(store: &Small, query: &TraceQuery) -> Vec<FoundTrace> {
    let mut newest: BTreeMap<TraceId, u64> = BTreeMap::new();
    for span in store.all().filter(|span| span.matches(query)) {
        let key = newest.entry(span.trace_id()).or_default();
        *key = (*key).max(span.start());
    }
    let mut found: Vec<FoundTrace> = newest
        .into_iter()
        .map(|(trace_id, newest_match)| FoundTrace { trace_id, newest_match })
        .collect();
    found.sort_by_key(|found| (Reverse(found.newest_match), found.trace_id));
    found
}

#[test]
fn searches_are_exact() {
    let (mut found_any, mut stopped_early) = (0, 0);
    for seed in 0..100 {
        let mut dice = Dice::new(seed);
        let store = store(&mut dice);
        let places = store.places();
        for _ in 0..30 {
            let query = query(&mut dice);
            let mut expected = expected(&store, &query);
            expected.truncate(query.limit);
            let cancel = Cancel::new();
            let found = find(&places, &query, &cancel).unwrap();
            assert_eq!(found, expected, "seed {seed}: {query:?} (left: engine)");
            found_any += usize::from(!found.is_empty());
            let counts = cancel.work().counts();
            stopped_early += counts.segments_not_reached;
            let explained =
                explain(&places, &query, &SystemClock::default(), &Cancel::new()).unwrap();
            assert_eq!((explained.found, explained.counts), (found.len(), counts));
            assert_eq!(explained.segments.len(), places.segments.len());
            assert!(explained.segments.iter().all(|segment| segment.fate.is_some()));
        }
    }
    assert!(found_any > 700 && stopped_early > 150, "{found_any} {stopped_early}");
}

#[test]
fn pages_give_each_result_once() {
    for seed in 0..50 {
        let mut dice = Dice::new(seed);
        let store = store(&mut dice);
        let places = store.places();
        for _ in 0..8 {
            let mut query = query(&mut dice);
            let expected = expected(&store, &query);
            for size in [1, 2, 3, 7, expected.len().max(1), expected.len() + 1] {
                query.limit = size;
                let mut walked = Vec::new();
                let mut after = None;
                loop {
                    let page = page(&places, &query, after, &Cancel::new()).unwrap();
                    assert!(page.found.len() <= size);
                    walked.extend(page.found);
                    // A next page exactly when more follow.
                    assert_eq!(page.next.is_some(), walked.len() < expected.len(), "{query:?}");
                    match page.next {
                        Some(next) => after = Some(next),
                        None => break,
                    }
                }
                assert_eq!(walked, expected, "seed {seed}, pages of {size}: {query:?}");
            }
        }
    }
}

/// New spans, seals and merges between the pages: no trace twice, and each trace whose key did
/// not change exactly once.
#[test]
fn pages_hold_while_the_store_changes() {
    let mut changed = 0;
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let mut store = store(&mut dice);
        let mut query = query(&mut dice);
        query.limit = 1 + dice.below(4);
        let before = expected(&store, &query);
        let mut walked: Vec<FoundTrace> = Vec::new();
        let mut after: Option<Cursor> = None;
        loop {
            let page = page(&store.places(), &query, after, &Cancel::new()).unwrap();
            walked.extend(page.found);
            let Some(next) = page.next else { break };
            after = Some(next);
            match dice.below(4) {
                0 => store.seal(),
                1 => store.merge(),
                2 => {
                    let more = export(&mut dice, 5, 25);
                    store.ingest(&more);
                }
                _ => {}
            }
        }
        let ids: BTreeSet<TraceId> = walked.iter().map(|found| found.trace_id).collect();
        assert_eq!(ids.len(), walked.len(), "seed {seed}: a trace comes twice");
        let keys: Vec<_> = walked.iter().map(|f| (Reverse(f.newest_match), f.trace_id)).collect();
        assert!(keys.is_sorted(), "seed {seed}: out of order");
        let now: BTreeSet<(TraceId, u64)> = expected(&store, &query)
            .into_iter()
            .map(|found| (found.trace_id, found.newest_match))
            .collect();
        for found in before {
            let unchanged = now.contains(&(found.trace_id, found.newest_match));
            changed += usize::from(!unchanged);
            assert!(
                !unchanged || walked.contains(&found),
                "seed {seed}: {found:?} is missing from {walked:?} of {query:?}"
            );
        }
    }
    assert!(changed > 10, "keys must change: {changed}");
}

pub(super) fn drained(mut stream: TraceStream, budget: usize) -> Vec<(TraceId, Vec<Plain>)> {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Traces;
    let mut all: Vec<(TraceId, Vec<Plain>)> = Vec::new();
    while let Some(chunk) = stream.next_chunk(budget).unwrap() {
        let spans = plain(&Traces::decode(&*chunk.otlp).unwrap());
        assert_eq!((spans.len(), spans.is_empty()), (chunk.spans, false));
        assert!(spans.iter().all(|span| span.trace_id() == chunk.trace_id));
        assert!(spans.len() == 1 || chunk.otlp.len() <= budget);
        match all.last_mut() {
            Some((id, known)) if *id == chunk.trace_id => known.extend(spans),
            _ => all.push((chunk.trace_id, spans)),
        }
    }
    all
}

pub(super) fn counted<'a>(spans: impl Iterator<Item = &'a Plain>) -> BTreeMap<Vec<u8>, usize> {
    let mut all = BTreeMap::new();
    spans.for_each(|span| *all.entry(content(span)).or_default() += 1);
    all
}

#[test]
fn whole_traces_come_back_each_copy_once() {
    for seed in 0..80 {
        let mut dice = Dice::new(seed);
        let store = store(&mut dice);
        let places = store.places();
        let ids: BTreeSet<TraceId> = store.all().map(Plain::trace_id).collect();
        let mut asked: Vec<TraceId> = ids.iter().copied().collect();
        asked.insert(asked.len() / 2, TraceId([0xee; 16]));
        let stream = traces(places, asked, Cancel::new());
        let got = drained(stream, *dice.pick(&[1, 500, 1 << 20]));
        let order: Vec<TraceId> = got.iter().map(|(id, _)| *id).collect();
        assert_eq!(order, ids.iter().copied().collect::<Vec<_>>(), "seed {seed}");
        for (id, spans) in got {
            let expected = counted(store.all().filter(|span| span.trace_id() == id));
            assert_eq!(counted(spans.iter()), expected, "seed {seed}: {id}");
        }
    }
}

/// More segments than one filter speaks for, and some that none speaks for yet.
#[test]
fn traces_torn_over_many_segments_come_back_whole() {
    let mut dice = Dice::new(11);
    let mut store = Small::default();
    for _ in 0..75 {
        let export = export(&mut dice, 3, 40);
        store.ingest(&export);
        store.seal();
    }
    let places = store.places();
    assert!(places.segments.len() > 2 * PRINTS_SEGMENTS);
    let query = TraceQuery { limit: 100, ..TraceQuery::default() };
    let found = find(&places, &query, &Cancel::new()).unwrap();
    assert_eq!(found, expected(&store, &query));
    let cancel = Cancel::new();
    let got = summaries(&places, &found, &cancel).unwrap();
    let ids: Vec<TraceId> = found.iter().map(|found| found.trace_id).collect();
    let whole = drained(traces(places, ids, Cancel::new()), 1 << 20);
    assert_eq!((got.len(), whole.len()), (found.len(), found.len()));
    for (summary, (id, spans)) in got.iter().zip(&whole) {
        let expected = counted(store.all().filter(|span| span.trace_id() == *id));
        assert_eq!(counted(spans.iter()), expected, "{id}");
        assert_eq!((summary.trace_id, summary.span_count as usize), (*id, spans.len()));
    }
    assert!(cancel.work().counts().false_probes > 0, "fingerprints collide here");
}

#[test]
fn large_traces_are_streamed_each_copy_once() {
    let mut dice = Dice::new(7);
    let mut store = Small::default();
    let mut sent = Vec::new();
    for step in 0..14 {
        let export = export(&mut dice, 900, 2);
        store.ingest(&export);
        sent.push(export);
        let again = dice.pick(&sent).clone();
        store.ingest(&again);
        match step {
            3 | 7 => store.seal(),
            5 | 10 => store.merge(),
            _ => {}
        }
    }
    let places = store.places();
    let ids: BTreeSet<TraceId> = store.all().map(Plain::trace_id).collect();
    let stream = traces(places, ids.into_iter().collect(), Cancel::new());
    for (id, spans) in drained(stream, 50_000) {
        let expected = counted(store.all().filter(|span| span.trace_id() == id));
        assert!(expected.values().sum::<usize>() > 5000, "large");
        assert!(counted(spans.iter()) == expected, "{id}");
    }
}

#[test]
fn summaries_count_all_spans() {
    for seed in 0..150 {
        let mut dice = Dice::new(seed);
        let store = store(&mut dice);
        let query = TraceQuery { limit: 100, ..TraceQuery::default() };
        let found = find(&store.places(), &query, &Cancel::new()).unwrap();
        let got = summaries(&store.places(), &found, &Cancel::new()).unwrap();
        assert_eq!(got.len(), found.len());
        for (summary, found) in got.iter().zip(&found) {
            let spans: Vec<&Plain> =
                store.all().filter(|span| span.trace_id() == found.trace_id).collect();
            assert_eq!(summary.trace_id, found.trace_id);
            assert_eq!(summary.span_count as usize, spans.len(), "seed {seed}");
            assert_eq!(summary.min_start, spans.iter().map(|s| s.start()).min().unwrap());
            let ends = spans.iter().map(|s| s.span.end_time_unix_nano);
            assert_eq!(summary.max_end, ends.max().unwrap());
            let errors = spans.iter().filter(|s| s.status() == 2).count();
            assert_eq!(summary.error_span_count as usize, errors);
            let ids: BTreeSet<&[u8]> = spans.iter().map(|s| &*s.span.span_id).collect();
            let orphans = spans.iter().filter(|s| s.parent().is_some_and(|p| !ids.contains(p)));
            assert_eq!(summary.orphan_span_count as usize, orphans.count());
            let mut services: BTreeMap<String, (u64, u64)> = BTreeMap::new();
            for span in &spans {
                let counts = services.entry(span.service()).or_default();
                *counts = (counts.0 + 1, counts.1 + u64::from(span.status() == 2));
            }
            let got: BTreeMap<String, (u64, u64)> = summary
                .services
                .iter()
                .map(|s| (s.name.clone(), (s.span_count, s.error_span_count)))
                .collect();
            assert_eq!((got, summary.services.len()), (services.clone(), services.len()));
            let first = spans.iter().filter(|s| s.parent().is_none()).map(|s| s.start()).min();
            let roots: BTreeSet<(String, String)> = spans
                .iter()
                .filter(|s| s.parent().is_none() && Some(s.start()) == first)
                .map(|s| (s.service(), s.span.name.clone()))
                .collect();
            let root = (summary.root_service.clone(), summary.root_operation.clone());
            assert!(roots.contains(&root) || (roots.is_empty() && root == Default::default()));
        }
    }
}
