//! Rollups of the segments a seal writes: each counted alone, and each trace that has rows in
//! other segments corrected by what it is over all of them. Batches and open segments flow in,
//! one [`Rollup`] a new segment flows out. Older segments are read once a seal, for all torn
//! traces at once. Must never fail a seal for what an older file does: where that cannot be read,
//! the trace is noted as one that rollups cannot tell.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::batch::{Batch, Cells, Projection};
use crate::error::{Error, Result};
use crate::query::dependencies::projection;
use crate::query::parts::{self, Fingerprint, Located, Wanted};
use crate::query::places::Shelf;
use crate::query::request::Cancel;
use crate::rollup::calls::{Member, Rule, Unknown};
use crate::rollup::rates::RateCounts;
use crate::rollup::{CallRollup, Counts, Edge, Rollup, Services, Torn, minute_of};
use crate::span::TraceId;

/// Rows a trace may have in older segments to be corrected. Larger ones grow seal by seal, and
/// would be read whole by each; queries read them instead.
const OLDER_ROWS_MAX: usize = 16_384;
/// Segments a trace may lie in to be corrected: an id that is never done would name them all.
const OLDER_SEGMENTS_MAX: usize = 64;

/// A segment that will be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct New<'a> {
    /// Its file's name.
    pub(crate) name: &'a str,
    /// (source, row) in segment order.
    pub(crate) order: &'a [(u32, u32)],
}

/// A trace's rows in a new segment.
#[derive(Debug, Clone, Copy)]
struct Run {
    trace: TraceId,
    /// Which of the new segments.
    new: u32,
    first_row: u32,
    rows: u32,
}

/// Calls by the caller's and the called service's number, and the minute.
type Sums = BTreeMap<Edge, i64>;

/// Makes the rollups of new segments, in the order they are given; `present` are those that are
/// there already.
pub(crate) fn rollups(
    sources: &[&Batch],
    news: &[New<'_>],
    present: &Shelf,
    fingerprint: Fingerprint,
) -> Result<Vec<Rollup>> {
    let mut made = Maker::new(sources, news);
    let mut runs = made.alone()?;
    runs.sort_unstable_by_key(|run| (run.trace, run.new));
    made.torn(&runs, present, fingerprint)?;
    Ok(made.finish())
}

/// Rollups in the making.
struct Maker<'a> {
    sources: &'a [&'a Batch],
    news: &'a [New<'a>],
    services: Services,
    /// For each source, the services of its resources.
    of_resources: Vec<Vec<u32>>,
    rule: Rule,
    alone: Vec<(Counts, RateCounts)>,
    /// For each new segment, its torn traces with the names they stand on.
    torn: Vec<Vec<(Torn, BTreeSet<String>)>>,
}

impl<'a> Maker<'a> {
    fn new(sources: &'a [&'a Batch], news: &'a [New<'a>]) -> Self {
        let mut services = Services::default();
        let of_resources = sources.iter().map(|batch| services.of_resources(batch)).collect();
        Self {
            sources,
            news,
            services,
            of_resources,
            rule: Rule::default(),
            alone: Vec::with_capacity(news.len()),
            torn: news.iter().map(|_| Vec::new()).collect(),
        }
    }

    fn member(&self, &(source, row): &(u32, u32)) -> Option<Member<'a>> {
        let batch = self.sources.get(source as usize)?;
        let resource = *batch.resource.get(row as usize)?;
        let service = *self.of_resources.get(source as usize)?.get(resource as usize)?;
        Some(Member::new(batch, row as usize, service, true))
    }

    /// Counts each new segment alone; gives the runs of its traces.
    fn alone(&mut self) -> Result<Vec<Run>> {
        let (news, mut runs, mut members) = (self.news, Vec::new(), Vec::new());
        for (number, new) in (0u32..).zip(news) {
            let id = |(source, row): &(u32, u32)| {
                let batch = self.sources.get(*source as usize)?;
                batch.trace_id.get(*row as usize).copied()
            };
            let (mut counts, mut rates) = (Counts::default(), RateCounts::default());
            let mut first_row = 0;
            for trace in new.order.chunk_by(|a, b| id(a) == id(b)) {
                members.clear();
                members.extend(trace.iter().filter_map(|place| self.member(place)));
                let calls = self.rule.calls(&members, &self.services).map_err(unknown)?;
                for call in calls {
                    let minute = minute_of(call.start);
                    counts.add(Edge { minute, caller: call.caller, called: call.called }, 1);
                }
                let rows = trace.len() as u32;
                let trace = trace.first().and_then(id).unwrap_or_default();
                runs.push(Run { trace, new: number, first_row, rows });
                first_row += rows;
            }
            for &(source, row) in new.order {
                let Some(batch) = self.sources.get(source as usize) else { continue };
                let Some(resource) = batch.resource.get(row as usize) else { continue };
                let services = self.of_resources.get(source as usize);
                let service = services.and_then(|all| all.get(*resource as usize)).copied();
                rates.row(batch, row as usize, service.unwrap_or_default());
            }
            self.alone.push((counts, rates));
        }
        Ok(runs)
    }

    /// Corrects the torn traces; `runs` are by trace and new segment.
    fn torn(&mut self, runs: &[Run], present: &Shelf, fingerprint: Fingerprint) -> Result<()> {
        let traces: Vec<&[Run]> = runs.chunk_by(|a, b| a.trace == b.trace).collect();
        let ids = traces.iter().filter_map(|runs| runs.first()).map(|run| run.trace).collect();
        let cancel = Cancel::new();
        let located = Located::new(present, Wanted::new(ids, fingerprint), cancel.work());
        // The ids of `located` are those of `traces`, in the same order.
        let mut torn = Vec::new();
        for (number, runs) in (0u32..).zip(&traces) {
            let (segments, rows) = located.extent(number);
            if segments > OLDER_SEGMENTS_MAX || rows > OLDER_ROWS_MAX {
                self.cannot_tell(runs);
            } else if segments + runs.len() > 1 {
                torn.push(number);
            }
        }
        let narrow = projection();
        let again = self.correct(&traces, &located, torn, &narrow, &cancel)?;
        let again = self.correct(&traces, &located, again, &Projection::all(), &cancel)?;
        match again.is_empty() {
            true => Ok(()),
            false => Err(Error::internal("a whole trace does not tell who called whom")),
        }
    }

    /// Notes a trace whose calls cannot be told.
    fn cannot_tell(&mut self, runs: &[Run]) {
        for run in runs {
            let torn = Torn { first_row: run.first_row, ..Torn::default() };
            let all = self.torn.get_mut(run.new as usize);
            all.into_iter().for_each(|all| all.push((torn.clone(), BTreeSet::new())));
        }
    }

    /// Corrects these traces with what older segments have of them; gives back those whose rows
    /// must be read whole.
    fn correct(
        &mut self,
        traces: &[&[Run]],
        located: &Located<'_>,
        torn: Vec<u32>,
        projection: &Projection,
        cancel: &Cancel,
    ) -> Result<Vec<u32>> {
        let unreadable = RefCell::new(BTreeSet::new());
        let mut again = Vec::new();
        let mut note = |segment, _| {
            unreadable.borrow_mut().insert(segment);
            Ok(())
        };
        located.each(torn.into_iter(), projection, cancel, &mut note, &mut |trace, parts| {
            let Some(runs) = traces.get(trace as usize) else { return Ok(()) };
            let unreadable = unreadable.borrow();
            if located.segments_of(trace).any(|segment| unreadable.contains(&segment)) {
                self.cannot_tell(runs);
            } else if self.correct_one(runs, located, &parts, projection).is_err() {
                again.push(trace);
            }
            Ok(())
        })?;
        Ok(again)
    }

    fn correct_one(
        &mut self,
        runs: &[Run],
        located: &Located<'_>,
        parts: &[parts::Part],
        projection: &Projection,
    ) -> std::result::Result<(), Unknown> {
        let is_whole = projection.cells == Cells::All;
        let mut members = Vec::new();
        let mut bases = BTreeSet::new();
        for part in parts {
            for row in part.rows.clone() {
                let Some(resource) = part.batch.resource(row) else { continue };
                let service = self.services.number(&resource.service);
                members.push(Member::new(&part.batch, row, service, is_whole));
            }
            bases.extend(located.name(part.segment).map(str::to_owned));
        }
        let mut before = self.sums(&members)?;
        let mut corrected = Vec::new();
        for run in runs {
            let Some(new) = self.news.get(run.new as usize) else { continue };
            let rows = run.first_row as usize..(run.first_row + run.rows) as usize;
            let here = new.order.get(rows).unwrap_or_default();
            let here: Vec<Member<'_>> = here.iter().filter_map(|p| self.member(p)).collect();
            let alone = self.sums(&here)?;
            members.extend(here);
            if !bases.is_empty() {
                let after = self.sums(&members)?;
                let mut corrections = after.clone();
                for (edge, count) in before.iter().chain(&alone) {
                    *corrections.entry(*edge).or_default() -= count;
                }
                corrections.retain(|_, count| *count != 0);
                let corrections = corrections.into_iter().collect();
                let torn = Torn { first_row: run.first_row, bases: Vec::new(), corrections };
                corrected.push((run.new, torn, bases.clone()));
                before = after;
            } else {
                before = alone;
            }
            bases.insert(new.name.to_owned());
        }
        for (new, torn, bases) in corrected {
            let all = self.torn.get_mut(new as usize);
            all.into_iter().for_each(|all| all.push((torn.clone(), bases.clone())));
        }
        Ok(())
    }

    fn sums(&mut self, members: &[Member<'_>]) -> std::result::Result<Sums, Unknown> {
        let mut sums = Sums::new();
        for call in self.rule.calls(members, &self.services)? {
            let minute = minute_of(call.start);
            let edge = Edge { minute, caller: call.caller, called: call.called };
            *sums.entry(edge).or_default() += 1;
        }
        Ok(sums)
    }

    fn finish(self) -> Vec<Rollup> {
        let services = self.services;
        let all = self.alone.into_iter().zip(self.torn);
        let both = |((calls, rates), torn): ((Counts, RateCounts), Vec<_>)| Rollup {
            calls: rollup(&services, calls.sorted(), torn),
            rates: rates.rollup(&services),
        };
        all.map(both).collect()
    }
}

/// A rollup that names its own services and bases only, both sorted.
fn rollup(
    services: &Services,
    mut alone: Vec<(Edge, i64)>,
    torn: Vec<(Torn, BTreeSet<String>)>,
) -> CallRollup {
    let names: BTreeSet<String> = torn.iter().flat_map(|(_, bases)| bases).cloned().collect();
    let place: HashMap<&str, u32> = names.iter().map(String::as_str).zip(0u32..).collect();
    let with_bases = |(torn, bases): (Torn, BTreeSet<String>)| {
        let bases = bases.iter().filter_map(|base| place.get(base.as_str()).copied());
        Torn { bases: bases.collect(), ..torn }
    };
    let mut torn: Vec<Torn> = torn.into_iter().map(with_bases).collect();
    torn.sort_unstable_by_key(|torn| torn.first_row);
    let edges = alone.iter().chain(torn.iter().flat_map(|torn| &torn.corrections));
    let mut used: Vec<u32> = edges.flat_map(|(edge, _)| [edge.caller, edge.called]).collect();
    used.sort_unstable();
    used.dedup();
    used.sort_by_key(|service| services.name(*service));
    let number: HashMap<u32, u32> = used.iter().copied().zip(0u32..).collect();
    let number = |service: &mut u32| *service = number.get(service).copied().unwrap_or_default();
    let rename = |edges: &mut Vec<(Edge, i64)>| {
        for (edge, _) in edges.iter_mut() {
            number(&mut edge.caller);
            number(&mut edge.called);
        }
        edges.sort_unstable();
    };
    rename(&mut alone);
    torn.iter_mut().for_each(|torn| rename(&mut torn.corrections));
    let services = used.iter().filter_map(|service| services.names().get(*service as usize));
    CallRollup {
        services: services.cloned().collect(),
        alone,
        bases: names.into_iter().collect(),
        torn,
    }
}

fn unknown(_: Unknown) -> Error {
    Error::internal("rows that are sealed do not tell who called whom")
}
