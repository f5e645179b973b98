//! Repeats and copies (invariant 8). Two spans are the same if resource, scope, both schema URLs
//! and span are equal after decoding. Of equal spans the store keeps as many copies as any one
//! Export carried: a retry adds none, two copies in one Export stay two. Pure functions over
//! rows; used by reads over the head and by the seal, so that both tell the same truth.

use std::cmp::Ordering;

use crate::span::SpanRow;

/// Orders rows so that equal spans stand together; the order itself means nothing.
fn by_content(a: &SpanRow, b: &SpanRow) -> Ordering {
    (a.trace_id, a.span_id, a.start)
        .cmp(&(b.trace_id, b.span_id, b.start))
        .then_with(|| a.span.cmp(&b.span))
        .then_with(|| a.resource.bytes.cmp(&b.resource.bytes))
        .then_with(|| a.scope.bytes.cmp(&b.scope.bytes))
        .then_with(|| a.sequence.cmp(&b.sequence))
}

/// Drops repeats among rows of the head: of each set of equal spans the Export that carried the
/// most copies wins. Returns how many were dropped. Rows come back sorted by
/// (trace id, span id, start, content).
pub(crate) fn collapse(rows: &mut Vec<SpanRow>) -> u64 {
    rows.sort_by(by_content);
    let before = rows.len();
    let mut kept = Vec::with_capacity(before);
    for equal in rows.chunk_by(|a, b| a.same_span(b)) {
        let widest = equal.chunk_by(|a, b| a.sequence == b.sequence).max_by_key(|one| one.len());
        kept.extend_from_slice(widest.unwrap_or_default());
    }
    *rows = kept;
    (before - rows.len()) as u64
}

/// Takes from `rows` (collapsed) one copy for each equal row in `present`: what is left is what
/// the present ones lack. Returns how many were taken.
pub(crate) fn subtract(rows: &mut Vec<SpanRow>, present: &[SpanRow]) -> u64 {
    let mut taken = vec![false; rows.len()];
    for old in present {
        let key = (old.trace_id, old.span_id, old.start);
        let from = rows.partition_point(|r| (r.trace_id, r.span_id, r.start) < key);
        let candidates = rows.get(from..).unwrap_or_default().iter().zip(&mut taken[from..]);
        let equal = candidates
            .take_while(|(r, _)| (r.trace_id, r.span_id, r.start) == key)
            .find(|(r, taken)| !**taken && r.same_span(old));
        if let Some((_, taken)) = equal {
            *taken = true;
        }
    }
    let mut flags = taken.iter();
    rows.retain(|_| !flags.next().is_some_and(|&taken| taken));
    taken.iter().filter(|&&taken| taken).count() as u64
}
