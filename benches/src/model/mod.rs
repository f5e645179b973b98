//! Which answer a question has, from the rules alone: the spans of the set once, and arithmetic
//! for its copies. Written apart from the engine, with plain loops, so that it can find the
//! engine wrong. Memory is that of one copy.

mod calls;
mod read;
mod search;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::scale::Scale;

pub use search::{Found, Question};
pub use whole::{Contents, Summary, contents_of};

/// An attribute value chosen for a question: one of the set's, as it is in one copy or in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pair: u32,
    /// The only copy that has it; `None` = all copies have it.
    copy: Option<u32>,
}

#[derive(Debug)]
struct Span {
    trace: u32,
    unit: u32,
    service: u32,
    name: u32,
    kind: i32,
    start: u64,
    end: u64,
    error: bool,
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    pairs: Range<usize>,
}

#[derive(Debug)]
struct Trace {
    id: [u8; 16],
    spans: Vec<u32>,
}

/// A key and a value in its text form.
#[derive(Debug)]
struct Pair {
    key: String,
    value: String,
    /// Spans of the set that have it on any level.
    spans: u32,
    /// True where copies have another value.
    varies: bool,
    /// True where the key asks for something else, or has values whose text is not plain.
    unfit: bool,
}

/// The spans of a scaled set, ready to be asked.
#[derive(Debug)]
pub struct Model {
    scale: Scale,
    names: Vec<String>,
    spans: Vec<Span>,
    traces: Vec<Trace>,
    pairs: Vec<Pair>,
    span_pairs: Vec<u32>,
}

/// Jaeger's word for an OTLP span kind.
fn kind_word(kind: i32) -> &'static str {
    match kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "",
    }
}

impl Model {
    /// The scaled set.
    pub fn scale(&self) -> &Scale {
        &self.scale
    }

    /// Traces of one copy.
    pub fn traces(&self) -> u32 {
        self.traces.len() as u32
    }

    /// A trace's id in a copy.
    pub fn trace_id(&self, copy: u32, trace: u32) -> [u8; 16] {
        self.scale.trace_id(copy, self.trace(trace).id)
    }

    /// Spans of a trace.
    pub fn trace_spans(&self, trace: u32) -> usize {
        self.trace(trace).spans.len()
    }

    /// The ids of a trace's spans in a copy, sorted.
    pub fn span_ids(&self, copy: u32, trace: u32) -> Vec<[u8; 8]> {
        let mut ids: Vec<_> =
            self.spans_of(trace).map(|span| self.scale.span_id(copy, span.id)).collect();
        ids.sort_unstable();
        ids
    }

    fn trace(&self, trace: u32) -> &Trace {
        &self.traces[trace as usize % self.traces.len()]
    }

    fn name(&self, name: u32) -> &str {
        self.names.get(name as usize).map_or("", String::as_str)
    }

    /// Names of services, sorted, without the empty one.
    pub fn services(&self) -> Vec<String> {
        let names: BTreeSet<u32> = self.spans.iter().map(|span| span.service).collect();
        let mut names: Vec<String> = names.iter().map(|&n| self.name(n).to_owned()).collect();
        names.retain(|name| !name.is_empty());
        names.sort_unstable();
        names
    }

    /// Operations of a service: (name, Jaeger's word for the kind).
    pub fn operations(&self, service: &str) -> BTreeSet<(String, String)> {
        let own = self.spans.iter().filter(|span| self.name(span.service) == service);
        own.map(|span| (self.name(span.name).to_owned(), kind_word(span.kind).to_owned())).collect()
    }

    /// The 99th percentile of a service's durations.
    pub fn duration_p99(&self, service: &str) -> u64 {
        let own = self.spans.iter().filter(|span| self.name(span.service) == service);
        let mut durations: Vec<u64> = own.map(|span| span.end.saturating_sub(span.start)).collect();
        durations.sort_unstable();
        durations.get(durations.len() * 99 / 100).copied().unwrap_or(0)
    }

    /// Calls between services, over all copies.
    pub fn dependencies(&self) -> BTreeMap<(String, String), u64> {
        let mut calls = calls::calls(self);
        calls.values_mut().for_each(|count| *count *= u64::from(self.scale.copies()));
        calls
    }

    /// The key and text of a wanted value.
    pub fn text(&self, wanted: Wanted) -> (String, String) {
        let Some(pair) = self.pairs.get(wanted.pair as usize) else { return Default::default() };
        let uuid = pair.value.as_bytes().first_chunk().filter(|_| pair.varies);
        let value = match (uuid, wanted.copy) {
            (Some(uuid), Some(copy)) => {
                String::from_utf8_lossy(&self.scale.uuid(copy, *uuid)).into_owned()
            }
            _ => pair.value.clone(),
        };
        (pair.key.clone(), value)
    }

    /// The service of one of the spans that have it.
    pub fn service_of(&self, wanted: Wanted) -> Option<String> {
        let has = |span: &&Span| {
            let pairs = self.span_pairs.get(span.pairs.clone()).unwrap_or_default();
            pairs.contains(&wanted.pair)
        };
        self.spans.iter().find(has).map(|span| self.name(span.service).to_owned())
    }

    /// Share of all spans that have it.
    pub fn share(&self, wanted: Wanted) -> f64 {
        let spans = self.pairs.get(wanted.pair as usize).map_or(0, |pair| pair.spans);
        let copies = wanted.copy.map_or(1.0, |_| 1.0 / f64::from(self.scale.copies()));
        f64::from(spans) / self.spans.len() as f64 * copies
    }

    /// The value whose share of spans is nearest to 5 %, among those no other copy re-draws.
    pub fn common(&self) -> Option<Wanted> {
        let target = self.spans.len() as i64 / 20;
        let fit = self.pairs.iter().enumerate().filter(|(_, pair)| !pair.varies && !pair.unfit);
        let nearest = fit.min_by_key(|(_, pair)| (i64::from(pair.spans) - target).abs());
        nearest.map(|(pair, _)| Wanted { pair: pair as u32, copy: None })
    }

    /// Values that hardly any span has: in each copy those UUIDs that stand on one span, or where
    /// there is none, the rarest values of the set.
    pub fn rare(&self) -> Vec<Wanted> {
        let fit = || self.pairs.iter().enumerate().filter(|(_, pair)| !pair.unfit);
        let is_uuid = |pair: &Pair| crate::sites::is_uuid(pair.value.as_bytes());
        let single = fit().filter(|(_, pair)| pair.varies && pair.spans == 1 && is_uuid(pair));
        let single: Vec<u32> = single.map(|(pair, _)| pair as u32).collect();
        let copies = self.scale.copies();
        if !single.is_empty() {
            // Every copy in turn, so that all segments are asked.
            let of = |(index, &pair): (usize, &u32)| Wanted {
                pair,
                copy: Some((index as u32).wrapping_mul(7) % copies),
            };
            return single.iter().enumerate().map(of).collect();
        }
        let mut rarest: Vec<(u32, usize)> =
            fit().filter(|(_, pair)| !pair.varies).map(|(at, pair)| (pair.spans, at)).collect();
        rarest.sort_unstable();
        let rarest = rarest.into_iter().take(500);
        rarest.map(|(_, pair)| Wanted { pair: pair as u32, copy: None }).collect()
    }

    /// What a person asks who has one span in mind: its service, name and duration, and one of
    /// its attributes. `seed` chooses.
    pub fn about(&self, seed: u64) -> Question {
        let Some(span) = self.spans.get(seed as usize % self.spans.len()) else {
            return Question::default();
        };
        let pairs = self.span_pairs.get(span.pairs.clone()).unwrap_or_default();
        let fit = |pair: &&u32| {
            self.pairs.get(**pair as usize).is_some_and(|pair| !pair.varies && !pair.unfit)
        };
        let pair = pairs.iter().filter(fit).nth(seed as usize / self.spans.len() % 3);
        Question {
            service: Some(self.name(span.service).to_owned()),
            operation: Some(self.name(span.name).to_owned()),
            attribute: pair.map(|&pair| Wanted { pair, copy: None }),
            duration_min: Some(span.end.saturating_sub(span.start) / 2),
            ..Question::default()
        }
    }
}
