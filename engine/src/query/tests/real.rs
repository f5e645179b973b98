//! The same questions to a real store: real segments with their index, seals and restarts between
//! pages.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use super::answers::{counted, drained, expected};
use super::filters::query;
use super::made::{Dice, bytes, export};
use super::naive::Plain;
use super::store::Small;
use crate::query::request::{Cancel, Cursor};
use crate::{Options, Store, Tenancy, TraceId};

/// A store with some Exports, sealed here and there, and the same for brute force.
fn stores(dice: &mut Dice, path: &std::path::Path) -> (Store, Small) {
    let store = Store::open(path, Options::default()).unwrap();
    let mut small = Small::default();
    let mut sent: Vec<ExportTraceServiceRequest> = Vec::new();
    for _ in 0..6 {
        let spans = 100 + dice.below(900);
        let again = dice.one_in(3) && !sent.is_empty();
        let export = if again { dice.pick(&sent).clone() } else { export(dice, spans, 200) };
        store.ingest(&Tenancy::default(), bytes(&export)).unwrap();
        small.ingest(&export);
        sent.push(export);
        if dice.one_in(2) {
            store.flush().unwrap();
        }
    }
    (store, small)
}

#[test]
fn a_real_store_answers_as_brute_force_does() {
    let tenancy = Tenancy::default();
    let (mut found_any, mut by_index) = (0, 0);
    for seed in 0..2 {
        let mut dice = Dice::new(seed);
        let directory = tempfile::tempdir().unwrap();
        let (store, small) = stores(&mut dice, directory.path());
        let view = store.view();
        for _ in 0..60 {
            let query = query(&mut dice);
            let mut expected = expected(&small, &query);
            expected.truncate(query.limit);
            let found = view.find_trace_ids(&tenancy, &query, &Cancel::new()).unwrap();
            assert_eq!(found, expected, "seed {seed}: {query:?} (left: engine)");
            found_any += usize::from(!found.is_empty());
            let explained = view.explain(&tenancy, &query).unwrap();
            assert_eq!(explained.found, found.len());
            by_index += explained.counts.blocks_pruned_by_index;
            assert!(!explained.to_string().is_empty());
        }
        let ids: BTreeSet<TraceId> = small.all().map(Plain::trace_id).collect();
        let stream = view.get_traces(&tenancy, ids.iter().copied().collect(), Cancel::new());
        let got = drained(stream, 20_000);
        assert_eq!(got.len(), ids.len());
        for (id, spans) in got {
            let whole = counted(small.all().filter(|span| span.trace_id() == id));
            assert_eq!(counted(spans.iter()), whole, "seed {seed}: {id}");
        }
        let reads = store.stats().reads;
        assert!(reads.rows_returned > 0 && reads.traces_located as usize >= ids.len());
        assert_eq!(reads.rows_scanned, store.stats().spans_scanned);
    }
    assert!(found_any > 50 && by_index > 10, "{found_any} {by_index}");
}

#[test]
fn pages_go_on_over_seals_and_restarts() {
    let tenancy = Tenancy::default();
    for seed in 0..2 {
        let mut dice = Dice::new(seed);
        let directory = tempfile::tempdir().unwrap();
        let (mut store, small) = stores(&mut dice, directory.path());
        for _ in 0..4 {
            let mut query = query(&mut dice);
            let expected = expected(&small, &query);
            query.limit = 1 + expected.len() / 5;
            let mut walked = Vec::new();
            let mut after: Option<Cursor> = None;
            loop {
                let view = store.view();
                let page = view.page_trace_ids(&tenancy, &query, after, &Cancel::new()).unwrap();
                let summaries =
                    view.page_summaries(&tenancy, &query, after, &Cancel::new()).unwrap();
                let ids = page.found.iter().map(|found| found.trace_id);
                assert!(ids.eq(summaries.found.iter().map(|summary| summary.trace_id)));
                assert_eq!(page.next, summaries.next);
                walked.extend(page.found);
                let Some(next) = page.next else { break };
                after = Some(next);
                match dice.below(3) {
                    0 => store.flush().unwrap(),
                    1 => {
                        drop((view, store));
                        store = Store::open(directory.path(), Options::default()).unwrap();
                    }
                    _ => {}
                }
            }
            assert_eq!(walked, expected, "seed {seed}: {query:?} (left: engine)");
        }
    }
}
