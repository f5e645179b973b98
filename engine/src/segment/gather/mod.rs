//! Rows of batches into the leaves of row groups, with what the index needs of them: terms of
//! each block, bounds, operations, resources and scopes. A value that several rows share is
//! looked up and hashed once for each source and row group, not once a row.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::codec::Physical;
use super::columns::GroupData;
use super::layout::{Fixed, Frame, Layout, Leaf, Place, Remainder};
use super::plan::{Input, Plan};
use super::tables::{Contexts, Operations, kind_number};
use super::{BLOCK_ROWS, Block, GROUP_ROWS};
use crate::batch::{Batch, Field, Level, Type, What};
use crate::otlp::attributes;
use crate::otlp::value::{AnyValue, json_object, json_text};
use crate::span::{ResourceContext, ScopeContext, SpanId};
use crate::terms;

/// Where row groups end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) rows: usize,
    /// A row group whose values take more bytes of memory ends early.
    pub(super) weight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows: GROUP_ROWS, weight: 256 << 20 }
    }
}

const UNKNOWN: u32 = u32::MAX;

/// What the index is made of, beside the plan.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// (term, block), in order of blocks, perhaps repeated.
    pub(super) terms: Vec<(u64, u32)>,
    /// As `terms`, of how long spans take. What is listed depends on the order of rows.
    pub(super) slow_terms: Vec<(u64, u32)>,
    pub(super) blocks: Vec<Block>,
    pub(super) operations: Operations,
    pub(super) resources: Vec<Arc<ResourceContext>>,
    pub(super) scopes: Vec<Arc<ScopeContext>>,
    pub(super) contexts: Contexts,
}

/// Gathers row group after row group.
pub(super) struct Gather<'a> {
    input: Input<'a>,
    plan: &'a Plan,
    limits: Limits,
    sources: Vec<SourceState>,
    resources: Shared<ResourceContext>,
    scopes: Shared<ScopeContext>,
    columns: Vec<ColumnState>,
    operations: HashSet<(u32, u32, i32)>,
    out: Gathered,
    /// The last block that is known to hold errors.
    error_block: Option<u32>,
    /// Number of the row group, from 1.
    group: u32,
}

/// What is known of a source's numbers.
#[derive(Default)]
struct SourceState {
    names: Vec<Known>,
    /// By column.
    values: Vec<Vec<Known>>,
    /// Ordinals in the segment.
    resources: Vec<u32>,
    scopes: Vec<u32>,
}

/// What is known of a string of a source.
#[derive(Clone, Copy, Default)]
struct Known {
    /// The row group `code` belongs to.
    group: u32,
    code: u32,
    /// Its text among the remainder's strings, where its value lies elsewhere.
    text_code: u32,
    /// Number of its type there.
    number: i32,
    /// One above the block that has its term.
    block: u32,
    term: u64,
    is_lossy: bool,
}

/// A column of cells in the file.
struct ColumnState {
    place: Place,
    store: Store,
    level: Level,
    kind: Type,
    /// An attribute's key, for other readers.
    key: String,
    is_attribute: bool,
    is_textual: bool,
    /// The row group its key's code belongs to, and the code.
    key_code: (u32, u32),
    /// Term of each number, and one above the block that has it.
    numbers: HashMap<u64, (u64, u32)>,
}

/// How a leaf takes values.
struct Store {
    frame: Frame,
    physical: Physical,
    is_optional: bool,
    is_utf8: bool,
    /// Whether a value begins an event or a link.
    opens: bool,
}

/// Contexts of the segment, each once.
struct Shared<T> {
    things: Vec<Arc<T>>,
    by_value: HashMap<Arc<T>, u32>,
    states: Vec<SharedState>,
}

#[derive(Default)]
struct SharedState {
    terms: Vec<u64>,
    text: String,
    /// One above the block that has its terms.
    block: u32,
    /// The longest span of the block met last: one above that block, and its term.
    slowest: (u32, u64, u64),
    group: u32,
    code: u32,
    service_code: u32,
}

impl SharedState {
    /// The term of a span of this service, where none as long was met in its block.
    fn slower(&mut self, service: &str, duration: u64, block: u32) -> Option<u64> {
        let (last_block, longest, last) = self.slowest;
        let is_new = last_block != block + 1;
        if !is_new && duration <= longest {
            return None;
        }
        let term = terms::slow(service, duration);
        self.slowest = (block + 1, duration, term);
        (is_new || term != last).then_some(term)
    }
}

impl<T: Eq + std::hash::Hash> Shared<T> {
    fn new() -> Self {
        Self { things: Vec::new(), by_value: HashMap::new(), states: Vec::new() }
    }

    fn ordinal(&mut self, thing: &Arc<T>, describe: impl FnOnce(&T) -> SharedState) -> u32 {
        if let Some(&ordinal) = self.by_value.get(thing) {
            return ordinal;
        }
        let ordinal = self.things.len() as u32;
        self.things.push(Arc::clone(thing));
        self.by_value.insert(Arc::clone(thing), ordinal);
        self.states.push(describe(thing));
        ordinal
    }
}

impl<'a> Gather<'a> {
    pub(super) fn new(input: Input<'a>, plan: &'a Plan, limits: Limits) -> Self {
        let columns = plan
            .layout
            .columns
            .iter()
            .zip(&plan.layout.places)
            .map(|(column, place)| ColumnState::new(&column.what, *place, &plan.layout))
            .collect();
        let sources = input.sources.iter().map(|batch| SourceState::new(batch)).collect();
        Self {
            input,
            plan,
            limits,
            sources,
            resources: Shared::new(),
            scopes: Shared::new(),
            columns,
            operations: HashSet::new(),
            out: Gathered::default(),
            error_block: None,
            group: 0,
        }
    }

    /// The row group that begins at `first`.
    pub(super) fn group(&mut self, first: usize) -> GroupData {
        self.group += 1;
        self.operations.clear();
        self.out.contexts.groups.push(Default::default());
        let mut data = GroupData::new(&self.plan.layout);
        // Each resource has an entry of its own, though another's text be equal.
        for leaf in [Fixed::Resource, Fixed::Scope, Fixed::SpanRaw] {
            data.fixed(&self.plan.layout, leaf).data.append_only();
        }
        let rows = (self.input.order.len() - first).min(self.limits.rows);
        for at in first..first + rows {
            self.row(at, &mut data);
            data.rows += 1;
            if data.weight > self.limits.weight {
                break;
            }
        }
        data
    }

    pub(super) fn finish(mut self) -> Gathered {
        self.out.resources = self.resources.things;
        self.out.scopes = self.scopes.things;
        self.out
    }

    fn row(&mut self, at: usize, data: &mut GroupData) {
        let (batch, source, row) = self.input.row(at);
        let block = (at / BLOCK_ROWS) as u32;
        self.bounds(batch, row, at, block);
        self.fixed(batch, row, at, data);
        let mut is_exact = i64::try_from(batch.start[row]).is_ok();
        is_exact &= self.name(batch, source, row, block, data);
        if batch.is_error(row) && self.error_block != Some(block) {
            self.error_block = Some(block);
            self.out.terms.push((terms::error(), block));
        }
        self.contexts(batch, source, row, block, data);
        is_exact &= self.cells(batch, source, row, block, data);
        let raw = batch.raw.get(&(row as u32));
        if raw.is_some() || !is_exact {
            let mut bytes = Vec::new();
            batch.write_span(row, &mut bytes);
            data.weight += bytes.len();
            let row = data.rows;
            let leaf = data.fixed(&self.plan.layout, Fixed::SpanRaw);
            leaf.at.push(row);
            let code = leaf.data.intern(&bytes);
            leaf.data.push_code(code);
        }
    }

    fn bounds(&mut self, batch: &Batch, row: usize, at: usize, block: u32) {
        let (start, duration) = (batch.start[row], batch.duration(row));
        match self.out.blocks.get_mut(block as usize) {
            Some(bounds) => {
                bounds.rows += 1;
                bounds.start_min = bounds.start_min.min(start);
                bounds.start_max = bounds.start_max.max(start);
                bounds.duration_max = bounds.duration_max.max(duration);
            }
            None => self.out.blocks.push(Block {
                first_row: at as u32,
                rows: 1,
                start_min: start,
                start_max: start,
                duration_max: duration,
            }),
        }
    }

    fn fixed(&mut self, batch: &Batch, row: usize, at: usize, data: &mut GroupData) {
        let layout = &self.plan.layout;
        let (start, end) = (batch.start[row], batch.end[row]);
        let distance = self.plan.distances[at];
        data.fixed(layout, Fixed::TraceId).data.push_fixed(&batch.trace_id[row].0);
        data.fixed(layout, Fixed::SpanId).data.push_fixed(&batch.span_id[row].0);
        for (leaf, number) in [
            (Fixed::ParentDistance, distance as u32 as u64),
            (Fixed::Start, start.min(i64::MAX as u64)),
            (Fixed::Duration, end.wrapping_sub(start)),
            (Fixed::Kind, batch.kind[row] as u32 as u64),
            (Fixed::Status, batch.status[row] as u32 as u64),
        ] {
            data.fixed(layout, leaf).data.push_number(number);
        }
        let parent = batch.parent[row];
        if distance == 0 && parent != SpanId::default() {
            let row = data.rows;
            let leaf = data.fixed(layout, Fixed::ParentSpanId);
            leaf.at.push(row);
            leaf.data.push_fixed(&parent.0);
        }
        data.weight += 100;
    }

    /// False where the name is no UTF-8.
    fn name(
        &mut self,
        batch: &Batch,
        source: usize,
        row: usize,
        block: u32,
        data: &mut GroupData,
    ) -> bool {
        let known = &mut self.sources[source].names[batch.name[row] as usize];
        let is_new = known.group != self.group;
        data.weight += if is_new { batch.name(row).len() } else { 0 };
        let leaf = &mut data.fixed(&self.plan.layout, Fixed::Name).data;
        if is_new {
            let name = lossy(batch.name(row));
            known.group = self.group;
            known.is_lossy = matches!(name, Cow::Owned(_));
            known.code = leaf.intern(name.as_bytes());
            known.term = terms::operation(&name);
        }
        leaf.push_code(known.code);
        if known.block <= block {
            known.block = block + 1;
            self.out.terms.push((known.term, block));
        }
        !known.is_lossy
    }

    fn contexts(
        &mut self,
        batch: &Batch,
        source: usize,
        row: usize,
        block: u32,
        data: &mut GroupData,
    ) {
        let layout = &self.plan.layout;
        let (Some(resource), Some(scope)) = (batch.resource(row), batch.scope(row)) else {
            return;
        };
        let state = &mut self.sources[source];
        let known = &mut state.resources[batch.resource[row] as usize];
        if *known == UNKNOWN {
            *known = self.resources.ordinal(resource, describe_resource);
        }
        let resource = *known;
        let known = &mut state.scopes[batch.scope[row] as usize];
        if *known == UNKNOWN {
            *known = self.scopes.ordinal(scope, describe_scope);
        }
        let scope = *known;
        let [resource_codes, scope_codes] = match self.out.contexts.groups.last_mut() {
            Some([resources, scopes]) => [resources, scopes],
            None => return,
        };

        let service = Arc::clone(&self.resources.things[resource as usize].service);
        let shared = &mut self.resources.states[resource as usize];
        if shared.group != self.group {
            shared.group = self.group;
            let leaf = &mut data.fixed(layout, Fixed::Resource).data;
            shared.code = leaf.intern(shared.text.as_bytes());
            resource_codes.push(resource);
            let leaf = &mut data.fixed(layout, Fixed::Service).data;
            shared.service_code = leaf.intern(service.as_bytes());
            data.weight += shared.text.len() + service.len();
        }
        data.fixed(layout, Fixed::Resource).data.push_code(shared.code);
        data.fixed(layout, Fixed::Service).data.push_code(shared.service_code);
        if shared.block <= block {
            shared.block = block + 1;
            self.out.terms.extend(shared.terms.iter().map(|&term| (term, block)));
        }
        if let Some(term) = shared.slower(&service, batch.duration(row), block) {
            self.out.slow_terms.push((term, block));
        }

        let shared = &mut self.scopes.states[scope as usize];
        let is_new = shared.group != self.group;
        data.weight += if is_new { shared.text.len() } else { 0 };
        let leaf = &mut data.fixed(layout, Fixed::Scope).data;
        if is_new {
            shared.group = self.group;
            shared.code = leaf.intern(shared.text.as_bytes());
            scope_codes.push(scope);
        }
        leaf.push_code(shared.code);
        if shared.block <= block {
            shared.block = block + 1;
            self.out.terms.extend(shared.terms.iter().map(|&term| (term, block)));
        }

        let kind = kind_number(batch.kind[row]);
        let name = self.sources[source].names[batch.name[row] as usize].code;
        if self.operations.insert((resource, name, kind)) {
            let name = lossy(batch.name(row)).into_owned();
            self.out.operations.insert((service, name, kind));
        }
    }

    /// Shape and cells; false where they do not hold all of them.
    fn cells(
        &mut self,
        batch: &Batch,
        source: usize,
        row: usize,
        block: u32,
        data: &mut GroupData,
    ) -> bool {
        let map = &self.plan.sources[source];
        let shape = map.shapes[batch.shape[row] as usize];
        data.fixed(&self.plan.layout, Fixed::Shape).data.push_number(shape.into());
        let (columns, cells) = batch.shape_and_cells(row);
        data.weight += cells.len() * 16;
        let mut cursor = RowCursor { row: data.rows, events: 0, links: 0, entry: [UNKNOWN; 3] };
        let mut is_exact = true;
        for (&column, &cell) in columns.iter().zip(cells) {
            let known = &mut self.sources[source].values[column as usize];
            let number = map.columns[column as usize] as usize;
            let mut put = Put {
                layout: &self.plan.layout,
                column: &mut self.columns[number],
                terms: &mut self.out.terms,
                group: self.group,
                block,
                data: &mut *data,
            };
            is_exact &= if put.column.is_textual {
                put.text(|| batch.text(column, cell), &mut known[cell as usize], &mut cursor)
            } else {
                put.number(cell, &mut cursor);
                true
            };
        }
        for (list, entry) in data.lists.iter_mut().zip(cursor.entry) {
            if entry == UNKNOWN {
                list.push(data.rows, false);
            }
        }
        is_exact
    }
}

impl SourceState {
    fn new(batch: &Batch) -> Self {
        let known = |count: usize| vec![Known::default(); count];
        Self {
            names: known(batch.names.len()),
            values: batch.columns.iter().map(|column| known(column.values.len())).collect(),
            resources: vec![UNKNOWN; batch.resources.len()],
            scopes: vec![UNKNOWN; batch.scopes.len()],
        }
    }
}

impl ColumnState {
    fn new(what: &What, place: Place, layout: &Layout) -> Self {
        let (level, kind, key) = match what {
            What::Field(_) => (Level::Span, Type::Missing, String::new()),
            What::Attribute { level, key, kind } => (*level, *kind, lossy(key).into_owned()),
        };
        let leaf = match place {
            Place::Leaf(leaf) => layout.leaves[leaf as usize],
            Place::Marker | Place::Remainder(_) => Leaf::Remainder(Remainder::Key),
        };
        let opens = [Field::EventTime, Field::LinkTraceId].map(Leaf::Field).contains(&leaf);
        let store = Store {
            frame: leaf.frame(),
            physical: leaf.physical(),
            is_optional: leaf.is_optional(),
            is_utf8: leaf.is_utf8(),
            opens,
        };
        Self {
            place,
            store,
            level,
            kind,
            key,
            is_attribute: matches!(what, What::Attribute { .. }),
            is_textual: what.is_textual(),
            key_code: (0, 0),
            numbers: HashMap::new(),
        }
    }
}

fn describe_resource(resource: &ResourceContext) -> SharedState {
    let mut terms = vec![terms::service(&resource.service)];
    terms.extend(attributes::of_resource(resource).map(term_of));
    let text = json_object(attributes::of_resource(resource));
    SharedState { terms, text, ..SharedState::default() }
}

fn describe_scope(scope: &ScopeContext) -> SharedState {
    let (name, version) = attributes::scope_name_version(scope);
    let text = format!(
        "{{\"name\":{},\"version\":{},\"attributes\":{}}}",
        json_text(name),
        json_text(version),
        json_object(attributes::of_scope(scope))
    );
    let terms = attributes::of_scope(scope).map(term_of).collect();
    SharedState { terms, text, ..SharedState::default() }
}

fn term_of((key, value): (&[u8], AnyValue<'_>)) -> u64 {
    terms::attribute(lossy(key).as_bytes(), &value.text())
}

/// UTF-8, with what is none replaced. Most of it is; a look at all of it at once is cheapest.
fn lossy(text: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(text),
    }
}

/// Where in a row the cells are.
struct RowCursor {
    row: u32,
    events: u32,
    links: u32,
    /// The entry that is open in each list.
    entry: [u32; 3],
}

/// Puts one cell into its leaf.
struct Put<'a> {
    layout: &'a Layout,
    column: &'a mut ColumnState,
    terms: &'a mut Vec<(u64, u32)>,
    group: u32,
    block: u32,
    data: &'a mut GroupData,
}

impl Put<'_> {
    /// A cell that is a number or says nothing.
    fn number(&mut self, cell: u64, at: &mut RowCursor) {
        match self.column.place {
            Place::Marker => {}
            Place::Leaf(leaf) => {
                self.open(leaf, at);
                self.data.leaves[leaf as usize].data.push_number(cell);
            }
            Place::Remainder(kind) => {
                let number = match kind {
                    Type::Bool => 2,
                    Type::Int => 3,
                    Type::Double => 4,
                    Type::Missing => -1,
                    _ => 0,
                };
                let entry = self.remainder(number, at);
                let leaf = match kind {
                    Type::Bool => Remainder::Bool,
                    Type::Int => Remainder::Int,
                    Type::Double => Remainder::Double,
                    _ => return self.number_term(0),
                };
                let leaf = self.data.remainder(self.layout, leaf);
                leaf.at.push(entry);
                leaf.data.push_number(cell);
            }
        }
        if self.column.is_attribute {
            self.number_term(cell);
        }
    }

    fn number_term(&mut self, cell: u64) {
        let column = &mut *self.column;
        let (term, has_it) = column.numbers.entry(cell).or_insert_with(|| {
            let value = match column.kind {
                Type::Bool => AnyValue::Bool(cell != 0),
                Type::Int => AnyValue::Int(cell as i64),
                Type::Double => AnyValue::Double(f64::from_bits(cell)),
                _ => AnyValue::Empty,
            };
            (terms::attribute(column.key.as_bytes(), &value.text()), 0)
        });
        if *has_it <= self.block {
            *has_it = self.block + 1;
            self.terms.push((*term, self.block));
        }
    }

    /// A cell that is a string of bytes; false where the leaf does not hold all of it. `text` is
    /// asked for only where it is not known already.
    fn text<'t>(
        &mut self,
        text: impl Fn() -> &'t [u8],
        known: &mut Known,
        at: &mut RowCursor,
    ) -> bool {
        let is_new = known.group != self.group;
        if is_new {
            known.group = self.group;
            self.data.weight += text().len();
        }
        match self.column.place {
            Place::Marker => {}
            Place::Leaf(number) => {
                self.open(number, at);
                let store = &self.column.store;
                if let Physical::Fixed(width) = store.physical {
                    return self.fixed(number, width as usize, text());
                }
                let data = &mut self.data.leaves[number as usize].data;
                if is_new && store.is_utf8 {
                    let utf8 = lossy(text());
                    known.is_lossy = matches!(utf8, Cow::Owned(_));
                    known.code = data.intern(utf8.as_bytes());
                } else if is_new {
                    known.code = data.intern(text());
                }
                data.push_code(known.code);
            }
            Place::Remainder(kind) => {
                if is_new {
                    self.know_remainder(kind, text(), known);
                }
                self.remainder_text(kind, known, at);
            }
        }
        if self.column.is_attribute && known.block <= self.block {
            if known.block == 0 {
                known.term = terms::attribute(self.column.key.as_bytes(), &self.plain(text()));
            }
            known.block = self.block + 1;
            self.terms.push((known.term, self.block));
        }
        !known.is_lossy
    }

    /// The text that an attribute is asked for by.
    fn plain<'t>(&self, text: &'t [u8]) -> Cow<'t, str> {
        match self.column.kind {
            Type::Bytes => AnyValue::Bytes(text).text(),
            Type::Other => AnyValue::read(text).text(),
            _ => lossy(text),
        }
    }

    /// An id of a link.
    fn fixed(&mut self, leaf: u32, width: usize, text: &[u8]) -> bool {
        let is_first = self.column.store.opens;
        let leaf = &mut self.data.leaves[leaf as usize];
        if text.len() == width {
            leaf.data.push_fixed(text);
        } else if is_first {
            // The link itself is there, its trace id is not.
            leaf.at.pop();
        } else {
            leaf.data.push_fixed(&vec![0; width]);
        }
        text.len() == width || is_first && text.is_empty()
    }

    fn know_remainder(&mut self, kind: Type, text: &[u8], known: &mut Known) {
        known.number = match kind {
            Type::String => 1,
            Type::Bytes => 7,
            // The tag of the one member that such a value has.
            _ => text.first().map_or(0, |tag| i32::from(tag >> 3)),
        };
        if kind != Type::Bytes {
            let utf8 = self.plain(text);
            known.is_lossy = kind == Type::String && utf8.as_bytes() != text;
            let leaf = self.data.remainder(self.layout, Remainder::String);
            known.text_code = leaf.data.intern(utf8.as_bytes());
        }
        if kind != Type::String {
            let leaf = self.data.remainder(self.layout, Remainder::Bytes);
            known.code = leaf.data.intern(text);
        }
    }

    fn remainder_text(&mut self, kind: Type, known: &Known, at: &mut RowCursor) {
        let entry = self.remainder(known.number, at);
        for (leaf, code, is_there) in [
            (Remainder::String, known.text_code, kind != Type::Bytes),
            (Remainder::Bytes, known.code, kind != Type::String),
        ] {
            if is_there {
                let leaf = self.data.remainder(self.layout, leaf);
                leaf.at.push(entry);
                leaf.data.push_code(code);
            }
        }
    }

    /// Notes that the leaf has a value at the place where the row is, or opens an event or link.
    fn open(&mut self, number: u32, at: &mut RowCursor) {
        let store = &self.column.store;
        let entry = match store.frame {
            Frame::Row => at.row,
            Frame::Events => {
                if store.opens {
                    at.events += 1;
                    at.entry[0] = self.data.lists[0].push(at.row, true);
                }
                at.entry[0]
            }
            Frame::Links => {
                if store.opens {
                    at.links += 1;
                    at.entry[1] = self.data.lists[1].push(at.row, true);
                }
                at.entry[1]
            }
            Frame::Remainder => at.entry[2],
        };
        if store.is_optional {
            self.data.leaves[number as usize].at.push(entry);
        }
    }

    /// A new entry of the remainder.
    fn remainder(&mut self, kind: i32, at: &mut RowCursor) -> u32 {
        let owner = match self.column.level {
            Level::Span => 0,
            Level::Event => at.events as i32,
            Level::Link => -(at.links as i32),
        };
        for (column, number) in [(Remainder::Owner, owner), (Remainder::Type, kind)] {
            self.data.remainder(self.layout, column).data.push_number(number as u32 as u64);
        }
        let keys = &mut self.data.remainder(self.layout, Remainder::Key).data;
        if self.column.key_code.0 != self.group {
            self.column.key_code = (self.group, keys.intern(self.column.key.as_bytes()));
        }
        keys.push_code(self.column.key_code.1);
        let entry = self.data.lists[2].push(at.row, true);
        at.entry[2] = entry;
        entry
    }
}
