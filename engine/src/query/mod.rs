//! Questions over a [`View`] (skeleton; the bodies follow).

pub mod request;

use crate::error::Result;
use crate::span::{SpanKind, TraceId};
use crate::tenancy::Tenancy;
use request::{Cancel, Dependency, FoundTrace, Operation, TraceChunk, TraceQuery, TraceSummary};

/// One consistent state of a store: the head and the catalog at one moment. Cheap to clone;
/// what it shows stays readable while it lives.
#[derive(Debug, Clone)]
pub struct View {}

impl View {
    /// Whole traces by id, in the order asked; unknown ids are skipped.
    pub fn get_traces(
        &self,
        _tenancy: &Tenancy,
        _ids: Vec<TraceId>,
        _cancel: Cancel,
    ) -> TraceStream {
        unimplemented!()
    }

    /// The newest `limit` traces that match, by (latest start of a matching span descending,
    /// trace id ascending).
    ///
    /// # Errors
    /// Cancelled, Corrupted, Io.
    pub fn find_trace_ids(
        &self,
        _tenancy: &Tenancy,
        _query: &TraceQuery,
        _cancel: &Cancel,
    ) -> Result<Vec<FoundTrace>> {
        unimplemented!()
    }

    /// [`View::find_trace_ids`], then the whole traces in that order.
    ///
    /// # Errors
    /// As [`View::find_trace_ids`].
    pub fn find_traces(
        &self,
        _tenancy: &Tenancy,
        _query: &TraceQuery,
        _cancel: &Cancel,
    ) -> Result<TraceStream> {
        unimplemented!()
    }

    /// [`View::find_trace_ids`], then one summary a trace in that order.
    ///
    /// # Errors
    /// As [`View::find_trace_ids`].
    pub fn find_summaries(
        &self,
        _tenancy: &Tenancy,
        _query: &TraceQuery,
        _cancel: &Cancel,
    ) -> Result<Vec<TraceSummary>> {
        unimplemented!()
    }

    /// Names of services, sorted; without the empty one.
    ///
    /// # Errors
    /// Corrupted, Io.
    pub fn services(&self, _tenancy: &Tenancy) -> Result<Vec<String>> {
        unimplemented!()
    }

    /// Operations of a service, sorted; `kind` `None` = all kinds.
    ///
    /// # Errors
    /// Corrupted, Io.
    pub fn operations(
        &self,
        _tenancy: &Tenancy,
        _service: &str,
        _kind: Option<SpanKind>,
    ) -> Result<Vec<Operation>> {
        unimplemented!()
    }

    /// Calls between different services, for child spans that start in `[start, end)`;
    /// `None` = open. Sorted by parent, then child.
    ///
    /// # Errors
    /// Cancelled, Corrupted, Io.
    pub fn dependencies(
        &self,
        _tenancy: &Tenancy,
        _start: Option<u64>,
        _end: Option<u64>,
        _cancel: &Cancel,
    ) -> Result<Vec<Dependency>> {
        unimplemented!()
    }
}

/// Traces, pulled piece by piece: no thread works or waits between two calls of
/// [`TraceStream::next_chunk`].
#[derive(Debug)]
pub struct TraceStream {}

impl TraceStream {
    /// The next piece of about `budget` bytes (a span larger than that comes alone), `None` at
    /// the end.
    ///
    /// # Errors
    /// Cancelled, Corrupted, Io. After an error the stream is over.
    pub fn next_chunk(&mut self, _budget: usize) -> Result<Option<TraceChunk>> {
        unimplemented!()
    }
}
