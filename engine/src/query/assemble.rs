//! Rows back into OTLP: the canonical bytes of spans, framed by their resource and scope as a
//! `TracesData` message. Spans of equal resource and scope share one `ScopeSpans`, in the order
//! given; that costs no truth, since OTLP promises no order across groups.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::Batch;
use crate::otlp::wire::{put_bytes, put_tag, put_varint, varint_len};
use crate::span::{ResourceContext, ScopeContext};

/// What one span adds to a message beside its own bytes, at most: tags and lengths.
const FRAME_BYTES: usize = 16;

/// A `TracesData` message in the making.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    /// Span messages, one behind the other.
    bytes: Vec<u8>,
    spans: usize,
    /// What the message comes to, about.
    cost: usize,
    groups: Vec<Group>,
    by_resource: HashMap<Bytes, usize>,
    /// The resource and scope of the row before, and where its span went.
    last: Option<(Contexts, usize, usize)>,
}

/// Kept, not only pointed at: an address is no name once its owner is gone.
type Contexts = (Option<Arc<ResourceContext>>, Option<Arc<ScopeContext>>);

fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

#[derive(Debug)]
struct Group {
    resource: Bytes,
    scopes: Vec<(Bytes, Vec<Range<usize>>)>,
    by_scope: HashMap<Bytes, usize>,
}

/// A length-delimited field of `length` bytes, tag and length included; all our tags take one
/// byte.
fn framed(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

fn scope_len((context, spans): &(Bytes, Vec<Range<usize>>)) -> usize {
    context.len() + spans.iter().map(|span| framed(span.len())).sum::<usize>()
}

fn resource_len(group: &Group) -> usize {
    group.resource.len() + group.scopes.iter().map(|s| framed(scope_len(s))).sum::<usize>()
}

impl Assembly {
    pub(crate) fn spans(&self) -> usize {
        self.spans
    }

    /// Adds a row, unless the message would grow beyond `budget` by it; the first one always.
    pub(crate) fn add(&mut self, batch: &Batch, row: usize, budget: usize) -> bool {
        let from = self.bytes.len();
        batch.write_span(row, &mut self.bytes);
        let span = from..self.bytes.len();
        let (group, scope, frame) = self.place(batch, row);
        let cost = span.len() + FRAME_BYTES + frame;
        if self.spans > 0 && self.cost + cost > budget {
            self.bytes.truncate(from);
            return false;
        }
        self.cost += cost;
        self.spans += 1;
        if let Some((_, spans)) = self.groups.get_mut(group).and_then(|g| g.scopes.get_mut(scope)) {
            spans.push(span);
        }
        true
    }

    /// Where the row's span goes, and the bytes of contexts that are new for it.
    fn place(&mut self, batch: &Batch, row: usize) -> (usize, usize, usize) {
        let (resource, scope) = (batch.resource(row), batch.scope(row));
        if let Some(((last_resource, last_scope), group, place)) = &self.last
            && same(last_resource.as_ref(), resource)
            && same(last_scope.as_ref(), scope)
        {
            return (*group, *place, 0);
        }
        let contexts = (resource.cloned(), scope.cloned());
        let resource = resource.map(|r| r.bytes.clone()).unwrap_or_default();
        let scope = scope.map(|s| s.bytes.clone()).unwrap_or_default();
        let mut frame = 0;
        let next = self.groups.len();
        let number = *self.by_resource.entry(resource.clone()).or_insert(next);
        if number == next {
            frame += resource.len() + FRAME_BYTES;
            let (scopes, by_scope) = (Vec::new(), HashMap::new());
            self.groups.push(Group { resource, scopes, by_scope });
        }
        let Some(group) = self.groups.get_mut(number) else { return (number, 0, frame) };
        let next = group.scopes.len();
        let place = *group.by_scope.entry(scope.clone()).or_insert(next);
        if place == next {
            frame += scope.len() + FRAME_BYTES;
            group.scopes.push((scope, Vec::new()));
        }
        self.last = Some((contexts, number, place));
        (number, place, frame)
    }

    /// The message; groups that no span came to are left out.
    pub(crate) fn into_message(mut self) -> Bytes {
        for group in &mut self.groups {
            group.scopes.retain(|(_, spans)| !spans.is_empty());
        }
        self.groups.retain(|group| !group.scopes.is_empty());
        let length = self.groups.iter().map(|group| framed(resource_len(group))).sum();
        let mut out = Vec::with_capacity(length);
        for group in &self.groups {
            put_tag(&mut out, 1, 2);
            put_varint(&mut out, resource_len(group) as u64);
            out.extend_from_slice(&group.resource);
            for scope in &group.scopes {
                put_tag(&mut out, 2, 2);
                put_varint(&mut out, scope_len(scope) as u64);
                out.extend_from_slice(&scope.0);
                for span in &scope.1 {
                    put_bytes(&mut out, 2, self.bytes.get(span.clone()).unwrap_or_default());
                }
            }
        }
        Bytes::from(out)
    }
}
