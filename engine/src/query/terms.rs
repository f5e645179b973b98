//! Terms: 64-bit hashes by which a row can be looked up without reading it. A segment's filters
//! are built from [`of_row`]; a query asks for the same hashes. Equal text gives an equal term on
//! whatever level it stands, since Jaeger's legacy search is blind to levels; whatever a filter
//! lets through is checked on the row itself. The hash is XXH3-64, stored in files.

use std::collections::HashMap;

use twox_hash::XxHash3_64;

use crate::otlp::attributes;
use crate::span::{ResourceContext, ScopeContext, SpanRow};

/// What a term speaks of; part of its hash, so that a service never collides with a tag.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Space {
    Service = 1,
    Operation = 2,
    Attribute = 3,
}

fn hash(space: Space, key: &[u8], value: &[u8]) -> u64 {
    let seed = XxHash3_64::oneshot_with_seed(space as u64, key);
    XxHash3_64::oneshot_with_seed(seed, value)
}

pub(crate) fn service(name: &str) -> u64 {
    hash(Space::Service, b"", name.as_bytes())
}

pub(crate) fn operation(name: &str) -> u64 {
    hash(Space::Operation, b"", name.as_bytes())
}

/// An attribute of this key and text on any level.
pub(crate) fn attribute(key: &[u8], text: &str) -> u64 {
    hash(Space::Attribute, key, text.as_bytes())
}

/// Gives the terms of rows, remembering those of the contexts that rows share.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    resources: HashMap<*const ResourceContext, Vec<u64>>,
    scopes: HashMap<*const ScopeContext, Vec<u64>>,
}

impl Terms {
    /// Every term of the row, some perhaps twice. The rows' contexts must outlive `self`.
    pub(crate) fn of_row(&mut self, row: &SpanRow, give: &mut dyn FnMut(u64)) {
        give(operation(&String::from_utf8_lossy(&row.name)));
        let resource =
            self.resources.entry(std::sync::Arc::as_ptr(&row.resource)).or_insert_with(|| {
                let attributes = attributes::of_resource(&row.resource)
                    .map(|(k, v)| attribute(lossy(k).as_bytes(), &v.text()));
                std::iter::once(service(&row.resource.service)).chain(attributes).collect()
            });
        resource.iter().for_each(|&term| give(term));
        let scope = self.scopes.entry(std::sync::Arc::as_ptr(&row.scope)).or_insert_with(|| {
            attributes::of_scope(&row.scope)
                .map(|(k, v)| attribute(lossy(k).as_bytes(), &v.text()))
                .collect()
        });
        scope.iter().for_each(|&term| give(term));
        attributes::of_span(&row.span, &mut |(key, value)| {
            give(attribute(lossy(key).as_bytes(), &value.text()));
        });
    }
}

fn lossy(key: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(key)
}
