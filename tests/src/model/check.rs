//! Engine against oracle: every kind of question, both answers, equal or a message that says
//! which question. A [`View`] and a [`Model`] of the same spans flow in; nothing flows out. The
//! rules a chunk owes (one trace, consecutive, never empty, about the budget) are checked too.

use std::cell::Cell;
use std::collections::BTreeSet;

use spanlake::{Cancel, Error, Latency, Result, Tenancy, TraceId, TraceQuery, TraceStream, View};

use super::dice::Dice;
use super::invent::Universe;
use super::spans::{Model, Multiset, multiset, placed};

/// A view to judge and what it should say.
#[derive(Debug)]
pub struct Checker<'a> {
    /// The engine's side.
    pub view: &'a View,
    /// The truth.
    pub model: &'a Model,
    /// Whose spans.
    pub tenancy: Tenancy,
    /// Words that lead back to the case: seed and step.
    pub case: String,
    /// Which errors may stand for an answer; by default none.
    pub forgives: fn(&Error) -> bool,
    /// Answers that were exact.
    pub exact: Cell<u64>,
    /// Answers that were a forgiven error.
    pub forgiven: Cell<u64>,
}

impl<'a> Checker<'a> {
    /// A checker of the default tenancy.
    pub fn new(view: &'a View, model: &'a Model, case: impl Into<String>) -> Self {
        Self {
            view,
            model,
            tenancy: Tenancy::default(),
            case: case.into(),
            forgives: |_| false,
            exact: Cell::new(0),
            forgiven: Cell::new(0),
        }
    }

    /// An answer; `None` for a forgiven error.
    fn answer<T>(&self, result: Result<T>, what: &str) -> Option<T> {
        match result {
            Ok(answer) => {
                self.exact.set(self.exact.get() + 1);
                Some(answer)
            }
            Err(error) if (self.forgives)(&error) => {
                self.forgiven.set(self.forgiven.get() + 1);
                None
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }

    /// Everything that needs no luck: all traces, lists, edges, and the widest search.
    ///
    /// # Panics
    /// Where an answer is wrong.
    pub fn check_all(&self, universe: &Universe) {
        let ids: BTreeSet<TraceId> = universe
            .trace_ids()
            .into_iter()
            .chain(self.model.traces.keys().copied().map(TraceId))
            .collect();
        self.traces(ids.into_iter().collect(), 1 << 20);
        self.lists(universe);
        self.dependencies(None, None);
        self.rates(None, None);
        self.search(&TraceQuery { limit: 1000, ..TraceQuery::default() }, 1 << 20);
    }

    /// The same but for the spans: lists, edges, and the widest search with its summaries.
    ///
    /// # Panics
    /// Where an answer is wrong.
    pub fn check_outlines(&self, universe: &Universe) {
        self.lists(universe);
        self.dependencies(None, None);
        let query = TraceQuery { limit: 1000, ..TraceQuery::default() };
        let case = format!("{}: {query:?}", self.case);
        if let Some(ids) = self.ids(&query, &case) {
            self.summaries(&query, &ids, &case);
        }
    }

    /// A few random questions.
    ///
    /// # Panics
    /// Where an answer is wrong.
    pub fn check_some(&self, universe: &Universe, dice: &mut Dice, questions: usize) {
        for _ in 0..questions {
            match dice.below(10) {
                0 | 1 => {
                    let mut ids = universe.trace_ids();
                    dice.shuffle(&mut ids);
                    ids.truncate(dice.between(0, 4));
                    self.traces(ids, *dice.pick(&[1, 200, 1000, 1 << 20]));
                }
                2 => {
                    let from = dice.percent(80).then(|| bound(universe, dice));
                    let to = dice.percent(80).then(|| bound(universe, dice));
                    self.dependencies(from, to);
                    self.rates(from, to);
                }
                3 => {
                    let services = universe.service_names();
                    let service: &String = dice.pick(&services);
                    self.operations(service, universe.kind(dice));
                }
                _ => {
                    let query = universe.query(self.model, dice);
                    self.search(&query, *dice.pick(&[200, 1 << 20]));
                }
            }
        }
    }

    /// Whole traces by id, in the order asked.
    ///
    /// # Panics
    /// Where an answer is wrong.
    pub fn traces(&self, ids: Vec<TraceId>, budget: usize) {
        let case = format!("{}: get_traces {ids:?} budget {budget}", self.case);
        let stream = self.view.get_traces(&self.tenancy, ids.clone(), Cancel::new());
        let Some(got) = self.answer(try_drain(stream, budget, &case), &case) else { return };
        let mut expected: Vec<TraceId> =
            ids.into_iter().filter(|id| self.model.traces.contains_key(&id.0)).collect();
        expected.dedup();
        self.compare_traces(&expected, got, &case);
    }

    fn compare_traces(&self, expected: &[TraceId], got: Vec<(TraceId, Multiset)>, case: &str) {
        let ids: Vec<TraceId> = got.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, expected, "{case}: traces and their order");
        for (id, set) in got {
            compare_sets(&set, &self.model.traces[&id.0], &format!("{case}: trace {id}"));
        }
    }

    /// One search in its three forms.
    ///
    /// # Panics
    /// Where an answer is wrong.
    pub fn search(&self, query: &TraceQuery, budget: usize) {
        let case = format!("{}: {query:?}", self.case);
        let Some(ids) = self.ids(query, &case) else { return };
        let stream = self.view.find_traces(&self.tenancy, query, &Cancel::new());
        let got = stream.and_then(|stream| try_drain(stream, budget, &case));
        if let Some(got) = self.answer(got, &format!("{case}: find_traces")) {
            self.compare_traces(&ids, got, &case);
        }
        self.summaries(query, &ids, &case);
        self.pages(query, &case);
    }

    /// The ids that a search finds.
    fn ids(&self, query: &TraceQuery, case: &str) -> Option<Vec<TraceId>> {
        let expected = self.model.find(query);
        let found = self.view.find_trace_ids(&self.tenancy, query, &Cancel::new());
        let found = self.answer(found, &format!("{case}: find_trace_ids"))?;
        assert_eq!(found, expected, "{case}: find_trace_ids (left: engine)");
        Some(expected.iter().map(|f| f.trace_id).collect())
    }

    /// The same search page by page, eight pages at most: together they are the answer without a
    /// limit.
    fn pages(&self, query: &TraceQuery, case: &str) {
        const PAGES_MAX: usize = 8;
        let mut expected = self.model.find(&TraceQuery { limit: usize::MAX, ..query.clone() });
        let all = expected.len();
        let (mut found, mut after) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let page = self.view.page_trace_ids(&self.tenancy, query, after, &Cancel::new());
            let what = format!("{case}: page_trace_ids after {after:?}");
            let Some(page) = self.answer(page, &what) else { return };
            assert!(page.found.len() <= query.limit, "{case}: a page of {}", page.found.len());
            found.extend(page.found);
            assert_eq!(page.next.is_some(), found.len() < all, "{case}: after {after:?}");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        expected.truncate(found.len());
        assert_eq!(found, expected, "{case}: pages (left: engine)");
        assert!(after.is_some() || found.len() == all, "{case}: {} of {all}", found.len());
    }

    fn summaries(&self, query: &TraceQuery, ids: &[TraceId], case: &str) {
        let got = self.view.find_summaries(&self.tenancy, query, &Cancel::new());
        let what = format!("{case}: find_summaries");
        let Some(got) = self.answer(got, &what) else { return };
        assert_eq!(got.len(), ids.len(), "{case}: summaries");
        for (mut got, id) in got.into_iter().zip(ids) {
            let mut expected = self.model.summary(*id).expect("a found trace has a summary");
            let root = (got.root_service.clone(), got.root_operation.clone());
            if expected.roots.contains(&root) {
                // Several roots start first: any of them will do.
                std::mem::take(&mut got.root_service);
                std::mem::take(&mut got.root_operation);
                std::mem::take(&mut expected.summary.root_service);
                std::mem::take(&mut expected.summary.root_operation);
            }
            assert_eq!(got, expected.summary, "{case}: summary (left: engine; root {root:?})");
        }
    }

    fn lists(&self, universe: &Universe) {
        let services = self.view.services(&self.tenancy);
        let what = format!("{}: services", self.case);
        let Some(services) = self.answer(services, &what) else { return };
        assert_eq!(services, self.model.services(), "{}: services (left: engine)", self.case);
        let asked: BTreeSet<String> =
            services.into_iter().chain(universe.service_names()).collect();
        for service in asked {
            self.operations(&service, None);
        }
    }

    /// The operations of a service.
    ///
    /// # Panics
    /// Where an answer is wrong.
    pub fn operations(&self, service: &str, kind: Option<spanlake::SpanKind>) {
        let case = format!("{}: operations of {service:?}, {kind:?}", self.case);
        let got = self.view.operations(&self.tenancy, service, kind);
        let Some(got) = self.answer(got, &case) else { return };
        assert_eq!(got, self.model.operations(service, kind), "{case} (left: engine)");
    }

    /// Cross-service edges.
    ///
    /// # Panics
    /// Where an answer is wrong.
    pub fn dependencies(&self, start: Option<u64>, end: Option<u64>) {
        let case = format!("{}: dependencies {start:?}..{end:?}", self.case);
        let got = self.view.dependencies(&self.tenancy, start, end, &Cancel::new());
        let Some(got) = self.answer(got, &case) else { return };
        assert_eq!(got, self.model.dependencies(start, end), "{case} (left: engine)");
    }

    /// Calls, errors and durations by service, kind and minute.
    ///
    /// # Panics
    /// Where an answer is wrong.
    pub fn rates(&self, start: Option<u64>, end: Option<u64>) {
        let case = format!("{}: rates {start:?}..{end:?}", self.case);
        let got = self.view.rates(&self.tenancy, start, end, &Cancel::new());
        let Some(got) = self.answer(got, &case) else { return };
        let expected = self.model.rates(start, end);
        let counts = |durations: &Vec<u64>| durations.len() as u64;
        let all: Vec<_> =
            got.iter().map(|r| (&r.service, r.kind, r.minute, r.calls, r.errors)).collect();
        let wanted: Vec<_> = expected
            .iter()
            .map(|((service, kind, minute), (errors, durations))| {
                (service, *kind, *minute, counts(durations), *errors)
            })
            .collect();
        assert_eq!(all, wanted, "{case} (left: engine)");
        for (rate, (_, durations)) in got.iter().zip(expected.values()) {
            assert_eq!(rate.latency.count(), counts(durations), "{case}: {}", rate.service);
            for q in [0.0, 0.5, 0.95, 1.0] {
                let rank = ((q * durations.len() as f64).ceil() as usize).max(1);
                let exact = durations[rank - 1] as f64;
                let quantile = rate.latency.quantile(q).expect("there are spans") as f64;
                let most = exact * Latency::RELATIVE_ERROR + 0.5;
                assert!((quantile - exact).abs() <= most, "{case}: {q}: {quantile}, {exact}");
            }
        }
    }
}

/// An end of a window: where a span starts, the minute around it, or a nanosecond beside these.
fn bound(universe: &Universe, dice: &mut Dice) -> u64 {
    const MINUTE: u64 = 60_000_000_000;
    let moment = universe.moment(dice);
    let minute = moment / MINUTE * MINUTE;
    let near = *dice.pick(&[moment, minute, minute.saturating_add(MINUTE)]);
    *dice.pick(&[near, near, near.saturating_add(1), near.saturating_sub(1)])
}

/// Reads a stream to its end, holds its chunks to their rules and puts the traces together.
///
/// # Panics
/// Where the stream fails or breaks a rule.
pub fn drain(stream: TraceStream, budget: usize, case: &str) -> Vec<(TraceId, Multiset)> {
    try_drain(stream, budget, case).unwrap_or_else(|e| panic!("{case}: next_chunk: {e}"))
}

/// [`drain`] of a stream that may fail.
///
/// # Errors
/// The stream's.
///
/// # Panics
/// Where the stream breaks a rule.
pub fn try_drain(
    mut stream: TraceStream,
    budget: usize,
    case: &str,
) -> Result<Vec<(TraceId, Multiset)>> {
    let mut traces: Vec<(TraceId, Multiset)> = Vec::new();
    while let Some(chunk) = stream.next_chunk(budget)? {
        let spans = placed(&chunk.otlp).unwrap_or_else(|e| panic!("{case}: chunk: {e:?}"));
        assert!(!spans.is_empty(), "{case}: an empty chunk");
        assert_eq!(chunk.spans, spans.len(), "{case}: the chunk's own count");
        // One span larger than the budget comes alone; a frame around spans may exceed it a bit.
        assert!(
            spans.len() == 1 || chunk.otlp.len() <= budget + budget / 2 + 4096,
            "{case}: a chunk of {} spans and {} bytes",
            spans.len(),
            chunk.otlp.len()
        );
        for span in &spans {
            assert_eq!(span.trace_id(), chunk.trace_id.0, "{case}: a chunk of two traces");
        }
        if traces.last().map(|(id, _)| *id) != Some(chunk.trace_id) {
            let again = traces.iter().any(|(id, _)| *id == chunk.trace_id);
            assert!(!again, "{case}: trace {} comes in two places", chunk.trace_id);
            traces.push((chunk.trace_id, Multiset::new()));
        }
        let (_, set) = traces.last_mut().expect("just pushed");
        for (span, n) in multiset(spans) {
            *set.entry(span).or_default() += n;
        }
    }
    assert!(
        stream.next_chunk(budget).is_ok_and(|c| c.is_none()),
        "{case}: something follows the end"
    );
    Ok(traces)
}

/// Equal sets, or a message with the spans that differ.
///
/// # Panics
/// Where they differ.
pub fn compare_sets(got: &Multiset, expected: &Multiset, case: &str) {
    if got == expected {
        return;
    }
    let difference = |a: &Multiset, b: &Multiset| {
        let lines: Vec<String> = a
            .iter()
            .filter(|(span, n)| b.get(span) != Some(n))
            .map(|(span, n)| format!("  {n} × {span:?}"))
            .collect();
        lines.join("\n")
    };
    panic!(
        "{case}: spans differ\nengine has:\n{}\nshould be:\n{}",
        difference(got, expected),
        difference(expected, got)
    );
}
