//! An expression made ready to be asked: constants resolved against what they are compared with,
//! what cannot be answered exactly refused by name, Jaeger's legacy fields translated. Also what
//! the planner may know beforehand: terms a match must have, bounds of its times, columns that
//! are needed to decide. Pure.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::constant::{parse_bool, parse_duration, parse_timestamp};
use super::expression::{
    Comparison, Constant, EXPRESSION_DEPTH_MAX, Element, Expression, Field, Level, List, Operand,
    Reference,
};
use super::test::{Form, Scalar, Test, Wanted, pair_holds};
use crate::batch::{Cells, Field as Cell, Projection};
use crate::error::{Error, ErrorKind, Result};
use crate::otlp::value::AnyValue;
use crate::query::request::TraceQuery;
use crate::span::SpanKind;
use crate::terms;

/// A compiled question: all conjuncts must hold, and the span must start in the window.
#[derive(Debug)]
pub(crate) struct Predicate {
    /// Those that fixed columns, resource and scope decide come first.
    pub(super) conjuncts: Vec<Node>,
    /// How many those are.
    pub(super) fixed: usize,
    pub(super) leaves: Vec<Leaf>,
    /// The question in words.
    text: String,
}

/// The tree over [`Predicate::leaves`].
#[derive(Debug)]
pub(super) enum Node {
    Const(bool),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Leaf(usize),
    Some(Element, Box<Node>),
}

#[derive(Debug)]
pub(super) enum Leaf {
    /// Some value passes; negated: there are values and none passes.
    One { target: Target, test: Test, negated: bool },
    /// Some pair of values compares so; negated: both sides are there and no pair does.
    Pair { left: Target, comparison: Comparison, right: Target, negated: bool },
}

/// Where values come from.
#[derive(Debug)]
pub(super) enum Target {
    Attribute(Places),
    Field(Field),
    /// Jaeger's virtual attribute `error`: the bool "status is ERROR", always there.
    Error,
}

/// An attribute's key and the levels it is looked up on.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) key: String,
    pub(super) span: bool,
    pub(super) event: bool,
    pub(super) link: bool,
    pub(super) resource: bool,
    pub(super) scope: bool,
    /// Another key, on the resource alone.
    pub(super) resource_key: Option<String>,
}

/// Something a match must have one of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Required {
    /// In words.
    pub(crate) text: String,
    /// Hashes, see [`terms`]; none at all where nothing can match.
    pub(crate) terms: Vec<u64>,
}

/// What a match's own times must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Both inclusive; low above high where nothing can match.
    pub(crate) start: (u64, u64),
    pub(crate) duration_min: u64,
}

impl Predicate {
    /// Compiles a search's conditions; its time window stays the caller's business.
    ///
    /// # Errors
    /// `Invalid` where the filter makes no sense, `Unimplemented` where it is not served.
    pub(crate) fn compile(query: &TraceQuery) -> Result<Self> {
        let mut compiler = Compiler { leaves: Vec::new() };
        let legacy = legacy_fields(query);
        let mut nodes: Vec<Node> = Vec::new();
        for expression in legacy.iter().chain(&query.filter) {
            flatten(compiler.node(expression, &Scope::default())?, &mut nodes);
        }
        let leaves = compiler.leaves;
        let (mut conjuncts, mut rest): (Vec<_>, Vec<_>) =
            nodes.into_iter().partition(|node| !node.needs_cells(&leaves));
        conjuncts.sort_by_key(|node| node.price(&leaves));
        rest.sort_by_key(|node| node.price(&leaves));
        let fixed = conjuncts.len();
        conjuncts.append(&mut rest);
        let parts: Vec<String> =
            legacy.iter().chain(&query.filter).map(ToString::to_string).collect();
        let text = match parts.len() {
            0 => "every span".to_owned(),
            _ => parts.join(" and "),
        };
        Ok(Self { conjuncts, fixed, leaves, text })
    }

    /// The question in words.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// True where some conjunct needs cells.
    pub(crate) fn needs_cells(&self) -> bool {
        self.fixed < self.conjuncts.len()
    }

    /// Columns that decide the conjuncts of fixed columns.
    pub(crate) fn fixed_projection(&self) -> Projection {
        self.projection(self.conjuncts.get(..self.fixed).unwrap_or_default())
    }

    /// Columns that decide all others.
    pub(crate) fn rest_projection(&self) -> Projection {
        self.projection(self.conjuncts.get(self.fixed..).unwrap_or_default())
    }

    fn projection(&self, nodes: &[Node]) -> Projection {
        let mut projection = Projection::default();
        let mut add =
            |leaf: &Leaf| leaf.targets().for_each(|target| target.project(&mut projection));
        nodes.iter().for_each(|node| node.visit(&self.leaves, &mut add));
        nodes.iter().for_each(|node| node.project_elements(&mut projection));
        projection
    }

    /// What every match must have; each entry is a conjunct.
    pub(crate) fn required(&self) -> Vec<Required> {
        let required = self.conjuncts.iter().flat_map(|node| node.required(&self.leaves));
        required.chain(self.slow_service()).collect()
    }

    /// A service's long spans have terms of their own.
    fn slow_service(&self) -> Option<Required> {
        let least = self.bounds((0, u64::MAX)).duration_min;
        let services = self.conjuncts.iter().find_map(|node| node.services(&self.leaves))?;
        let terms: Vec<u64> = services.iter().flat_map(|s| terms::slower(s, least)).collect();
        let text = format!("resource.service = {} with long spans", services.join(" | "));
        (least > 0).then_some(Required { text, terms })
    }

    /// What every match's times must be, within `window`.
    pub(crate) fn bounds(&self, window: (u64, u64)) -> Bounds {
        let mut bounds = Bounds { start: window, duration_min: 0 };
        self.conjuncts.iter().for_each(|node| node.narrow(&self.leaves, &mut bounds));
        bounds
    }
}

/// Jaeger's legacy fields as expressions.
fn legacy_fields(query: &TraceQuery) -> Vec<Expression> {
    let duration = |comparison, nanos: u64| {
        let field = Operand::Reference(Reference::Field(Field::Duration));
        let constant = Operand::Constant(Constant::Duration(nanos.into()));
        Expression::Compare(field, comparison, constant)
    };
    let mut all = Vec::new();
    match query.service.as_deref() {
        None => {}
        Some("") => all.push(absent(Field::Service)),
        Some(name) => all.push(Expression::field_is(Field::Service, name)),
    }
    all.extend(query.operation.as_ref().map(|name| Expression::field_is(Field::Name, name)));
    // A span that ends before it starts counts as one of duration 0.
    all.extend(query.duration_min.filter(|&n| n > 0).map(|n| duration(Comparison::Gte, n)));
    all.extend(query.duration_max.map(|n| duration(Comparison::Lte, n)));
    all.extend(query.attributes.iter().map(|attribute| Expression::Legacy {
        key: attribute.key.clone(),
        value: attribute.value.clone(),
    }));
    all
}

fn absent(field: Field) -> Expression {
    Expression::Not(Box::new(Expression::Exists(Reference::Field(field))))
}

fn flatten(node: Node, out: &mut Vec<Node>) {
    match node {
        Node::And(all) => all.into_iter().for_each(|node| flatten(node, out)),
        node => out.push(node),
    }
}

fn invalid(expression: &dyn std::fmt::Display, why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("filter: {expression}: {why}"))
}

/// Where in the tree the compiler stands.
#[derive(Debug, Clone, Copy, Default)]
struct Scope {
    depth: usize,
    in_event: bool,
    in_link: bool,
}

/// What can be compared with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Domain {
    Number,
    Duration,
    Timestamp,
    Text,
    /// Text from a closed set: no order.
    Word(&'static [&'static str]),
    Bool,
    Unknown,
}

const KINDS: &[&str] = &["unspecified", "internal", "server", "client", "producer", "consumer"];
const STATUSES: &[&str] = &["unset", "ok", "error"];

impl Domain {
    fn of(reference: &Reference) -> Self {
        match reference {
            Reference::Attribute(..) => Self::Unknown,
            Reference::Field(field) => match field {
                Field::Kind => Self::Word(KINDS),
                Field::Status => Self::Word(STATUSES),
                Field::StartTime | Field::EndTime | Field::EventTime => Self::Timestamp,
                Field::Duration | Field::EventTimeSinceStart => Self::Duration,
                _ => Self::Text,
            },
        }
    }

    fn of_constant(constant: &Constant) -> Self {
        match constant {
            Constant::Untyped(_) => Self::Unknown,
            Constant::String(_) => Self::Text,
            Constant::Int(_) | Constant::Double(_) => Self::Number,
            Constant::Bool(_) => Self::Bool,
            Constant::Duration(_) => Self::Duration,
            Constant::Timestamp(_) => Self::Timestamp,
        }
    }

    fn meets(self, other: Self) -> bool {
        let plain = |domain| match domain {
            Self::Word(_) => Self::Text,
            domain => domain,
        };
        self == Self::Unknown || other == Self::Unknown || plain(self) == plain(other)
    }

    fn is_ordered(self) -> bool {
        !matches!(self, Self::Bool | Self::Word(_))
    }
}

/// A constant as it is, resolved against nothing.
fn wanted(constant: &Constant) -> Wanted {
    match constant {
        Constant::Untyped(text) => Wanted::untyped(text),
        Constant::String(text) => Wanted::string(text),
        Constant::Int(value) => Wanted { int: Some(*value), ..Wanted::default() },
        Constant::Double(value) => Wanted { double: Some(*value), ..Wanted::default() },
        Constant::Bool(value) => Wanted { bool: Some(*value), ..Wanted::default() },
        Constant::Duration(nanos) | Constant::Timestamp(nanos) => {
            Wanted { nanos: Some(*nanos), ..Wanted::default() }
        }
    }
}

/// A constant resolved against what it is compared with; `Err` says why it cannot be.
fn resolve(domain: Domain, constant: &Constant) -> std::result::Result<Wanted, String> {
    let nanos = |nanos: Option<i128>, what: &str| match nanos {
        Some(nanos) => Ok(Wanted { nanos: Some(nanos), ..Wanted::default() }),
        None => Err(format!("{constant} is not {what}")),
    };
    match (domain, constant) {
        (Domain::Unknown, Constant::Duration(_) | Constant::Timestamp(_)) => {
            Err("attributes hold no durations and no timestamps".to_owned())
        }
        (Domain::Duration, Constant::Untyped(text)) => {
            nanos(parse_duration(text).map(i128::from), "a duration such as 1.5s")
        }
        (Domain::Timestamp, Constant::Untyped(text)) => {
            nanos(parse_timestamp(text), "an RFC 3339 timestamp")
        }
        (Domain::Word(words), Constant::Untyped(text) | Constant::String(text)) => {
            match words.contains(&text.as_str()) {
                true => Ok(Wanted::string(text)),
                false => Err(format!("{text:?} is not one of {}", words.join(", "))),
            }
        }
        (Domain::Text, Constant::Untyped(text)) => Ok(Wanted::string(text)),
        (domain, constant) if domain.meets(Domain::of_constant(constant)) => Ok(wanted(constant)),
        _ => Err("its sides hold different kinds of value".to_owned()),
    }
}

struct Compiler {
    leaves: Vec<Leaf>,
}

impl Compiler {
    fn leaf(&mut self, leaf: Leaf) -> Node {
        self.leaves.push(leaf);
        Node::Leaf(self.leaves.len() - 1)
    }

    fn one(&mut self, target: Target, test: Test, negated: bool) -> Node {
        self.leaf(Leaf::One { target, test, negated })
    }

    fn nodes(&mut self, all: &[Expression], scope: &Scope) -> Result<Vec<Node>> {
        all.iter().map(|expression| self.node(expression, scope)).collect()
    }

    fn node(&mut self, expression: &Expression, scope: &Scope) -> Result<Node> {
        if scope.depth >= EXPRESSION_DEPTH_MAX {
            return Err(Error::invalid(format!(
                "the filter is nested deeper than {EXPRESSION_DEPTH_MAX}"
            )));
        }
        let inner = Scope { depth: scope.depth + 1, ..*scope };
        Ok(match expression {
            Expression::And(all) => Node::And(self.nodes(all, &inner)?),
            Expression::Or(any) => Node::Or(self.nodes(any, &inner)?),
            Expression::Not(one) => Node::Not(Box::new(self.node(one, &inner)?)),
            Expression::Compare(left, comparison, right) => {
                self.compare(expression, left, *comparison, right)?
            }
            Expression::In(reference, list) => self.member(expression, reference, list, false)?,
            Expression::NotIn(reference, list) => self.member(expression, reference, list, true)?,
            Expression::Exists(reference) => self.one(target(reference), Test::Exists, false),
            Expression::Some(element, predicate) => {
                let inside = match element {
                    Element::Event => inner.in_event,
                    Element::Link => inner.in_link,
                };
                if inside {
                    return Err(invalid(expression, "there is a some over this level around it"));
                }
                let inner = Scope {
                    in_event: inner.in_event || *element == Element::Event,
                    in_link: inner.in_link || *element == Element::Link,
                    ..inner
                };
                Node::Some(*element, Box::new(self.node(predicate, &inner)?))
            }
            Expression::Legacy { key, value } => self.legacy(key, value),
            Expression::Regex(..) | Expression::Phrase(..) | Expression::FullText(..) => {
                let op = match expression {
                    Expression::Regex(..) => "regex",
                    Expression::Phrase(..) => "phrase",
                    _ => "fulltext",
                };
                return Err(Error::new(
                    ErrorKind::Unimplemented,
                    format!("filter: the operator {op} is not served by this store"),
                ));
            }
        })
    }

    fn compare(
        &mut self,
        whole: &Expression,
        left: &Operand,
        comparison: Comparison,
        right: &Operand,
    ) -> Result<Node> {
        let (positive, negated) = match comparison {
            Comparison::Ne => (Comparison::Eq, true),
            comparison => (comparison, false),
        };
        let ordered = !matches!(positive, Comparison::Eq);
        let check = |domain: Domain| match ordered && !domain.is_ordered() {
            true => Err(invalid(whole, "one of its sides has no order")),
            false => Ok(()),
        };
        match (left, right) {
            (Operand::Constant(a), Operand::Constant(b)) => {
                let (domain_a, domain_b) = (Domain::of_constant(a), Domain::of_constant(b));
                check(domain_a)?;
                check(domain_b)?;
                Ok(Node::Const(fold(a, positive, b).map_err(|why| invalid(whole, why))? != negated))
            }
            (Operand::Constant(_), Operand::Reference(_)) => {
                self.compare(whole, right, comparison.reversed(), left)
            }
            (Operand::Reference(reference), Operand::Constant(constant)) => {
                let domain = Domain::of(reference);
                check(domain)?;
                check(Domain::of_constant(constant))?;
                let wanted = resolve(domain, constant).map_err(|why| invalid(whole, why))?;
                Ok(self.one(target(reference), Test::Is(positive, wanted), negated))
            }
            (Operand::Reference(a), Operand::Reference(b)) => {
                let (domain_a, domain_b) = (Domain::of(a), Domain::of(b));
                check(domain_a)?;
                check(domain_b)?;
                if !domain_a.meets(domain_b) {
                    return Err(invalid(whole, "its sides hold different kinds of value"));
                }
                let (left, right) = (target(a), target(b));
                Ok(self.leaf(Leaf::Pair { left, comparison: positive, right, negated }))
            }
        }
    }

    fn member(
        &mut self,
        whole: &Expression,
        reference: &Reference,
        list: &List,
        negated: bool,
    ) -> Result<Node> {
        let constants: Vec<Constant> = match list {
            List::Untyped(values) => values.iter().cloned().map(Constant::Untyped).collect(),
            List::String(values) => values.iter().cloned().map(Constant::String).collect(),
            List::Int(values) => values.iter().copied().map(Constant::Int).collect(),
            List::Double(values) => values.iter().copied().map(Constant::Double).collect(),
            List::Bool(values) => values.iter().copied().map(Constant::Bool).collect(),
        };
        if constants.is_empty() {
            return Err(invalid(whole, "its list is empty"));
        }
        let domain = Domain::of(reference);
        let wanted: std::result::Result<Vec<Wanted>, String> =
            constants.iter().map(|constant| resolve(domain, constant)).collect();
        let wanted = wanted.map_err(|why| invalid(whole, why))?;
        Ok(self.one(target(reference), Test::OneOf(wanted), negated))
    }

    /// Jaeger's special keys (jaeger-contract §2.6); every other key is an attribute on any of
    /// the five levels.
    fn legacy(&mut self, key: &str, value: &str) -> Node {
        let word = |compiler: &mut Self, field, word: &str| {
            let test = Test::Is(Comparison::Eq, Wanted::string(word));
            compiler.one(Target::Field(field), test, false)
        };
        match key {
            "error" => match parse_bool(value) {
                Some(value) => {
                    let wanted = Wanted { bool: Some(value), ..Wanted::default() };
                    self.one(Target::Error, Test::Is(Comparison::Eq, wanted), false)
                }
                None => Node::Const(false),
            },
            "span.kind" => {
                let kind = SpanKind::from_word(value).unwrap_or(SpanKind::Unspecified);
                word(self, Field::Kind, kind_word(kind))
            }
            "span.status" => {
                let known = ["ok", "error"].into_iter().find(|w| value.eq_ignore_ascii_case(w));
                word(self, Field::Status, known.unwrap_or("unset"))
            }
            "scope.name" | "scope.version" => {
                let name = key == "scope.name";
                let field = if name { Field::ScopeName } else { Field::ScopeVersion };
                match value.is_empty() {
                    true => {
                        let exists = self.one(Target::Field(field), Test::Exists, false);
                        Node::Not(Box::new(exists))
                    }
                    false => word(self, field, value),
                }
            }
            key => {
                let places = Places {
                    key: key.to_owned(),
                    span: true,
                    event: true,
                    link: true,
                    resource: true,
                    scope: true,
                    resource_key: key.strip_prefix("resource.").map(str::to_owned),
                };
                self.one(Target::Attribute(places), Test::Form(Form::new(value)), false)
            }
        }
    }
}

/// A constant of a type, as a value.
fn scalar(constant: &Constant) -> Option<Scalar<'_>> {
    Some(match constant {
        Constant::Untyped(_) => return None,
        Constant::String(text) => Scalar::text(text.as_bytes()),
        Constant::Int(value) => Scalar::Value(AnyValue::Int(*value)),
        Constant::Double(value) => Scalar::Value(AnyValue::Double(*value)),
        Constant::Bool(value) => Scalar::Value(AnyValue::Bool(*value)),
        Constant::Duration(nanos) | Constant::Timestamp(nanos) => Scalar::Nanos(*nanos),
    })
}

/// Compares two constants.
fn fold(a: &Constant, comparison: Comparison, b: &Constant) -> std::result::Result<bool, String> {
    match (scalar(a), scalar(b), a, b) {
        (Some(left), ..) => {
            let right = resolve(Domain::of_constant(a), b)?;
            Ok(Test::Is(comparison, right).holds(left))
        }
        (None, Some(right), ..) => {
            let left = resolve(Domain::of_constant(b), a)?;
            Ok(Test::Is(comparison.reversed(), left).holds(right))
        }
        (None, None, Constant::Untyped(a), Constant::Untyped(b)) => {
            Ok(pair_holds(Scalar::text(a.as_bytes()), comparison, Scalar::text(b.as_bytes())))
        }
        _ => Ok(false),
    }
}

pub(super) fn kind_word(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "unspecified",
        kind => kind.word(),
    }
}

/// The word of a status code as sent.
pub(super) fn status_word(code: i32) -> &'static str {
    match code {
        1 => "ok",
        2 => "error",
        _ => "unset",
    }
}

fn target(reference: &Reference) -> Target {
    match reference {
        Reference::Field(field) => Target::Field(*field),
        Reference::Attribute(Level::Any | Level::Span, key) if key == "error" => Target::Error,
        Reference::Attribute(level, key) => Target::Attribute(Places {
            key: key.clone(),
            span: matches!(level, Level::Any | Level::Span),
            event: *level == Level::Event,
            link: *level == Level::Link,
            resource: matches!(level, Level::Any | Level::Resource),
            scope: *level == Level::Scope,
            resource_key: None,
        }),
    }
}

impl Element {
    /// The field that opens one in a row's cells.
    fn opener(self) -> Cell {
        match self {
            Self::Event => Cell::EventTime,
            Self::Link => Cell::LinkTraceId,
        }
    }
}

impl Target {
    /// The element it speaks of: bound inside a `some` over that level.
    pub(super) fn element(&self) -> Option<Element> {
        match self {
            // Jaeger's own search looks everywhere and is bound nowhere.
            Self::Attribute(places) if places.span || places.resource || places.scope => None,
            Self::Attribute(places) if places.event => Some(Element::Event),
            Self::Attribute(places) if places.link => Some(Element::Link),
            Self::Field(field) => match field.words().0 {
                "event" => Some(Element::Event),
                "link" => Some(Element::Link),
                _ => None,
            },
            _ => None,
        }
    }

    /// True where a test of this passes on spans of status ERROR and on no other.
    fn is_error_alone(&self, test: &Test) -> bool {
        let word = |word: &str| test.holds(Scalar::text(word.as_bytes()));
        let bool = |value| test.holds(Scalar::Value(AnyValue::Bool(value)));
        match self {
            Self::Error => bool(true) && !bool(false),
            Self::Field(Field::Status) => word("error") && !word("ok") && !word("unset"),
            _ => false,
        }
    }

    fn needs_cells(&self) -> bool {
        match self {
            Self::Attribute(places) => places.span || places.event || places.link,
            Self::Field(field) => {
                matches!(field, Field::TraceState | Field::StatusMessage)
                    || self.element().is_some()
            }
            Self::Error => false,
        }
    }

    fn project(&self, to: &mut Projection) {
        let mut cells = |fields: &[Cell], key: Option<&str>| {
            let keys: BTreeSet<Bytes> =
                key.map(|key| Bytes::copy_from_slice(key.as_bytes())).into_iter().collect();
            // A key that is not UTF-8 is asked for by what replaces it: any key may be meant.
            let all = key.is_some_and(|key| key.contains('\u{fffd}'));
            let wanted = match all {
                true => Cells::All,
                false => Cells::Keys(keys, fields.iter().copied().collect()),
            };
            *to = to.union(&Projection { cells: wanted, ..Projection::default() });
        };
        match self {
            Self::Attribute(places) => {
                if self.needs_cells() {
                    cells(&[], Some(&places.key));
                }
                to.resource |= places.resource;
                to.scope |= places.scope;
            }
            Self::Error => to.status = true,
            Self::Field(field) => match field {
                Field::TraceId | Field::StartTime => {}
                Field::SpanId => to.span_id = true,
                Field::ParentSpanId => to.parent = true,
                Field::Name => to.name = true,
                Field::Kind => to.kind = true,
                Field::EndTime | Field::Duration => to.end = true,
                Field::Status => to.status = true,
                Field::Service | Field::ResourceSchemaUrl => to.resource = true,
                Field::ScopeName | Field::ScopeVersion | Field::ScopeSchemaUrl => to.scope = true,
                Field::TraceState => cells(&[Cell::TraceState], None),
                Field::StatusMessage => cells(&[Cell::StatusMessage], None),
                Field::EventName => cells(&[Cell::EventTime, Cell::EventName], None),
                Field::EventTime | Field::EventTimeSinceStart => cells(&[Cell::EventTime], None),
                Field::LinkTraceId => cells(&[Cell::LinkTraceId], None),
                Field::LinkSpanId => cells(&[Cell::LinkTraceId, Cell::LinkSpanId], None),
                Field::LinkTraceState => cells(&[Cell::LinkTraceId, Cell::LinkTraceState], None),
            },
        }
    }

    /// What a cheap answer costs: contexts are asked once, numbers are compared, texts are read.
    fn price(&self) -> u32 {
        match self {
            Self::Field(Field::Service) => 0,
            Self::Field(Field::Name) => 1,
            Self::Field(field) => match field {
                Field::TraceId | Field::SpanId | Field::ParentSpanId => 4,
                _ if self.element().is_some() => 6,
                _ => 2,
            },
            Self::Error => 2,
            Self::Attribute(_) => 3,
        }
    }
}

impl Leaf {
    pub(super) fn targets(&self) -> impl Iterator<Item = &Target> {
        match self {
            Self::One { target, .. } => std::iter::once(target).chain(None),
            Self::Pair { left, right, .. } => std::iter::once(left).chain(Some(right)),
        }
    }

    fn price(&self) -> u32 {
        match self {
            Self::One { target, .. } => target.price(),
            Self::Pair { .. } => 5,
        }
    }

    /// What must be there for it to hold; `None` = cannot be said.
    fn required(&self) -> Option<Required> {
        let Self::One { target, test, negated: false } = self else { return None };
        if target.is_error_alone(test) {
            let text = "span.status = error".to_owned();
            return Some(Required { text, terms: vec![terms::error()] });
        }
        let forms = test.text_forms()?;
        let hashes: Vec<u64> = match target {
            Target::Field(Field::Service) => forms.iter().map(|f| terms::service(f)).collect(),
            Target::Field(Field::Name) => forms.iter().map(|f| terms::operation(f)).collect(),
            Target::Attribute(places) => {
                let keys = std::iter::once(&places.key).chain(&places.resource_key);
                let term = |(key, form): (&String, &String)| terms::attribute(key.as_bytes(), form);
                keys.flat_map(|key| forms.iter().map(move |form| (key, form))).map(term).collect()
            }
            _ => return None,
        };
        let what = match target {
            Target::Field(field) => format!("{}.{}", field.words().0, field.words().1),
            Target::Attribute(places) => places.key.clone(),
            Target::Error => return None,
        };
        Some(Required { text: format!("{what} = {}", forms.join(" | ")), terms: hashes })
    }
}

impl Node {
    fn visit(&self, leaves: &[Leaf], f: &mut impl FnMut(&Leaf)) {
        match self {
            Self::Const(_) => {}
            Self::And(all) | Self::Or(all) => all.iter().for_each(|node| node.visit(leaves, f)),
            Self::Not(inner) | Self::Some(_, inner) => inner.visit(leaves, f),
            Self::Leaf(at) => leaves.get(*at).into_iter().for_each(f),
        }
    }

    fn needs_cells(&self, leaves: &[Leaf]) -> bool {
        let mut needs = self.has_some();
        self.visit(leaves, &mut |leaf| needs |= leaf.targets().any(Target::needs_cells));
        needs
    }

    /// To go through events or links takes what opens them, whatever is asked of them.
    fn project_elements(&self, to: &mut Projection) {
        match self {
            Self::Some(element, inner) => {
                let opener = BTreeSet::from([element.opener()]);
                let cells = Cells::Keys(BTreeSet::new(), opener);
                *to = to.union(&Projection { cells, ..Projection::default() });
                inner.project_elements(to);
            }
            Self::And(all) | Self::Or(all) => all.iter().for_each(|n| n.project_elements(to)),
            Self::Not(inner) => inner.project_elements(to),
            Self::Const(_) | Self::Leaf(_) => {}
        }
    }

    fn has_some(&self) -> bool {
        match self {
            Self::Some(..) => true,
            Self::And(all) | Self::Or(all) => all.iter().any(Self::has_some),
            Self::Not(inner) => inner.has_some(),
            Self::Const(_) | Self::Leaf(_) => false,
        }
    }

    fn price(&self, leaves: &[Leaf]) -> u32 {
        let mut price = 0;
        self.visit(leaves, &mut |leaf| price = price.max(leaf.price()));
        let nested = match self {
            Self::Leaf(_) | Self::Const(_) => 0,
            Self::And(_) | Self::Or(_) | Self::Not(_) => 1,
            Self::Some(..) => 8,
        };
        price + nested
    }

    /// The services that it asks for, where it asks for nothing else.
    fn services(&self, leaves: &[Leaf]) -> Option<Vec<String>> {
        let Self::Leaf(at) = self else { return None };
        match leaves.get(*at)? {
            Leaf::One { target: Target::Field(Field::Service), test, negated: false } => {
                test.text_forms()
            }
            _ => None,
        }
    }

    fn required(&self, leaves: &[Leaf]) -> Vec<Required> {
        match self {
            Self::Const(true) | Self::Not(_) => Vec::new(),
            Self::Const(false) => vec![Required { text: "nothing".to_owned(), terms: Vec::new() }],
            Self::And(all) => all.iter().flat_map(|node| node.required(leaves)).collect(),
            // Whatever branch holds, one of its terms is there: one requirement of each branch.
            Self::Or(any) => {
                let mut either = Required { text: String::new(), terms: Vec::new() };
                for node in any {
                    let of_branch = node.required(leaves);
                    let Some(least) = of_branch.into_iter().min_by_key(|r| r.terms.len()) else {
                        return Vec::new();
                    };
                    let or = if either.text.is_empty() { "" } else { " or " };
                    either.text = format!("{}{or}{}", either.text, least.text);
                    either.terms.extend(least.terms);
                }
                vec![either]
            }
            Self::Some(_, inner) => inner.required(leaves),
            Self::Leaf(at) => leaves.get(*at).and_then(Leaf::required).into_iter().collect(),
        }
    }

    fn narrow(&self, leaves: &[Leaf], bounds: &mut Bounds) {
        let Self::Leaf(at) = self else { return };
        let Some(Leaf::One { target: Target::Field(field), test, negated: false }) =
            leaves.get(*at)
        else {
            return;
        };
        let Test::Is(comparison, Wanted { nanos: Some(nanos), .. }) = test else { return };
        let clamp = |nanos: i128| nanos.clamp(0, u64::MAX.into()) as u64;
        let (low, high) = match comparison {
            Comparison::Eq => (Some(*nanos), Some(*nanos)),
            Comparison::Gt => (Some(nanos.saturating_add(1)), None),
            Comparison::Gte => (Some(*nanos), None),
            Comparison::Lt => (None, Some(nanos.saturating_sub(1))),
            Comparison::Lte => (None, Some(*nanos)),
            Comparison::Ne => (None, None),
        };
        match field {
            Field::StartTime => {
                let beyond = low.is_some_and(|low| low > u64::MAX.into())
                    || high.is_some_and(|high| high < 0);
                if beyond {
                    bounds.start = (1, 0);
                    return;
                }
                bounds.start.0 = bounds.start.0.max(low.map_or(0, clamp));
                bounds.start.1 = bounds.start.1.min(high.map_or(u64::MAX, clamp));
            }
            Field::Duration => {
                bounds.duration_min = bounds.duration_min.max(low.map_or(0, clamp));
            }
            _ => {}
        }
    }
}
