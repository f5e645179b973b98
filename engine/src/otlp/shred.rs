//! One OTLP `Span` message into the open row of a batch, in one pass. Fields must stand in
//! ascending order, each known and each singular one once, as every SDK sends them; what does not
//! is *odd* and goes the long way round: it is put into canonical form first. Values land in the
//! batch as they are met, so nothing stands between the wire and the columns. Does not judge ids;
//! the walk does.

use super::canonical::canonical_at;
use super::schema::ANY_VALUE;
use super::wire::{Fields, Value as Wire};
use crate::batch::{Batch, Field, Level, Value};
use crate::error::Result;

/// How deep an `AnyValue` stands in its `Span`: below the attribute, and for events and links
/// below those.
const SPAN_VALUE_DEPTH: usize = 2;
const INNER_VALUE_DEPTH: usize = 3;

/// The fields of a span that are no cells.
#[derive(Debug, Default)]
pub(super) struct Shredded<'a> {
    pub(super) trace_id: &'a [u8],
    pub(super) span_id: &'a [u8],
    pub(super) parent: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) kind: i32,
    pub(super) status: i32,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Every link's ids are empty or of their length.
    pub(super) links_are_good: bool,
}

/// Shreds a message as it came; `None` where it is odd, with the row left open.
///
/// # Errors
/// `Invalid` where the bytes do not decode.
pub(super) fn shred<'a>(message: &'a [u8], batch: &mut Batch) -> Result<Option<Shredded<'a>>> {
    let mut pass = Pass { batch, lenient: false, unknown: false };
    match pass.span(message) {
        Ok(span) => Ok(Some(span)),
        Err(Stop::Odd) => Ok(None),
        Err(Stop::Bad(error)) => Err(error),
    }
}

/// Shreds a canonical message, and says whether it holds what cells cannot give back.
///
/// # Errors
/// `Invalid` where the bytes do not decode, which canonical ones do.
pub(super) fn shred_canonical<'a>(
    message: &'a [u8],
    batch: &mut Batch,
) -> Result<(Shredded<'a>, bool)> {
    let mut pass = Pass { batch, lenient: true, unknown: false };
    match pass.span(message) {
        Ok(span) => Ok((span, pass.unknown)),
        Err(Stop::Odd) => Err(crate::error::Error::internal("a canonical span is odd")),
        Err(Stop::Bad(error)) => Err(error),
    }
}

/// Why a pass ends early.
enum Stop {
    Odd,
    Bad(crate::error::Error),
}

impl From<crate::error::Error> for Stop {
    fn from(error: crate::error::Error) -> Self {
        Self::Bad(error)
    }
}

type Step<T = ()> = std::result::Result<T, Stop>;

struct Pass<'b> {
    batch: &'b mut Batch,
    /// Unknown fields are passed over instead of ending the pass.
    lenient: bool,
    /// Something was met that cells cannot give back.
    unknown: bool,
}

/// Fields must ascend; `repeated` ones may follow themselves.
fn ascend(last: &mut u32, number: u32, repeated: bool) -> Step {
    if number > *last || (repeated && number == *last) {
        *last = number;
        return Ok(());
    }
    Err(Stop::Odd)
}

impl Pass<'_> {
    /// What is not in the schema, or not of its wire type.
    fn unknown(&mut self) -> Step {
        self.unknown = true;
        if self.lenient { Ok(()) } else { Err(Stop::Odd) }
    }

    fn span<'a>(&mut self, message: &'a [u8]) -> Step<Shredded<'a>> {
        let mut span = Shredded { links_are_good: true, ..Shredded::default() };
        let mut last = 0;
        for field in Fields::new(message) {
            let field = field?;
            if field.number <= 16 {
                ascend(&mut last, field.number, matches!(field.number, 9 | 11 | 13))?;
            }
            match (field.number, field.value) {
                (1, Wire::Bytes(v)) => span.trace_id = v,
                (2, Wire::Bytes(v)) => span.span_id = v,
                (3, Wire::Bytes(v)) => self.text(Field::TraceState, v),
                (4, Wire::Bytes(v)) => {
                    span.parent = v;
                    if *v == [0; 8] {
                        self.batch.push_field(Field::ZeroParent, 0);
                    }
                }
                (5, Wire::Bytes(v)) => span.name = v,
                (6, Wire::Varint(v)) => span.kind = v as i32,
                (7, Wire::Fixed64(v)) => span.start = v,
                (8, Wire::Fixed64(v)) => span.end = v,
                (9, Wire::Bytes(v)) => self.attribute(Level::Span, v, SPAN_VALUE_DEPTH)?,
                (10, Wire::Varint(v)) => self.number(Field::DroppedAttributes, v),
                (11, Wire::Bytes(v)) => self.event(v, span.start)?,
                (12, Wire::Varint(v)) => self.number(Field::DroppedEvents, v),
                (13, Wire::Bytes(v)) => span.links_are_good &= self.link(v)?,
                (14, Wire::Varint(v)) => self.number(Field::DroppedLinks, v),
                (15, Wire::Bytes(v)) => span.status = self.status(v)?,
                (16, Wire::Fixed32(v)) => self.number(Field::Flags, v.into()),
                _ => self.unknown()?,
            }
        }
        Ok(span)
    }

    fn text(&mut self, field: Field, value: &[u8]) {
        if !value.is_empty() {
            self.batch.push_field_text(field, value);
        }
    }

    /// A uint32 or fixed32; varints are cut to 32 bits as protobuf says.
    fn number(&mut self, field: Field, value: u64) {
        if value as u32 != 0 {
            self.batch.push_field(field, u64::from(value as u32));
        }
    }

    fn attribute(&mut self, level: Level, message: &[u8], depth: usize) -> Step {
        let (mut key, mut value): (&[u8], _) = (b"", None);
        let mut last = 0;
        for field in Fields::new(message) {
            let field = field?;
            match (field.number, field.value) {
                (1, Wire::Bytes(v)) => {
                    ascend(&mut last, 1, false)?;
                    key = v;
                }
                (2, Wire::Bytes(v)) => {
                    ascend(&mut last, 2, false)?;
                    value = Some(v);
                }
                _ => self.unknown()?,
            }
        }
        match value {
            None => self.batch.push_attribute(level, key, Value::Missing),
            Some(value) => self.value(level, key, value, depth)?,
        }
        Ok(())
    }

    fn value(&mut self, level: Level, key: &[u8], message: &[u8], depth: usize) -> Step {
        let mut value = Value::Empty;
        let mut members = 0;
        for field in Fields::new(message) {
            let field = field?;
            value = match (field.number, field.value) {
                (1, Wire::Bytes(v)) => Value::String(v),
                (2, Wire::Varint(v)) => Value::Bool(v != 0),
                (3, Wire::Varint(v)) => Value::Int(v as i64),
                (4, Wire::Fixed64(v)) => Value::Double(v),
                (7, Wire::Bytes(v)) => Value::Bytes(v),
                (5 | 6, Wire::Bytes(_)) | (8, Wire::Varint(_)) => Value::Other(message),
                _ => {
                    self.unknown()?;
                    continue;
                }
            };
            members += 1;
        }
        if members > 1 {
            return Err(Stop::Odd);
        }
        match value {
            Value::Other(whole) => {
                let whole = canonical_at(whole, &ANY_VALUE, depth)?;
                self.batch.push_attribute(level, key, Value::Other(&whole));
            }
            plain => self.batch.push_attribute(level, key, plain),
        }
        Ok(())
    }

    fn event(&mut self, message: &[u8], start: u64) -> Step {
        let mut last = 0;
        let open = |pass: &mut Self, time: u64| {
            pass.batch.push_field(Field::EventTime, time.wrapping_sub(start));
        };
        for field in Fields::new(message) {
            let field = field?;
            let first = last == 0;
            if (1..=4).contains(&field.number) {
                ascend(&mut last, field.number, field.number == 3)?;
            }
            match (field.number, field.value) {
                (1, Wire::Fixed64(v)) => {
                    open(self, v);
                    continue;
                }
                (2..=4, _) if first => open(self, 0),
                _ => {}
            }
            match (field.number, field.value) {
                (2, Wire::Bytes(v)) => self.text(Field::EventName, v),
                (3, Wire::Bytes(v)) => self.attribute(Level::Event, v, INNER_VALUE_DEPTH)?,
                (4, Wire::Varint(v)) => self.number(Field::EventDropped, v),
                _ => self.unknown()?,
            }
        }
        if last == 0 {
            open(self, 0);
        }
        Ok(())
    }

    /// True where the link's ids have a length that may be stored.
    fn link(&mut self, message: &[u8]) -> Step<bool> {
        let mut last = 0;
        let mut good = true;
        for field in Fields::new(message) {
            let field = field?;
            let first = last == 0;
            if (1..=6).contains(&field.number) {
                ascend(&mut last, field.number, field.number == 4)?;
            }
            match (field.number, field.value) {
                (1, Wire::Bytes(v)) => {
                    good &= matches!(v.len(), 0 | 16);
                    self.batch.push_field_text(Field::LinkTraceId, v);
                    continue;
                }
                (2..=6, _) if first => self.batch.push_field_text(Field::LinkTraceId, b""),
                _ => {}
            }
            match (field.number, field.value) {
                (2, Wire::Bytes(v)) => {
                    good &= matches!(v.len(), 0 | 8);
                    self.text(Field::LinkSpanId, v);
                }
                (3, Wire::Bytes(v)) => self.text(Field::LinkTraceState, v),
                (4, Wire::Bytes(v)) => self.attribute(Level::Link, v, INNER_VALUE_DEPTH)?,
                (5, Wire::Varint(v)) => self.number(Field::LinkDropped, v),
                (6, Wire::Fixed32(v)) => self.number(Field::LinkFlags, v.into()),
                _ => self.unknown()?,
            }
        }
        if last == 0 {
            self.batch.push_field_text(Field::LinkTraceId, b"");
        }
        Ok(good)
    }

    fn status(&mut self, message: &[u8]) -> Step<i32> {
        self.batch.push_field(Field::Status, 0);
        let (mut last, mut code) = (0, 0);
        for field in Fields::new(message) {
            let field = field?;
            match (field.number, field.value) {
                (2, Wire::Bytes(v)) => {
                    ascend(&mut last, 2, false)?;
                    self.text(Field::StatusMessage, v);
                }
                (3, Wire::Varint(v)) => {
                    ascend(&mut last, 3, false)?;
                    code = v as i32;
                }
                _ => self.unknown()?,
            }
        }
        Ok(code)
    }
}
