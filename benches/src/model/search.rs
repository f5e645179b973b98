//! Searches: the newest N traces by (latest start of a matching span descending, trace id
//! ascending), all conditions on one span, all bounds inclusive.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{Model, Span, Wanted};

/// A search. What is `None` is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// The span's service.
    pub service: Option<String>,
    /// The span's name.
    pub operation: Option<String>,
    /// An attribute on any level.
    pub attribute: Option<Wanted>,
    /// Shortest duration, ns.
    pub duration_min: Option<u64>,
    /// Latest start, ns.
    pub start_max: Option<u64>,
    /// Most traces.
    pub limit: usize,
}

/// One trace of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Which copy.
    pub copy: u32,
    /// Which trace of the set.
    pub trace: u32,
    /// Its id in that copy.
    pub id: [u8; 16],
}

impl Model {
    /// The answer, newest first.
    pub fn newest(&self, question: &Question) -> Vec<Found> {
        let matching: Vec<&Span> =
            self.spans.iter().filter(|span| self.matches(span, question)).collect();
        let mut keys = Vec::new();
        for copy in self.copies(question) {
            let mut newest: HashMap<u32, u64> = HashMap::new();
            for span in &matching {
                let start = self.scale.time(copy, span.start);
                if question.start_max.is_none_or(|max| start <= max) {
                    let key = newest.entry(span.trace).or_default();
                    *key = start.max(*key);
                }
            }
            let of = |(trace, start)| (Reverse(start), self.trace_id(copy, trace), copy, trace);
            keys.extend(newest.into_iter().map(of));
            // A search for few out of many millions: what cannot be among them goes at once.
            keys.sort_unstable();
            keys.truncate(question.limit);
        }
        keys.into_iter().map(|(_, id, copy, trace)| Found { copy, trace, id }).collect()
    }

    fn copies(&self, question: &Question) -> std::ops::Range<u32> {
        match question.attribute.and_then(|wanted| wanted.copy) {
            Some(copy) => copy..copy + 1,
            None => 0..self.scale.copies(),
        }
    }

    fn matches(&self, span: &Span, question: &Question) -> bool {
        let is = |wanted: &Option<String>, name: u32| {
            wanted.as_deref().is_none_or(|wanted| self.name(name) == wanted)
        };
        let has = |wanted: Wanted| {
            let pairs = self.span_pairs.get(span.pairs.clone()).unwrap_or_default();
            pairs.contains(&wanted.pair)
        };
        is(&question.service, span.service)
            && is(&question.operation, span.name)
            && question.duration_min.is_none_or(|min| span.end.saturating_sub(span.start) >= min)
            && question.attribute.is_none_or(has)
    }
}
