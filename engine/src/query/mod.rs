//! Questions over a [`View`]: search, whole traces, summaries, names, dependencies. A question
//! and one consistent state go in, exact answers come out, on the caller's thread, pulled and
//! cancellable. Nothing here writes, waits or knows a protocol.

mod dependencies;
mod find;
mod matching;
pub(crate) mod names;
pub(crate) mod request;
mod summary;
pub(crate) mod terms;
mod trace;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Result;
use crate::segment::Columns;
use crate::span::{SpanKind, TraceId};
use crate::tenancy::Tenancy;
use crate::view::State;
use names::Names;
use request::{
    Cancel, Dependency, FoundTrace, Operation, SEARCH_DEPTH_MAX, TraceQuery, TraceSummary,
};
pub use trace::TraceStream;

/// What reading costs, counted since open.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    spans_scanned: AtomicU64,
}

impl Counters {
    fn scanned(&self, rows: usize) {
        self.spans_scanned.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn spans_scanned(&self) -> u64 {
        self.spans_scanned.load(Ordering::Relaxed)
    }
}

/// One consistent state of a store: the head and the catalog at one moment. Cheap to clone;
/// what it shows stays readable while it lives.
#[derive(Debug, Clone)]
pub struct View {
    state: Arc<State>,
    counters: Arc<Counters>,
}

impl View {
    pub(crate) fn new(state: Arc<State>, counters: Arc<Counters>) -> Self {
        Self { state, counters }
    }

    /// The names of segments and head together.
    fn names(&self, tenancy: &Tenancy) -> Names {
        let sealed = self.state.catalog.names(tenancy);
        let mut names = sealed.get().cloned().unwrap_or_default();
        for chunk in self.state.head.get(tenancy).into_iter().flat_map(|head| head.chunks()) {
            chunk
                .operations()
                .iter()
                .for_each(|(service, operation)| names.add(service, operation));
        }
        names
    }

    /// Whole traces by id, in the order asked; unknown ids are skipped.
    pub fn get_traces(&self, tenancy: &Tenancy, ids: Vec<TraceId>, cancel: Cancel) -> TraceStream {
        TraceStream::new(Arc::clone(&self.state), tenancy.clone(), ids, cancel)
    }

    /// The newest `limit` traces that match, by (latest start of a matching span descending,
    /// trace id ascending).
    ///
    /// # Errors
    /// Cancelled, Corrupted, Io.
    pub fn find_trace_ids(
        &self,
        tenancy: &Tenancy,
        query: &TraceQuery,
        cancel: &Cancel,
    ) -> Result<Vec<FoundTrace>> {
        find::newest_traces(&self.state, tenancy, query, cancel, &self.counters)
    }

    /// [`View::find_trace_ids`], then the whole traces in that order.
    ///
    /// # Errors
    /// As [`View::find_trace_ids`].
    pub fn find_traces(
        &self,
        tenancy: &Tenancy,
        query: &TraceQuery,
        cancel: &Cancel,
    ) -> Result<TraceStream> {
        let found = self.find_trace_ids(tenancy, query, cancel)?;
        let ids = found.into_iter().map(|trace| trace.trace_id).collect();
        Ok(self.get_traces(tenancy, ids, cancel.clone()))
    }

    /// [`View::find_trace_ids`], then one summary a trace in that order.
    ///
    /// # Errors
    /// As [`View::find_trace_ids`].
    pub fn find_summaries(
        &self,
        tenancy: &Tenancy,
        query: &TraceQuery,
        cancel: &Cancel,
    ) -> Result<Vec<TraceSummary>> {
        let mut summaries = Vec::new();
        for found in self.find_trace_ids(tenancy, query, cancel)? {
            cancel.check()?;
            let rows = trace::locate(&self.state, tenancy, found.trace_id)?.all(Columns::Fixed)?;
            summaries.push(summary::summarise(found.trace_id, &rows));
        }
        Ok(summaries)
    }

    /// Names of services, sorted; without the empty one.
    ///
    /// # Errors
    /// Corrupted, Io.
    pub fn services(&self, tenancy: &Tenancy) -> Result<Vec<String>> {
        Ok(self.names(tenancy).services().map(|name| name.to_string()).collect())
    }

    /// Operations of a service, sorted; `kind` `None` = all kinds.
    ///
    /// # Errors
    /// Corrupted, Io.
    pub fn operations(
        &self,
        tenancy: &Tenancy,
        service: &str,
        kind: Option<SpanKind>,
    ) -> Result<Vec<Operation>> {
        let names = self.names(tenancy);
        let wanted = |operation: &&Operation| kind.is_none_or(|kind| operation.kind == kind);
        Ok(names.operations(service).filter(wanted).cloned().collect())
    }

    /// Calls between different services, for child spans that start in `[start, end)`;
    /// `None` = open. Sorted by parent, then child.
    ///
    /// # Errors
    /// Cancelled, Corrupted, Io.
    pub fn dependencies(
        &self,
        tenancy: &Tenancy,
        start: Option<u64>,
        end: Option<u64>,
        cancel: &Cancel,
    ) -> Result<Vec<Dependency>> {
        let window = dependencies::Window { start: start.unwrap_or(0), end };
        dependencies::dependencies(&self.state, tenancy, window, cancel, &self.counters)
    }
}
