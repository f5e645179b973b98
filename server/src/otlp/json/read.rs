//! The walk over the JSON, driven by the schema: each message is read into its own bytes, then
//! written into its parent with its length. The path to the current value is kept beside, so
//! that where an error ends the walk the path still names its place.

use std::cell::RefCell;
use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::schema::{Field, Kind, Message, Shape};
use super::write::bytes_field;

/// One reading of one body.
#[derive(Debug, Default)]
pub(super) struct Reader {
    path: RefCell<Vec<Step>>,
}

#[derive(Debug)]
enum Step {
    Key(&'static str),
    Index(usize),
}

impl Reader {
    /// Reads a message; its bytes come out.
    pub(super) fn message(&self, message: &'static Message) -> MessageSeed<'_> {
        MessageSeed { reader: self, message }
    }

    /// Where the reading stands, `a.b[3].c`.
    pub(super) fn path(&self) -> String {
        let mut text = String::new();
        for step in self.path.borrow().iter() {
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Key(key) if text.is_empty() => write!(text, "{key}"),
                Step::Key(key) => write!(text, ".{key}"),
                Step::Index(index) => write!(text, "[{index}]"),
            };
        }
        text
    }

    /// Runs `read` one step deeper. An error leaves the step where it is: it names the place.
    fn within<T, E>(&self, step: Step, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.path.borrow_mut().push(step);
        let value = read()?;
        self.path.borrow_mut().pop();
        Ok(value)
    }
}

pub(super) struct MessageSeed<'r> {
    reader: &'r Reader,
    message: &'static Message,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = Vec<u8>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Vec<u8>, D::Error> {
        value.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object ({})", self.message.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<u8>, A::Error> {
        let mut out = Vec::new();
        while let Some(field) = map.next_key_seed(KeySeed(self.message))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = FieldSeed { reader: self.reader, field, out: &mut out };
            self.reader.within(Step::Key(field.camel), || map.next_value_seed(value))?;
        }
        Ok(out)
    }
}

/// A key; `None` for one the message does not know.
struct KeySeed(&'static Message);

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.fields.iter().find(|field| field.camel == key || field.snake == key))
    }
}

/// A field's value, written to `out`; null is the same as absent.
struct FieldSeed<'a> {
    reader: &'a Reader,
    field: &'static Field,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.field.shape == Shape::Repeated { "an array" } else { "a value" })
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        if self.field.shape == Shape::Repeated {
            return value.deserialize_seq(self);
        }
        write_value(self.reader, self.field, self.out, value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            let element =
                ElementSeed { reader: self.reader, field: self.field, out: &mut *self.out };
            let step = Step::Index(index);
            if self.reader.within(step, || seq.next_element_seed(element))?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// An element of a repeated field; null is an empty one, since leaving it out would move others.
struct ElementSeed<'a> {
    reader: &'a Reader,
    field: &'static Field,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for ElementSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for ElementSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        bytes_field(self.out, self.field.number, b"");
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        write_value(self.reader, self.field, self.out, value)
    }
}

fn write_value<'de, D: Deserializer<'de>>(
    reader: &Reader,
    field: &'static Field,
    out: &mut Vec<u8>,
    value: D,
) -> Result<(), D::Error> {
    let bytes = match field.kind {
        Kind::Scalar(scalar) => {
            let bits = scalar.read(value)?;
            if bits != 0 || field.shape != Shape::Single {
                scalar.write(out, field.number, bits);
            }
            return Ok(());
        }
        Kind::Message(message) => reader.message(message).deserialize(value)?,
        Kind::String => value.deserialize_bytes(TextVisitor(text))?,
        Kind::Id => value.deserialize_bytes(TextVisitor(id))?,
        Kind::Bytes => value.deserialize_bytes(TextVisitor(from_base64))?,
    };
    if !bytes.is_empty() || field.shape != Shape::Single {
        bytes_field(out, field.number, &bytes);
    }
    Ok(())
}

/// A JSON string, asked for as bytes: that way lone surrogates and bad UTF-8, which JavaScript
/// and log lines produce, reach us instead of ending the batch.
struct TextVisitor(fn(&[u8]) -> Result<Vec<u8>, &'static str>);

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: de::Error>(self, text: &[u8]) -> Result<Vec<u8>, E> {
        (self.0)(text).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        self.visit_bytes(text.as_bytes())
    }
}

/// Text is UTF-8 or becomes it: JSON has no other strings.
fn text(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    Ok(String::from_utf8_lossy(text).into_owned().into_bytes())
}

/// An id that is not hex becomes one of a length that no id has: then the engine rejects its
/// span alone, as it does with every bad id, and the batch lives.
fn id(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    const NOT_AN_ID: &[u8] = &[0xff];
    let nibble = |byte: u8| (byte as char).to_digit(16);
    let bytes: Option<Vec<u8>> = text
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => Some((nibble(high)? << 4 | nibble(low)?) as u8),
            _ => None,
        })
        .collect();
    Ok(bytes.unwrap_or_else(|| NOT_AN_ID.to_vec()))
}

/// Either alphabet of base64, with padding or without, as protobuf's JSON mapping wants.
fn from_base64(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let standard: Vec<u8> = text
        .iter()
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    GeneralPurpose::new(&STANDARD, CONFIG).decode(standard).map_err(|_| "expected base64")
}
