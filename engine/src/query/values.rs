//! Where a reference's values lie: on a row, in its cells, in its contexts, in one event or link.
//! The plain way, value by value, for what is asked of few rows; `evaluate` takes short cuts for
//! the rest. Each function gives values to `found` until it says yes, and tells whether it did.

use std::collections::HashMap;

use super::expression::{Element, Field};
use super::predicate::{Leaf, Places, Target};
use super::test::{Scalar, Test, pair_holds, same_text};
use super::words::{self, KINDS, STATUSES};
use crate::batch::{Batch, Field as Cell, Level, Type, What};
use crate::otlp::attributes;
use crate::otlp::value::AnyValue;
use crate::span::{ResourceContext, ScopeContext, SpanId};

/// A row, perhaps inside one of its events and one of its links.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) row: usize,
    event: Option<usize>,
    link: Option<usize>,
}

impl Place {
    pub(super) fn row(row: usize) -> Self {
        Self { row, event: None, link: None }
    }

    pub(super) fn inside(self, element: Element, number: usize) -> Self {
        match element {
            Element::Event => Self { event: Some(number), ..self },
            Element::Link => Self { link: Some(number), ..self },
        }
    }

    fn of(self, element: Element) -> Option<usize> {
        match element {
            Element::Event => self.event,
            Element::Link => self.link,
        }
    }
}

/// The events and links of a shape: for each, the positions of its cells.
#[derive(Debug, Default)]
struct Layout {
    events: Vec<Vec<usize>>,
    links: Vec<Vec<usize>>,
}

/// A batch with the events and links of its rows, worked out once for each shape.
#[derive(Debug)]
pub(super) struct Elements<'a> {
    batch: &'a Batch,
    layouts: HashMap<u32, Layout>,
}

impl<'a> Elements<'a> {
    pub(super) fn new(batch: &'a Batch) -> Self {
        Self { batch, layouts: HashMap::new() }
    }

    fn layout(&mut self, row: usize) -> &Layout {
        let batch = self.batch;
        let shape = batch.shape.get(row).copied().unwrap_or_default();
        self.layouts.entry(shape).or_insert_with(|| {
            let mut layout = Layout::default();
            for (position, &column) in batch.shape_and_cells(row).0.iter().enumerate() {
                let into = match batch.what(column) {
                    Some(What::Field(Cell::EventTime)) => {
                        layout.events.push(Vec::new());
                        layout.events.last_mut()
                    }
                    Some(What::Field(Cell::LinkTraceId)) => {
                        layout.links.push(Vec::new());
                        layout.links.last_mut()
                    }
                    Some(
                        What::Field(Cell::EventName) | What::Attribute { level: Level::Event, .. },
                    ) => layout.events.last_mut(),
                    Some(
                        What::Field(Cell::LinkSpanId | Cell::LinkTraceState)
                        | What::Attribute { level: Level::Link, .. },
                    ) => layout.links.last_mut(),
                    _ => None,
                };
                into.into_iter().for_each(|element| element.push(position));
            }
            layout
        })
    }

    fn positions(&mut self, row: usize, element: Element) -> &[Vec<usize>] {
        let layout = self.layout(row);
        match element {
            Element::Event => &layout.events,
            Element::Link => &layout.links,
        }
    }

    /// How many the row has.
    pub(super) fn count(&mut self, row: usize, element: Element) -> usize {
        self.positions(row, element).len()
    }
}

type Found<'f> = &'f mut dyn FnMut(Scalar<'_>) -> bool;

/// True where the leaf holds at this place.
pub(super) fn leaf_holds(leaf: &Leaf, elements: &mut Elements<'_>, place: Place) -> bool {
    match leaf {
        Leaf::One { target, test, negated } => {
            let passes = of_target(target, elements, place, &mut |value| test.holds(value));
            match negated {
                false => passes,
                true => !passes && is_there(target, elements, place),
            }
        }
        Leaf::Pair { left, comparison, right, negated } => {
            let mut theirs = Vec::new();
            of_target(right, elements, place, &mut |value| {
                theirs.push(Owned::of(value));
                false
            });
            let passes = of_target(left, elements, place, &mut |ours| {
                theirs.iter().any(|theirs| pair_holds(ours, *comparison, theirs.borrow()))
            });
            match negated {
                false => passes,
                true => !passes && !theirs.is_empty() && is_there(left, elements, place),
            }
        }
    }
}

/// A scalar that outlives what it was read from.
struct Owned(Option<Vec<u8>>, Scalar<'static>);

impl Owned {
    fn of(value: Scalar<'_>) -> Self {
        match value {
            Scalar::Nanos(nanos) => Self(None, Scalar::Nanos(nanos)),
            Scalar::Value(AnyValue::String(text)) => {
                Self(Some(text.to_vec()), Scalar::Value(AnyValue::Empty))
            }
            Scalar::Value(value) => Self(
                None,
                Scalar::Value(match value {
                    AnyValue::Bool(value) => AnyValue::Bool(value),
                    AnyValue::Int(value) => AnyValue::Int(value),
                    AnyValue::Double(value) => AnyValue::Double(value),
                    // Bytes, lists and maps are there, and compare with nothing.
                    _ => AnyValue::Empty,
                }),
            ),
        }
    }

    fn borrow(&self) -> Scalar<'_> {
        match &self.0 {
            Some(text) => Scalar::text(text),
            None => self.1,
        }
    }
}

fn is_there(target: &Target, elements: &mut Elements<'_>, place: Place) -> bool {
    of_target(target, elements, place, &mut |value| Test::Exists.holds(value))
}

/// The values of a target at this place.
pub(super) fn of_target(
    target: &Target,
    elements: &mut Elements<'_>,
    place: Place,
    found: Found<'_>,
) -> bool {
    let batch = elements.batch;
    match target {
        Target::Error => found(Scalar::Value(AnyValue::Bool(batch.is_error(place.row)))),
        Target::Attribute(places) => of_attribute(target, places, elements, place, found),
        Target::Field(field) => match target.element() {
            Some(element) => of_element_field(*field, element, elements, place, found),
            None => of_span_field(*field, batch, place.row, found),
        },
    }
}

fn of_attribute(
    target: &Target,
    places: &Places,
    elements: &mut Elements<'_>,
    place: Place,
    found: Found<'_>,
) -> bool {
    let batch = elements.batch;
    if let Some((element, number)) =
        target.element().and_then(|element| Some((element, place.of(element)?)))
    {
        let positions = elements.positions(place.row, element).get(number).cloned();
        return cells(batch, place.row, positions.as_deref(), places, found);
    }
    places.resource
        && batch.resource(place.row).is_some_and(|c| of_resource_attributes(places, c, found))
        || places.scope
            && batch.scope(place.row).is_some_and(|c| of_scope_attributes(places, c, found))
        || cells(batch, place.row, None, places, found)
}

/// Attribute values among the row's cells, or among those at `positions` alone.
fn cells(
    batch: &Batch,
    row: usize,
    positions: Option<&[usize]>,
    places: &Places,
    found: Found<'_>,
) -> bool {
    let (columns, cells) = batch.shape_and_cells(row);
    let mut at = |position: usize| {
        let (Some(&column), Some(&cell)) = (columns.get(position), cells.get(position)) else {
            return false;
        };
        let Some(What::Attribute { level, key, kind }) = batch.what(column) else { return false };
        let there = match level {
            Level::Span => places.span,
            Level::Event => places.event,
            Level::Link => places.link,
        };
        there && same_text(key, &places.key) && found(scalar(batch, column, cell, *kind))
    };
    match positions {
        Some(positions) => positions.iter().any(|&position| at(position)),
        None => (0..columns.len()).any(at),
    }
}

fn scalar(batch: &Batch, column: u32, cell: u64, kind: Type) -> Scalar<'_> {
    Scalar::Value(match kind.is_textual() {
        true => kind.of_text(batch.text(column, cell)),
        false => kind.of_number(cell),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn nonempty(text: &[u8], found: Found<'_>) -> bool {
    !text.is_empty() && found(Scalar::text(text))
}

fn of_span_field(field: Field, batch: &Batch, row: usize, found: Found<'_>) -> bool {
    let time = |times: &[u64]| i128::from(times.get(row).copied().unwrap_or_default());
    let id = |ids: &[SpanId]| ids.get(row).copied().unwrap_or_default();
    let number = |numbers: &[i32]| numbers.get(row).copied().unwrap_or_default();
    let cell_text = |cell: Cell, found: Found<'_>| {
        batch.cells(row).any(|(column, value)| {
            batch.what(column) == Some(&What::Field(cell))
                && nonempty(batch.text(column, value), found)
        })
    };
    match field {
        Field::TraceId => {
            let trace_id = batch.trace_id.get(row).copied().unwrap_or_default();
            found(Scalar::text(hex(&trace_id.0).as_bytes()))
        }
        Field::SpanId => found(Scalar::text(hex(&id(&batch.span_id).0).as_bytes())),
        Field::ParentSpanId => {
            let parent = id(&batch.parent);
            parent != SpanId::default() && found(Scalar::text(hex(&parent.0).as_bytes()))
        }
        Field::Name => found(Scalar::text(batch.name(row))),
        Field::Kind => {
            let word = words::of_number(&KINDS, number(&batch.kind));
            found(Scalar::text(word.as_bytes()))
        }
        Field::Status => {
            let word = words::of_number(&STATUSES, number(&batch.status));
            found(Scalar::text(word.as_bytes()))
        }
        Field::StartTime => found(Scalar::Nanos(time(&batch.start))),
        Field::EndTime => found(Scalar::Nanos(time(&batch.end))),
        Field::Duration => found(Scalar::Nanos(time(&batch.end) - time(&batch.start))),
        Field::TraceState => cell_text(Cell::TraceState, found),
        Field::StatusMessage => cell_text(Cell::StatusMessage, found),
        Field::Service | Field::ResourceSchemaUrl => {
            batch.resource(row).is_some_and(|context| of_resource_field(field, context, found))
        }
        Field::ScopeName | Field::ScopeVersion | Field::ScopeSchemaUrl => {
            batch.scope(row).is_some_and(|context| of_scope_field(field, context, found))
        }
        // Fields of elements are asked for by element.
        Field::EventName
        | Field::EventTime
        | Field::EventTimeSinceStart
        | Field::LinkTraceId
        | Field::LinkSpanId
        | Field::LinkTraceState => false,
    }
}

/// A field of events or links: there wherever there is an element, `""` where it was not sent.
fn of_element_field(
    field: Field,
    element: Element,
    elements: &mut Elements<'_>,
    place: Place,
    found: Found<'_>,
) -> bool {
    let batch = elements.batch;
    let (columns, cells) = batch.shape_and_cells(place.row);
    let start = batch.start.get(place.row).copied().unwrap_or_default();
    let mut one = |positions: &[usize]| {
        let cell = |wanted: Cell| {
            positions.iter().find_map(|&position| {
                let (&column, &cell) = (columns.get(position)?, cells.get(position)?);
                (batch.what(column) == Some(&What::Field(wanted))).then_some((column, cell))
            })
        };
        let text = |wanted: Cell| cell(wanted).map_or(&b""[..], |(c, v)| batch.text(c, v));
        let since = || cell(Cell::EventTime).map_or(0, |(_, since)| since);
        let time = || i128::from(start.wrapping_add(since()));
        match field {
            Field::EventName => found(Scalar::text(text(Cell::EventName))),
            Field::EventTime => found(Scalar::Nanos(time())),
            Field::EventTimeSinceStart => found(Scalar::Nanos(time() - i128::from(start))),
            Field::LinkTraceId => found(Scalar::text(hex(text(Cell::LinkTraceId)).as_bytes())),
            Field::LinkSpanId => found(Scalar::text(hex(text(Cell::LinkSpanId)).as_bytes())),
            Field::LinkTraceState => found(Scalar::text(text(Cell::LinkTraceState))),
            _ => false,
        }
    };
    let all = elements.positions(place.row, element);
    match place.of(element) {
        Some(number) => all.get(number).is_some_and(|positions| one(positions)),
        None => all.iter().any(|positions| one(positions)),
    }
}

pub(super) fn of_resource_attributes(
    places: &Places,
    context: &ResourceContext,
    found: Found<'_>,
) -> bool {
    let named = |key: &[u8]| {
        same_text(key, &places.key)
            || places.resource_key.as_deref().is_some_and(|other| same_text(key, other))
    };
    attributes::of_resource(context).any(|(key, value)| named(key) && found(Scalar::Value(value)))
}

pub(super) fn of_scope_attributes(
    places: &Places,
    context: &ScopeContext,
    found: Found<'_>,
) -> bool {
    let mut all = attributes::of_scope(context);
    all.any(|(key, value)| same_text(key, &places.key) && found(Scalar::Value(value)))
}

pub(super) fn of_resource_field(field: Field, context: &ResourceContext, found: Found<'_>) -> bool {
    match field {
        Field::Service => nonempty(context.service.as_bytes(), found),
        _ => nonempty(attributes::schema_url(&context.bytes), found),
    }
}

pub(super) fn of_scope_field(field: Field, context: &ScopeContext, found: Found<'_>) -> bool {
    let (name, version) = attributes::scope_name_version(context);
    match field {
        Field::ScopeName => nonempty(name, found),
        Field::ScopeVersion => nonempty(version, found),
        _ => nonempty(attributes::schema_url(&context.bytes), found),
    }
}
