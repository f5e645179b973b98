//! A small living shop that makes traces: eight services, the journeys of their visitors, what
//! goes wrong on the way.
//!
//! A seed and moments flow in, OTLP flows out; the same seed and moments give the same bytes.
//! Shapes and values are chosen to exercise a trace store: errors with exceptions, slow spans, long
//! statements, every attribute type, links between traces, several span kinds and scopes. No
//! clock, no network, no global state: demo, tests and benches all use it.

mod attributes;
mod cast;
mod journeys;
mod rng;
mod scene;
mod words;

use spanlake_proto::otlp::collector::ExportTraceServiceRequest;
use spanlake_proto::otlp::trace::ResourceSpans;

use rng::Rng;
use scene::Scene;

/// The shop. Cloning it forks its future.
#[derive(Debug, Clone)]
pub struct Shop {
    rng: Rng,
}

/// What a visitor did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Journey {
    /// Looked at a product.
    Browse,
    /// Searched for one.
    Search,
    /// Put one into the cart.
    AddToCart,
    /// Bought; the order is fulfilled in a second trace.
    Checkout,
    /// No visitor: the recommendations' model was trained.
    Train,
}

/// One visit: the trace of the request, and those of the work it left behind.
#[derive(Debug, Clone)]
pub struct Visit {
    /// What was done.
    pub journey: Journey,
    /// One trace or two.
    pub traces: Vec<ShopTrace>,
}

/// One finished trace.
#[derive(Debug, Clone, PartialEq)]
pub struct ShopTrace {
    /// Its id.
    pub trace_id: [u8; 16],
    /// Earliest start.
    pub start_unix_nano: u64,
    /// Latest end.
    pub end_unix_nano: u64,
    /// Spans in it.
    pub spans: usize,
    /// Spans with status ERROR.
    pub errors: usize,
    /// The spans, one entry a service.
    pub resource_spans: Vec<ResourceSpans>,
}

impl ShopTrace {
    /// As one Export.
    pub fn into_request(self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest { resource_spans: self.resource_spans }
    }
}

impl Shop {
    /// A shop whose whole future `seed` decides.
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed) }
    }

    /// The next visitor comes at `start_unix_nano`.
    pub fn visit(&mut self, start_unix_nano: u64) -> Visit {
        let journey = match self.rng.below(100) {
            0..=39 => Journey::Browse,
            40..=57 => Journey::Search,
            58..=74 => Journey::AddToCart,
            75..=97 => Journey::Checkout,
            _ => Journey::Train,
        };
        let mut traces = Vec::new();
        let mut order = None;
        traces.push(self.play(start_unix_nano, |scene| match journey {
            Journey::Browse => journeys::browse(scene),
            Journey::Search => journeys::search(scene),
            Journey::AddToCart => journeys::add_to_cart(scene),
            Journey::Checkout => order = journeys::checkout(scene),
            Journey::Train => journeys::train(scene),
        }));
        if let (Some(order), Some(purchase)) = (order, traces.first()) {
            let taken = purchase.end_unix_nano + self.rng.around(400_000);
            traces.push(self.play(taken, |scene| journeys::fulfil(scene, order)));
        }
        Visit { journey, traces }
    }

    /// `count` visits spread over `[from, to)`, in time order.
    pub fn visits(&mut self, from: u64, to: u64, count: u64) -> impl Iterator<Item = Visit> + '_ {
        let step = to.saturating_sub(from) / count.max(1);
        (0..count).map(move |i| {
            let start = from + i * step + self.rng.below(step);
            self.visit(start)
        })
    }

    fn play(&mut self, start: u64, act: impl FnOnce(&mut Scene<'_>)) -> ShopTrace {
        // The moment is part of the id: another run of the same seed makes other traces.
        let high = self.rng.next() ^ rng::mix(start);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high.to_be_bytes());
        id[8..].copy_from_slice(&self.rng.next().max(1).to_be_bytes());
        let mut scene = Scene::new(&mut self.rng, id, start);
        act(&mut scene);
        scene.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use spanlake_proto::otlp::common::any_value::Value;
    use spanlake_proto::otlp::trace::Span;

    use super::*;

    const START: u64 = 1_795_248_753_000_000_000;
    const HOUR: u64 = 3_600_000_000_000;

    fn hour(seed: u64) -> Vec<ShopTrace> {
        Shop::new(seed).visits(START, START + HOUR, 300).flat_map(|v| v.traces).collect()
    }

    fn spans(trace: &ShopTrace) -> impl Iterator<Item = &Span> {
        trace.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans)
    }

    #[test]
    fn the_same_seed_makes_the_same_hour() {
        assert_eq!(hour(7), hour(7));
        assert_ne!(hour(7)[0].trace_id, hour(8)[0].trace_id);
        let later = Shop::new(7).visit(START + 1).traces.remove(0).trace_id;
        assert_ne!(Shop::new(7).visit(START).traces.remove(0).trace_id, later);
    }

    #[test]
    fn spans_nest_in_time_and_name_their_parents() {
        for trace in hour(1) {
            let ids: BTreeSet<&[u8]> = spans(&trace).map(|s| s.span_id.as_slice()).collect();
            assert_eq!(ids.len(), trace.spans);
            assert_eq!(spans(&trace).filter(|s| s.parent_span_id.is_empty()).count(), 1);
            for span in spans(&trace) {
                assert!(span.start_time_unix_nano >= trace.start_unix_nano);
                assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
                assert!(span.end_time_unix_nano <= trace.end_unix_nano);
                let parent = span.parent_span_id.as_slice();
                assert!(parent.is_empty() || ids.contains(parent));
                assert_eq!(span.trace_id, trace.trace_id);
            }
        }
    }

    #[test]
    fn an_hour_shows_everything_a_store_must_hold() {
        let traces = hour(42);
        assert!((300..=500).contains(&traces.len()), "{}", traces.len());
        let all: Vec<&Span> = traces.iter().flat_map(spans).collect();
        let services: BTreeSet<_> = traces
            .iter()
            .flat_map(|t| &t.resource_spans)
            .map(|r| format!("{:?}", r.resource))
            .collect();
        assert!(services.len() >= 8);
        let kinds: BTreeSet<i32> = all.iter().map(|s| s.kind).collect();
        assert_eq!(kinds, BTreeSet::from([1, 2, 3, 4, 5]));
        let types: BTreeSet<u8> = all
            .iter()
            .flat_map(|s| s.attributes.iter().chain(s.events.iter().flat_map(|e| &e.attributes)))
            .filter_map(|a| a.value.as_ref()?.value.as_ref())
            .map(|v| match v {
                Value::StringValue(_) => 0,
                Value::BoolValue(_) => 1,
                Value::IntValue(_) => 2,
                Value::DoubleValue(_) => 3,
                Value::BytesValue(_) => 4,
                Value::ArrayValue(_) => 5,
                Value::KvlistValue(_) => 6,
                _ => 7,
            })
            .collect();
        assert_eq!(types, BTreeSet::from([0, 1, 2, 3, 4, 5, 6]));
        assert!(traces.iter().filter(|t| t.errors > 0).count() > 10);
        assert!(all.iter().any(|s| s.events.iter().any(|e| e.name == "exception")));
        assert!(all.iter().any(|s| s.end_time_unix_nano - s.start_time_unix_nano > 1_000_000_000));
        let links = all.iter().flat_map(|s| &s.links);
        let ids: BTreeSet<&[u8]> = traces.iter().map(|t| t.trace_id.as_slice()).collect();
        let linked: Vec<bool> = links.map(|l| ids.contains(l.trace_id.as_slice())).collect();
        assert!(linked.len() > 10 && linked.iter().all(|known| *known));
    }

    #[test]
    fn a_failure_shows_where_it_arose() {
        let traces = hour(42);
        for trace in traces.iter().filter(|t| t.errors > 0) {
            let exceptions: Vec<&str> = spans(trace)
                .flat_map(|s| &s.events)
                .filter(|e| e.name == "exception")
                .map(|e| e.attributes[0].key.as_str())
                .collect();
            // Three where a payment was tried three times, else one.
            assert!(matches!(exceptions.len(), 1 | 3), "{}", exceptions.len());
        }
    }
}
