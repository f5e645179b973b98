//! What it takes to decide a tree: the columns that must be read, and about what an answer costs,
//! so that fixed columns are asked before cells and the cheap before the dear. Says nothing of
//! what the answer is.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::tree::{Leaf, Node, Target};
use crate::batch::{Cells, Field as Cell, Projection};
use crate::query::expression::{Element, Field};

impl Node {
    /// True where fixed columns, resource and scope do not decide it.
    pub(super) fn needs_cells(&self, leaves: &[Leaf]) -> bool {
        let mut needs = false;
        self.visit(leaves, &mut |leaf| needs |= leaf.targets().any(Target::needs_cells));
        self.visit_elements(&mut |_| needs = true);
        needs
    }

    /// Adds the columns that decide it.
    pub(super) fn project(&self, leaves: &[Leaf], to: &mut Projection) {
        self.visit(leaves, &mut |leaf| leaf.targets().for_each(|target| target.project(to)));
        // To go through events or links takes what opens them, whatever is asked of them.
        self.visit_elements(&mut |element| add_cells(to, None, &[opener(element)]));
    }

    pub(super) fn price(&self, leaves: &[Leaf]) -> u32 {
        let mut price = 0;
        self.visit(leaves, &mut |leaf| price = price.max(leaf.price()));
        let nested = match self {
            Self::Leaf(_) | Self::Const(_) => 0,
            Self::And(_) | Self::Or(_) | Self::Not(_) => 1,
            Self::Some(..) => 8,
        };
        price + nested
    }
}

impl Leaf {
    fn price(&self) -> u32 {
        match self {
            Self::One { target, .. } => target.price(),
            Self::Pair { .. } => 5,
        }
    }
}

impl Target {
    fn needs_cells(&self) -> bool {
        match self {
            Self::Attribute(places) => places.span || places.event || places.link,
            Self::Field(field) => {
                matches!(field, Field::TraceState | Field::StatusMessage)
                    || self.element().is_some()
            }
            Self::Error => false,
        }
    }

    fn project(&self, to: &mut Projection) {
        match self {
            Self::Attribute(places) => {
                if self.needs_cells() {
                    add_cells(to, Some(&places.key), &[]);
                }
                to.resource |= places.resource;
                to.scope |= places.scope;
            }
            Self::Error => to.status = true,
            Self::Field(field) => match field {
                Field::TraceId | Field::StartTime => {}
                Field::SpanId => to.span_id = true,
                Field::ParentSpanId => to.parent = true,
                Field::Name => to.name = true,
                Field::Kind => to.kind = true,
                Field::EndTime | Field::Duration => to.end = true,
                Field::Status => to.status = true,
                Field::Service | Field::ResourceSchemaUrl => to.resource = true,
                Field::ScopeName | Field::ScopeVersion | Field::ScopeSchemaUrl => to.scope = true,
                Field::TraceState => add_cells(to, None, &[Cell::TraceState]),
                Field::StatusMessage => add_cells(to, None, &[Cell::StatusMessage]),
                Field::EventName => add_cells(to, None, &[Cell::EventTime, Cell::EventName]),
                Field::EventTime | Field::EventTimeSinceStart => {
                    add_cells(to, None, &[Cell::EventTime]);
                }
                Field::LinkTraceId => add_cells(to, None, &[Cell::LinkTraceId]),
                Field::LinkSpanId => add_cells(to, None, &[Cell::LinkTraceId, Cell::LinkSpanId]),
                Field::LinkTraceState => {
                    add_cells(to, None, &[Cell::LinkTraceId, Cell::LinkTraceState]);
                }
            },
        }
    }

    /// What a cheap answer costs: contexts are asked once, numbers are compared, texts are read.
    fn price(&self) -> u32 {
        match self {
            Self::Field(Field::Service) => 0,
            Self::Field(Field::Name) => 1,
            Self::Field(field) => match field {
                Field::TraceId | Field::SpanId | Field::ParentSpanId => 4,
                _ if self.element().is_some() => 6,
                _ => 2,
            },
            Self::Error => 2,
            Self::Attribute(_) => 3,
        }
    }
}

/// The field that opens an element in a row's cells.
fn opener(element: Element) -> Cell {
    match element {
        Element::Event => Cell::EventTime,
        Element::Link => Cell::LinkTraceId,
    }
}

fn add_cells(to: &mut Projection, key: Option<&str>, fields: &[Cell]) {
    // A key that is not UTF-8 is asked for by what replaces it: any key may be meant.
    let any_key = key.is_some_and(|key| key.contains('\u{fffd}'));
    let cells = match any_key {
        true => Cells::All,
        false => {
            let keys = key.map(|key| Bytes::copy_from_slice(key.as_bytes()));
            Cells::Keys(keys.into_iter().collect(), BTreeSet::from_iter(fields.iter().copied()))
        }
    };
    *to = to.union(&Projection { cells, ..Projection::default() });
}
