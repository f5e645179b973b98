//! Who calls whom, in one copy (shared/data's rule): cross-service calls, one per child span. The
//! caller of a span is the CLIENT span that shares its id when the span itself is SERVER, else
//! the span its parent id names; where that is shared, the one in the span's own service, else
//! the SERVER side, else the least by (start, span bytes). An orphan draws no edge.

use std::collections::{BTreeMap, HashMap};

use super::{Model, Span};

const SERVER: i32 = 2;
const CLIENT: i32 = 3;

pub(super) fn calls(model: &Model) -> BTreeMap<(String, String), u64> {
    let mut calls = BTreeMap::new();
    for trace in &model.traces {
        let spans: Vec<&Span> =
            trace.spans.iter().filter_map(|&span| model.spans.get(span as usize)).collect();
        let mut by_id: HashMap<[u8; 8], Vec<&Span>> = HashMap::new();
        spans.iter().for_each(|span| by_id.entry(span.id).or_default().push(span));
        for child in spans {
            let Some(caller) = caller(child, &by_id) else { continue };
            if caller.service != child.service {
                let edge = (model.name(caller.service).into(), model.name(child.service).into());
                *calls.entry(edge).or_default() += 1;
            }
        }
    }
    calls
}

fn caller<'a>(child: &Span, by_id: &HashMap<[u8; 8], Vec<&'a Span>>) -> Option<&'a Span> {
    if child.kind == SERVER {
        let twins = by_id.get(&child.id).into_iter().flatten().copied();
        let client = least(twins.filter(|span| span.kind == CLIENT));
        if client.is_some() {
            return client;
        }
    }
    let named = by_id.get(&child.parent?)?;
    let named = || named.iter().copied();
    least(named().filter(|span| span.service == child.service))
        .or_else(|| least(named().filter(|span| span.kind == SERVER)))
        .or_else(|| least(named()))
}

fn least<'a>(spans: impl Iterator<Item = &'a Span>) -> Option<&'a Span> {
    // The rule's last resort, the span's bytes, decides in none of the sets.
    spans.min_by_key(|span| span.start)
}
