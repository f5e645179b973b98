//! What many rows share, each once: resources, scopes, and the operations (service, name, kind)
//! that occur. Rows hold ordinals; rows read from a segment share the entries. The columns
//! `resource` and `scope` hold text for other readers, so each row group has a list that gives
//! the ordinal of each of its dictionary's entries.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::blob::{Cursor, Parsed, put_bytes, put_varint};
use crate::query::request::Operation;
use crate::span::{ResourceContext, ScopeContext, SpanKind};

pub(super) fn encode_resources(resources: &[Arc<ResourceContext>]) -> Vec<u8> {
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

pub(super) fn encode_scopes(scopes: &[Arc<ScopeContext>]) -> Vec<u8> {
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

/// For each row group and each entry of its dictionaries of resources and scopes, the ordinal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contexts {
    pub(super) groups: Vec<[Vec<u32>; 2]>,
}

impl Contexts {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for ordinals in self.groups.iter().flatten() {
            put_varint(&mut out, ordinals.len() as u64);
            ordinals.iter().for_each(|&ordinal| put_varint(&mut out, ordinal.into()));
        }
        out
    }

    /// Ordinals must be below the `resources` and `scopes` there are.
    pub(super) fn decode(
        bytes: &[u8],
        groups: usize,
        resources: usize,
        scopes: usize,
    ) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        let mut read = |limit: usize| -> Parsed<Vec<u32>> {
            let count = cursor.count(1)?;
            let mut ordinals = Vec::with_capacity(count);
            for _ in 0..count {
                let ordinal = cursor.varint_u32()?;
                if ordinal as usize >= limit {
                    return Err("a row group has a resource or scope that is not listed");
                }
                ordinals.push(ordinal);
            }
            Ok(ordinals)
        };
        let mut decoded = Vec::with_capacity(groups);
        for _ in 0..groups {
            decoded.push([read(resources)?, read(scopes)?]);
        }
        cursor.finish()?;
        Ok(Self { groups: decoded })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.groups.iter().flatten().map(|ordinals| ordinals.capacity() * 4 + 24).sum()
    }
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
