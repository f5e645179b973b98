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
    /// Earliest start, ns.
    pub start_min: Option<u64>,
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
        let Some(wanted) = self.resolve(question) else { return Vec::new() };
        let matching: Vec<&Span> =
            self.spans.iter().filter(|span| self.matches(span, question, wanted)).collect();
        let latest = matching.iter().map(|span| span.start).max().unwrap_or(0);
        let mut keys: Vec<(Reverse<u64>, [u8; 16], u32, u32)> = Vec::new();
        // Copies are asked newest first: many millions of spans have few that matter.
        for copy in self.copies(question).rev() {
            let newest_here = self.scale.time(copy, latest);
            let last = question.limit.checked_sub(1).and_then(|last| keys.get(last));
            let is_settled = last.is_some_and(|(Reverse(start), ..)| *start > newest_here);
            if is_settled || question.start_min.is_some_and(|min| newest_here < min) {
                break;
            }
            let mut newest: HashMap<u32, u64> = HashMap::new();
            for span in &matching {
                let start = self.scale.time(copy, span.start);
                if question.start_min.is_none_or(|min| start >= min)
                    && question.start_max.is_none_or(|max| start <= max)
                {
                    let key = newest.entry(span.trace).or_default();
                    *key = start.max(*key);
                }
            }
            let of = |(trace, start)| (Reverse(start), self.trace_id(copy, trace), copy, trace);
            keys.extend(newest.into_iter().map(of));
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

    /// The numbers of a question's names; `None` where no span can have one of them.
    fn resolve(&self, question: &Question) -> Option<Names> {
        let number = |name: &Option<String>| match name {
            None => Some(None),
            Some(name) => {
                self.names.iter().position(|known| known == name).map(|at| Some(at as u32))
            }
        };
        Some(Names { service: number(&question.service)?, operation: number(&question.operation)? })
    }

    fn matches(&self, span: &Span, question: &Question, names: Names) -> bool {
        let has = |wanted: Wanted| {
            let pairs = self.span_pairs.get(span.pairs.clone()).unwrap_or_default();
            pairs.contains(&wanted.pair)
        };
        names.service.is_none_or(|service| span.service == service)
            && names.operation.is_none_or(|operation| span.name == operation)
            && question.duration_min.is_none_or(|min| span.end.saturating_sub(span.start) >= min)
            && question.attribute.is_none_or(has)
    }
}

/// A question's names, as numbers.
#[derive(Clone, Copy)]
struct Names {
    service: Option<u32>,
    operation: Option<u32>,
}
