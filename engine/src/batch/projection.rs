//! What a reader brings into a batch beside `trace_id` and `start`, which always come. A value
//! that queries make and segments obey.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::column::Field;

/// Which columns of a batch are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Projection {
    pub(crate) span_id: bool,
    pub(crate) parent: bool,
    pub(crate) end: bool,
    pub(crate) kind: bool,
    pub(crate) status: bool,
    pub(crate) name: bool,
    pub(crate) resource: bool,
    pub(crate) scope: bool,
    pub(crate) cells: Cells,
}

/// Which cells are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Cells {
    /// None; shapes stay empty too.
    #[default]
    None,
    /// Attributes of these keys, on span, events and links and of every type, and these fields.
    /// Openers of events and links only where they are listed.
    Keys(BTreeSet<Bytes>, BTreeSet<Field>),
    /// All, and what is raw.
    All,
}

impl Projection {
    /// Everything.
    pub(crate) fn all() -> Self {
        Self { cells: Cells::All, ..Self::fixed() }
    }

    /// Every fixed column, no cells.
    pub(crate) fn fixed() -> Self {
        Self {
            span_id: true,
            parent: true,
            end: true,
            kind: true,
            status: true,
            name: true,
            resource: true,
            scope: true,
            cells: Cells::None,
        }
    }

    /// What either wants.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let cells = match (&self.cells, &other.cells) {
            (Cells::All, _) | (_, Cells::All) => Cells::All,
            (Cells::None, cells) | (cells, Cells::None) => cells.clone(),
            (Cells::Keys(a, x), Cells::Keys(b, y)) => Cells::Keys(a | b, x | y),
        };
        Self {
            span_id: self.span_id || other.span_id,
            parent: self.parent || other.parent,
            end: self.end || other.end,
            kind: self.kind || other.kind,
            status: self.status || other.status,
            name: self.name || other.name,
            resource: self.resource || other.resource,
            scope: self.scope || other.scope,
            cells,
        }
    }
}
