//! Spanlake's engine: an embedded columnar trace store.
//!
//! Raw OTLP goes in; traces, summaries, services, operations and dependencies come out, exact
//! and durable at acknowledgement. There is no network in here, and no async runtime.

pub mod formats;
pub mod otlp;
pub mod world;

#[expect(dead_code, unused_imports, reason = "head, segments and queries move to it one by one")]
mod batch;
mod catalog;
mod error;
mod events;
mod head;
mod limits;
mod options;
mod query;
mod repeats;
mod seal;
mod segment;
mod span;
mod store;
mod tenancy;
mod view;
mod wal;

pub use error::{Error, ErrorKind, Result};
pub use events::{Event, Observer};
pub use limits::{INGEST_BYTES_MAX, INGEST_SPANS_MAX};
pub use options::Options;
pub use query::request::{
    AttributeEquals, Cancel, Dependency, FoundTrace, Operation, SEARCH_DEPTH_DEFAULT,
    SEARCH_DEPTH_MAX, ServiceSummary, TraceChunk, TraceQuery, TraceSummary,
};
pub use query::{TraceStream, View};
pub use span::{ResourceContext, ScopeContext, SpanId, SpanKind, SpanRow, TraceId};
pub use store::{Finding, Ingested, Rejection, Stats, Store, VerifyReport, verify};
pub use tenancy::{TENANCY_NAME_BYTES_MAX, Tenancy};
