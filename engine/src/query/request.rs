//! Questions and answers, free of any protocol. The server translates Jaeger's messages into
//! these; an embedder fills them in directly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::query::expression::Expression;
use crate::query::work::Work;
use crate::span::{SpanKind, TraceId};

/// Traces a search returns when the caller names no number.
pub const SEARCH_DEPTH_DEFAULT: usize = 100;
/// Most traces one search returns; a larger wish is cut to this and the answer says so.
pub const SEARCH_DEPTH_MAX: usize = 10_000;

/// A search: every condition must hold on **one** span (jaeger-contract §2.1). Times and
/// durations are nanoseconds; all bounds are inclusive.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceQuery {
    /// The span's service; `None` = any.
    pub service: Option<String>,
    /// The span's name; `None` = any.
    pub operation: Option<String>,
    /// Attribute conditions, compared as text (jaeger-contract §2.4–2.6): a plain key is looked
    /// up on span, resource, scope, events and links; `error`, `span.kind`, `span.status`,
    /// `scope.name`, `scope.version` and `resource.<key>` have Jaeger's meanings.
    pub attributes: Vec<AttributeEquals>,
    /// Earliest start; `None` = open.
    pub start_min: Option<u64>,
    /// Latest start; `None` = open.
    pub start_max: Option<u64>,
    /// Shortest duration; `None` = open.
    pub duration_min: Option<u64>,
    /// Longest duration; `None` = open.
    pub duration_max: Option<u64>,
    /// A predicate that the span must satisfy as well.
    pub filter: Option<Expression>,
    /// Most traces to return, 1 to [`SEARCH_DEPTH_MAX`]; the size of a page where there are pages.
    pub limit: usize,
}

impl Default for TraceQuery {
    fn default() -> Self {
        Self {
            service: None,
            operation: None,
            attributes: Vec::new(),
            start_min: None,
            start_max: None,
            duration_min: None,
            duration_max: None,
            filter: None,
            limit: SEARCH_DEPTH_DEFAULT,
        }
    }
}

/// `key = value`, the value in its text form (see [`crate::otlp::value::as_string`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeEquals {
    /// The attribute's key.
    pub key: String,
    /// The value as text.
    pub value: String,
}

/// One trace a search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundTrace {
    /// Its id.
    pub trace_id: TraceId,
    /// Latest start among its **matching** spans: the search's sort key.
    pub newest_match: u64,
}

/// Where a walk through the results stands: the last one delivered. It names no row and no
/// segment, so that ingest, seals and restarts between two pages do it no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// [`FoundTrace::newest_match`] of that trace.
    pub newest_match: u64,
    /// Its id.
    pub trace_id: TraceId,
}

/// Some of the results, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// At most as many as were asked for.
    pub found: Vec<T>,
    /// Where the next page begins; there exactly when more follow.
    pub next: Option<Cursor>,
}

/// A piece of one trace: never empty, never of two traces; the pieces of a trace follow each
/// other (jaeger-contract §1.4).
#[derive(Debug, Clone)]
pub struct TraceChunk {
    /// The trace.
    pub trace_id: TraceId,
    /// Spans in this piece.
    pub spans: usize,
    /// An OTLP `TracesData` message.
    pub otlp: Bytes,
}

/// A trace in one line, over all its spans (jaeger-contract §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSummary {
    /// Its id.
    pub trace_id: TraceId,
    /// Service of the earliest span without parent; `""` where there is none.
    pub root_service: String,
    /// Name of that span.
    pub root_operation: String,
    /// Earliest start.
    pub min_start: u64,
    /// Latest end.
    pub max_end: u64,
    /// All spans.
    pub span_count: u64,
    /// Spans with status ERROR.
    pub error_span_count: u64,
    /// Spans whose parent is not in the trace.
    pub orphan_span_count: u64,
    /// Per service, sorted by name.
    pub services: Vec<ServiceSummary>,
}

/// One service's share of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSummary {
    /// The service; `""` where the resource names none.
    pub name: String,
    /// Its spans.
    pub span_count: u64,
    /// Its spans with status ERROR.
    pub error_span_count: u64,
}

/// A span name of a service, with its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation {
    /// The span's name.
    pub name: String,
    /// Its kind.
    pub kind: SpanKind,
}

/// Calls from one service to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// The caller.
    pub parent: String,
    /// The called.
    pub child: String,
    /// Called spans.
    pub call_count: u64,
}

/// A switch that ends a read early, and the count of what the reads under it did; clones share
/// both.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    thrown: Arc<AtomicBool>,
    work: Arc<Work>,
}

impl Cancel {
    /// A switch nobody has thrown.
    pub fn new() -> Self {
        Self::default()
    }

    /// Throws it; reads that hold a clone end at their next step.
    pub fn cancel(&self) {
        self.thrown.store(true, Ordering::Relaxed);
    }

    /// What the reads under this switch did so far.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// The same switch; what is counted under it counts for `also` too.
    pub(crate) fn counting(&self, also: &Arc<Work>) -> Self {
        let work = Work::below([Arc::clone(&self.work), Arc::clone(also)]);
        Self { thrown: Arc::clone(&self.thrown), work: Arc::new(work) }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.thrown.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "the read was cancelled by its caller"));
        }
        Ok(())
    }
}
