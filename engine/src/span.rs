//! The words: ids, kinds, and the contexts that spans share. No I/O, no clock, no lock.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};

/// A 16-byte trace id (OTLP `trace_id`); ordered bytewise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TraceId(pub [u8; 16]);

/// An 8-byte span id (OTLP `span_id`); ordered bytewise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SpanId(pub [u8; 8]);

impl TraceId {
    /// From the bytes of a request.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) unless there are exactly 16.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        bytes.try_into().map(TraceId).map_err(|_| {
            Error::invalid(format!("a trace id has 16 bytes, this one has {}", bytes.len()))
        })
    }

    /// From 1 to 32 hex digits; shorter ids are padded with zeros on the left, as Jaeger does
    /// with 64-bit ids.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when the text is not hex or too long.
    pub fn from_hex(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > 32 {
            return Err(Error::invalid(format!(
                "a trace id has 1 to 32 hex digits, {text:?} has {}",
                text.len()
            )));
        }
        u128::from_str_radix(text, 16)
            .map(|n| TraceId(n.to_be_bytes()))
            .map_err(|_| Error::invalid(format!("{text:?} is not a hex trace id")))
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

/// OTLP `SpanKind` as Jaeger names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SpanKind {
    /// 0 and every number OTLP does not define.
    Unspecified,
    /// 1
    Internal,
    /// 2
    Server,
    /// 3
    Client,
    /// 4
    Producer,
    /// 5
    Consumer,
}

impl SpanKind {
    /// From the OTLP enum's number.
    pub fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }

    /// The OTLP enum's number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::Internal => 1,
            Self::Server => 2,
            Self::Client => 3,
            Self::Producer => 4,
            Self::Consumer => 5,
        }
    }

    /// Jaeger's word, `""` for unspecified (jaeger-contract §5.1).
    pub fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }

    /// The kind a word names, in any case; `None` for every other word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Internal, Self::Server, Self::Client, Self::Producer, Self::Consumer]
            .into_iter()
            .find(|k| k.word().eq_ignore_ascii_case(word))
    }
}

/// OTLP `STATUS_CODE_ERROR`.
pub(crate) const STATUS_ERROR: i32 = 2;

/// What a `ResourceSpans` message carries beside its scopes: all its fields but `scope_spans`,
/// in canonical form, so that resource attributes, dropped count, entity references, schema URL
/// and unknown fields come back as they came.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResourceContext {
    /// Canonical fields of `ResourceSpans` without field 2.
    pub bytes: Bytes,
    /// `service.name` where it is a string, else `""`; invalid UTF-8 replaced.
    pub service: Arc<str>,
}

/// What a `ScopeSpans` message carries beside its spans: all its fields but `spans`, canonical.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ScopeContext {
    /// Canonical fields of `ScopeSpans` without field 2.
    pub bytes: Bytes,
}
