//! Repeats and copies (invariant 8). Two spans are the same if resource, scope, both schema URLs
//! and span are equal after decoding. Of equal spans the store keeps as many copies as any one
//! Export carried: a retry adds none, two copies in one Export stay two. Pure functions over rows
//! that agree in trace id, span id and start; used by reads over the head and by the seal, so
//! that both tell the same truth.

use std::collections::HashMap;

use crate::batch::Batch;

/// A row of a full batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) row: usize,
}

impl At<'_> {
    fn sequence(&self) -> u64 {
        self.batch.sequence.get(self.row).copied().unwrap_or_default()
    }

    fn same(&self, other: &At<'_>) -> bool {
        self.batch.same_span(self.row, other.batch, other.row)
    }

    /// Bytes that are equal for the same spans only; their order means nothing.
    fn content(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.batch.write_span(self.row, &mut out);
        let span = out.len() as u64;
        out.extend(self.batch.resource(self.row).into_iter().flat_map(|r| r.bytes.iter()));
        let resource = out.len() as u64;
        out.extend(self.batch.scope(self.row).into_iter().flat_map(|s| s.bytes.iter()));
        out.extend(span.to_le_bytes());
        out.extend(resource.to_le_bytes());
        out
    }
}

/// Drops repeats among rows of the head that agree in trace id, span id and start: of each set of
/// equal spans the Export that carried the most copies wins. Returns how many were dropped.
pub(crate) fn collapse(rows: &mut Vec<At<'_>>) -> u64 {
    if let [a, b] = rows.as_slice() {
        // By far the commonest case: one retry.
        if !a.same(b) || a.sequence() == b.sequence() {
            return 0;
        }
        rows.truncate(1);
        return 1;
    }
    if rows.len() < 2 {
        return 0;
    }
    let before = rows.len();
    let mut all: Vec<_> = rows.iter().map(|at| (at.content(), at.sequence(), *at)).collect();
    all.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    rows.clear();
    for equal in all.chunk_by(|a, b| a.0 == b.0) {
        let widest = equal.chunk_by(|a, b| a.1 == b.1).max_by_key(|one| one.len());
        rows.extend(widest.unwrap_or_default().iter().map(|(.., at)| *at));
    }
    (before - rows.len()) as u64
}

/// Takes from `rows` (collapsed) one copy for each equal row in `present`, which agree with them
/// in trace id, span id and start: what is left is what the present ones lack. Returns how many
/// were taken.
pub(crate) fn subtract<'a>(
    rows: &mut Vec<At<'_>>,
    present: impl IntoIterator<Item = At<'a>>,
) -> u64 {
    let mut present = present.into_iter();
    if let [alone] = rows.as_slice() {
        let repeated = present.any(|old| alone.same(&old));
        rows.truncate(usize::from(!repeated));
        return u64::from(repeated);
    }
    let mut stored: HashMap<Vec<u8>, usize> = HashMap::new();
    present.for_each(|old| *stored.entry(old.content()).or_default() += 1);
    let before = rows.len();
    rows.retain(|at| match stored.get_mut(&at.content()) {
        Some(copies) if *copies > 0 => {
            *copies -= 1;
            false
        }
        _ => true,
    });
    (before - rows.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Fixed, Level, Value};
    use crate::span::{ResourceContext, ScopeContext, SpanId, TraceId};
    use std::sync::Arc;

    /// Spans of one id, each with a content and the Export that carried it.
    fn batch(spans: &[(u8, u64)]) -> Batch {
        let mut batch = Batch::default();
        let resource = Arc::new(ResourceContext { bytes: "r".into(), service: "s".into() });
        let resource = batch.add_resource(&resource);
        let scope = batch.add_scope(&Arc::new(ScopeContext { bytes: "s".into() }));
        for &(content, sequence) in spans {
            batch.push_attribute(Level::Span, b"k", Value::Int(content.into()));
            let fixed = Fixed {
                trace_id: TraceId([1; 16]),
                span_id: SpanId([2; 8]),
                parent: SpanId::default(),
                start: 1,
                end: 2,
                kind: 0,
                status: 0,
                name: b"n",
                resource,
                scope,
                sequence,
            };
            batch.close_row(&fixed, None);
        }
        batch
    }

    fn contents(rows: &[At<'_>]) -> Vec<u64> {
        let mut all: Vec<u64> =
            rows.iter().filter_map(|at| at.batch.cells(at.row).next()).map(|(_, v)| v).collect();
        all.sort_unstable();
        all
    }

    fn all(batch: &Batch) -> Vec<At<'_>> {
        (0..batch.rows()).map(|row| At { batch, row }).collect()
    }

    #[test]
    fn the_widest_export_wins() {
        for (spans, kept) in [
            (&[(1, 1), (1, 2)][..], &[1][..]),
            (&[(1, 1), (1, 1)], &[1, 1]),
            (&[(1, 1), (2, 2)], &[1, 2]),
            (&[(1, 1), (1, 2), (1, 2)], &[1, 1]),
            (&[(1, 1), (2, 1), (1, 2), (2, 2), (2, 2)], &[1, 2, 2]),
        ] {
            let batch = batch(spans);
            let mut rows = all(&batch);
            let dropped = collapse(&mut rows);
            assert_eq!(contents(&rows), kept);
            assert_eq!(dropped as usize, spans.len() - kept.len());
        }
    }

    #[test]
    fn what_is_present_is_taken_once_each() {
        let (new, old) = (batch(&[(1, 5), (1, 5), (2, 5)]), batch(&[(1, 0), (3, 0), (2, 0)]));
        let mut rows = all(&new);
        assert_eq!(subtract(&mut rows, all(&old)), 2);
        assert_eq!(contents(&rows), [1]);
    }
}
