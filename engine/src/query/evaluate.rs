//! A predicate asked of a batch, column by column: a set of rows goes in, those that match come
//! out. Contexts are asked once each, dictionary entries once a dictionary, cells only of columns
//! that matter; a conjunction goes on with what is left. What a value must be like stands in
//! `test`; this knows only where values lie.

use std::collections::HashMap;
use std::sync::Arc;

use super::expression::{Element, Field};
use super::predicate::{Leaf, Node, Places, Predicate, Target};
use super::rowset::RowSet;
use super::test::{Scalar, Test};
use super::values::{self, Elements, Place};
use super::words::{KINDS, STATUSES};
use crate::batch::{Batch, Field as Cell, Level, Type, Values, What};
use crate::otlp::value::AnyValue;
use crate::span::{ResourceContext, ScopeContext};

/// Asks one predicate of many batches, remembering what it learns of contexts.
#[derive(Debug)]
pub(crate) struct Evaluator<'p> {
    predicate: &'p Predicate,
    resources: Remembered<ResourceContext>,
    scopes: Remembered<ScopeContext>,
}

/// Answers by question and context; a context that is kept here cannot give its address away.
#[derive(Debug)]
struct Remembered<T>(HashMap<(Question, *const T), (Arc<T>, bool)>);

/// A leaf, or that leaf's "is it there at all".
type Question = (usize, bool);

impl<T> Remembered<T> {
    fn answer(&mut self, question: Question, context: &Arc<T>, ask: impl FnOnce() -> bool) -> bool {
        let entry = self.0.entry((question, Arc::as_ptr(context)));
        entry.or_insert_with(|| (Arc::clone(context), ask())).1
    }
}

impl<'p> Evaluator<'p> {
    pub(crate) fn new(predicate: &'p Predicate) -> Self {
        Self {
            predicate,
            resources: Remembered(HashMap::new()),
            scopes: Remembered(HashMap::new()),
        }
    }

    /// Keeps of `rows` what satisfies every conjunct that fixed columns decide.
    pub(crate) fn keep_fixed(&mut self, batch: &Batch, rows: &mut RowSet) {
        let nodes = self.predicate.conjuncts.get(..self.predicate.fixed).unwrap_or_default();
        self.keep_all(nodes, batch, rows);
    }

    /// Keeps of `rows` what satisfies all other conjuncts.
    pub(crate) fn keep_rest(&mut self, batch: &Batch, rows: &mut RowSet) {
        let nodes = self.predicate.conjuncts.get(self.predicate.fixed..).unwrap_or_default();
        self.keep_all(nodes, batch, rows);
    }

    fn keep_all(&mut self, nodes: &[Node], batch: &Batch, rows: &mut RowSet) {
        for node in nodes {
            if rows.is_empty() {
                return;
            }
            self.keep(node, batch, rows);
        }
    }

    fn keep(&mut self, node: &Node, batch: &Batch, rows: &mut RowSet) {
        match node {
            Node::Const(true) => {}
            Node::Const(false) => *rows = RowSet::empty(batch.rows()),
            Node::And(all) => self.keep_all(all, batch, rows),
            Node::Or(any) => {
                let mut left = rows.clone();
                for node in any {
                    if left.is_empty() {
                        return;
                    }
                    let mut found = left.clone();
                    self.keep(node, batch, &mut found);
                    left.subtract(&found);
                }
                rows.subtract(&left);
            }
            Node::Not(inner) => {
                let mut found = rows.clone();
                self.keep(inner, batch, &mut found);
                rows.subtract(&found);
            }
            Node::Leaf(at) => self.keep_leaf(*at, batch, rows),
            Node::Some(element, inner) => self.keep_some(*element, inner, batch, rows),
        }
    }

    fn keep_leaf(&mut self, at: usize, batch: &Batch, rows: &mut RowSet) {
        match self.predicate.leaves.get(at) {
            None => *rows = RowSet::empty(batch.rows()),
            Some(Leaf::One { target, test, negated: false }) => {
                self.keep_passing((at, false), target, test, batch, rows);
            }
            Some(Leaf::One { target, test, negated: true }) => {
                let mut passing = rows.clone();
                self.keep_passing((at, false), target, test, batch, &mut passing);
                rows.subtract(&passing);
                self.keep_passing((at, true), target, &Test::Exists, batch, rows);
            }
            Some(leaf @ Leaf::Pair { .. }) => {
                let mut elements = Elements::new(batch);
                rows.retain(|row| values::leaf_holds(leaf, &mut elements, Place::row(row)));
            }
        }
    }

    /// Keeps rows of which some value of `target` passes.
    fn keep_passing(
        &mut self,
        question: Question,
        target: &Target,
        test: &Test,
        batch: &Batch,
        rows: &mut RowSet,
    ) {
        match target {
            Target::Attribute(places) => {
                self.keep_attribute(question, places, test, batch, rows);
            }
            Target::Error => {
                let answers = [false, true].map(|v| test.holds(Scalar::Value(AnyValue::Bool(v))));
                rows.retain(|row| answers[usize::from(batch.is_error(row))]);
            }
            Target::Field(field) => self.keep_field(question, *field, test, batch, rows),
        }
    }

    fn keep_field(
        &mut self,
        question: Question,
        field: Field,
        test: &Test,
        batch: &Batch,
        rows: &mut RowSet,
    ) {
        let text = |word: &str| test.holds(Scalar::text(word.as_bytes()));
        let time = |times: &[u64], row: usize| times.get(row).copied().unwrap_or_default();
        match field {
            Field::Name => {
                let entries = Entries::new(&batch.names, test, rows.count(), AnyValue::String);
                rows.retain(|row| {
                    let name = batch.name.get(row).copied().unwrap_or_default();
                    entries.hold(&batch.names, name.into(), test, AnyValue::String)
                });
            }
            Field::Kind => {
                // By number, beyond them all unspecified.
                let answers = KINDS.map(text);
                rows.retain(|row| {
                    let kind = batch.kind.get(row).copied().unwrap_or_default();
                    let known = usize::try_from(kind).ok().and_then(|kind| answers.get(kind));
                    *known.unwrap_or(&answers[0])
                });
            }
            Field::Status => {
                let answers = STATUSES.map(text);
                rows.retain(|row| {
                    let status = batch.status.get(row).copied().unwrap_or_default();
                    let known = usize::try_from(status).ok().and_then(|code| answers.get(code));
                    *known.unwrap_or(&answers[0])
                });
            }
            Field::StartTime => {
                rows.retain(|row| test.holds(Scalar::Nanos(time(&batch.start, row).into())));
            }
            Field::EndTime => {
                rows.retain(|row| test.holds(Scalar::Nanos(time(&batch.end, row).into())));
            }
            Field::Duration => rows.retain(|row| {
                let (start, end) = (time(&batch.start, row), time(&batch.end, row));
                test.holds(Scalar::Nanos(i128::from(end) - i128::from(start)))
            }),
            Field::Service | Field::ResourceSchemaUrl => {
                self.keep_by_resource(question, batch, rows, &|context| {
                    values::of_resource_field(field, context, &mut |v| test.holds(v))
                });
            }
            Field::ScopeName | Field::ScopeVersion | Field::ScopeSchemaUrl => {
                self.keep_by_scope(question, batch, rows, &|context| {
                    values::of_scope_field(field, context, &mut |v| test.holds(v))
                });
            }
            Field::TraceState | Field::StatusMessage => {
                let cell = match field {
                    Field::TraceState => Cell::TraceState,
                    _ => Cell::StatusMessage,
                };
                let mut spots = Spots::new(batch, test, rows, &|what| {
                    (*what == What::Field(cell)).then_some(Type::String)
                });
                spots.keep(rows);
            }
            _ => {
                let target = Target::Field(field);
                let mut elements = Elements::new(batch);
                rows.retain(|row| {
                    let place = Place::row(row);
                    values::of_target(&target, &mut elements, place, &mut |v| test.holds(v))
                });
            }
        }
    }

    fn keep_by_resource(
        &mut self,
        question: Question,
        batch: &Batch,
        rows: &mut RowSet,
        ask: &dyn Fn(&ResourceContext) -> bool,
    ) {
        let mut known = vec![None; batch.resources.len()];
        rows.retain(|row| {
            let number = batch.resource.get(row).copied().unwrap_or_default() as usize;
            let (Some(slot), Some(context)) = (known.get_mut(number), batch.resources.get(number))
            else {
                return false;
            };
            *slot.get_or_insert_with(|| self.resources.answer(question, context, || ask(context)))
        });
    }

    fn keep_by_scope(
        &mut self,
        question: Question,
        batch: &Batch,
        rows: &mut RowSet,
        ask: &dyn Fn(&ScopeContext) -> bool,
    ) {
        let mut known = vec![None; batch.scopes.len()];
        rows.retain(|row| {
            let number = batch.scope.get(row).copied().unwrap_or_default() as usize;
            let (Some(slot), Some(context)) = (known.get_mut(number), batch.scopes.get(number))
            else {
                return false;
            };
            *slot.get_or_insert_with(|| self.scopes.answer(question, context, || ask(context)))
        });
    }

    fn keep_attribute(
        &mut self,
        question: Question,
        places: &Places,
        test: &Test,
        batch: &Batch,
        rows: &mut RowSet,
    ) {
        let mut left = rows.clone();
        if places.resource {
            let mut found = left.clone();
            self.keep_by_resource(question, batch, &mut found, &|context| {
                values::of_resource_attributes(places, context, &mut |v| test.holds(v))
            });
            left.subtract(&found);
        }
        if places.scope && !left.is_empty() {
            let mut found = left.clone();
            self.keep_by_scope(question, batch, &mut found, &|context| {
                values::of_scope_attributes(places, context, &mut |v| test.holds(v))
            });
            left.subtract(&found);
        }
        if (places.span || places.event || places.link) && !left.is_empty() {
            let mut spots = Spots::new(batch, test, &left, &|what| match what {
                What::Attribute { level, key, kind } => {
                    let there = match level {
                        Level::Span => places.span,
                        Level::Event => places.event,
                        Level::Link => places.link,
                    };
                    (there && super::test::same_text(key, &places.key)).then_some(*kind)
                }
                What::Field(_) => None,
            });
            let mut found = left.clone();
            spots.keep(&mut found);
            left.subtract(&found);
        }
        rows.subtract(&left);
    }

    /// Some element of the row satisfies the tree. What the tree asks of the span itself is
    /// answered for all rows first.
    fn keep_some(&mut self, element: Element, inner: &Node, batch: &Batch, rows: &mut RowSet) {
        let mut of_span = HashMap::new();
        self.answer_unbound(inner, &[element], batch, rows, &mut of_span);
        let mut elements = Elements::new(batch);
        let leaves = &self.predicate.leaves;
        rows.retain(|row| {
            let mut asked = Asked { leaves, of_span: &of_span, elements: &mut elements };
            asked.some(element, inner, Place::row(row))
        });
    }

    /// Answers, for all of `rows`, the leaves that no `some` around them binds.
    fn answer_unbound(
        &mut self,
        node: &Node,
        bound: &[Element],
        batch: &Batch,
        rows: &RowSet,
        answers: &mut HashMap<usize, RowSet>,
    ) {
        match node {
            Node::Const(_) => {}
            Node::And(all) | Node::Or(all) => {
                all.iter().for_each(|n| self.answer_unbound(n, bound, batch, rows, answers));
            }
            Node::Not(inner) => self.answer_unbound(inner, bound, batch, rows, answers),
            Node::Some(element, inner) => {
                let mut inside = bound.to_vec();
                inside.push(*element);
                self.answer_unbound(inner, &inside, batch, rows, answers);
            }
            Node::Leaf(at) => {
                let leaf = self.predicate.leaves.get(*at);
                let binds = |target: &Target| target.element().is_some_and(|e| bound.contains(&e));
                if leaf.is_some_and(|leaf| !leaf.targets().any(binds)) {
                    let mut found = rows.clone();
                    self.keep_leaf(*at, batch, &mut found);
                    answers.insert(*at, found);
                }
            }
        }
    }
}

/// A tree asked of one element at a time.
struct Asked<'a, 'b> {
    leaves: &'a [Leaf],
    of_span: &'a HashMap<usize, RowSet>,
    elements: &'a mut Elements<'b>,
}

impl Asked<'_, '_> {
    fn some(&mut self, element: Element, inner: &Node, place: Place) -> bool {
        (0..self.elements.count(place.row, element))
            .any(|number| self.holds(inner, place.inside(element, number)))
    }

    fn holds(&mut self, node: &Node, place: Place) -> bool {
        match node {
            Node::Const(answer) => *answer,
            Node::And(all) => all.iter().all(|node| self.holds(node, place)),
            Node::Or(any) => any.iter().any(|node| self.holds(node, place)),
            Node::Not(inner) => !self.holds(inner, place),
            Node::Some(element, inner) => self.some(*element, inner, place),
            Node::Leaf(at) => match (self.of_span.get(at), self.leaves.get(*at)) {
                (Some(rows), _) => rows.contains(place.row),
                (None, Some(leaf)) => values::leaf_holds(leaf, self.elements, place),
                (None, None) => false,
            },
        }
    }
}

/// Which entries of a dictionary pass.
#[derive(Debug)]
enum Entries {
    None,
    /// This one alone.
    One(u64),
    /// By number.
    Known(RowSet),
    /// To be asked each time: the dictionary is larger than what is asked of it.
    Each,
}

impl Entries {
    fn new<'v>(
        dictionary: &'v Values,
        test: &Test,
        asked: usize,
        value: impl Fn(&'v [u8]) -> AnyValue<'v>,
    ) -> Self {
        let is_text = matches!(value(b""), AnyValue::String(_));
        // To look a string up where strings may repeat, a table is built once a dictionary: that
        // pays where the dictionary stays.
        let stays = !dictionary.may_repeat() || matches!(dictionary, Values::Shared(_));
        if let Some(text) = test.exact_text()
            && is_text
            && stays
        {
            return match *dictionary.find(text.as_bytes()) {
                [] => Self::None,
                [one] => Self::One(one.into()),
                ref several => {
                    let mut known = RowSet::empty(dictionary.len());
                    several.iter().for_each(|&number| known.insert(number as usize));
                    Self::Known(known)
                }
            };
        }
        if dictionary.len() > asked {
            return Self::Each;
        }
        let mut known = RowSet::full(dictionary.len());
        known.retain(|number| test.holds(Scalar::Value(value(dictionary.get(number as u32)))));
        if known.is_empty() { Self::None } else { Self::Known(known) }
    }

    fn hold<'v>(
        &self,
        dictionary: &'v Values,
        cell: u64,
        test: &Test,
        value: impl Fn(&'v [u8]) -> AnyValue<'v>,
    ) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => cell == *one,
            Self::Known(known) => known.contains(cell as usize),
            Self::Each => test.holds(Scalar::Value(value(dictionary.get(cell as u32)))),
        }
    }
}

/// The cells of some columns, found by shape: which cells of a row to look at is worked out once
/// for each shape.
#[derive(Debug)]
struct Spots<'a> {
    batch: &'a Batch,
    test: &'a Test,
    /// Columns in which something may pass.
    columns: Vec<Spot<'a>>,
    /// By column number, into `columns`.
    by_column: Vec<Option<u32>>,
    /// By shape, into `list`; `UNKNOWN` until met.
    by_shape: Vec<(u32, u32)>,
    /// Position among the row's cells, and its column in `columns`.
    list: Vec<(u32, u32)>,
}

#[derive(Debug)]
struct Spot<'a> {
    kind: Type,
    values: &'a Values,
    entries: Entries,
}

const UNKNOWN: (u32, u32) = (u32::MAX, 0);

impl<'a> Spots<'a> {
    fn new(
        batch: &'a Batch,
        test: &'a Test,
        rows: &RowSet,
        wanted: &dyn Fn(&What) -> Option<Type>,
    ) -> Self {
        let asked = rows.count();
        let mut columns = Vec::new();
        let mut by_column = vec![None; batch.columns.len()];
        for (column, slot) in batch.columns.iter().zip(&mut by_column) {
            let Some(kind) = wanted(&column.what) else { continue };
            let values = &column.values;
            let entries = match kind {
                Type::String => Entries::new(values, test, asked, AnyValue::String),
                Type::Bytes => Entries::new(values, test, asked, AnyValue::Bytes),
                Type::Other => Entries::new(values, test, asked, AnyValue::read),
                Type::Int if !test.possible(AnyValue::Int(0)) => Entries::None,
                Type::Double if !test.possible(AnyValue::Double(0.0)) => Entries::None,
                Type::Bool if !test.possible(AnyValue::Bool(true)) => Entries::None,
                Type::Empty | Type::Missing if !test.holds(Scalar::Value(AnyValue::Empty)) => {
                    Entries::None
                }
                _ => Entries::Each,
            };
            if !matches!(entries, Entries::None) {
                *slot = Some(columns.len() as u32);
                columns.push(Spot { kind, values, entries });
            }
        }
        let shapes = if columns.is_empty() { 0 } else { batch.shapes.bound() };
        Self { batch, test, columns, by_column, by_shape: vec![UNKNOWN; shapes], list: Vec::new() }
    }

    /// Keeps the rows in which some cell passes.
    fn keep(&mut self, rows: &mut RowSet) {
        if self.columns.is_empty() {
            *rows = RowSet::empty(self.batch.rows());
            return;
        }
        rows.retain(|row| self.passes(row));
    }

    fn passes(&mut self, row: usize) -> bool {
        let (columns, cells) = self.batch.shape_and_cells(row);
        let shape = self.batch.shape.get(row).copied().unwrap_or_default();
        let (from, to) = match self.by_shape.get(shape as usize) {
            Some(&UNKNOWN) => self.learn(shape, columns),
            Some(&known) => known,
            None => return false,
        };
        let spots = self.list.get(from as usize..to as usize).unwrap_or_default();
        spots.iter().any(|&(position, column)| {
            let (Some(&cell), Some(spot)) =
                (cells.get(position as usize), self.columns.get(column as usize))
            else {
                return false;
            };
            spot.passes(cell, self.test)
        })
    }

    fn learn(&mut self, shape: u32, columns: &[u32]) -> (u32, u32) {
        let from = self.list.len() as u32;
        for (position, &column) in columns.iter().enumerate() {
            if let Some(Some(spot)) = self.by_column.get(column as usize) {
                self.list.push((position as u32, *spot));
            }
        }
        let range = (from, self.list.len() as u32);
        if let Some(slot) = self.by_shape.get_mut(shape as usize) {
            *slot = range;
        }
        range
    }
}

impl Spot<'_> {
    fn passes(&self, cell: u64, test: &Test) -> bool {
        let value = match self.kind {
            Type::String => return self.entries.hold(self.values, cell, test, AnyValue::String),
            Type::Bytes => return self.entries.hold(self.values, cell, test, AnyValue::Bytes),
            Type::Other => return self.entries.hold(self.values, cell, test, AnyValue::read),
            Type::Int => AnyValue::Int(cell as i64),
            Type::Double => AnyValue::Double(f64::from_bits(cell)),
            Type::Bool => AnyValue::Bool(cell != 0),
            Type::Empty | Type::Missing => AnyValue::Empty,
        };
        test.holds(Scalar::Value(value))
    }
}
