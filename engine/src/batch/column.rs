//! What a cell speaks of: an attribute of a span, an event or a link by key and type, or one of
//! the fields that few spans carry. Names only; no data flows here.

use bytes::Bytes;

use super::strings::Strings;
use crate::otlp::value::AnyValue;

/// Where an attribute stands. Those of resources and scopes are no cells: they lie in contexts
/// that rows share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Level {
    Span,
    Event,
    Link,
}

/// The type of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Type {
    String,
    Bool,
    Int,
    Double,
    Bytes,
    /// An array, a map or a reference into a string table: the `AnyValue`'s canonical bytes.
    Other,
    /// An `AnyValue` without a member.
    Empty,
    /// A `KeyValue` without a value.
    Missing,
}

impl Type {
    /// True where cells number entries of the column's strings.
    pub(crate) fn is_textual(self) -> bool {
        matches!(self, Self::String | Self::Bytes | Self::Other)
    }

    /// The value that a textual cell's string stands for.
    pub(crate) fn of_text(self, bytes: &[u8]) -> AnyValue<'_> {
        match self {
            Self::Bytes => AnyValue::Bytes(bytes),
            Self::Other => AnyValue::read(bytes),
            _ => AnyValue::String(bytes),
        }
    }

    /// The value of any other cell.
    pub(crate) fn of_number(self, cell: u64) -> AnyValue<'static> {
        match self {
            Self::Bool => AnyValue::Bool(cell != 0),
            Self::Int => AnyValue::Int(cell as i64),
            Self::Double => AnyValue::Double(f64::from_bits(cell)),
            _ => AnyValue::Empty,
        }
    }
}

/// A field that is a cell where a span carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Field {
    TraceState,
    /// Eight zero bytes were sent as parent.
    ZeroParent,
    DroppedAttributes,
    /// Opens an event: its time since the span's start, wrapping.
    EventTime,
    EventName,
    EventDropped,
    DroppedEvents,
    /// Opens a link: empty or 16 bytes.
    LinkTraceId,
    LinkSpanId,
    LinkTraceState,
    LinkDropped,
    LinkFlags,
    DroppedLinks,
    /// A `Status` message was sent.
    Status,
    StatusMessage,
    Flags,
}

impl Field {
    /// All, in the order of their numbers.
    pub(crate) const ALL: [Self; 16] = [
        Self::TraceState,
        Self::ZeroParent,
        Self::DroppedAttributes,
        Self::EventTime,
        Self::EventName,
        Self::EventDropped,
        Self::DroppedEvents,
        Self::LinkTraceId,
        Self::LinkSpanId,
        Self::LinkTraceState,
        Self::LinkDropped,
        Self::LinkFlags,
        Self::DroppedLinks,
        Self::Status,
        Self::StatusMessage,
        Self::Flags,
    ];

    /// True where cells number entries of the column's strings.
    pub(crate) fn is_textual(self) -> bool {
        matches!(
            self,
            Self::TraceState
                | Self::EventName
                | Self::LinkTraceId
                | Self::LinkSpanId
                | Self::LinkTraceState
                | Self::StatusMessage
        )
    }
}

/// What a column's cells speak of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum What {
    Field(Field),
    Attribute {
        level: Level,
        /// As sent, perhaps no UTF-8.
        key: Bytes,
        kind: Type,
    },
}

impl What {
    /// True where cells number entries of the column's strings.
    pub(crate) fn is_textual(&self) -> bool {
        match self {
            Self::Field(field) => field.is_textual(),
            Self::Attribute { kind, .. } => kind.is_textual(),
        }
    }

    pub(super) fn is_attribute(&self, level: Level, key: &[u8], kind: Type) -> bool {
        matches!(self, Self::Attribute { level: l, key: k, kind: t }
            if *l == level && *t == kind && *k == key)
    }
}

/// The strings of a column: its own, or a dictionary that several reads share.
#[derive(Debug)]
pub(crate) enum Values {
    Own(Strings),
    Shared(std::sync::Arc<Strings>),
}

impl Default for Values {
    fn default() -> Self {
        Self::Own(Strings::default())
    }
}

impl std::ops::Deref for Values {
    type Target = Strings;

    fn deref(&self) -> &Strings {
        match self {
            Self::Own(strings) => strings,
            Self::Shared(strings) => strings,
        }
    }
}

impl Values {
    /// The number of `string`, added where it is new; a shared dictionary is copied first.
    pub(super) fn intern(&mut self, string: &[u8]) -> u32 {
        if let Self::Shared(shared) = self {
            let mut own = Strings::appending();
            // Numbers must stay what they are.
            for string in shared.iter() {
                own.push(string);
            }
            *self = Self::Own(own);
        }
        match self {
            Self::Own(strings) => strings.intern(string),
            Self::Shared(_) => 0,
        }
    }
}

/// A column of a batch.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) what: What,
    /// What textual cells number; else empty.
    pub(crate) values: Values,
}
