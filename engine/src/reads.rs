//! The reading face of a store: [`View`], one consistent state and the questions that can be
//! asked of it. Finds a tenancy's places in the state and hands them to the queries; holds no
//! algorithm, writes nothing.

use std::ops::Range;
use std::sync::Arc;

use crate::batch::{Batch, Projection};
use crate::error::Result;
use crate::query::dependencies::{self, Window};
use crate::query::explain::Explanation;
use crate::query::places::{Places, Stored};
use crate::query::rates;
use crate::query::request::{
    Cancel, Cursor, Dependency, FoundTrace, Operation, Page, TraceQuery, TraceSummary,
};
use crate::query::work::Work;
use crate::query::{self, TraceStream};
use crate::rollup::CallRollup;
use crate::rollup::rates::{Rate, RateRollup};
use crate::segment::{Block, BlockSet, PackedCalls, fingerprint};
use crate::span::{SpanKind, TraceId};
use crate::tenancy::Tenancy;
use crate::view::{LiveSegment, State};
use crate::world::Clock;

impl Stored for LiveSegment {
    fn name(&self) -> &str {
        self.segment.name()
    }

    fn rows(&self) -> u32 {
        self.segment.rows()
    }

    fn starts(&self) -> (u64, u64) {
        (self.entry.facts.start_min, self.entry.facts.start_max)
    }

    fn blocks(&self) -> &[Block] {
        self.segment.blocks()
    }

    fn blocks_of(&self, term: u64) -> BlockSet {
        self.segment.blocks_of(term)
    }

    fn read(&self, rows: Range<u32>, projection: &Projection) -> Result<Batch> {
        self.segment.read(rows, projection)
    }

    fn fingerprint(&self, trace: &TraceId) -> u32 {
        fingerprint(trace)
    }

    fn read_ranges(
        &self,
        ranges: &[std::ops::Range<u32>],
        projection: &Projection,
    ) -> Result<Batch> {
        self.segment.read_ranges(ranges, projection)
    }

    fn calls(&self) -> Option<&PackedCalls> {
        self.segment.calls()
    }

    fn unpack_calls(&self) -> Result<Option<CallRollup>> {
        self.segment.unpack_calls()
    }

    fn unpack_rates(&self) -> Result<Option<RateRollup>> {
        self.segment.unpack_rates()
    }

    fn fingerprints(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        Box::new(self.segment.traces().map(|(fingerprint, _)| fingerprint))
    }

    fn suspects(&self, fingerprint: u32, take: &mut dyn FnMut(Range<u32>)) {
        self.segment.suspects(fingerprint).for_each(take);
    }

    fn locate(&self, trace: &TraceId) -> Result<Option<Range<u32>>> {
        self.segment.locate(trace)
    }

    fn traces(&self) -> Box<dyn Iterator<Item = (u32, Range<u32>)> + '_> {
        Box::new(self.segment.traces())
    }
}

/// One consistent state of a store: the head and the catalog at one moment. Cheap to clone;
/// what it shows stays readable while it lives.
#[derive(Debug, Clone)]
pub struct View {
    state: Arc<State>,
    /// What all reads of the store did.
    work: Arc<Work>,
    clock: Arc<dyn Clock>,
}

impl View {
    pub(crate) fn new(state: Arc<State>, work: Arc<Work>, clock: Arc<dyn Clock>) -> Self {
        Self { state, work, clock }
    }

    fn places(&self, tenancy: &Tenancy) -> Places {
        let head = self.state.head.get(tenancy).into_iter();
        Places {
            chunks: head.flat_map(|head| head.chunks()).cloned().collect(),
            segments: self.state.catalog.shelf(tenancy),
        }
    }

    /// Whole traces by id, in the order asked; unknown ids are skipped.
    pub fn get_traces(&self, tenancy: &Tenancy, ids: Vec<TraceId>, cancel: Cancel) -> TraceStream {
        query::traces(self.places(tenancy), ids, cancel.counting(&self.work))
    }

    /// The newest `limit` traces that match, by (latest start of a matching span descending,
    /// trace id ascending).
    ///
    /// # Errors
    /// Cancelled, Corrupted, Io; Invalid or Unimplemented for a filter that cannot be answered.
    pub fn find_trace_ids(
        &self,
        tenancy: &Tenancy,
        query: &TraceQuery,
        cancel: &Cancel,
    ) -> Result<Vec<FoundTrace>> {
        query::find(&self.places(tenancy), query, &cancel.counting(&self.work))
    }

    /// The page of at most `query.limit` of them that follows `after`; the first one without.
    /// Over the pages each trace comes at most once, whatever is ingested or sealed between them,
    /// and exactly once where its newest match did not change since the first page.
    ///
    /// # Errors
    /// As [`View::find_trace_ids`].
    pub fn page_trace_ids(
        &self,
        tenancy: &Tenancy,
        query: &TraceQuery,
        after: Option<Cursor>,
        cancel: &Cancel,
    ) -> Result<Page<FoundTrace>> {
        query::page(&self.places(tenancy), query, after, &cancel.counting(&self.work))
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
        let (places, cancel) = (self.places(tenancy), cancel.counting(&self.work));
        let found = query::find(&places, query, &cancel)?;
        query::summaries(&places, &found, &cancel)
    }

    /// [`View::page_trace_ids`], as summaries.
    ///
    /// # Errors
    /// As [`View::find_trace_ids`].
    pub fn page_summaries(
        &self,
        tenancy: &Tenancy,
        query: &TraceQuery,
        after: Option<Cursor>,
        cancel: &Cancel,
    ) -> Result<Page<TraceSummary>> {
        let (places, cancel) = (self.places(tenancy), cancel.counting(&self.work));
        let page = query::page(&places, query, after, &cancel)?;
        let found = query::summaries(&places, &page.found, &cancel)?;
        Ok(Page { found, next: page.next })
    }

    /// Answers a search and tells how: what was pruned by what, and what was read.
    ///
    /// # Errors
    /// As [`View::find_trace_ids`].
    pub fn explain(&self, tenancy: &Tenancy, query: &TraceQuery) -> Result<Explanation> {
        let cancel = Cancel::new().counting(&self.work);
        query::explain(&self.places(tenancy), query, &*self.clock, &cancel)
    }

    /// Names of services, sorted; without the empty one.
    ///
    /// # Errors
    /// Corrupted, Io.
    pub fn services(&self, tenancy: &Tenancy) -> Result<Vec<String>> {
        let sealed = self.state.catalog.names(tenancy);
        Ok(sealed.services(&self.places(tenancy).chunks))
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
        let sealed = self.state.catalog.names(tenancy);
        Ok(sealed.operations(&self.places(tenancy).chunks, service, kind))
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
        let window = Window { start: start.unwrap_or(0), end };
        let cancel = cancel.counting(&self.work);
        dependencies::dependencies(&self.places(tenancy), window, fingerprint, &cancel)
    }

    /// Calls, errors and durations by service, kind of span and minute, for spans that start in
    /// `[start, end)`; `None` = open. A minute that the window cuts has what starts inside it.
    /// Sorted by service, kind and minute; minutes without spans are left out. Counts are exact,
    /// quantiles to [`Latency::RELATIVE_ERROR`](crate::Latency::RELATIVE_ERROR).
    ///
    /// # Errors
    /// Cancelled, Corrupted, Io.
    pub fn rates(
        &self,
        tenancy: &Tenancy,
        start: Option<u64>,
        end: Option<u64>,
        cancel: &Cancel,
    ) -> Result<Vec<Rate>> {
        let window = Window { start: start.unwrap_or(0), end };
        let cancel = cancel.counting(&self.work);
        rates::rates(&self.places(tenancy), window, fingerprint, &cancel)
    }
}
