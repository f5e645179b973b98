//! What the oracle holds: decoded spans with their copies. Raw Exports flow in through
//! [`Model::export`]; sets of [`Placed`] spans flow out. The rules here are two: which spans are
//! refused (their batch stays) and how many copies of equal spans count (invariant 8).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::wire::{Item, Malformed, Node, TRACES, decode};

/// A span in its place: with its `ResourceSpans` and `ScopeSpans`, each without its children.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Placed {
    /// The span.
    pub span: Node,
    /// `ResourceSpans` without `scope_spans`.
    pub resource: Arc<Node>,
    /// `ScopeSpans` without `spans`.
    pub scope: Arc<Node>,
}

/// Spans and how often each stands there.
pub type Multiset = BTreeMap<Placed, u64>;

/// What the engine should answer to an Export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Spans taken.
    pub accepted: u64,
    /// Spans refused.
    pub rejected: u64,
}

/// The spans a store should hold.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// By trace id.
    pub traces: BTreeMap<[u8; 16], Multiset>,
}

impl Placed {
    /// Its trace; spans in a model always have one.
    pub fn trace_id(&self) -> [u8; 16] {
        self.span.bytes(1).try_into().expect("an accepted span has a trace id of 16 bytes")
    }

    /// Its id.
    pub fn span_id(&self) -> &[u8] {
        self.span.bytes(2)
    }

    /// Its parent; eight zeros count as none.
    pub fn parent(&self) -> Option<&[u8]> {
        Some(self.span.bytes(4)).filter(|id| !id.is_empty() && *id != [0; 8])
    }

    /// Its name as text.
    pub fn name(&self) -> String {
        self.span.text(5)
    }

    /// Its kind as sent.
    pub fn kind(&self) -> i32 {
        self.span.number(6) as u32 as i32
    }

    /// Its start.
    pub fn start(&self) -> u64 {
        self.span.number(7)
    }

    /// Its end.
    pub fn end(&self) -> u64 {
        self.span.number(8)
    }

    /// Its duration; 0 where it ends before it starts.
    pub fn duration(&self) -> u64 {
        self.end().saturating_sub(self.start())
    }

    /// Its status code as sent.
    pub fn status(&self) -> i32 {
        self.span.node(15).map_or(0, |s| s.number(3) as u32 as i32)
    }

    /// The resource's attributes.
    pub fn resource_attributes(&self) -> impl Iterator<Item = &Node> {
        self.resource.node(1).into_iter().flat_map(|r| r.nodes(1))
    }

    /// `service.name` where it is a string, else `""`. Of repeated keys the first counts, as in
    /// Go's `pcommon.Map.Get`.
    pub fn service(&self) -> String {
        let first = self.resource_attributes().find(|a| a.bytes(1) == b"service.name");
        first.and_then(|a| a.node(2)).map_or(String::new(), |value| value.text(1))
    }
}

/// The spans of a `TracesData` message, in order.
///
/// # Errors
/// Where the bytes are no such message.
pub fn placed(bytes: &[u8]) -> Result<Vec<Placed>, Malformed> {
    let mut tree = decode(bytes, &TRACES)?;
    let mut out = Vec::new();
    for mut resource in take_nodes(&mut tree, 1) {
        let scopes = take_nodes(&mut resource, 2);
        let resource = Arc::new(resource);
        for mut scope in scopes {
            let spans = take_nodes(&mut scope, 2);
            let scope = Arc::new(scope);
            out.extend(spans.into_iter().map(|span| Placed {
                span,
                resource: resource.clone(),
                scope: scope.clone(),
            }));
        }
    }
    Ok(out)
}

/// The messages of a field, taken out of their parent.
fn take_nodes(parent: &mut Node, field: u32) -> Vec<Node> {
    let items = parent.fields.remove(&field).unwrap_or_default();
    let node = |item| match item {
        Item::Node(node) => Some(node),
        _ => None,
    };
    items.into_iter().filter_map(node).collect()
}

/// Counts copies.
pub fn multiset(spans: impl IntoIterator<Item = Placed>) -> Multiset {
    let mut set = Multiset::new();
    for span in spans {
        *set.entry(span).or_default() += 1;
    }
    set
}

/// True for a span that a store takes.
pub fn acceptable(span: &Node) -> bool {
    let id = |bytes: &[u8], length: usize| bytes.len() == length && bytes.iter().any(|b| *b != 0);
    let optional = |bytes: &[u8], length: usize| bytes.is_empty() || bytes.len() == length;
    id(span.bytes(1), 16)
        && id(span.bytes(2), 8)
        && optional(span.bytes(4), 8)
        && span.nodes(13).all(|link| optional(link.bytes(1), 16) && optional(link.bytes(2), 8))
}

impl Model {
    /// Takes an Export as a store must.
    ///
    /// # Errors
    /// For undecodable bytes, which a store refuses as a whole.
    pub fn export(&mut self, bytes: &[u8]) -> Result<Outcome, Malformed> {
        let (good, bad): (Vec<_>, Vec<_>) =
            placed(bytes)?.into_iter().partition(|p| acceptable(&p.span));
        let outcome = Outcome { accepted: good.len() as u64, rejected: bad.len() as u64 };
        self.take(&multiset(good));
        Ok(outcome)
    }

    /// Takes the accepted spans of one Export: of equal spans the most copies of any one count.
    pub fn take(&mut self, spans: &Multiset) {
        for (span, copies) in spans {
            let held = self.traces.entry(span.trace_id()).or_default();
            let held = held.entry(span.clone()).or_default();
            *held = (*held).max(*copies);
        }
    }

    /// Every span, copies repeated.
    pub fn spans(&self) -> impl Iterator<Item = &Placed> {
        self.traces.values().flat_map(copies)
    }

    /// Forgets everything.
    pub fn purge(&mut self) {
        self.traces.clear();
    }
}

/// The spans of a set, copies repeated.
pub fn copies(set: &Multiset) -> impl Iterator<Item = &Placed> {
    set.iter().flat_map(|(span, n)| std::iter::repeat_n(span, *n as usize))
}
