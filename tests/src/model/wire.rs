//! OTLP traces as plain trees, read and written by tables of our own: the oracle must not share
//! a decoder with what it judges. Bytes flow in and become [`Node`]s (defaults elided, singular
//! messages merged, the last scalar wins, unknown fields raw); nodes flow out as canonical bytes.
//! Strings stay bytes here, so invalid UTF-8 is nothing special. It must never panic on input.

use std::collections::BTreeMap;
use std::fmt;

/// How a known field is encoded.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `int32` and enums: the low 32 bits count, negative numbers take ten bytes.
    Int32,
    /// `uint32`.
    Uint32,
    /// `int64`.
    Int64,
    /// `bool`.
    Bool,
    /// `fixed32`.
    Fixed32,
    /// `fixed64` and `double` (by bits).
    Fixed64,
    /// `bytes` and `string`.
    Bytes,
    /// A message.
    Message(&'static Schema),
}

/// How often a field may stand, and what its default means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Singular; the default is the same as absent (messages: presence counts).
    One,
    /// Repeated.
    Many,
    /// Member of the message's only oneof: the default is a value.
    Choice,
}

/// One field of a message.
#[derive(Debug)]
pub struct Field {
    /// Its number.
    pub number: u32,
    /// Its encoding.
    pub kind: Kind,
    /// Its rule.
    pub rule: Rule,
}

/// A message type.
#[derive(Debug)]
pub struct Schema {
    /// Its name, for messages to people.
    pub name: &'static str,
    /// Its fields by number.
    pub fields: &'static [Field],
}

const fn one(number: u32, kind: Kind) -> Field {
    Field { number, kind, rule: Rule::One }
}

const fn many(number: u32, kind: Kind) -> Field {
    Field { number, kind, rule: Rule::Many }
}

const fn choice(number: u32, kind: Kind) -> Field {
    Field { number, kind, rule: Rule::Choice }
}

/// `opentelemetry.proto.common.v1.AnyValue`.
pub static ANY_VALUE: Schema = Schema {
    name: "AnyValue",
    fields: &[
        choice(1, Kind::Bytes),
        choice(2, Kind::Bool),
        choice(3, Kind::Int64),
        choice(4, Kind::Fixed64),
        choice(5, Kind::Message(&ARRAY)),
        choice(6, Kind::Message(&KVLIST)),
        choice(7, Kind::Bytes),
        choice(8, Kind::Int32),
    ],
};

static ARRAY: Schema = Schema { name: "ArrayValue", fields: &[many(1, Kind::Message(&ANY_VALUE))] };

static KVLIST: Schema =
    Schema { name: "KeyValueList", fields: &[many(1, Kind::Message(&KEY_VALUE))] };

/// `opentelemetry.proto.common.v1.KeyValue`.
pub static KEY_VALUE: Schema = Schema {
    name: "KeyValue",
    fields: &[one(1, Kind::Bytes), one(2, Kind::Message(&ANY_VALUE)), one(3, Kind::Int32)],
};

static ENTITY_REF: Schema = Schema {
    name: "EntityRef",
    fields: &[one(1, Kind::Bytes), one(2, Kind::Bytes), many(3, Kind::Bytes), many(4, Kind::Bytes)],
};

static RESOURCE: Schema = Schema {
    name: "Resource",
    fields: &[
        many(1, Kind::Message(&KEY_VALUE)),
        one(2, Kind::Uint32),
        many(3, Kind::Message(&ENTITY_REF)),
    ],
};

static SCOPE: Schema = Schema {
    name: "InstrumentationScope",
    fields: &[
        one(1, Kind::Bytes),
        one(2, Kind::Bytes),
        many(3, Kind::Message(&KEY_VALUE)),
        one(4, Kind::Uint32),
    ],
};

static EVENT: Schema = Schema {
    name: "Event",
    fields: &[
        one(1, Kind::Fixed64),
        one(2, Kind::Bytes),
        many(3, Kind::Message(&KEY_VALUE)),
        one(4, Kind::Uint32),
    ],
};

static LINK: Schema = Schema {
    name: "Link",
    fields: &[
        one(1, Kind::Bytes),
        one(2, Kind::Bytes),
        one(3, Kind::Bytes),
        many(4, Kind::Message(&KEY_VALUE)),
        one(5, Kind::Uint32),
        one(6, Kind::Fixed32),
    ],
};

static STATUS: Schema =
    Schema { name: "Status", fields: &[one(2, Kind::Bytes), one(3, Kind::Int32)] };

/// `opentelemetry.proto.trace.v1.Span`.
pub static SPAN: Schema = Schema {
    name: "Span",
    fields: &[
        one(1, Kind::Bytes),
        one(2, Kind::Bytes),
        one(3, Kind::Bytes),
        one(4, Kind::Bytes),
        one(5, Kind::Bytes),
        one(6, Kind::Int32),
        one(7, Kind::Fixed64),
        one(8, Kind::Fixed64),
        many(9, Kind::Message(&KEY_VALUE)),
        one(10, Kind::Uint32),
        many(11, Kind::Message(&EVENT)),
        one(12, Kind::Uint32),
        many(13, Kind::Message(&LINK)),
        one(14, Kind::Uint32),
        one(15, Kind::Message(&STATUS)),
        one(16, Kind::Fixed32),
    ],
};

static SCOPE_SPANS: Schema = Schema {
    name: "ScopeSpans",
    fields: &[one(1, Kind::Message(&SCOPE)), many(2, Kind::Message(&SPAN)), one(3, Kind::Bytes)],
};

static RESOURCE_SPANS: Schema = Schema {
    name: "ResourceSpans",
    fields: &[
        one(1, Kind::Message(&RESOURCE)),
        many(2, Kind::Message(&SCOPE_SPANS)),
        one(3, Kind::Bytes),
    ],
};

/// `ExportTraceServiceRequest` and `TracesData`: the wire is the same.
pub static TRACES: Schema =
    Schema { name: "TracesData", fields: &[many(1, Kind::Message(&RESOURCE_SPANS))] };

impl Schema {
    /// The field of this number, if the schema has one.
    pub fn field(&self, number: u32) -> Option<&'static Field>
    where
        Self: 'static,
    {
        self.fields.iter().find(|f| f.number == number)
    }
}

/// One value of one field.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// Varints and fixed numbers, by bits.
    Number(u64),
    /// Strings and bytes.
    Bytes(Vec<u8>),
    /// A message.
    Node(Node),
}

/// A message: values by field number, unknown fields raw in the order they came.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Node {
    /// Known fields; never an empty list, never an elided default.
    pub fields: BTreeMap<u32, Vec<Item>>,
    /// Unknown fields with their tags.
    pub unknown: Vec<u8>,
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Bytes(b) => write!(f, "b\"{}\"", b.escape_ascii()),
            Self::Node(n) => n.fmt(f),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (number, items) in &self.fields {
            match items.as_slice() {
                [item] => map.entry(number, item),
                items => map.entry(number, &items),
            };
        }
        if !self.unknown.is_empty() {
            map.entry(&"unknown", &format_args!("{:02x?}", self.unknown));
        }
        map.finish()
    }
}

impl Node {
    /// A number; 0 where absent.
    pub fn number(&self, field: u32) -> u64 {
        match self.fields.get(&field).and_then(|i| i.last()) {
            Some(Item::Number(n)) => *n,
            _ => 0,
        }
    }

    /// Bytes; empty where absent.
    pub fn bytes(&self, field: u32) -> &[u8] {
        match self.fields.get(&field).and_then(|i| i.last()) {
            Some(Item::Bytes(b)) => b,
            _ => &[],
        }
    }

    /// A string, invalid UTF-8 replaced.
    pub fn text(&self, field: u32) -> String {
        String::from_utf8_lossy(self.bytes(field)).into_owned()
    }

    /// A singular message.
    pub fn node(&self, field: u32) -> Option<&Node> {
        self.nodes(field).last()
    }

    /// Repeated messages.
    pub fn nodes(&self, field: u32) -> impl DoubleEndedIterator<Item = &Node> {
        self.fields.get(&field).into_iter().flatten().filter_map(|item| match item {
            Item::Node(node) => Some(node),
            _ => None,
        })
    }

    /// Sets a singular number (also 0, which a oneof keeps and [`Node::tidy`] does not).
    #[must_use]
    pub fn with_number(mut self, field: u32, n: u64) -> Self {
        self.fields.insert(field, vec![Item::Number(n)]);
        self
    }

    /// Sets singular bytes.
    #[must_use]
    pub fn with_bytes(mut self, field: u32, bytes: impl Into<Vec<u8>>) -> Self {
        self.fields.insert(field, vec![Item::Bytes(bytes.into())]);
        self
    }

    /// Sets a singular message.
    #[must_use]
    pub fn with_node(self, field: u32, node: Node) -> Self {
        self.with_nodes(field, [node])
    }

    /// Sets a repeated message field; nothing for an empty list.
    #[must_use]
    pub fn with_nodes(mut self, field: u32, nodes: impl IntoIterator<Item = Node>) -> Self {
        let items: Vec<Item> = nodes.into_iter().map(Item::Node).collect();
        if items.is_empty() {
            self.fields.remove(&field);
        } else {
            self.fields.insert(field, items);
        }
        self
    }

    /// Sets raw unknown fields.
    #[must_use]
    pub fn with_unknown(mut self, raw: impl Into<Vec<u8>>) -> Self {
        self.unknown = raw.into();
        self
    }

    /// The same message as a decoder sees it: defaults elided.
    #[must_use]
    pub fn tidy(mut self, schema: &'static Schema) -> Self {
        self.fields.retain(|number, items| {
            let Some(field) = schema.field(*number) else { return false };
            if let Kind::Message(inner) = field.kind {
                for item in items.iter_mut() {
                    if let Item::Node(node) = item {
                        *node = std::mem::take(node).tidy(inner);
                    }
                }
            }
            !(items.is_empty() || field.rule == Rule::One && items.iter().all(is_default))
        });
        self
    }

    /// Canonical bytes: known fields by number, then the unknown ones.
    pub fn encode(&self, schema: &'static Schema) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, items) in &self.fields {
            let field = schema.field(*number).expect("a field of the schema");
            for item in items {
                put_field(&mut out, field, item, &mut |node, inner| node.encode(inner));
            }
        }
        out.extend_from_slice(&self.unknown);
        out
    }
}

fn is_default(item: &Item) -> bool {
    match item {
        Item::Number(n) => *n == 0,
        Item::Bytes(b) => b.is_empty(),
        Item::Node(_) => false,
    }
}

/// Writes one value with its tag; `nested` encodes messages.
pub(super) fn put_field(
    out: &mut Vec<u8>,
    field: &Field,
    item: &Item,
    nested: &mut dyn FnMut(&Node, &'static Schema) -> Vec<u8>,
) {
    let tag = |wire: u64| u64::from(field.number) << 3 | wire;
    match (field.kind, item) {
        (Kind::Int32, Item::Number(n)) => {
            put_varint(out, tag(0));
            // Sign extension, as protobuf writes negative numbers.
            put_varint(out, i64::from(*n as u32 as i32) as u64);
        }
        (Kind::Uint32 | Kind::Int64 | Kind::Bool, Item::Number(n)) => {
            put_varint(out, tag(0));
            put_varint(out, *n);
        }
        (Kind::Fixed32, Item::Number(n)) => {
            put_varint(out, tag(5));
            out.extend_from_slice(&(*n as u32).to_le_bytes());
        }
        (Kind::Fixed64, Item::Number(n)) => {
            put_varint(out, tag(1));
            out.extend_from_slice(&n.to_le_bytes());
        }
        (Kind::Bytes, Item::Bytes(bytes)) => {
            put_varint(out, tag(2));
            put_varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        (Kind::Message(schema), Item::Node(node)) => {
            let bytes = nested(node, schema);
            put_varint(out, tag(2));
            put_varint(out, bytes.len() as u64);
            out.extend_from_slice(&bytes);
        }
        (kind, item) => panic!("field {} of kind {kind:?} holds {item:?}", field.number),
    }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Bytes that are no such message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

/// Decodes a message.
///
/// # Errors
/// Says where the bytes end too early or carry a wrong wire type.
pub fn decode(bytes: &[u8], schema: &'static Schema) -> Result<Node, Malformed> {
    let mut node = Node::default();
    merge(&mut node, bytes, schema, 0)?;
    Ok(node.tidy(schema))
}

fn merge(
    node: &mut Node,
    bytes: &[u8],
    schema: &'static Schema,
    depth: u32,
) -> Result<(), Malformed> {
    if depth > 200 {
        return Err(Malformed(format!("{} is nested too deeply", schema.name)));
    }
    let mut at = Cursor { bytes, at: 0 };
    while at.at < bytes.len() {
        let start = at.at;
        let tag = at.varint()?;
        let (number, wire) = ((tag >> 3) as u32, tag & 7);
        if number == 0 || tag > u64::from(u32::MAX) {
            return Err(Malformed(format!("tag {tag} in {}", schema.name)));
        }
        match schema.field(number) {
            None => {
                at.skip(number, wire, 0)?;
                node.unknown.extend_from_slice(&bytes[start..at.at]);
            }
            Some(field) => take_field(node, field, schema, &mut at, wire, depth)?,
        }
    }
    Ok(())
}

fn take_field(
    node: &mut Node,
    field: &'static Field,
    schema: &'static Schema,
    at: &mut Cursor<'_>,
    wire: u64,
    depth: u32,
) -> Result<(), Malformed> {
    let expected = match field.kind {
        Kind::Int32 | Kind::Uint32 | Kind::Int64 | Kind::Bool => 0,
        Kind::Fixed64 => 1,
        Kind::Bytes | Kind::Message(_) => 2,
        Kind::Fixed32 => 5,
    };
    if wire != expected {
        return Err(Malformed(format!(
            "field {} of {} has wire type {wire}, not {expected}",
            field.number, schema.name
        )));
    }
    if field.rule == Rule::Choice {
        node.fields.retain(|number, _| *number == field.number);
    }
    let slot = node.fields.entry(field.number).or_default();
    let item = match field.kind {
        Kind::Int32 | Kind::Uint32 => Item::Number(at.varint()? & 0xffff_ffff),
        Kind::Int64 => Item::Number(at.varint()?),
        Kind::Bool => Item::Number(u64::from(at.varint()? != 0)),
        Kind::Fixed32 => Item::Number(little(at.take(4)?)),
        Kind::Fixed64 => Item::Number(little(at.take(8)?)),
        Kind::Bytes => Item::Bytes(at.delimited()?.to_vec()),
        Kind::Message(inner) => {
            let mut child = match slot.pop() {
                Some(Item::Node(earlier)) if field.rule != Rule::Many => earlier,
                Some(other) => {
                    slot.push(other);
                    Node::default()
                }
                None => Node::default(),
            };
            merge(&mut child, at.delimited()?, inner, depth + 1)?;
            Item::Node(child)
        }
    };
    if field.rule != Rule::Many {
        slot.clear();
    }
    slot.push(item);
    Ok(())
}

fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(Malformed(format!(
                "{length} bytes wanted at {} of {}",
                self.at,
                self.bytes.len()
            )));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut n = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            if shift == 63 && byte > 1 {
                return Err(Malformed("varint of more than 64 bits".to_owned()));
            }
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(Malformed("varint of more than ten bytes".to_owned()))
    }

    fn delimited(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.varint()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn skip(&mut self, number: u32, wire: u64, depth: u32) -> Result<(), Malformed> {
        match wire {
            0 => self.varint().map(drop),
            1 => self.take(8).map(drop),
            2 => self.delimited().map(drop),
            5 => self.take(4).map(drop),
            3 if depth < 100 => loop {
                let tag = self.varint()?;
                let (inner, wire) = ((tag >> 3) as u32, tag & 7);
                match wire {
                    4 if inner == number => return Ok(()),
                    _ => self.skip(inner, wire, depth + 1)?,
                }
            },
            _ => Err(Malformed(format!("wire type {wire} of field {number}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dice::Dice;
    use crate::model::invent::Universe;
    use crate::model::twist::twist;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;

    /// Our tables against a decoder somebody else wrote: what prost reads from our bytes and
    /// writes again, we read as the same tree.
    #[test]
    fn the_tables_agree_with_prost() {
        for seed in 0..300 {
            let mut dice = Dice::new(seed);
            let mut universe = Universe::plain(&mut dice);
            let tree = universe.batch(&mut dice);
            let ours = tree.encode(&TRACES);
            let theirs = ExportTraceServiceRequest::decode(ours.as_slice())
                .unwrap_or_else(|e| panic!("seed {seed}: prost: {e}"))
                .encode_to_vec();
            assert_eq!(decode(&theirs, &TRACES).as_ref(), Ok(&tree), "seed {seed}");
            assert_eq!(ours, theirs, "seed {seed}: prost writes the same canonical bytes");
        }
    }

    #[test]
    fn a_twisted_encoding_reads_as_the_same_tree_here_and_in_prost() {
        for seed in 0..300 {
            let mut dice = Dice::new(seed);
            let mut universe = Universe::plain(&mut dice);
            let tree = universe.batch(&mut dice);
            let twisted = twist(&tree, &TRACES, &mut dice);
            assert_eq!(decode(&twisted, &TRACES).as_ref(), Ok(&tree), "seed {seed}");
            let theirs = ExportTraceServiceRequest::decode(twisted.as_slice()).unwrap();
            assert_eq!(theirs.encode_to_vec(), tree.encode(&TRACES), "seed {seed}");
        }
    }

    #[test]
    fn wild_trees_survive_our_own_round_trip() {
        for seed in 0..300 {
            let mut dice = Dice::new(seed);
            let mut universe = Universe::wild(&mut dice);
            let tree = universe.batch(&mut dice);
            assert_eq!(decode(&tree.encode(&TRACES), &TRACES).as_ref(), Ok(&tree), "seed {seed}");
            let twisted = twist(&tree, &TRACES, &mut dice);
            assert_eq!(decode(&twisted, &TRACES).as_ref(), Ok(&tree), "seed {seed}");
        }
    }

    #[test]
    fn cut_bytes_are_malformed() {
        let mut dice = Dice::new(7);
        let tree = Universe::plain(&mut dice).batch(&mut dice);
        let bytes = tree.encode(&TRACES);
        assert!(decode(&bytes[..bytes.len() - 1], &TRACES).is_err());
        assert!(decode(&[0x0a], &TRACES).is_err());
        assert!(decode(&[0x0d, 1, 2, 3, 4], &TRACES).is_err(), "wrong wire type");
    }
}
