//! Spanlake's engine: an embedded columnar trace store.
//!
//! Raw OTLP goes in; traces, summaries, services, operations and dependencies come out, exact
//! and durable at acknowledgement. There is no network in here, and no async runtime.

pub mod formats;
pub mod otlp;
pub mod world;

mod batch;
mod catalog;
mod duckdb;
mod error;
mod events;
mod head;
mod limits;
mod options;
mod query;
mod reads;
mod repeats;
mod rollup;
mod seal;
mod segment;
mod span;
mod store;
mod tenancy;
mod terms;
mod view;
mod wal;

pub use catalog::listing::SegmentInfo;
pub use error::{Error, ErrorKind, Result};
pub use events::{Event, Observer};
pub use limits::{INGEST_BYTES_MAX, INGEST_SPANS_MAX};
pub use options::Options;
pub use query::TraceStream;
pub use query::explain::Explanation;
pub use query::expression::{
    Comparison, Constant, EXPRESSION_DEPTH_MAX, Element, Expression, Field, Level, List, Operand,
    Reference,
};
pub use query::request::{
    AttributeEquals, Cancel, Cursor, Dependency, FoundTrace, Operation, Page, SEARCH_DEPTH_DEFAULT,
    SEARCH_DEPTH_MAX, ServiceSummary, TraceChunk, TraceQuery, TraceSummary,
};
pub use query::work::{Counts, Work};
pub use reads::View;
pub use rollup::rates::{Latency, Rate};
pub use span::{SpanId, SpanKind, TraceId};
pub use store::{Finding, Ingested, Rejection, Stats, Store, VerifyReport, verify};
pub use tenancy::{TENANCY_NAME_BYTES_MAX, Tenancy};
