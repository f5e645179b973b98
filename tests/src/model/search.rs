//! The oracle's answers, each by looking at every span (jaeger-contract §2, §4, §5 and the
//! dependency rule of shared/data/README.md). Questions flow in as the engine's own request
//! values; answers flow out as the engine's own answer values, but computed here alone.

use std::collections::{BTreeMap, BTreeSet};

use spanlake::{
    Dependency, FoundTrace, Operation, ServiceSummary, SpanKind, TraceId, TraceQuery, TraceSummary,
};

use super::spans::{Model, Multiset, Placed, copies};
use super::text::{as_string, parse_bool};
use super::wire::{Node, SPAN};

/// A summary, and all spans that may be the root where several start first.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The summary with the first of the roots.
    pub summary: TraceSummary,
    /// Service and name of every span without parent that starts first.
    pub roots: BTreeSet<(String, String)>,
}

/// Nanoseconds.
const MINUTE: u64 = 60_000_000_000;

/// Service, kind, and when the minute begins.
pub type RateOf = (String, SpanKind, u64);

impl Model {
    /// The newest `limit` traces that match, best first.
    pub fn find(&self, query: &TraceQuery) -> Vec<FoundTrace> {
        let mut found: Vec<FoundTrace> = self
            .traces
            .iter()
            .filter_map(|(id, set)| {
                let matching = set.keys().filter(|span| matches(span, query));
                let newest_match = matching.map(Placed::start).max()?;
                Some(FoundTrace { trace_id: TraceId(*id), newest_match })
            })
            .collect();
        found.sort_by_key(|f| (std::cmp::Reverse(f.newest_match), f.trace_id));
        found.truncate(query.limit);
        found
    }

    /// The summary of a trace, `None` where it is unknown.
    pub fn summary(&self, id: TraceId) -> Option<Summary> {
        self.traces.get(&id.0).map(|set| summarise(id, set))
    }

    /// Names of services but the empty one, sorted.
    pub fn services(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.spans().map(Placed::service).collect();
        names.into_iter().filter(|name| !name.is_empty()).collect()
    }

    /// Operations of a service, sorted.
    pub fn operations(&self, service: &str, kind: Option<SpanKind>) -> Vec<Operation> {
        let found: BTreeSet<Operation> = self
            .spans()
            .filter(|span| span.service() == service)
            .map(|span| Operation { name: span.name(), kind: SpanKind::from_number(span.kind()) })
            .filter(|operation| kind.is_none_or(|k| k == operation.kind))
            .collect();
        found.into_iter().collect()
    }

    /// Cross-service edges of child spans that start in `[start, end)`.
    pub fn dependencies(&self, start: Option<u64>, end: Option<u64>) -> Vec<Dependency> {
        let mut edges: BTreeMap<(String, String), u64> = BTreeMap::new();
        for set in self.traces.values() {
            for (child, n) in set {
                let inside = start.is_none_or(|s| child.start() >= s)
                    && end.is_none_or(|e| child.start() < e);
                let Some(caller) = caller(child, set).filter(|_| inside) else { continue };
                if caller.service() != child.service() {
                    *edges.entry((caller.service(), child.service())).or_default() += n;
                }
            }
        }
        edges
            .into_iter()
            .map(|((parent, child), call_count)| Dependency { parent, child, call_count })
            .collect()
    }

    /// By service, kind of span and minute: spans with status ERROR, and all durations, sorted;
    /// of spans that start in `[start, end)`.
    pub fn rates(&self, start: Option<u64>, end: Option<u64>) -> BTreeMap<RateOf, (u64, Vec<u64>)> {
        let mut rates: BTreeMap<RateOf, (u64, Vec<u64>)> = BTreeMap::new();
        for span in self.spans() {
            if start.is_some_and(|s| span.start() < s) || end.is_some_and(|e| span.start() >= e) {
                continue;
            }
            let minute = span.start() / MINUTE * MINUTE;
            let key = (span.service(), SpanKind::from_number(span.kind()), minute);
            let (errors, durations) = rates.entry(key).or_default();
            *errors += u64::from(span.status() == 2);
            durations.push(span.duration());
        }
        rates.values_mut().for_each(|(_, durations)| durations.sort_unstable());
        rates
    }
}

/// Who called a span: the CLIENT span that shares its id when it is SERVER, else its parent.
fn caller<'a>(child: &Placed, set: &'a Multiset) -> Option<&'a Placed> {
    let least = |span: &&Placed| (span.start(), span.span.encode(&SPAN), span.service());
    if child.kind() == 2 {
        let shared = set.keys().filter(|s| s.span_id() == child.span_id() && s.kind() == 3);
        if let Some(client) = shared.min_by_key(least) {
            return Some(client);
        }
    }
    let parent = child.parent()?;
    set.keys()
        .filter(|span| span.span_id() == parent)
        .min_by_key(|span| (span.service() != child.service(), span.kind() != 2, least(span)))
}

fn summarise(id: TraceId, set: &Multiset) -> Summary {
    let spans: Vec<&Placed> = copies(set).collect();
    let ids: BTreeSet<&[u8]> = spans.iter().map(|s| s.span_id()).collect();
    let first_root = spans.iter().filter(|s| s.parent().is_none()).map(|s| s.start()).min();
    let roots: BTreeSet<(String, String)> = spans
        .iter()
        .filter(|s| s.parent().is_none() && Some(s.start()) == first_root)
        .map(|s| (s.service(), s.name()))
        .collect();
    let mut services: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for span in &spans {
        let (all, errors) = services.entry(span.service()).or_default();
        *all += 1;
        *errors += u64::from(span.status() == 2);
    }
    let (root_service, root_operation) = roots.first().cloned().unwrap_or_default();
    let orphan = |s: &&&Placed| s.parent().is_some_and(|p| !ids.contains(p));
    let summary = TraceSummary {
        trace_id: id,
        root_service,
        root_operation,
        min_start: spans.iter().map(|s| s.start()).min().unwrap_or(0),
        max_end: spans.iter().map(|s| s.end()).max().unwrap_or(0),
        span_count: spans.len() as u64,
        error_span_count: spans.iter().filter(|s| s.status() == 2).count() as u64,
        orphan_span_count: spans.iter().filter(orphan).count() as u64,
        services: services
            .into_iter()
            .map(|(name, (span_count, error_span_count))| ServiceSummary {
                name,
                span_count,
                error_span_count,
            })
            .collect(),
    };
    Summary { summary, roots }
}

/// True where every condition holds on this span.
pub fn matches(span: &Placed, query: &TraceQuery) -> bool {
    let at_least = |bound: Option<u64>, n: u64| bound.is_none_or(|b| n >= b);
    let at_most = |bound: Option<u64>, n: u64| bound.is_none_or(|b| n <= b);
    at_least(query.start_min, span.start())
        && at_most(query.start_max, span.start())
        && at_least(query.duration_min, span.duration())
        && at_most(query.duration_max, span.duration())
        && query.service.as_ref().is_none_or(|s| *s == span.service())
        && query.operation.as_ref().is_none_or(|o| *o == span.name())
        && query.attributes.iter().all(|a| attribute_matches(span, &a.key, &a.value))
}

fn attribute_matches(span: &Placed, key: &str, value: &str) -> bool {
    let scope = |field: u32| span.scope.node(1).map_or(String::new(), |s| s.text(field));
    match key {
        "error" => parse_bool(value) == Some(span.status() == 2),
        "span.kind" => {
            let wanted = SpanKind::from_word(value).unwrap_or(SpanKind::Unspecified);
            SpanKind::from_number(span.kind()) == wanted
        }
        "span.status" => {
            let wanted = if value.eq_ignore_ascii_case("ok") {
                1
            } else if value.eq_ignore_ascii_case("error") {
                2
            } else {
                0
            };
            let status = if matches!(span.status(), 1 | 2) { span.status() } else { 0 };
            status == wanted
        }
        "scope.name" => scope(1) == value,
        "scope.version" => scope(2) == value,
        _ => {
            let on_resource = key.strip_prefix("resource.").is_some_and(|rest| {
                span.resource_attributes().any(|a| attribute_is(a, rest, value))
            });
            on_resource || five_levels(span).any(|a| attribute_is(a, key, value))
        }
    }
}

fn five_levels(span: &Placed) -> impl Iterator<Item = &Node> {
    span.span
        .nodes(9)
        .chain(span.resource_attributes())
        .chain(span.scope.node(1).into_iter().flat_map(|s| s.nodes(3)))
        .chain(span.span.nodes(11).flat_map(|event| event.nodes(3)))
        .chain(span.span.nodes(13).flat_map(|link| link.nodes(4)))
}

fn attribute_is(attribute: &Node, key: &str, value: &str) -> bool {
    attribute.text(1) == key && as_string(attribute.node(2)) == value
}
