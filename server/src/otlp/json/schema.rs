//! The messages of an Export as tables: JSON name, snake_case name, protobuf number and kind of
//! each field. Nothing but data (OTLP's `trace.proto`, `common.proto`, `resource.proto`).

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    /// For error messages.
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) camel: &'static str,
    pub(super) snake: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) shape: Shape,
}

/// How often a field stands and whether its default is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Once; the default value is left out.
    Single,
    /// Once; its presence is information.
    Present,
    /// A JSON array.
    Repeated,
}

/// What a value is, in JSON and on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Message(&'static Message),
    String,
    /// Bytes as hex: ids.
    Id,
    /// Bytes as base64.
    Bytes,
    Scalar(Scalar),
}

/// A value of at most eight bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar {
    Bool,
    /// A varint.
    Int64,
    /// A varint.
    Uint32,
    Fixed32,
    Fixed64,
    Double,
    /// A varint; the names of the numbers 0, 1, 2 …
    Enum(&'static [&'static str]),
}

use Scalar::{Bool, Double, Enum, Fixed32, Fixed64, Int64, Uint32};

const fn single(camel: &'static str, snake: &'static str, number: u32, kind: Kind) -> Field {
    Field { camel, snake, number, kind, shape: Shape::Single }
}

const fn scalar(camel: &'static str, snake: &'static str, number: u32, scalar: Scalar) -> Field {
    single(camel, snake, number, Kind::Scalar(scalar))
}

const fn present(camel: &'static str, snake: &'static str, number: u32, kind: Kind) -> Field {
    Field { camel, snake, number, kind, shape: Shape::Present }
}

const fn repeated(camel: &'static str, snake: &'static str, number: u32, kind: Kind) -> Field {
    Field { camel, snake, number, kind, shape: Shape::Repeated }
}

pub(super) static EXPORT: Message = Message {
    name: "ExportTraceServiceRequest",
    fields: &[repeated("resourceSpans", "resource_spans", 1, Kind::Message(&RESOURCE_SPANS))],
};

static RESOURCE_SPANS: Message = Message {
    name: "ResourceSpans",
    fields: &[
        present("resource", "resource", 1, Kind::Message(&RESOURCE)),
        repeated("scopeSpans", "scope_spans", 2, Kind::Message(&SCOPE_SPANS)),
        single("schemaUrl", "schema_url", 3, Kind::String),
    ],
};

static RESOURCE: Message = Message {
    name: "Resource",
    fields: &[
        repeated("attributes", "attributes", 1, Kind::Message(&KEY_VALUE)),
        scalar("droppedAttributesCount", "dropped_attributes_count", 2, Uint32),
        repeated("entityRefs", "entity_refs", 3, Kind::Message(&ENTITY_REF)),
    ],
};

static ENTITY_REF: Message = Message {
    name: "EntityRef",
    fields: &[
        single("schemaUrl", "schema_url", 1, Kind::String),
        single("type", "type", 2, Kind::String),
        repeated("idKeys", "id_keys", 3, Kind::String),
        repeated("descriptionKeys", "description_keys", 4, Kind::String),
    ],
};

static SCOPE_SPANS: Message = Message {
    name: "ScopeSpans",
    fields: &[
        present("scope", "scope", 1, Kind::Message(&SCOPE)),
        repeated("spans", "spans", 2, Kind::Message(&SPAN)),
        single("schemaUrl", "schema_url", 3, Kind::String),
    ],
};

static SCOPE: Message = Message {
    name: "InstrumentationScope",
    fields: &[
        single("name", "name", 1, Kind::String),
        single("version", "version", 2, Kind::String),
        repeated("attributes", "attributes", 3, Kind::Message(&KEY_VALUE)),
        scalar("droppedAttributesCount", "dropped_attributes_count", 4, Uint32),
    ],
};

static SPAN: Message = Message {
    name: "Span",
    fields: &[
        single("traceId", "trace_id", 1, Kind::Id),
        single("spanId", "span_id", 2, Kind::Id),
        single("traceState", "trace_state", 3, Kind::String),
        single("parentSpanId", "parent_span_id", 4, Kind::Id),
        single("name", "name", 5, Kind::String),
        scalar(
            "kind",
            "kind",
            6,
            Enum(&[
                "SPAN_KIND_UNSPECIFIED",
                "SPAN_KIND_INTERNAL",
                "SPAN_KIND_SERVER",
                "SPAN_KIND_CLIENT",
                "SPAN_KIND_PRODUCER",
                "SPAN_KIND_CONSUMER",
            ]),
        ),
        scalar("startTimeUnixNano", "start_time_unix_nano", 7, Fixed64),
        scalar("endTimeUnixNano", "end_time_unix_nano", 8, Fixed64),
        repeated("attributes", "attributes", 9, Kind::Message(&KEY_VALUE)),
        scalar("droppedAttributesCount", "dropped_attributes_count", 10, Uint32),
        repeated("events", "events", 11, Kind::Message(&EVENT)),
        scalar("droppedEventsCount", "dropped_events_count", 12, Uint32),
        repeated("links", "links", 13, Kind::Message(&LINK)),
        scalar("droppedLinksCount", "dropped_links_count", 14, Uint32),
        present("status", "status", 15, Kind::Message(&STATUS)),
        scalar("flags", "flags", 16, Fixed32),
    ],
};

static EVENT: Message = Message {
    name: "Event",
    fields: &[
        scalar("timeUnixNano", "time_unix_nano", 1, Fixed64),
        single("name", "name", 2, Kind::String),
        repeated("attributes", "attributes", 3, Kind::Message(&KEY_VALUE)),
        scalar("droppedAttributesCount", "dropped_attributes_count", 4, Uint32),
    ],
};

static LINK: Message = Message {
    name: "Link",
    fields: &[
        single("traceId", "trace_id", 1, Kind::Id),
        single("spanId", "span_id", 2, Kind::Id),
        single("traceState", "trace_state", 3, Kind::String),
        repeated("attributes", "attributes", 4, Kind::Message(&KEY_VALUE)),
        scalar("droppedAttributesCount", "dropped_attributes_count", 5, Uint32),
        scalar("flags", "flags", 6, Fixed32),
    ],
};

static STATUS: Message = Message {
    name: "Status",
    fields: &[
        single("message", "message", 2, Kind::String),
        scalar(
            "code",
            "code",
            3,
            Enum(&["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"]),
        ),
    ],
};

static KEY_VALUE: Message = Message {
    name: "KeyValue",
    fields: &[
        single("key", "key", 1, Kind::String),
        present("value", "value", 2, Kind::Message(&ANY_VALUE)),
    ],
};

static ANY_VALUE: Message = Message {
    name: "AnyValue",
    fields: &[
        present("stringValue", "string_value", 1, Kind::String),
        present("boolValue", "bool_value", 2, Kind::Scalar(Bool)),
        present("intValue", "int_value", 3, Kind::Scalar(Int64)),
        present("doubleValue", "double_value", 4, Kind::Scalar(Double)),
        present("arrayValue", "array_value", 5, Kind::Message(&ARRAY_VALUE)),
        present("kvlistValue", "kvlist_value", 6, Kind::Message(&KEY_VALUE_LIST)),
        present("bytesValue", "bytes_value", 7, Kind::Bytes),
    ],
};

static ARRAY_VALUE: Message = Message {
    name: "ArrayValue",
    fields: &[repeated("values", "values", 1, Kind::Message(&ANY_VALUE))],
};

static KEY_VALUE_LIST: Message = Message {
    name: "KeyValueList",
    fields: &[repeated("values", "values", 1, Kind::Message(&KEY_VALUE))],
};
