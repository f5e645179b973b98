//! Leaves to a batch: fixed columns first, then the shapes, then only the leaves those shapes use.
//! Each leaf is a cursor that gives its next value for each entry of a shape. What does not add
//! up is damage.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use hashbrown::HashMap;

use super::cursors::{Cells, Texts};
use super::layout::{Fixed, Leaf, Place, Remainder};
use super::read::Segment;
use crate::batch::{self, Batch, Field, Projection, Type, What};
use crate::error::Result;
use crate::otlp::wire::{Fields, Value};
use crate::span::{SpanId, TraceId};

const UNKNOWN: u32 = u32::MAX;
/// Ids of parents that lie farther apart are read apart.
const PARENT_GAP: u32 = 4096;

/// A batch that is being read.
pub(super) struct Rows<'a> {
    segment: &'a Segment,
    projection: &'a Projection,
    batch: Batch,
    names: Texts,
    /// Of each column of the batch.
    texts: Vec<Texts>,
    /// What a column of the file is called in the batch.
    columns: Vec<u32>,
    /// What resources and scopes are called in the batch.
    resources: Vec<u32>,
    scopes: Vec<u32>,
}

/// What a read does for the rows of one shape.
struct Program {
    /// In the batch.
    shape: u32,
    steps: Vec<Step>,
}

#[derive(Clone, Copy)]
enum Step {
    /// A cell that says nothing.
    Mark,
    /// The next value of this leaf is a cell of this column of the batch.
    Take { leaf: u32, column: u32 },
    /// The next value of this leaf is not wanted.
    Skip { leaf: u32 },
}

impl<'a> Rows<'a> {
    pub(super) fn new(segment: &'a Segment, projection: &'a Projection) -> Self {
        let index = &segment.index;
        Self {
            segment,
            projection,
            batch: Batch::default(),
            names: Texts::default(),
            texts: Vec::new(),
            columns: vec![UNKNOWN; index.layout.columns.len()],
            resources: vec![UNKNOWN; index.resources.len()],
            scopes: vec![UNKNOWN; index.scopes.len()],
        }
    }

    pub(super) fn finish(mut self) -> Batch {
        self.batch.names = self.names.finish();
        for (column, texts) in self.batch.columns.iter_mut().zip(self.texts) {
            column.values = texts.finish();
        }
        self.batch
    }

    /// Reads rows of a row group.
    pub(super) fn read(&mut self, group: usize, rows: &[Range<u32>]) -> Result<()> {
        let mut leaves = self.fixed(group, rows)?;
        let count = rows.iter().map(|rows| rows.len()).sum();
        let mut take = |fixed: Fixed| leaves.remove(&(fixed as usize)).unwrap_or_default();
        let ids = take(Fixed::TraceId);
        self.batch.trace_id.reserve(count);
        for at in 0..count {
            let id: Option<[u8; 16]> = ids.text(at).try_into().ok();
            let id = id.ok_or_else(|| self.segment.damaged("a trace id lacks"))?;
            self.batch.trace_id.push(TraceId(id));
        }
        let first = self.batch.start.len();
        self.batch.start.extend(self.numbers(take(Fixed::Start), count)?);
        let raw = self.raw(group, rows, first)?;
        if self.projection.end {
            let durations = self.numbers(take(Fixed::Duration), count)?;
            let starts = self.batch.start.get(first..).unwrap_or_default();
            let ends = starts.iter().zip(durations).map(|(start, d)| start.wrapping_add(d));
            self.batch.end.extend(ends);
        }
        if self.projection.kind {
            let kinds = self.numbers(take(Fixed::Kind), count)?;
            self.batch.kind.extend(kinds.into_iter().map(|kind| kind as u32 as i32));
        }
        if self.projection.status {
            let codes = self.numbers(take(Fixed::Status), count)?;
            self.batch.status.extend(codes.into_iter().map(|code| code as u32 as i32));
        }
        if self.projection.name {
            let mut names = take(Fixed::Name);
            let base = names.strings.as_ref().map_or(0, |strings| self.names.add(strings));
            let names = self.numbers(std::mem::take(&mut names), count)?;
            self.batch.name.extend(names.into_iter().map(|name| (name + base) as u32));
        }
        if self.projection.resource {
            let codes = self.numbers(take(Fixed::Resource), count)?;
            self.resources(group, &codes)?;
        }
        if self.projection.scope {
            let codes = self.numbers(take(Fixed::Scope), count)?;
            self.scopes(group, &codes)?;
        }
        let ids = take(Fixed::SpanId);
        if self.projection.span_id {
            let ids = self.span_ids(&ids, count)?;
            self.batch.span_id.extend(ids);
        }
        if self.projection.parent {
            let distances = self.numbers(take(Fixed::ParentDistance), count)?;
            self.parents(rows, &ids, &distances, &take(Fixed::ParentSpanId))?;
        }
        if self.projection.cells != batch::Cells::None {
            let shapes = self.numbers(take(Fixed::Shape), count)?;
            self.all_cells(group, rows, &shapes)?;
        }
        if self.projection.cells == batch::Cells::All {
            self.batch.raw.extend(raw.into_iter().map(|(at, raw)| (at, Bytes::from(raw))));
        }
        Ok(())
    }

    /// The fixed columns that are wanted, in one read.
    fn fixed(&self, group: usize, rows: &[Range<u32>]) -> Result<BTreeMap<usize, Cells>> {
        let wanted = self.projection;
        let leaves: Vec<usize> = [
            (Fixed::TraceId, true),
            (Fixed::SpanId, wanted.span_id || wanted.parent),
            (Fixed::ParentDistance, wanted.parent),
            (Fixed::ParentSpanId, wanted.parent),
            (Fixed::Start, true),
            (Fixed::Duration, wanted.end),
            (Fixed::Name, wanted.name),
            (Fixed::Kind, wanted.kind),
            (Fixed::Status, wanted.status),
            (Fixed::Resource, wanted.resource),
            (Fixed::Scope, wanted.scope),
            (Fixed::Shape, wanted.cells != batch::Cells::None),
        ]
        .into_iter()
        .filter(|(_, is_wanted)| *is_wanted)
        .map(|(fixed, _)| fixed as usize)
        .collect();
        let cells = self.segment.cells(group, &leaves, rows)?;
        Ok(leaves.into_iter().zip(cells).collect())
    }

    /// A value a row.
    fn numbers(&self, cells: Cells, count: usize) -> Result<Vec<u64>> {
        if cells.cells.len() == count {
            return Ok(cells.cells);
        }
        Err(self.segment.damaged("its columns differ in length"))
    }

    /// The raw spans of the rows, by row of the batch, where they are wanted or where a start lies
    /// beyond its column: such a start is in the raw span, and is put right here.
    fn raw(
        &mut self,
        group: usize,
        rows: &[Range<u32>],
        first: usize,
    ) -> Result<BTreeMap<u32, Vec<u8>>> {
        let starts = self.batch.start.get_mut(first..).unwrap_or_default();
        let is_clamped = starts.contains(&(i64::MAX as u64));
        let mut raw = BTreeMap::new();
        if !is_clamped && self.projection.cells != batch::Cells::All {
            return Ok(raw);
        }
        let cells = self.segment.fixed(group, Fixed::SpanRaw, rows)?;
        let present = cells.definition.iter().enumerate().filter(|(_, level)| **level > 0);
        for (value, (at, _)) in present.enumerate() {
            let bytes = cells.text(value);
            if let Some(start) = starts.get_mut(at)
                && *start == i64::MAX as u64
            {
                *start = start_of(bytes);
            }
            raw.insert((first + at) as u32, bytes.to_vec());
        }
        Ok(raw)
    }

    fn resources(&mut self, group: usize, codes: &[u64]) -> Result<()> {
        let index = &self.segment.index;
        let ordinals = index.contexts.groups.get(group).map_or(&[][..], |[resources, _]| resources);
        for &code in codes {
            let ordinal = ordinals.get(code as usize).copied().unwrap_or(UNKNOWN);
            let Some(number) = self.resources.get_mut(ordinal as usize) else {
                return Err(self.segment.damaged("a row's resource is not listed"));
            };
            if *number == UNKNOWN {
                *number = self.batch.add_resource(&index.resources[ordinal as usize]);
            }
            self.batch.resource.push(*number);
        }
        Ok(())
    }

    fn scopes(&mut self, group: usize, codes: &[u64]) -> Result<()> {
        let index = &self.segment.index;
        let ordinals = index.contexts.groups.get(group).map_or(&[][..], |[_, scopes]| scopes);
        for &code in codes {
            let ordinal = ordinals.get(code as usize).copied().unwrap_or(UNKNOWN);
            let Some(number) = self.scopes.get_mut(ordinal as usize) else {
                return Err(self.segment.damaged("a row's scope is not listed"));
            };
            if *number == UNKNOWN {
                *number = self.batch.add_scope(&index.scopes[ordinal as usize]);
            }
            self.batch.scope.push(*number);
        }
        Ok(())
    }

    fn span_ids(&self, cells: &Cells, count: usize) -> Result<Vec<SpanId>> {
        (0..count)
            .map(|at| {
                let id: Option<[u8; 8]> = cells.text(at).try_into().ok();
                id.map(SpanId).ok_or_else(|| self.segment.damaged("a span id lacks"))
            })
            .collect()
    }

    fn parents(
        &mut self,
        rows: &[Range<u32>],
        ids: &Cells,
        distances: &[u64],
        sent: &Cells,
    ) -> Result<()> {
        let ids = self.span_ids(ids, distances.len())?;
        let wrong = || self.segment.damaged("a parent is not where its child says");
        let mut elsewhere = Vec::new();
        let mut places = Vec::with_capacity(distances.len());
        for (row, &distance) in rows.iter().cloned().flatten().zip(distances) {
            let distance = distance as u32 as i32;
            let parent = i64::from(row) - i64::from(distance);
            let parent = u32::try_from(parent).ok().filter(|&p| p < self.segment.rows());
            let parent = parent.ok_or_else(wrong)?;
            if distance != 0 && place_of(rows, parent).is_none() {
                elsewhere.push(parent);
            }
            places.push((distance != 0).then_some(parent));
        }
        let elsewhere = self.span_ids_at(elsewhere)?;
        let mut value = 0;
        for (at, place) in places.into_iter().enumerate() {
            let is_sent = sent.definition.get(at).is_some_and(|level| *level > 0);
            let parent = match place {
                Some(row) => match place_of(rows, row) {
                    Some(here) => ids.get(here).copied().ok_or_else(wrong)?,
                    None => elsewhere.get(&row).copied().ok_or_else(wrong)?,
                },
                None if is_sent => {
                    let id: Option<[u8; 8]> = sent.text(value).try_into().ok();
                    id.map(SpanId).ok_or_else(wrong)?
                }
                None => SpanId::default(),
            };
            value += usize::from(is_sent);
            self.batch.parent.push(parent);
        }
        Ok(())
    }

    /// The span ids of rows anywhere in the file.
    fn span_ids_at(&self, mut rows: Vec<u32>) -> Result<HashMap<u32, SpanId>> {
        rows.sort_unstable();
        rows.dedup();
        let mut found = HashMap::new();
        for near in rows.chunk_by(|a, b| b - a < PARENT_GAP) {
            let (Some(&first), Some(&last)) = (near.first(), near.last()) else { continue };
            for (group, part) in self.segment.index.pages.groups_of(first..last + 1) {
                let ids = self.segment.fixed(group, Fixed::SpanId, std::slice::from_ref(&part))?;
                let ids = self.span_ids(&ids, part.len())?;
                for &row in near.iter().filter(|row| part.contains(row)) {
                    found.insert(row, ids[(row - part.start) as usize]);
                }
            }
        }
        Ok(found)
    }

    /// Shapes and cells.
    fn all_cells(&mut self, group: usize, rows: &[Range<u32>], shapes: &[u64]) -> Result<()> {
        let mut programs: HashMap<u64, Program> = HashMap::new();
        let mut distinct: Vec<u64> = shapes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.last().is_some_and(|&last| last >= self.segment.index.shapes.len() as u64) {
            return Err(self.segment.damaged("a row's shape is not listed"));
        }
        let lists: Vec<Vec<u32>> =
            distinct.iter().map(|&shape| self.segment.index.shapes.columns(shape as u32)).collect();
        let wanted = self.wanted_leaves(&lists);
        let leaves: Vec<usize> = (0..wanted.len()).filter(|&leaf| wanted[leaf]).collect();
        for (shape, list) in distinct.into_iter().zip(lists) {
            let program = self.program(&list, &wanted);
            programs.insert(shape, program);
        }
        let mut cursors: Vec<Cursor> = Vec::new();
        cursors.resize_with(wanted.len(), Cursor::default);
        for (&leaf, cells) in leaves.iter().zip(self.segment.cells(group, &leaves, rows)?) {
            let opens_link =
                self.segment.index.layout.leaves[leaf] == Leaf::Field(Field::LinkTraceId);
            let cells = if opens_link { cells.with_empty() } else { cells };
            cursors[leaf] = Cursor { cells, next: 0 };
        }
        let bases = self.bases(&programs, &cursors);
        let short = || self.segment.damaged("a column has too few values");
        let mut row_cells = Vec::new();
        for shape in shapes {
            let Some(program) = programs.get(shape) else { continue };
            row_cells.clear();
            for step in &program.steps {
                match *step {
                    Step::Mark => row_cells.push(0),
                    Step::Skip { leaf } => drop(cursors[leaf as usize].next().ok_or_else(short)?),
                    Step::Take { leaf, column } => {
                        let cell = cursors[leaf as usize].next().ok_or_else(short)?;
                        row_cells.push(cell + bases[column as usize]);
                    }
                }
            }
            self.batch.push_cells(program.shape, row_cells.iter().copied());
        }
        match cursors.iter().position(|cursor| cursor.next != cursor.cells.cells.len()) {
            Some(leaf) => Err(self.segment.damaged_leaf(leaf, "it has too many values")),
            None => Ok(()),
        }
    }

    /// What is added to the cells of each column of the batch, since its strings may begin behind
    /// those of an earlier row group.
    fn bases(&mut self, programs: &HashMap<u64, Program>, cursors: &[Cursor]) -> Vec<u64> {
        self.texts.resize_with(self.batch.columns.len(), Texts::default);
        let mut bases = vec![0; self.texts.len()];
        for step in programs.values().flat_map(|program| &program.steps) {
            let Step::Take { leaf, column } = *step else { continue };
            if let Some(strings) = &cursors[leaf as usize].cells.strings {
                bases[column as usize] = self.texts[column as usize].add(strings);
            }
        }
        bases
    }

    fn is_wanted(&self, column: u32) -> bool {
        match &self.projection.cells {
            batch::Cells::None => false,
            batch::Cells::All => true,
            batch::Cells::Keys(keys, fields) => {
                match &self.segment.index.layout.columns[column as usize].what {
                    What::Field(field) => fields.contains(field),
                    What::Attribute { key, .. } => keys.contains(key),
                }
            }
        }
    }

    /// For each leaf, whether it holds cells that are wanted.
    fn wanted_leaves(&self, lists: &[Vec<u32>]) -> Vec<bool> {
        let layout = &self.segment.index.layout;
        let mut seen = vec![false; layout.columns.len()];
        lists.iter().flatten().for_each(|&column| seen[column as usize] = true);
        let mut wanted = vec![false; layout.leaves.len()];
        for column in (0..seen.len() as u32).filter(|&c| seen[c as usize] && self.is_wanted(c)) {
            match layout.places[column as usize] {
                Place::Marker => {}
                Place::Leaf(leaf) => wanted[leaf as usize] = true,
                Place::Remainder(kind) => {
                    if let Some(leaf) = value_leaf(kind) {
                        wanted[layout.remainder(leaf)] = true;
                    }
                }
            }
        }
        wanted
    }

    fn program(&mut self, list: &[u32], wanted: &[bool]) -> Program {
        let layout = &self.segment.index.layout;
        let mut columns = Vec::new();
        let mut steps = Vec::new();
        for &file_column in list {
            let is_wanted = self.is_wanted(file_column);
            let mut column = UNKNOWN;
            if is_wanted {
                let known = &mut self.columns[file_column as usize];
                if *known == UNKNOWN {
                    *known = self.batch.column(&layout.columns[file_column as usize].what);
                }
                column = *known;
                columns.push(column);
            }
            match layout.places[file_column as usize] {
                Place::Leaf(leaf) if is_wanted => steps.push(Step::Take { leaf, column }),
                Place::Marker if is_wanted => steps.push(Step::Mark),
                Place::Leaf(_) | Place::Marker => {}
                Place::Remainder(kind) => {
                    let value = value_leaf(kind);
                    match value.map(|leaf| layout.remainder(leaf) as u32) {
                        Some(leaf) if is_wanted => steps.push(Step::Take { leaf, column }),
                        Some(leaf) if wanted[leaf as usize] => steps.push(Step::Skip { leaf }),
                        None if is_wanted => steps.push(Step::Mark),
                        _ => {}
                    }
                    // Its text, for other readers.
                    let text = layout.remainder(Remainder::String);
                    if kind == Type::Other && wanted[text] {
                        steps.push(Step::Skip { leaf: text as u32 });
                    }
                }
            }
        }
        Program { shape: self.batch.shapes.intern(&columns), steps }
    }
}

/// The place of a row among `ranges`.
fn place_of(ranges: &[Range<u32>], row: u32) -> Option<usize> {
    let mut before = 0;
    for range in ranges {
        if range.contains(&row) {
            return Some(before + (row - range.start) as usize);
        }
        before += range.len();
    }
    None
}

/// Where the remainder has the values of a type.
fn value_leaf(kind: Type) -> Option<Remainder> {
    Some(match kind {
        Type::String => Remainder::String,
        Type::Bool => Remainder::Bool,
        Type::Int => Remainder::Int,
        Type::Double => Remainder::Double,
        Type::Bytes | Type::Other => Remainder::Bytes,
        Type::Empty | Type::Missing => return None,
    })
}

/// The start that a canonical span message carries.
fn start_of(span: &[u8]) -> u64 {
    Fields::new(span)
        .map_while(|field| field.ok())
        .find_map(|field| match field.value {
            Value::Fixed64(start) if field.number == 7 => Some(start),
            _ => None,
        })
        .unwrap_or_default()
}

/// Gives a leaf's values one by one.
#[derive(Default)]
struct Cursor {
    cells: Cells,
    next: usize,
}

impl Cursor {
    fn next(&mut self) -> Option<u64> {
        let cell = self.cells.cells.get(self.next).copied();
        self.next += usize::from(cell.is_some());
        cell
    }
}
