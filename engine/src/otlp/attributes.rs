//! Attributes where they stand: on a span, its events and links, its resource and its scope.
//! Reads canonical bytes that the walk has validated; whatever does not decode is passed over.

use super::value::{AnyValue, key_value};
use super::wire::{Fields, Value};
use crate::span::{ResourceContext, ScopeContext};

fn bytes_fields(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Fields::new(message).map_while(|f| f.ok()).filter_map(move |f| match f.value {
        Value::Bytes(bytes) if f.number == number => Some(bytes),
        _ => None,
    })
}

type Attribute<'a> = (&'a [u8], AnyValue<'a>);

fn attribute(message: &[u8]) -> Attribute<'_> {
    let (key, value) = key_value(message);
    (key, AnyValue::read(value))
}

/// Attributes of the span itself, its events and its links, in the order of the message.
#[cfg(test)]
pub(crate) fn of_span<'a>(span: &'a [u8], visit: &mut dyn FnMut(Attribute<'a>)) {
    for field in Fields::new(span).map_while(|f| f.ok()) {
        let Value::Bytes(bytes) = field.value else { continue };
        match field.number {
            9 => visit(attribute(bytes)),
            11 => bytes_fields(bytes, 3).for_each(|a| visit(attribute(a))),
            13 => bytes_fields(bytes, 4).for_each(|a| visit(attribute(a))),
            _ => {}
        }
    }
}

/// Attributes of the resource.
pub(crate) fn of_resource(context: &ResourceContext) -> impl Iterator<Item = Attribute<'_>> {
    bytes_fields(&context.bytes, 1).flat_map(|resource| bytes_fields(resource, 1)).map(attribute)
}

/// Attributes of the scope.
pub(crate) fn of_scope(context: &ScopeContext) -> impl Iterator<Item = Attribute<'_>> {
    bytes_fields(&context.bytes, 1).flat_map(|scope| bytes_fields(scope, 3)).map(attribute)
}

/// Name and version of the scope.
pub(crate) fn scope_name_version(context: &ScopeContext) -> (&[u8], &[u8]) {
    let (mut name, mut version): (&[u8], &[u8]) = (b"", b"");
    for scope in bytes_fields(&context.bytes, 1) {
        for field in Fields::new(scope).map_while(|f| f.ok()) {
            match (field.number, field.value) {
                (1, Value::Bytes(bytes)) => name = bytes,
                (2, Value::Bytes(bytes)) => version = bytes,
                _ => {}
            }
        }
    }
    (name, version)
}

/// `service.name` of a canonical resource context where it is a string, else `""`. The first one
/// counts where it is repeated, as in Go's `pcommon.Map.Get`.
pub(crate) fn service_name(context: &[u8]) -> &[u8] {
    bytes_fields(context, 1)
        .flat_map(|resource| bytes_fields(resource, 1))
        .map(attribute)
        .filter(|(key, _)| *key == b"service.name")
        .map(|(_, value)| match value {
            AnyValue::String(name) => name,
            _ => b"",
        })
        .next()
        .unwrap_or(b"")
}

/// The schema URL of a canonical resource or scope context, `""` where there is none.
pub(crate) fn schema_url(context: &[u8]) -> &[u8] {
    bytes_fields(context, 3).last().unwrap_or_default()
}
