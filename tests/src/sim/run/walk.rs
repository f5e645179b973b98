//! Walks through pages that go on while everything else happens: each page is what a search
//! without limit gives now, behind the cursor, and no trace comes twice.

use std::collections::BTreeSet;

use spanlake::{Cancel, Cursor, TraceId, TraceQuery};

use super::ask::names_a_fault;
use super::{Run, tenancy};
use crate::model::Dice;

/// A walk through pages.
pub(super) struct Walk {
    tenancy: usize,
    query: TraceQuery,
    after: Option<Cursor>,
    pub(super) seen: BTreeSet<TraceId>,
}

impl Run<'_> {
    pub(super) fn walk(&mut self, seed: u64) {
        let mut dice = Dice::new(seed);
        let tenancy = dice.below(self.plan.universes.len());
        let query = self.plan.universes[tenancy].query(&self.truth.sides[tenancy], &mut dice);
        if self.walks.len() >= 3 {
            self.walks.remove(0);
        }
        self.tell(format_args!("walk, tenancy {tenancy}, pages of {}", query.limit));
        self.walks.push(Walk { tenancy, query, after: None, seen: BTreeSet::new() });
        self.page(self.walks.len() - 1);
    }

    pub(super) fn walk_on(&mut self, seed: u64) {
        if !self.walks.is_empty() {
            let at = Dice::new(seed).below(self.walks.len());
            self.tell(format_args!("walk {at} goes on"));
            self.page(at);
        }
    }

    /// A page must be what a search without limit gives now, behind the cursor.
    fn page(&mut self, at: usize) {
        let (label, sound) = (self.label(), self.disk.is_sound());
        let view = self.store().view();
        let shown = self.shown(&view, self.walks[at].tenancy).cloned();
        let Walk { tenancy: side, query, after, seen } = &mut self.walks[at];
        let page = view.page_trace_ids(&tenancy(*side), query, *after, &Cancel::new());
        let page = match page {
            Ok(page) => page,
            Err(error) if !sound && names_a_fault(&error) => {
                self.tally.named += 1;
                return;
            }
            Err(error) => panic!("{label}: page: {error:?}"),
        };
        let Some(model) = shown else { return };
        let all = model.find(&TraceQuery { limit: usize::MAX, ..query.clone() });
        let key = |newest: u64, id: TraceId| (std::cmp::Reverse(newest), id);
        let mut expected: Vec<_> = all
            .into_iter()
            .filter(|f| {
                let behind =
                    |c: Cursor| key(f.newest_match, f.trace_id) > key(c.newest_match, c.trace_id);
                after.is_none_or(behind)
            })
            .collect();
        let more = expected.len() > query.limit;
        expected.truncate(query.limit);
        assert_eq!(page.found, expected, "{label}: page after {after:?} of {query:?}");
        assert_eq!(page.next.is_some(), more, "{label}: page after {after:?} of {query:?}");
        for found in &page.found {
            assert!(seen.insert(found.trace_id), "{label}: {} comes twice", found.trace_id);
        }
        *after = page.next;
        if !more {
            self.walks.remove(at);
        }
        self.tally.answers += 1;
    }
}
