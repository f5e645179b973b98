//! Whole traces and their summaries. A trace's contents are compared as a multiset of hashes of
//! (resource, scope, both schema URLs, span), each in prost's encoding: every byte that OTLP
//! carries counts, the grouping does not.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use spanlake_proto::otlp::trace::{ResourceSpans, ScopeSpans, TracesData};
use twox_hash::XxHash3_64;

use super::{Model, Span};
use crate::Result;

/// How often each span content occurs.
pub type Contents = BTreeMap<u64, u32>;

/// What a summary must say. `roots` are the (service, operation) pairs that may be named: more
/// than one where several spans without parent start first together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Root service and operation.
    pub roots: BTreeSet<(String, String)>,
    /// Earliest start.
    pub min_start: u64,
    /// Latest end.
    pub max_end: u64,
    /// Spans.
    pub spans: u64,
    /// Spans with status ERROR.
    pub errors: u64,
    /// Spans whose parent is not there.
    pub orphans: u64,
    /// (service, spans, errors), sorted.
    pub services: Vec<(String, u64, u64)>,
}

impl Model {
    /// What a trace of a copy must hold.
    ///
    /// # Errors
    /// The set does not decode.
    pub fn contents(&self, copy: u32, trace: u32) -> Result<Contents> {
        let units: BTreeSet<u32> = self.spans_of(trace).map(|span| span.unit).collect();
        let mut bytes = Vec::new();
        for unit in units {
            self.scale().write(copy, unit as usize, &mut bytes);
        }
        let id = self.trace_id(copy, trace);
        // The wire of a request is that of TracesData.
        Ok(contents_where(&TracesData::decode(bytes.as_slice())?, |span_trace| span_trace == id))
    }

    /// What a trace's summary must say.
    pub fn summary(&self, copy: u32, trace: u32) -> Summary {
        let spans = || self.spans_of(trace);
        let time = |time| self.scale().time(copy, time);
        let ids: BTreeSet<[u8; 8]> = spans().map(|span| span.id).collect();
        let parentless = || spans().filter(|span| span.parent.is_none());
        let first = parentless().map(|span| span.start).min();
        let mut roots: BTreeSet<_> = parentless()
            .filter(|span| Some(span.start) == first)
            .map(|span| (self.name(span.service).to_owned(), self.name(span.name).to_owned()))
            .collect();
        if roots.is_empty() {
            roots.insert(Default::default());
        }
        let mut services: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for span in spans() {
            let (count, errors) = services.entry(self.name(span.service)).or_default();
            *count += 1;
            *errors += u64::from(span.error);
        }
        let is_orphan =
            |span: &&Span| span.parent.as_ref().is_some_and(|parent| !ids.contains(parent));
        let services = services.into_iter().map(|(name, (n, errors))| (name.to_owned(), n, errors));
        Summary {
            roots,
            min_start: spans().map(|span| time(span.start)).min().unwrap_or(0),
            max_end: spans().map(|span| time(span.end)).max().unwrap_or(0),
            spans: spans().count() as u64,
            errors: spans().filter(|span| span.error).count() as u64,
            orphans: spans().filter(is_orphan).count() as u64,
            services: services.collect(),
        }
    }

    pub(super) fn spans_of(&self, trace: u32) -> impl Iterator<Item = &Span> {
        let numbers = self.trace(trace).spans.iter();
        numbers.filter_map(|&span| self.spans.get(span as usize))
    }
}

/// What an answer holds of a trace.
pub fn contents_of(answer: &TracesData, trace_id: &[u8]) -> Contents {
    contents_where(answer, |span_trace| span_trace == trace_id)
}

fn contents_where(data: &TracesData, wanted: impl Fn(&[u8]) -> bool) -> Contents {
    let mut contents = Contents::new();
    for resource_spans in &data.resource_spans {
        let resource = ResourceSpans {
            resource: resource_spans.resource.clone(),
            schema_url: resource_spans.schema_url.clone(),
            ..ResourceSpans::default()
        };
        let resource = resource.encode_to_vec();
        for scope_spans in &resource_spans.scope_spans {
            let scope = ScopeSpans {
                scope: scope_spans.scope.clone(),
                schema_url: scope_spans.schema_url.clone(),
                ..ScopeSpans::default()
            };
            let scope = scope.encode_to_vec();
            for span in scope_spans.spans.iter().filter(|span| wanted(&span.trace_id)) {
                let whole = [resource.as_slice(), &scope, &span.encode_to_vec()].concat();
                *contents.entry(XxHash3_64::oneshot(&whole)).or_default() += 1;
            }
        }
    }
    contents
}
