//! A trace's spans in drawing order: parents before children, siblings by start.
//!
//! Spans flow in, rows flow out, each with its depth and the guides to draw. Whatever clients
//! send terminates and appears exactly once: missing parents, equal ids, spans that are their own
//! ancestor, chains of any depth (no recursion here).

use std::collections::HashMap;

use super::model::{Span, Trace};

/// Guides kept and drawn; deeper rows name their depth instead.
pub(crate) const GUIDES_MAX: usize = 12;

/// Why a span stands where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Under its parent, or a root.
    Proper,
    /// Its parent is not in the trace.
    Orphan,
    /// It is its own ancestor; the drawing breaks the circle here.
    Circle,
}

/// One line of the drawing.
#[derive(Debug)]
pub(crate) struct Row {
    /// Index into the trace's spans.
    pub(crate) span: usize,
    pub(crate) depth: usize,
    /// For the nearest ancestors and the row itself, outermost first: does a sibling follow?
    pub(crate) guides: Vec<bool>,
    pub(crate) place: Place,
    pub(crate) has_children: bool,
}

/// The first `limit` rows.
pub(crate) fn rows(trace: &Trace, limit: usize) -> Vec<Row> {
    let family = Family::of(&trace.spans);
    let mut walk =
        Walk { family: &family, drawn: vec![false; trace.spans.len()], rows: Vec::new(), limit };
    for (index, place) in &family.tops {
        walk.from(*index, *place);
    }
    // What no top leads to hangs on circles.
    for index in by_start(&trace.spans) {
        if walk.full() {
            break;
        }
        if !walk.drawn[index] {
            walk.from(family.on_circle(index), Place::Circle);
        }
    }
    walk.rows
}

fn by_start(spans: &[Span]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|i| (spans[*i].start, *i));
    order
}

struct Family {
    /// Position of each span's parent.
    parent: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
    /// Roots and orphans by start.
    tops: Vec<(usize, Place)>,
}

impl Family {
    fn of(spans: &[Span]) -> Self {
        let mut position = HashMap::with_capacity(spans.len());
        for (index, span) in spans.iter().enumerate() {
            position.entry(span.id.as_ref()).or_insert(index);
        }
        let mut family = Self {
            parent: vec![None; spans.len()],
            children: vec![Vec::new(); spans.len()],
            tops: Vec::new(),
        };
        for index in by_start(spans) {
            let parent = spans[index].parent.as_ref();
            match position.get(parent) {
                _ if parent.is_empty() => family.tops.push((index, Place::Proper)),
                None => family.tops.push((index, Place::Orphan)),
                Some(parent) => {
                    family.parent[index] = Some(*parent);
                    family.children[*parent].push(index);
                }
            }
        }
        family
    }

    /// The span on the circle that `index` hangs on, up its line of parents.
    fn on_circle(&self, index: usize) -> usize {
        let mut seen = std::collections::HashSet::new();
        let mut at = index;
        while seen.insert(at) {
            at = self.parent[at].unwrap_or(at);
        }
        at
    }
}

struct Walk<'a> {
    family: &'a Family,
    drawn: Vec<bool>,
    rows: Vec<Row>,
    limit: usize,
}

impl Walk<'_> {
    fn full(&self) -> bool {
        self.rows.len() >= self.limit
    }

    fn from(&mut self, top: usize, place: Place) {
        let mut stack = vec![(top, 0, true, place)];
        let mut guides: Vec<bool> = Vec::new();
        while let Some((span, depth, last, place)) = stack.pop() {
            if self.full() {
                return;
            }
            if std::mem::replace(&mut self.drawn[span], true) {
                continue;
            }
            guides.truncate(depth);
            guides.push(!last);
            let children = &self.family.children[span];
            let nearest = guides.len().saturating_sub(GUIDES_MAX);
            self.rows.push(Row {
                span,
                depth,
                guides: guides[nearest..].to_vec(),
                place,
                has_children: children.iter().any(|c| !self.drawn[*c]),
            });
            let rank = children.iter().enumerate().rev();
            stack
                .extend(rank.map(|(i, c)| (*c, depth + 1, i + 1 == children.len(), Place::Proper)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{of_service, shop_trace, span, trace};
    use super::*;

    fn shape(trace: &Trace, limit: usize) -> Vec<(u8, usize, Place)> {
        rows(trace, limit).iter().map(|r| (trace.spans[r.span].id[7], r.depth, r.place)).collect()
    }

    #[test]
    fn parents_come_first_and_siblings_by_start() {
        use Place::{Orphan, Proper};
        let expected = [
            (1, 0, Proper),
            (2, 1, Proper),
            (3, 2, Proper),
            (4, 1, Proper),
            (5, 2, Proper),
            (6, 0, Orphan),
        ];
        assert_eq!(shape(&shop_trace(), usize::MAX), expected);
        assert_eq!(shape(&shop_trace(), 2), expected[..2]);
    }

    #[test]
    fn circles_end_and_every_span_appears_once() {
        use Place::{Circle, Proper};
        let own_parent = span(1, 1, "self", 1, 5, 1);
        let (a, b) = (span(2, 3, "a", 1, 1, 1), span(3, 2, "b", 1, 2, 1));
        let hanging = span(4, 2, "c", 1, 0, 1);
        let trace = trace(vec![of_service("x", vec![own_parent, a, b, hanging])]);
        assert_eq!(
            shape(&trace, usize::MAX),
            [(2, 0, Circle), (4, 1, Proper), (3, 1, Proper), (1, 0, Circle)]
        );
    }

    #[test]
    fn equal_ids_all_appear() {
        let twins =
            vec![span(1, 0, "r", 1, 0, 9), span(2, 1, "x", 1, 1, 1), span(2, 1, "y", 1, 2, 1)];
        let trace = trace(vec![of_service("x", twins)]);
        assert_eq!(rows(&trace, usize::MAX).len(), 3);
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_spans_is_no_recursion() {
        let chain = (1..=100_000).map(|i| span(i, i - 1, "link", 1, i, 1)).collect();
        let trace = trace(vec![of_service("x", chain)]);
        let rows = rows(&trace, usize::MAX);
        assert_eq!(rows.len(), 100_000);
        assert_eq!(rows[99_999].depth, 99_999);
        assert!(rows.iter().all(|r| r.guides.len() <= GUIDES_MAX));
    }
}
