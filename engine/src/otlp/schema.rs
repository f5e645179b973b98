//! The OTLP trace messages as tables: which fields they have and of what kind. Written from
//! opentelemetry-proto 1.9 (`trace.proto`, `common.proto`, `resource.proto`). Whatever is not in
//! a table is an unknown field and is kept raw.

/// How a field's value is canonicalised.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// int32 and enums: sign-extended varint.
    Int32,
    /// uint32 varint.
    Uint32,
    /// int64 varint.
    Int64,
    /// bool varint.
    Bool,
    /// fixed64, sfixed64 or double.
    Fixed64,
    /// fixed32.
    Fixed32,
    /// string or bytes: the same on the wire, and UTF-8 is not demanded.
    Bytes,
    /// A message of its own.
    Message(&'static Message),
}

/// How often a field may stand, and whether its default is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// proto3 singular scalar: its default is not written.
    Implicit,
    /// Singular message: present or not.
    Explicit,
    /// Any number of times, in order.
    Repeated,
    /// Member of the message's one `oneof`: the last one written wins, defaults included.
    OneOf,
}

#[derive(Debug)]
pub(crate) struct FieldDef {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
}

/// A message: its fields by ascending number.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [FieldDef],
}

impl Message {
    pub(crate) fn field(&self, number: u32) -> Option<&FieldDef> {
        // Most tables have no gaps, so that a field stands where its number says.
        let there = self.fields.get(number.wrapping_sub(1) as usize);
        there
            .filter(|f| f.number == number)
            .or_else(|| self.fields.iter().find(|f| f.number == number))
    }
}

const fn scalar(number: u32, kind: Kind) -> FieldDef {
    FieldDef { number, kind, presence: Presence::Implicit }
}
const fn message(number: u32, message: &'static Message) -> FieldDef {
    FieldDef { number, kind: Kind::Message(message), presence: Presence::Explicit }
}
const fn repeated(number: u32, kind: Kind) -> FieldDef {
    FieldDef { number, kind, presence: Presence::Repeated }
}
const fn one_of(number: u32, kind: Kind) -> FieldDef {
    FieldDef { number, kind, presence: Presence::OneOf }
}

pub(crate) static ANY_VALUE: Message = Message {
    name: "AnyValue",
    fields: &[
        one_of(1, Kind::Bytes),
        one_of(2, Kind::Bool),
        one_of(3, Kind::Int64),
        one_of(4, Kind::Fixed64),
        one_of(5, Kind::Message(&ARRAY_VALUE)),
        one_of(6, Kind::Message(&KEY_VALUE_LIST)),
        one_of(7, Kind::Bytes),
        one_of(8, Kind::Int32),
    ],
};
static ARRAY_VALUE: Message =
    Message { name: "ArrayValue", fields: &[repeated(1, Kind::Message(&ANY_VALUE))] };
static KEY_VALUE_LIST: Message =
    Message { name: "KeyValueList", fields: &[repeated(1, Kind::Message(&KEY_VALUE))] };
static KEY_VALUE: Message = Message {
    name: "KeyValue",
    fields: &[scalar(1, Kind::Bytes), message(2, &ANY_VALUE), scalar(3, Kind::Int32)],
};
static ENTITY_REF: Message = Message {
    name: "EntityRef",
    fields: &[
        scalar(1, Kind::Bytes),
        scalar(2, Kind::Bytes),
        repeated(3, Kind::Bytes),
        repeated(4, Kind::Bytes),
    ],
};
static RESOURCE: Message = Message {
    name: "Resource",
    fields: &[
        repeated(1, Kind::Message(&KEY_VALUE)),
        scalar(2, Kind::Uint32),
        repeated(3, Kind::Message(&ENTITY_REF)),
    ],
};
static SCOPE: Message = Message {
    name: "InstrumentationScope",
    fields: &[
        scalar(1, Kind::Bytes),
        scalar(2, Kind::Bytes),
        repeated(3, Kind::Message(&KEY_VALUE)),
        scalar(4, Kind::Uint32),
    ],
};
/// `ResourceSpans` without its `scope_spans`.
pub(crate) static RESOURCE_CONTEXT: Message =
    Message { name: "ResourceSpans", fields: &[message(1, &RESOURCE), scalar(3, Kind::Bytes)] };
/// `ScopeSpans` without its `spans`.
pub(crate) static SCOPE_CONTEXT: Message =
    Message { name: "ScopeSpans", fields: &[message(1, &SCOPE), scalar(3, Kind::Bytes)] };
static STATUS: Message =
    Message { name: "Status", fields: &[scalar(2, Kind::Bytes), scalar(3, Kind::Int32)] };
static EVENT: Message = Message {
    name: "Span.Event",
    fields: &[
        scalar(1, Kind::Fixed64),
        scalar(2, Kind::Bytes),
        repeated(3, Kind::Message(&KEY_VALUE)),
        scalar(4, Kind::Uint32),
    ],
};
static LINK: Message = Message {
    name: "Span.Link",
    fields: &[
        scalar(1, Kind::Bytes),
        scalar(2, Kind::Bytes),
        scalar(3, Kind::Bytes),
        repeated(4, Kind::Message(&KEY_VALUE)),
        scalar(5, Kind::Uint32),
        scalar(6, Kind::Fixed32),
    ],
};
pub(crate) static SPAN: Message = Message {
    name: "Span",
    fields: &[
        scalar(1, Kind::Bytes),
        scalar(2, Kind::Bytes),
        scalar(3, Kind::Bytes),
        scalar(4, Kind::Bytes),
        scalar(5, Kind::Bytes),
        scalar(6, Kind::Int32),
        scalar(7, Kind::Fixed64),
        scalar(8, Kind::Fixed64),
        repeated(9, Kind::Message(&KEY_VALUE)),
        scalar(10, Kind::Uint32),
        repeated(11, Kind::Message(&EVENT)),
        scalar(12, Kind::Uint32),
        repeated(13, Kind::Message(&LINK)),
        scalar(14, Kind::Uint32),
        message(15, &STATUS),
        scalar(16, Kind::Fixed32),
    ],
};
