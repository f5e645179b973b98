//! What must be known of all rows before the first is written: their order, traces and parents,
//! the shapes they have in the file, and which attributes get a column. Looks at fixed columns and
//! shapes only, at no value.

use hashbrown::{HashMap, HashSet};

use super::directory::fingerprint;
use super::layout::{FileColumn, Layout};
use super::shapes::{ShapeTree, ShapeWriter};
use crate::batch::{Batch, Field, Level, What};
use crate::catalog::registry::{ColumnLevel, ColumnType, RegisteredColumn, Registry, register};
use crate::error::{Error, Result};
use crate::rollup::Rollup;
use crate::span::{SpanId, TraceId};

/// An attribute with fewer values in a segment has no column: below this a column's pages and
/// footer entry cost more than they save.
const PROMOTED_VALUES_MIN: u64 = 64;
/// Nor one with fewer than one value in so many rows. Astronomy: 40.2 B/span at 300 and beyond,
/// 40.4 at 100, 41.1 at 20.
const PROMOTED_SHARE: u64 = 1000;
/// In a list each column has levels for every entry, so it must have more values to pay.
/// Astronomy: 40.2 B/span at 30 and beyond, 39.8 at 10, 40.5 without any.
const PROMOTED_SHARE_IN_LIST: u64 = 10;
const PROMOTED_MAX: usize = 256;
/// Traces up to this size are searched for parents one by one.
const SMALL_TRACE: usize = 16;

/// What a segment is built of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) sources: &'a [&'a Batch],
    /// (source, row) in segment order: traces contiguous, by (earliest start, trace id); the
    /// spans of a trace by (start, span id, span bytes).
    pub(crate) order: &'a [(u32, u32)],
    pub(crate) registry: &'a Registry,
    /// Least and greatest log sequence, where the sources do not know them.
    pub(crate) sequences: Option<(u64, u64)>,
    /// What its rows come to; a file without it is counted row by row.
    pub(crate) rollup: Option<&'a Rollup>,
}

impl<'a> Input<'a> {
    /// The batch and the row that stand at `at` in the segment.
    pub(super) fn row(&self, at: usize) -> (&'a Batch, usize, usize) {
        let (source, row) = self.order[at];
        (self.sources[source as usize], source as usize, row as usize)
    }
}

/// The plan.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) layout: Layout,
    pub(super) shapes: ShapeTree,
    /// For each source, what its columns and shapes are called in the file.
    pub(super) sources: Vec<SourceMap>,
    /// Columns of the ranked attributes, by rank.
    pub(super) registered: Vec<RegisteredColumn>,
    /// Those of them that are new.
    pub(super) added: Vec<RegisteredColumn>,
    /// Fingerprint and rows of each trace.
    pub(super) traces: Vec<(u32, u32)>,
    /// Rows from each row's parent to it; 0 where the parent is not in the segment or there is
    /// none.
    pub(super) distances: Vec<i32>,
}

#[derive(Debug, Default)]
pub(super) struct SourceMap {
    pub(super) columns: Vec<u32>,
    pub(super) shapes: Vec<u32>,
}

impl Plan {
    pub(super) fn of(input: &Input<'_>) -> Result<Self> {
        let traces = traces_in_order(input)?;
        let distances = distances(input, &traces);
        let mut shapes = Shapes::default();
        let sources = shapes.of_all(input)?;
        let (layout, registered, added) = shapes.promote(input)?;
        let traces = traces.into_iter().map(|(id, rows)| (fingerprint(&id), rows)).collect();
        let shapes = shapes.writer.finish();
        Ok(Self { layout, shapes, sources, registered, added, traces, distances })
    }
}

/// Id and rows of each trace.
fn traces_in_order(input: &Input<'_>) -> Result<Vec<(TraceId, u32)>> {
    let mut traces: Vec<(TraceId, u32)> = Vec::new();
    let mut last_key = None;
    let mut seen = HashSet::new();
    for at in 0..input.order.len() {
        let (batch, _, row) = input.row(at);
        let trace = batch.trace_id[row];
        match traces.last_mut() {
            Some((last, rows)) if *last == trace => {
                *rows += 1;
                if !in_order(input, at) {
                    return Err(out_of_order(&trace));
                }
            }
            _ => {
                let key = (batch.start[row], trace);
                if last_key.is_some_and(|last| last >= key) || !seen.insert(trace) {
                    return Err(out_of_order(&trace));
                }
                last_key = Some(key);
                traces.push((trace, 1));
            }
        }
    }
    Ok(traces)
}

fn out_of_order(trace: &TraceId) -> Error {
    Error::internal(format!("rows for a segment are out of order at trace {trace}"))
}

/// Whether the row at `at` may stand behind the one before, which is of the same trace.
fn in_order(input: &Input<'_>, at: usize) -> bool {
    let key = |at| {
        let (batch, _, row) = input.row(at);
        (batch.start[row], batch.span_id[row])
    };
    match key(at - 1).cmp(&key(at)) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Greater => false,
        std::cmp::Ordering::Equal => {
            let bytes = |at| {
                let (batch, _, row) = input.row(at);
                let mut bytes = Vec::new();
                batch.write_span(row, &mut bytes);
                bytes
            };
            bytes(at - 1) <= bytes(at)
        }
    }
}

fn distances(input: &Input<'_>, traces: &[(TraceId, u32)]) -> Vec<i32> {
    let mut distances = Vec::with_capacity(input.order.len());
    let mut ids: Vec<SpanId> = Vec::new();
    let mut by_id: HashMap<SpanId, usize> = HashMap::new();
    let mut first = 0;
    for &(_, rows) in traces {
        let rows = rows as usize;
        let at = first..first + rows;
        ids.clear();
        ids.extend(at.clone().map(|at| {
            let (batch, _, row) = input.row(at);
            batch.span_id[row]
        }));
        by_id.clear();
        if rows > SMALL_TRACE {
            for (row, id) in ids.iter().enumerate() {
                by_id.entry(*id).or_insert(row);
            }
        }
        for (row, at) in at.enumerate() {
            let (batch, _, source_row) = input.row(at);
            let parent = batch.parent[source_row];
            let parent = match parent {
                SpanId([0, 0, 0, 0, 0, 0, 0, 0]) => None,
                parent if rows > SMALL_TRACE => by_id.get(&parent).copied(),
                parent => ids.iter().position(|id| *id == parent),
            };
            // A segment has no more rows than an i32 counts.
            distances.push(parent.map_or(0, |parent| row as i32 - parent as i32));
        }
        first += rows;
    }
    distances
}

/// Collects the columns and shapes of all sources.
#[derive(Default)]
struct Shapes {
    writer: ShapeWriter,
    columns: Vec<What>,
    numbers: HashMap<What, u32>,
    /// How many cells each column has.
    cells: Vec<u64>,
    /// Whether a column occurs twice in one owner (the span, one of its events or links).
    repeats: Vec<bool>,
    /// The owner that last had the column.
    stamps: Vec<u64>,
    owners: u64,
}

const UNKNOWN: u32 = u32::MAX;

impl Shapes {
    fn of_all(&mut self, input: &Input<'_>) -> Result<Vec<SourceMap>> {
        let mut counts: Vec<Vec<u64>> =
            input.sources.iter().map(|batch| vec![0; batch.shapes.bound()]).collect();
        for &(source, row) in input.order {
            let shape = input.sources[source as usize].shape[row as usize];
            counts[source as usize][shape as usize] += 1;
        }
        let mut maps = Vec::with_capacity(counts.len());
        for (batch, counts) in input.sources.iter().zip(&counts) {
            let mut map = SourceMap {
                columns: vec![UNKNOWN; batch.columns.len()],
                shapes: vec![0; counts.len()],
            };
            for (shape, &rows) in counts.iter().enumerate().filter(|(_, rows)| **rows > 0) {
                let columns = batch.shapes.columns(shape as u32);
                for &column in columns {
                    let number = &mut map.columns[column as usize];
                    if *number == UNKNOWN {
                        *number = self.column(&batch.columns[column as usize].what);
                    }
                }
                let columns: Vec<u32> = columns.iter().map(|&c| map.columns[c as usize]).collect();
                self.count(&columns, rows)?;
                map.shapes[shape] = self.writer.intern(columns);
            }
            maps.push(map);
        }
        Ok(maps)
    }

    fn column(&mut self, what: &What) -> u32 {
        *self.numbers.entry_ref(what).or_insert_with(|| {
            self.columns.push(what.clone());
            self.cells.push(0);
            self.repeats.push(false);
            self.stamps.push(0);
            (self.columns.len() - 1) as u32
        })
    }

    /// Notes what `rows` rows of one shape have.
    fn count(&mut self, columns: &[u32], rows: u64) -> Result<()> {
        self.owners += 1;
        let of_row = self.owners;
        let (mut event, mut link) = (0, 0);
        for &column in columns {
            let at = column as usize;
            self.cells[at] += rows;
            let owner = match &self.columns[at] {
                What::Field(field @ (Field::EventTime | Field::LinkTraceId)) => {
                    self.owners += 1;
                    let open = if *field == Field::EventTime { &mut event } else { &mut link };
                    *open = self.owners;
                    *open
                }
                What::Field(Field::EventName | Field::EventDropped)
                | What::Attribute { level: Level::Event, .. } => event,
                What::Field(
                    Field::LinkSpanId
                    | Field::LinkTraceState
                    | Field::LinkDropped
                    | Field::LinkFlags,
                )
                | What::Attribute { level: Level::Link, .. } => link,
                What::Field(_) | What::Attribute { level: Level::Span, .. } => of_row,
            };
            let again = std::mem::replace(&mut self.stamps[at], owner) == owner;
            self.repeats[at] |= again;
            if owner == 0 || again && matches!(self.columns[at], What::Field(_)) {
                return Err(Error::internal("a row for a segment has cells out of order"));
            }
        }
        Ok(())
    }

    /// Gives columns to the attributes that deserve one.
    fn promote(
        &self,
        input: &Input<'_>,
    ) -> Result<(Layout, Vec<RegisteredColumn>, Vec<RegisteredColumn>)> {
        let mut wanted = self.wanted(input.order.len() as u64);
        let mut registry = input.registry.clone();
        let mut ranked: Vec<(RegisteredColumn, usize)> = Vec::new();
        let mut added = Vec::new();
        for (at, level, key, kind) in wanted.drain(..) {
            let Some(column) = register(&registry, level, key, kind) else { continue };
            if registry.find(level, key, kind).is_none() {
                registry.add(&column)?;
                added.push(column.clone());
            }
            ranked.push((column, at));
        }
        ranked.sort_by_key(|(column, _)| (column.level, column.id));
        let mut columns: Vec<FileColumn> =
            self.columns.iter().map(|what| FileColumn { what: what.clone(), rank: None }).collect();
        for (rank, (_, at)) in ranked.iter().enumerate() {
            columns[*at].rank = Some(rank as u32);
        }
        let layout = Layout::of(columns).map_err(Error::internal)?;
        Ok((layout, ranked.into_iter().map(|(column, _)| column).collect(), added))
    }

    /// Attributes that deserve a column, those with the most values first.
    fn wanted(&self, rows: u64) -> Vec<(usize, ColumnLevel, &str, ColumnType)> {
        let least = |level| match level {
            Level::Span => PROMOTED_VALUES_MIN.max(rows / PROMOTED_SHARE),
            Level::Event | Level::Link => PROMOTED_VALUES_MIN.max(rows / PROMOTED_SHARE_IN_LIST),
        };
        let mut wanted: Vec<_> = (0..self.columns.len())
            .filter_map(|at| match &self.columns[at] {
                What::Attribute { level, key, kind }
                    if !self.repeats[at] && self.cells[at] >= least(*level) =>
                {
                    let key = str::from_utf8(key).ok()?;
                    Some((at, ColumnLevel::from(*level), key, ColumnType::of(*kind)?))
                }
                What::Field(_) | What::Attribute { .. } => None,
            })
            .collect();
        wanted.sort_by_key(|&(at, level, key, kind)| {
            (std::cmp::Reverse(self.cells[at]), level, key, kind)
        });
        wanted.truncate(PROMOTED_MAX);
        wanted
    }
}
