//! Does this span match? A question is compiled once into conditions, asked of rows many times:
//! fixed fields first, then attributes, whose answers are remembered for resources and scopes
//! that rows share. Also says which terms a row must have, so that filters can prune. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use super::request::{AttributeEquals, TraceQuery};
use super::terms;
use crate::otlp::attributes;
use crate::span::{ResourceContext, STATUS_ERROR, ScopeContext, SpanKind, SpanRow};

const STATUS_OK: i32 = 1;

/// A condition on the row's fixed columns, resource and scope.
#[derive(Debug)]
enum Fixed {
    Error(bool),
    Kind(SpanKind),
    Ok,
    Unset,
    ScopeName(String),
    ScopeVersion(String),
    Never,
}

/// An attribute condition, on any of the five levels.
#[derive(Debug)]
struct Attribute {
    key: String,
    /// `key` without `resource.`, which asks the resource alone.
    resource_key: Option<String>,
    value: String,
}

/// A compiled question.
#[derive(Debug)]
pub(crate) struct Matcher {
    service: Option<String>,
    operation: Option<String>,
    start: (u64, u64),
    duration: (u64, u64),
    fixed: Vec<Fixed>,
    attributes: Vec<Attribute>,
    resources: HashMap<*const ResourceContext, (Arc<ResourceContext>, Vec<bool>)>,
    scopes: HashMap<*const ScopeContext, (Arc<ScopeContext>, Vec<bool>)>,
}

/// Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

impl Matcher {
    pub(crate) fn new(query: &TraceQuery) -> Self {
        let mut matcher = Self {
            service: query.service.clone(),
            operation: query.operation.clone(),
            start: (query.start_min.unwrap_or(0), query.start_max.unwrap_or(u64::MAX)),
            duration: (query.duration_min.unwrap_or(0), query.duration_max.unwrap_or(u64::MAX)),
            fixed: Vec::new(),
            attributes: Vec::new(),
            resources: HashMap::new(),
            scopes: HashMap::new(),
        };
        query.attributes.iter().for_each(|wanted| matcher.attribute(wanted));
        matcher
    }

    /// Jaeger's special keys (jaeger-contract §2.6); every other key is an attribute.
    fn attribute(&mut self, wanted: &AttributeEquals) {
        let value = wanted.value.clone();
        let fixed = match wanted.key.as_str() {
            "error" => parse_bool(&value).map_or(Fixed::Never, Fixed::Error),
            "span.kind" => {
                Fixed::Kind(SpanKind::from_word(&value).unwrap_or(SpanKind::Unspecified))
            }
            "span.status" if value.eq_ignore_ascii_case("ok") => Fixed::Ok,
            "span.status" if value.eq_ignore_ascii_case("error") => Fixed::Error(true),
            "span.status" => Fixed::Unset,
            "scope.name" => Fixed::ScopeName(value),
            "scope.version" => Fixed::ScopeVersion(value),
            key => {
                let resource_key = key.strip_prefix("resource.").map(str::to_owned);
                self.attributes.push(Attribute { key: key.to_owned(), resource_key, value });
                return;
            }
        };
        self.fixed.push(fixed);
    }

    /// Latest start a match can have.
    pub(crate) fn start_max(&self) -> u64 {
        self.start.1
    }

    /// True where a unit whose starts lie in this range may hold a match.
    pub(crate) fn overlaps(&self, start_min: u64, start_max: u64) -> bool {
        start_min <= self.start.1 && start_max >= self.start.0
    }

    /// Terms a matching row has: one of each list.
    pub(crate) fn terms(&self) -> Vec<Vec<u64>> {
        let service = self.service.as_deref().map(|name| vec![terms::service(name)]);
        let operation = self.operation.as_deref().map(|name| vec![terms::operation(name)]);
        let attributes = self.attributes.iter().map(|wanted| {
            let keys = [Some(&wanted.key), wanted.resource_key.as_ref()];
            let term = |key: &String| terms::attribute(key.as_bytes(), &wanted.value);
            keys.into_iter().flatten().map(term).collect()
        });
        service.into_iter().chain(operation).chain(attributes).collect()
    }

    /// True where the row's payload is needed to decide.
    pub(crate) fn needs_payload(&self) -> bool {
        !self.attributes.is_empty()
    }

    /// Every condition but the attributes'.
    pub(crate) fn fixed_match(&self, row: &SpanRow) -> bool {
        let within = |(low, high): (u64, u64), value: u64| low <= value && value <= high;
        within(self.start, row.start)
            && self.service.as_deref().is_none_or(|name| *row.resource.service == *name)
            && within(self.duration, row.duration())
            && self
                .operation
                .as_deref()
                .is_none_or(|name| String::from_utf8_lossy(&row.name) == name)
            && self.fixed.iter().all(|condition| condition.holds(row))
    }

    /// The attributes' conditions; the row must have its payload.
    pub(crate) fn attributes_match(&mut self, row: &SpanRow) -> bool {
        if self.attributes.is_empty() {
            return true;
        }
        let wanted = &self.attributes;
        let (_, of_resource) =
            self.resources.entry(Arc::as_ptr(&row.resource)).or_insert_with(|| {
                (Arc::clone(&row.resource), resource_answers(wanted, &row.resource))
            });
        let (_, of_scope) = self
            .scopes
            .entry(Arc::as_ptr(&row.scope))
            .or_insert_with(|| (Arc::clone(&row.scope), scope_answers(wanted, &row.scope)));
        let mut met: Vec<bool> =
            of_resource.iter().zip(&*of_scope).map(|(r, s)| *r || *s).collect();
        if met.iter().all(|&m| m) {
            return true;
        }
        attributes::of_span(&row.span, &mut |(key, value)| {
            mark(&mut met, wanted, |a| same(key, &a.key) && value.text() == a.value);
        });
        met.iter().all(|&m| m)
    }
}

fn same(key: &[u8], wanted: &str) -> bool {
    key == wanted.as_bytes()
        || (wanted.contains('\u{fffd}') && String::from_utf8_lossy(key) == wanted)
}

fn mark(met: &mut [bool], wanted: &[Attribute], holds: impl Fn(&Attribute) -> bool) {
    for (met, wanted) in met.iter_mut().zip(wanted) {
        *met = *met || holds(wanted);
    }
}

fn resource_answers(wanted: &[Attribute], context: &ResourceContext) -> Vec<bool> {
    let mut met = vec![false; wanted.len()];
    for (key, value) in attributes::of_resource(context) {
        mark(&mut met, wanted, |a| {
            let named =
                same(key, &a.key) || a.resource_key.as_deref().is_some_and(|k| same(key, k));
            named && value.text() == a.value
        });
    }
    met
}

fn scope_answers(wanted: &[Attribute], context: &ScopeContext) -> Vec<bool> {
    let mut met = vec![false; wanted.len()];
    for (key, value) in attributes::of_scope(context) {
        mark(&mut met, wanted, |a| same(key, &a.key) && value.text() == a.value);
    }
    met
}

impl Fixed {
    fn holds(&self, row: &SpanRow) -> bool {
        match self {
            Self::Error(wanted) => row.is_error() == *wanted,
            Self::Kind(kind) => SpanKind::from_number(row.kind) == *kind,
            Self::Ok => row.status == STATUS_OK,
            Self::Unset => row.status != STATUS_OK && row.status != STATUS_ERROR,
            Self::ScopeName(name) => {
                String::from_utf8_lossy(attributes::scope_name_version(&row.scope).0) == *name
            }
            Self::ScopeVersion(version) => {
                String::from_utf8_lossy(attributes::scope_name_version(&row.scope).1) == *version
            }
            Self::Never => false,
        }
    }
}
