//! What many rows share, each once: resources, scopes, and the operations (service, name, kind)
//! that occur. Rows hold ordinals; rows read from a segment share the entries.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::blob::{Cursor, Parsed, put_bytes, put_varint};
use crate::query::request::Operation;
use crate::span::{ResourceContext, ScopeContext, SpanKind};

/// Gives equal things one ordinal, in the order of first sight. Things are compared by address
/// first: rows mostly share them.
#[derive(Debug)]
pub(super) struct Interner<'a, T> {
    by_address: HashMap<*const T, i32>,
    by_value: HashMap<&'a T, i32>,
    pub(super) things: Vec<&'a T>,
}

impl<T> Default for Interner<'_, T> {
    fn default() -> Self {
        Self { by_address: HashMap::new(), by_value: HashMap::new(), things: Vec::new() }
    }
}

impl<'a, T: Eq + std::hash::Hash> Interner<'a, T> {
    pub(super) fn ordinal(&mut self, thing: &'a Arc<T>) -> i32 {
        let things = &mut self.things;
        let by_value = &mut self.by_value;
        // A row number fits 31 bits, so an ordinal does.
        *self.by_address.entry(Arc::as_ptr(thing)).or_insert_with(|| {
            *by_value.entry(thing).or_insert_with(|| {
                things.push(thing);
                (things.len() - 1) as i32
            })
        })
    }
}

pub(super) fn encode_resources(resources: &[&ResourceContext]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, resources.len() as u64);
    for resource in resources {
        put_bytes(&mut out, resource.service.as_bytes());
        put_bytes(&mut out, &resource.bytes);
    }
    out
}

/// Entries of one service share its name.
pub(super) fn decode_resources(bytes: &Bytes) -> Parsed<Vec<Arc<ResourceContext>>> {
    let mut cursor = Cursor::new(bytes);
    let mut names = Names::default();
    let count = cursor.count(2)?;
    let mut resources = Vec::with_capacity(count);
    for _ in 0..count {
        let service = names.share(text(&mut cursor)?);
        let bytes = bytes.slice_ref(cursor.bytes()?);
        resources.push(Arc::new(ResourceContext { bytes, service }));
    }
    cursor.finish()?;
    Ok(resources)
}

pub(super) fn encode_scopes(scopes: &[&ScopeContext]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, scopes.len() as u64);
    scopes.iter().for_each(|scope| put_bytes(&mut out, &scope.bytes));
    out
}

pub(super) fn decode_scopes(bytes: &Bytes) -> Parsed<Vec<Arc<ScopeContext>>> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.count(1)?;
    let mut scopes = Vec::with_capacity(count);
    for _ in 0..count {
        scopes.push(Arc::new(ScopeContext { bytes: bytes.slice_ref(cursor.bytes()?) }));
    }
    cursor.finish()?;
    Ok(scopes)
}

/// Service, name and OTLP number of the kind.
pub(super) type Operations = BTreeSet<(Arc<str>, String, i32)>;

/// The number that stands for a kind; kinds OTLP does not define are all unspecified.
pub(super) fn kind_number(kind: i32) -> i32 {
    if SpanKind::from_number(kind) == SpanKind::Unspecified { 0 } else { kind }
}

pub(super) fn encode_operations(operations: &Operations) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, operations.len() as u64);
    for (service, name, kind) in operations {
        put_bytes(&mut out, service.as_bytes());
        put_bytes(&mut out, name.as_bytes());
        out.push(*kind as u8);
    }
    out
}

/// In the order of [`Operations`].
pub(super) fn decode_operations(bytes: &[u8]) -> Parsed<Vec<(Arc<str>, Operation)>> {
    let mut cursor = Cursor::new(bytes);
    let mut names = Names::default();
    let count = cursor.count(3)?;
    let mut operations = Vec::with_capacity(count);
    for _ in 0..count {
        let service = names.share(text(&mut cursor)?);
        let name = text(&mut cursor)?.to_owned();
        let kind = SpanKind::from_number(i32::from(cursor.u8()?));
        operations.push((service, Operation { name, kind }));
    }
    cursor.finish()?;
    Ok(operations)
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Parsed<&'a str> {
    str::from_utf8(cursor.bytes()?).map_err(|_| "a name in it is not UTF-8")
}

/// Shares equal names.
#[derive(Debug, Default)]
struct Names(HashSet<Arc<str>>);

impl Names {
    fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(shared) = self.0.get(name) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = name.into();
        self.0.insert(Arc::clone(&shared));
        shared
    }
}
