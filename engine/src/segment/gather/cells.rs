//! Cells into the leaves that hold them: events and links are opened as their first cell comes,
//! strings are interned once a row group, and terms of attributes are listed once a block.
//! Attributes without a column go to `remainder`. The hottest loop of a seal: no allocation for a
//! row, and a string that is known already is not read.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::lists::Lists;
use super::remainder::{Rare, Spelling};
use super::sink::{Listed, Row, Sink};
use crate::batch::{Column as Sent, Field, Level, Type, What};
use crate::otlp::value::lossy;
use crate::segment::codec::Physical;
use crate::segment::layout::{Fixed, Frame, Layout, Leaf, Place};
use crate::segment::plan::{Input, Plan};
use crate::terms;

#[derive(Debug)]
pub(super) struct Cells<'a> {
    plan: &'a Plan,
    columns: Vec<Column>,
    /// By source, column there and number there.
    texts: Vec<Vec<Vec<Text>>>,
}

/// A column of cells in the file.
#[derive(Debug)]
struct Column {
    store: Store,
    is_textual: bool,
    /// Where it can be asked for.
    attribute: Option<Attribute>,
}

#[derive(Debug)]
enum Store {
    /// The shape says it all.
    Marker,
    Leaf(LeafStore),
    Remainder(Rare),
}

/// A leaf that holds cells of one column alone.
#[derive(Debug)]
struct LeafStore {
    number: usize,
    frame: Frame,
    physical: Physical,
    is_optional: bool,
    is_utf8: bool,
    /// Whether a value begins an event or a link.
    opens: bool,
}

/// An attribute, as terms speak of it.
#[derive(Debug)]
struct Attribute {
    /// Its key, for other readers.
    key: String,
    kind: Type,
    /// Term of each number that was met.
    numbers: HashMap<u64, (u64, Listed)>,
}

/// What is known of a string of a source.
#[derive(Debug, Clone, Copy, Default)]
struct Text {
    /// The row group that `spelling` belongs to.
    group: u32,
    spelling: Spelling,
    listed: Listed,
    is_lossy: bool,
    term: u64,
}

impl<'a> Cells<'a> {
    pub(super) fn new(input: &Input<'_>, plan: &'a Plan) -> Self {
        let Layout { columns, places, .. } = &plan.layout;
        let columns = columns.iter().zip(places);
        let unknown = |column: &Sent| vec![Text::default(); column.values.len()];
        let texts = |columns: &[Sent]| columns.iter().map(unknown).collect();
        Self {
            plan,
            columns: columns
                .map(|(column, place)| Column::new(&column.what, *place, &plan.layout))
                .collect(),
            texts: input.sources.iter().map(|batch| texts(&batch.columns)).collect(),
        }
    }

    /// Shape and cells; false where the file does not hold all that they say.
    pub(super) fn put(&mut self, row: Row<'_>, sink: &mut Sink<'_>) -> bool {
        let names = &self.plan.sources[row.source];
        let texts = &mut self.texts[row.source];
        let shape = names.shapes[row.batch.shape[row.number] as usize];
        sink.fixed(Fixed::Shape).data.push_number(shape.into());
        let (columns, cells) = row.batch.shape_and_cells(row.number);
        sink.data.weight += cells.len() * 16;
        let mut lists = Lists::of_row(sink.data.rows);
        let mut is_exact = true;
        for (&number, &cell) in columns.iter().zip(cells) {
            let column = &mut self.columns[names.columns[number as usize] as usize];
            if column.is_textual {
                let text = &mut texts[number as usize][cell as usize];
                let bytes = || row.batch.text(number, cell);
                is_exact &= column.text(bytes, text, row.block, &mut lists, sink);
            } else {
                column.number(cell, row.block, &mut lists, sink);
            }
        }
        lists.close(sink.data);
        is_exact
    }
}

impl Column {
    fn new(what: &What, place: Place, layout: &Layout) -> Self {
        let (level, attribute) = match what {
            What::Field(_) => (Level::Span, None),
            What::Attribute { level, key, kind } => {
                let key = lossy(key).into_owned();
                (*level, Some(Attribute { key, kind: *kind, numbers: HashMap::new() }))
            }
        };
        let key = || attribute.as_ref().map(|attribute| attribute.key.clone());
        let store = match place {
            Place::Marker => Store::Marker,
            Place::Leaf(number) => Store::Leaf(LeafStore::new(number as usize, layout)),
            Place::Remainder(kind) => {
                Store::Remainder(Rare::new(level, key().unwrap_or_default(), kind))
            }
        };
        Self { store, is_textual: what.is_textual(), attribute }
    }

    /// A cell that is a number or says nothing.
    fn number(&mut self, cell: u64, block: u32, lists: &mut Lists, sink: &mut Sink<'_>) {
        match &mut self.store {
            Store::Marker => {}
            Store::Leaf(leaf) => {
                leaf.open(lists, sink);
                sink.data.leaves[leaf.number].data.push_number(cell);
            }
            Store::Remainder(rare) => rare.number(cell, lists, sink),
        }
        if let Some(attribute) = &mut self.attribute {
            attribute.list_number(cell, block, sink);
        }
    }

    /// A cell that is a string of bytes; false where the file does not hold all of it. `bytes` are
    /// asked for only where they are not known already.
    fn text<'t>(
        &mut self,
        bytes: impl Fn() -> &'t [u8],
        text: &mut Text,
        block: u32,
        lists: &mut Lists,
        sink: &mut Sink<'_>,
    ) -> bool {
        let is_new = text.group != sink.group;
        if is_new {
            text.group = sink.group;
            sink.data.weight += bytes().len();
        }
        match &mut self.store {
            Store::Marker => {}
            Store::Leaf(leaf) => {
                leaf.open(lists, sink);
                if let Physical::Fixed(width) = leaf.physical {
                    return leaf.id(width as usize, bytes(), sink);
                }
                if is_new {
                    (text.spelling.code, text.is_lossy) = leaf.intern(bytes(), sink);
                }
                sink.data.leaves[leaf.number].data.push_code(text.spelling.code);
            }
            Store::Remainder(rare) => {
                if is_new {
                    (text.spelling, text.is_lossy) = rare.intern(bytes(), sink);
                }
                rare.text(&text.spelling, lists, sink);
            }
        }
        if let Some(attribute) = &self.attribute {
            if text.listed.is_nowhere() {
                let value = attribute.kind.of_text(bytes());
                text.term = terms::attribute(attribute.key.as_bytes(), &value.text());
            }
            if text.listed.enters(block) {
                sink.terms.push((text.term, block));
            }
        }
        !text.is_lossy
    }
}

impl LeafStore {
    fn new(number: usize, layout: &Layout) -> Self {
        let leaf = layout.leaves[number];
        Self {
            number,
            frame: leaf.frame(),
            physical: leaf.physical(),
            is_optional: leaf.is_optional(),
            is_utf8: leaf.is_utf8(),
            opens: [Field::EventTime, Field::LinkTraceId].map(Leaf::Field).contains(&leaf),
        }
    }

    /// Notes that there is a value where the row is, which may begin an event or a link.
    fn open(&self, lists: &mut Lists, sink: &mut Sink<'_>) {
        let entry = match self.opens {
            true => lists.open(self.frame, sink.data),
            false => lists.entry(self.frame),
        };
        if self.is_optional {
            sink.data.leaves[self.number].at.push(entry);
        }
    }

    /// The code of a string, and whether the leaf cannot hold it as it is.
    fn intern(&self, bytes: &[u8], sink: &mut Sink<'_>) -> (u32, bool) {
        let leaf = &mut sink.data.leaves[self.number].data;
        match self.is_utf8 {
            true => {
                let utf8 = lossy(bytes);
                (leaf.intern(utf8.as_bytes()), matches!(utf8, Cow::Owned(_)))
            }
            false => (leaf.intern(bytes), false),
        }
    }

    /// An id of a link; false where it is none.
    fn id(&self, width: usize, bytes: &[u8], sink: &mut Sink<'_>) -> bool {
        let leaf = &mut sink.data.leaves[self.number];
        if bytes.len() == width {
            leaf.data.push_fixed(bytes);
        } else if self.opens {
            // The link itself is there, its trace id is not.
            leaf.at.pop();
        } else {
            leaf.data.push_fixed(&vec![0; width]);
        }
        bytes.len() == width || self.opens && bytes.is_empty()
    }
}

impl Attribute {
    fn list_number(&mut self, cell: u64, block: u32, sink: &mut Sink<'_>) {
        let (term, listed) = self.numbers.entry(cell).or_insert_with(|| {
            let value = self.kind.of_number(cell);
            (terms::attribute(self.key.as_bytes(), &value.text()), Listed::default())
        });
        if listed.enters(block) {
            sink.terms.push((*term, block));
        }
    }
}
