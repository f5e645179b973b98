//! Rows back into OTLP: the canonical bytes of spans, framed by their resource and scope as a
//! `TracesData` message. No span is decoded. Spans of equal resource and scope share one
//! `ScopeSpans`, in the order given; that costs no truth, since OTLP promises no order across
//! groups.

use bytes::Bytes;

use super::wire::{put_tag, put_varint, varint_len};
use crate::span::SpanRow;

/// What one span adds to a chunk beside its own bytes, at most: tags and lengths.
const FRAME_BYTES: usize = 16;

/// Bytes a row adds to a chunk that already has its resource and scope.
pub(crate) fn cost(row: &SpanRow) -> usize {
    row.span.len() + FRAME_BYTES
}

struct Group<'a> {
    resource: &'a [u8],
    scopes: Vec<(&'a [u8], Vec<&'a [u8]>)>,
}

/// A length-delimited field of `length` bytes, tag and length included; all our tags take one
/// byte.
fn framed(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

fn scope_len((context, spans): &(&[u8], Vec<&[u8]>)) -> usize {
    context.len() + spans.iter().map(|s| framed(s.len())).sum::<usize>()
}

/// One `TracesData` of these rows.
pub(crate) fn traces_data(rows: &[SpanRow]) -> Bytes {
    let groups = group(rows);
    let resource_len = |g: &Group<'_>| {
        g.resource.len() + g.scopes.iter().map(|s| framed(scope_len(s))).sum::<usize>()
    };
    let mut out = Vec::with_capacity(groups.iter().map(|g| framed(resource_len(g))).sum());
    for group in &groups {
        put_tag(&mut out, 1, 2);
        put_varint(&mut out, resource_len(group) as u64);
        out.extend_from_slice(group.resource);
        for scope in &group.scopes {
            put_tag(&mut out, 2, 2);
            put_varint(&mut out, scope_len(scope) as u64);
            out.extend_from_slice(scope.0);
            for span in &scope.1 {
                super::wire::put_bytes(&mut out, 2, span);
            }
        }
    }
    Bytes::from(out)
}

fn group(rows: &[SpanRow]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut by_resource = std::collections::HashMap::new();
    for row in rows {
        let resource: &[u8] = &row.resource.bytes;
        let index = *by_resource.entry(resource).or_insert_with(|| {
            groups.push(Group { resource, scopes: Vec::new() });
            groups.len() - 1
        });
        let Some(group) = groups.get_mut(index) else { continue };
        let scope: &[u8] = &row.scope.bytes;
        match group.scopes.iter_mut().find(|(context, _)| *context == scope) {
            Some((_, spans)) => spans.push(&row.span),
            None => group.scopes.push((scope, vec![&row.span])),
        }
    }
    groups
}
