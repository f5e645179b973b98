//! Which bytes of a `ResourceSpans` differ from copy to copy: ids, times, and values that are
//! near-unique. Every such value keeps its length, so that a copy is the bytes patched in place.

use crate::wire::{Field, Fields, Value};

/// What lies at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 16 bytes.
    TraceId,
    /// 8 bytes: span, parent and linked span ids.
    SpanId,
    /// 8 bytes, little endian, not zero.
    Time,
    /// 36 bytes of text.
    Uuid,
    /// A varint of 3 bytes: an ephemeral port.
    Port,
}

/// A place in the bytes of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) at: u32,
    pub(crate) kind: Kind,
}

/// Linux's ephemeral ports; all of them are varints of 3 bytes.
pub(crate) const PORTS: std::ops::Range<u64> = 32_768..61_000;
/// Length of a UUID's text.
pub(crate) const UUID_LEN: usize = 36;
/// How deep values may nest before their inside is left as it is.
const DEPTH_MAX: usize = 16;

/// The sites of an encoded `ResourceSpans`; `None` where it does not decode.
pub(crate) fn sites(resource_spans: &[u8]) -> Option<Vec<Site>> {
    let mut found = Found(Vec::new());
    for field in Fields::new(resource_spans, 0) {
        match field? {
            Field { number: 1, value: Value::Bytes(resource), at, .. } => {
                found.attributes(resource, at, 1)?;
            }
            Field { number: 2, value: Value::Bytes(scope_spans), at, .. } => {
                found.scope_spans(scope_spans, at)?;
            }
            _ => {}
        }
    }
    Some(found.0)
}

struct Found(Vec<Site>);

impl Found {
    fn push(&mut self, at: usize, kind: Kind) -> Option<()> {
        self.0.push(Site { at: u32::try_from(at).ok()?, kind });
        Some(())
    }

    /// The `KeyValue`s that are field `number` of a message.
    fn attributes(&mut self, message: &[u8], at: usize, number: u64) -> Option<()> {
        for field in Fields::new(message, at) {
            let field = field?;
            if let Value::Bytes(pair) = field.value
                && field.number == number
            {
                self.pair(pair, field.at, 0)?;
            }
        }
        Some(())
    }

    fn scope_spans(&mut self, message: &[u8], at: usize) -> Option<()> {
        for field in Fields::new(message, at) {
            match field? {
                Field { number: 1, value: Value::Bytes(scope), at, .. } => {
                    self.attributes(scope, at, 3)?;
                }
                Field { number: 2, value: Value::Bytes(span), at, .. } => self.span(span, at)?,
                _ => {}
            }
        }
        Some(())
    }

    fn span(&mut self, message: &[u8], at: usize) -> Option<()> {
        for field in Fields::new(message, at) {
            let field = field?;
            match (field.number, field.value) {
                (1 | 2 | 4, _) => self.id(field)?,
                (7 | 8, Value::Fixed64(time)) if time != 0 => self.push(field.at, Kind::Time)?,
                (9, Value::Bytes(pair)) => self.pair(pair, field.at, 0)?,
                (11, Value::Bytes(event)) => {
                    for inner in Fields::new(event, field.at) {
                        let inner = inner?;
                        if matches!(inner.value, Value::Fixed64(t) if inner.number == 1 && t != 0) {
                            self.push(inner.at, Kind::Time)?;
                        }
                    }
                    self.attributes(event, field.at, 3)?;
                }
                (13, Value::Bytes(link)) => {
                    for inner in Fields::new(link, field.at) {
                        let inner = inner?;
                        if inner.number <= 2 {
                            self.id(inner)?;
                        }
                    }
                    self.attributes(link, field.at, 4)?;
                }
                _ => {}
            }
        }
        Some(())
    }

    fn id(&mut self, field: Field<'_>) -> Option<()> {
        match field.len {
            16 => self.push(field.at, Kind::TraceId),
            8 => self.push(field.at, Kind::SpanId),
            _ => Some(()),
        }
    }

    fn pair(&mut self, pair: &[u8], at: usize, depth: usize) -> Option<()> {
        let mut is_port = false;
        for field in Fields::new(pair, at) {
            let field = field?;
            match (field.number, field.value) {
                (1, Value::Bytes(key)) => is_port = key.ends_with(b".port"),
                (2, Value::Bytes(value)) => self.value(value, field.at, is_port, depth)?,
                _ => {}
            }
        }
        Some(())
    }

    fn value(&mut self, value: &[u8], at: usize, is_port: bool, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return Some(());
        }
        for field in Fields::new(value, at) {
            let field = field?;
            match (field.number, field.value) {
                (1, Value::Bytes(text)) => self.uuids(text, field.at)?,
                (3, Value::Varint(port)) if is_port && PORTS.contains(&port) => {
                    self.push(field.at, Kind::Port)?;
                }
                (5 | 6, Value::Bytes(list)) => {
                    for item in Fields::new(list, field.at) {
                        let item = item?;
                        let Value::Bytes(inside) = item.value else { continue };
                        match field.number {
                            5 => self.value(inside, item.at, false, depth + 1)?,
                            _ => self.pair(inside, item.at, depth + 1)?,
                        }
                    }
                }
                _ => {}
            }
        }
        Some(())
    }

    fn uuids(&mut self, text: &[u8], at: usize) -> Option<()> {
        let mut pos = 0;
        while let Some(window) = text.get(pos..pos + UUID_LEN) {
            if is_uuid(window) {
                self.push(at + pos, Kind::Uuid)?;
                pos += UUID_LEN;
            } else {
                pos += 1;
            }
        }
        Some(())
    }
}

/// True for 8-4-4-4-12 hexadecimal digits.
pub(crate) fn is_uuid(text: &[u8]) -> bool {
    let dash = |index| matches!(index, 8 | 13 | 18 | 23);
    text.len() == UUID_LEN
        && text.iter().enumerate().all(|(index, byte)| match dash(index) {
            true => *byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
}
