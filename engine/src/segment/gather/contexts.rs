//! Resources and scopes: each once in the segment, its text once in a row group, its terms once in
//! a block; and of services how long their spans take. Rows share them, so that a row costs a look
//! at two numbers.

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::HashMap;

use super::sink::{Code, Listed, Row, Sink, Terms};
use crate::otlp::attributes;
use crate::otlp::value::{AnyValue, json_object, json_text, lossy};
use crate::segment::layout::Fixed;
use crate::segment::plan::Input;
use crate::segment::tables;
use crate::span::{ResourceContext, ScopeContext};
use crate::terms;

#[derive(Debug)]
pub(super) struct Contexts {
    resources: Shared<ResourceContext>,
    scopes: Shared<ScopeContext>,
    /// For each resource.
    services: Vec<Service>,
    /// What is listed depends on the order of rows.
    slow_terms: Terms,
}

/// All contexts of one kind.
#[derive(Debug)]
struct Shared<T> {
    leaf: Fixed,
    describe: fn(&T) -> Context,
    things: Vec<Arc<T>>,
    by_value: HashMap<Arc<T>, u32>,
    /// For each of `things`.
    contexts: Vec<Context>,
    /// By source and number there, the ordinal among `things`.
    ordinals: Vec<Vec<u32>>,
    /// By row group and entry of its dictionary, the ordinal.
    entries: Vec<Vec<u32>>,
}

const UNKNOWN: u32 = u32::MAX;

/// What the file says of a context.
#[derive(Debug, Default)]
struct Context {
    terms: Vec<u64>,
    text: String,
    listed: Listed,
    code: Code,
}

/// The service that a resource names.
#[derive(Debug, Default)]
struct Service {
    code: Code,
    /// The longest span of the block met last, and its term.
    block: Listed,
    longest: u64,
    term: u64,
}

/// What was gathered: resources, scopes, which of them each row group has, and slow terms.
pub(super) type Finished =
    (Vec<Arc<ResourceContext>>, Vec<Arc<ScopeContext>>, tables::Contexts, Terms);

impl Contexts {
    pub(super) fn new(input: &Input<'_>) -> Self {
        let resources = input.sources.iter().map(|batch| batch.resources.len());
        let scopes = input.sources.iter().map(|batch| batch.scopes.len());
        Self {
            resources: Shared::new(Fixed::Resource, describe_resource, resources),
            scopes: Shared::new(Fixed::Scope, describe_scope, scopes),
            services: Vec::new(),
            slow_terms: Terms::new(),
        }
    }

    pub(super) fn begin_group(&mut self) {
        self.resources.entries.push(Vec::new());
        self.scopes.entries.push(Vec::new());
    }

    /// Ordinal of the row's resource, and its service.
    pub(super) fn put(&mut self, row: Row<'_>, sink: &mut Sink<'_>) -> Option<(u32, &Arc<str>)> {
        let batch = row.batch;
        let (resource, scope) = (batch.resource(row.number)?, batch.scope(row.number)?);
        let ordinal = self.resources.put(row, batch.resource[row.number], resource, sink);
        self.scopes.put(row, batch.scope[row.number], scope, sink);
        let service = &self.resources.things[ordinal as usize].service;
        if self.services.len() <= ordinal as usize {
            self.services.push(Service::default());
        }
        let known = &mut self.services[ordinal as usize];
        let code = known.code.of(sink.group, || {
            sink.data.weight += service.len();
            sink.fixed(Fixed::Service).data.intern(service.as_bytes())
        });
        sink.fixed(Fixed::Service).data.push_code(code);
        let slow = known.slow(service, batch.duration(row.number), row.block);
        self.slow_terms.extend(slow.map(|term| (term, row.block)));
        Some((ordinal, service))
    }

    pub(super) fn finish(self) -> Finished {
        let groups = self.resources.entries.into_iter().zip(self.scopes.entries);
        let groups = groups.map(|(resources, scopes)| [resources, scopes]).collect();
        let (resources, scopes) = (self.resources.things, self.scopes.things);
        (resources, scopes, tables::Contexts { groups }, self.slow_terms)
    }
}

impl<T: Eq + Hash> Shared<T> {
    /// `counts` of contexts in each source.
    fn new(leaf: Fixed, describe: fn(&T) -> Context, counts: impl Iterator<Item = usize>) -> Self {
        Self {
            leaf,
            describe,
            things: Vec::new(),
            by_value: HashMap::new(),
            contexts: Vec::new(),
            ordinals: counts.map(|count| vec![UNKNOWN; count]).collect(),
            entries: Vec::new(),
        }
    }

    /// Puts the context that its source calls `number`, and gives its ordinal.
    fn put(&mut self, row: Row<'_>, number: u32, thing: &Arc<T>, sink: &mut Sink<'_>) -> u32 {
        let mut ordinal = self.ordinals[row.source][number as usize];
        if ordinal == UNKNOWN {
            ordinal = self.ordinal(thing);
            self.ordinals[row.source][number as usize] = ordinal;
        }
        let context = &mut self.contexts[ordinal as usize];
        let code = context.code.of(sink.group, || {
            self.entries.last_mut().into_iter().for_each(|entries| entries.push(ordinal));
            sink.data.weight += context.text.len();
            sink.fixed(self.leaf).data.intern(context.text.as_bytes())
        });
        sink.fixed(self.leaf).data.push_code(code);
        if context.listed.enters(row.block) {
            sink.terms.extend(context.terms.iter().map(|&term| (term, row.block)));
        }
        ordinal
    }

    fn ordinal(&mut self, thing: &Arc<T>) -> u32 {
        if let Some(&ordinal) = self.by_value.get(thing) {
            return ordinal;
        }
        let ordinal = self.things.len() as u32;
        self.things.push(Arc::clone(thing));
        self.by_value.insert(Arc::clone(thing), ordinal);
        self.contexts.push((self.describe)(thing));
        ordinal
    }
}

impl Service {
    /// The term of a span of this service, where none as long was met in its block.
    fn slow(&mut self, service: &str, duration: u64, block: u32) -> Option<u64> {
        let is_first = self.block.enters(block);
        if !is_first && duration <= self.longest {
            return None;
        }
        let term = terms::slow(service, duration);
        let is_new = is_first || term != self.term;
        (self.longest, self.term) = (duration, term);
        is_new.then_some(term)
    }
}

fn describe_resource(resource: &ResourceContext) -> Context {
    let mut terms = vec![terms::service(&resource.service)];
    terms.extend(attributes::of_resource(resource).map(term));
    let text = json_object(attributes::of_resource(resource));
    Context { terms, text, ..Context::default() }
}

fn describe_scope(scope: &ScopeContext) -> Context {
    let (name, version) = attributes::scope_name_version(scope);
    let text = format!(
        "{{\"name\":{},\"version\":{},\"attributes\":{}}}",
        json_text(name),
        json_text(version),
        json_object(attributes::of_scope(scope))
    );
    let terms = attributes::of_scope(scope).map(term).collect();
    Context { terms, text, ..Context::default() }
}

fn term((key, value): (&[u8], AnyValue<'_>)) -> u64 {
    terms::attribute(lossy(key).as_bytes(), &value.text())
}
