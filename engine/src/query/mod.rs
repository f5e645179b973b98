//! Questions over a [`View`]: search, pages, whole traces, summaries, names, dependencies. A
//! question and one consistent state go in, exact answers come out, on the caller's thread,
//! pulled and cancellable. Nothing here writes, waits or knows a protocol.
//!
//! A question becomes one predicate tree ([`expression`]), compiled once ([`predicate`]) and asked
//! of batches ([`evaluate`]) that the planner ([`search`]) picks: chunks of the head and blocks of
//! segments, newest first. What it found is put together over all places ([`trace`]).

mod assemble;
mod constant;
pub(crate) mod dependencies;
mod evaluate;
pub(crate) mod explain;
pub(crate) mod expression;
pub(crate) mod names;
mod outline;
pub(crate) mod parts;
pub(crate) mod places;
mod predicate;
pub(crate) mod rates;
pub(crate) mod request;
mod rowset;
mod search;
mod summary;
mod test;
mod trace;
mod values;
mod words;
pub(crate) mod work;

#[cfg(test)]
mod tests;

use self::explain::{Explanation, Recorder};
use self::places::Places;
use self::predicate::Predicate;
use self::search::Question;
pub use self::trace::TraceStream;
use crate::error::Result;
use crate::query::request::{
    Cancel, Cursor, FoundTrace, Page, SEARCH_DEPTH_MAX, TraceQuery, TraceSummary,
};
use crate::span::TraceId;
use crate::world::Clock;

/// A compiled search over some places.
struct Asked<'a> {
    places: &'a Places,
    predicate: Predicate,
    window: (u64, u64),
    limit: usize,
    cancel: &'a Cancel,
}

impl<'a> Asked<'a> {
    fn new(places: &'a Places, query: &TraceQuery, cancel: &'a Cancel) -> Result<Self> {
        Ok(Self {
            places,
            predicate: Predicate::compile(query)?,
            window: (query.start_min.unwrap_or(0), query.start_max.unwrap_or(u64::MAX)),
            limit: query.limit.clamp(1, SEARCH_DEPTH_MAX),
            cancel,
        })
    }

    fn newest(
        &self,
        limit: usize,
        after: Option<Cursor>,
        record: &mut Recorder,
    ) -> Result<Vec<FoundTrace>> {
        let question = Question { predicate: &self.predicate, window: self.window, limit, after };
        search::newest_traces(self.places, &question, self.cancel, record)
    }
}

/// The newest traces that match, best first.
pub(crate) fn find(
    places: &Places,
    query: &TraceQuery,
    cancel: &Cancel,
) -> Result<Vec<FoundTrace>> {
    let asked = Asked::new(places, query, cancel)?;
    asked.newest(asked.limit, None, &mut Recorder::default())
}

/// A page of them: those behind `after`.
pub(crate) fn page(
    places: &Places,
    query: &TraceQuery,
    after: Option<Cursor>,
    cancel: &Cancel,
) -> Result<Page<FoundTrace>> {
    let asked = Asked::new(places, query, cancel)?;
    // One more than the page holds says whether another follows.
    let mut found = asked.newest(asked.limit + 1, after, &mut Recorder::default())?;
    let more = found.len() > asked.limit;
    found.truncate(asked.limit);
    let last = found.last().filter(|_| more);
    let next = last.map(|last| Cursor { newest_match: last.newest_match, trace_id: last.trace_id });
    Ok(Page { found, next })
}

/// One summary each.
pub(crate) fn summaries(
    places: &Places,
    found: &[FoundTrace],
    cancel: &Cancel,
) -> Result<Vec<TraceSummary>> {
    let mut all = Vec::with_capacity(found.len());
    let ids = found.iter().map(|found| found.trace_id);
    trace::each_trace(places, ids, &summary::projection(), cancel, &mut |id, rows| {
        all.push(summary::summarise(id, &rows));
    })?;
    Ok(all)
}

/// Answers a search and tells how.
pub(crate) fn explain(
    places: &Places,
    query: &TraceQuery,
    clock: &dyn Clock,
    cancel: &Cancel,
) -> Result<Explanation> {
    let began = clock.monotonic();
    let asked = Asked::new(places, query, cancel)?;
    let mut record = Recorder::keeping();
    let found = asked.newest(asked.limit, None, &mut record)?;
    let nanos = clock.monotonic().saturating_sub(began);
    let head = (places.chunks.len(), places.chunks.iter().map(|chunk| chunk.rows()).sum());
    let bounds = asked.predicate.bounds(asked.window);
    let predicate = asked.predicate.text();
    let counts = cancel.work().counts();
    Ok(record.explanation(predicate, bounds, head, found.len(), nanos, counts))
}

/// Whole traces by id, in the order asked.
pub(crate) fn traces(places: Places, ids: Vec<TraceId>, cancel: Cancel) -> TraceStream {
    TraceStream::new(places, ids, cancel)
}
