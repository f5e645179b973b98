//! A trace as a person looks at it: spans with their service, no wire format left.
//!
//! Pieces of `TracesData` flow in through [`TraceBuilder`], a [`Trace`] flows out that the
//! renderers read. Text is still as the client sent it; only invalid UTF-8 is replaced. Nothing
//! here draws, and nothing here asks a server.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use prost::Message;
use prost::bytes::Bytes;
use spanlake::{SpanKind, TraceId};

use super::otlp;

/// OTLP `STATUS_CODE_OK` and `STATUS_CODE_ERROR`.
const STATUS_OK: i32 = 1;
const STATUS_ERROR: i32 = 2;

/// One whole trace, spans in the order they arrived.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Its id.
    pub id: TraceId,
    pub(crate) spans: Vec<Span>,
}

/// One span with what stands around it.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// Usually 8 bytes.
    pub(crate) id: Bytes,
    /// Empty for a span without parent.
    pub(crate) parent: Bytes,
    pub(crate) resource: Arc<Resource>,
    pub(crate) scope: Arc<Scope>,
    pub(crate) name: Bytes,
    pub(crate) kind: SpanKind,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) status: i32,
    pub(crate) status_message: Bytes,
    pub(crate) trace_state: Bytes,
    pub(crate) flags: u32,
    pub(crate) attributes: Vec<otlp::KeyValue>,
    pub(crate) events: Vec<otlp::Event>,
    pub(crate) links: Vec<otlp::Link>,
    pub(crate) dropped: Dropped,
}

/// What the SDK cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) attributes: u32,
    pub(crate) events: u32,
    pub(crate) links: u32,
}

#[derive(Debug)]
pub(crate) struct Resource {
    /// `service.name` where it is a string, else empty.
    pub(crate) service: String,
    pub(crate) attributes: Vec<otlp::KeyValue>,
    pub(crate) schema_url: Bytes,
}

#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) name: Bytes,
    pub(crate) version: Bytes,
    pub(crate) attributes: Vec<otlp::KeyValue>,
    pub(crate) schema_url: Bytes,
}

impl Span {
    /// `end - start`, 0 where the clock ran backwards.
    pub(crate) fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub(crate) fn is_error(&self) -> bool {
        self.status == STATUS_ERROR
    }

    /// `unset`, `ok` or `error`.
    pub(crate) fn status_word(&self) -> &'static str {
        match self.status {
            STATUS_OK => "ok",
            STATUS_ERROR => "error",
            _ => "unset",
        }
    }

    pub(crate) fn service(&self) -> &str {
        &self.resource.service
    }

    pub(crate) fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }

    /// The first attribute with this key, as text.
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        attribute(&self.attributes, key)
    }
}

/// The first attribute with this key, in Jaeger's text form.
pub(crate) fn attribute(attributes: &[otlp::KeyValue], key: &str) -> Option<String> {
    attributes.iter().find(|a| a.key == key.as_bytes()).map(value_text)
}

/// An attribute's value in Jaeger's text form: the form `--tag` compares with.
pub(crate) fn value_text(attribute: &otlp::KeyValue) -> String {
    spanlake::otlp::value::as_string(&attribute.value)
}

impl Trace {
    /// Earliest start; 0 for an empty trace.
    pub(crate) fn start(&self) -> u64 {
        self.spans.iter().map(|s| s.start).min().unwrap_or(0)
    }

    /// Latest end, never before the start.
    pub(crate) fn end(&self) -> u64 {
        self.spans.iter().map(|s| s.end).max().unwrap_or(0).max(self.start())
    }

    pub(crate) fn duration(&self) -> u64 {
        self.end() - self.start()
    }

    pub(crate) fn errors(&self) -> u64 {
        self.spans.iter().filter(|s| s.is_error()).count() as u64
    }

    /// Spans whose parent is not in the trace.
    pub(crate) fn orphans(&self) -> u64 {
        let ids: HashSet<&Bytes> = self.spans.iter().map(|s| &s.id).collect();
        self.spans.iter().filter(|s| !s.parent.is_empty() && !ids.contains(&s.parent)).count()
            as u64
    }

    /// Distinct services, sorted, each with its spans and errors.
    pub(crate) fn services(&self) -> Vec<(&str, u64, u64)> {
        let mut shares = std::collections::BTreeMap::new();
        for span in &self.spans {
            let share = shares.entry(span.service()).or_insert((0, 0));
            share.0 += 1;
            share.1 += u64::from(span.is_error());
        }
        shares.into_iter().map(|(name, (spans, errors))| (name, spans, errors)).collect()
    }
}

/// Puts the pieces of one trace together.
#[derive(Debug)]
pub(crate) struct TraceBuilder {
    trace: Trace,
}

impl TraceBuilder {
    pub(crate) fn new(id: TraceId) -> Self {
        Self { trace: Trace { id, spans: Vec::new() } }
    }

    pub(crate) fn id(&self) -> TraceId {
        self.trace.id
    }

    pub(crate) fn spans(&self) -> usize {
        self.trace.spans.len()
    }

    pub(crate) fn add(&mut self, piece: otlp::TracesData) {
        for of_resource in piece.resource_spans {
            let resource = Arc::new(resource(of_resource.resource, of_resource.schema_url));
            for of_scope in of_resource.scope_spans {
                let scope = Arc::new(scope(of_scope.scope, of_scope.schema_url));
                let spans = of_scope.spans.into_iter().map(|s| span(s, &resource, &scope));
                self.trace.spans.extend(spans);
            }
        }
    }

    pub(crate) fn build(self) -> Trace {
        self.trace
    }
}

/// The trace a piece belongs to: that of its first span.
pub(crate) fn trace_id_of(piece: &otlp::TracesData) -> Option<TraceId> {
    let spans = piece.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans);
    spans.map(|s| &s.trace_id).next().and_then(|id| TraceId::from_slice(id).ok())
}

fn resource(resource: Option<otlp::Resource>, schema_url: Bytes) -> Resource {
    let attributes = resource.unwrap_or_default().attributes;
    let named = attributes.iter().find(|a| a.key.as_ref() == b"service.name");
    let service = named.and_then(|a| otlp::AnyValue::decode(a.value.clone()).ok()?.value);
    let service = match service {
        Some(otlp::Value::String(name)) => String::from_utf8_lossy(&name).into_owned(),
        _ => String::new(),
    };
    Resource { service, attributes, schema_url }
}

fn scope(scope: Option<otlp::Scope>, schema_url: Bytes) -> Scope {
    let otlp::Scope { name, version, attributes } = scope.unwrap_or_default();
    Scope { name, version, attributes, schema_url }
}

fn span(span: otlp::Span, resource: &Arc<Resource>, scope: &Arc<Scope>) -> Span {
    let status = span.status.unwrap_or_default();
    let no_parent = span.parent_span_id.iter().all(|b| *b == 0);
    Span {
        id: span.span_id,
        parent: if no_parent { Bytes::new() } else { span.parent_span_id },
        resource: Arc::clone(resource),
        scope: Arc::clone(scope),
        name: span.name,
        kind: SpanKind::from_number(span.kind),
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano,
        status: status.code,
        status_message: status.message,
        trace_state: span.trace_state,
        flags: span.flags,
        attributes: span.attributes,
        events: span.events,
        links: span.links,
        dropped: Dropped {
            attributes: span.dropped_attributes_count,
            events: span.dropped_events_count,
            links: span.dropped_links_count,
        },
    }
}

/// Bytes as hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
