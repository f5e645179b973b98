//! What a question is compiled to: a tree of `and`, `or`, `not` and `some` over leaves, each of
//! which asks one thing of one span. Plain data that the evaluator walks; which spans pass is
//! decided there, and what is knowable beforehand in the rooms beside this one.

use crate::query::expression::{Comparison, Element, Field};
use crate::query::test::Test;

/// The tree over a predicate's leaves.
#[derive(Debug)]
pub(crate) enum Node {
    Const(bool),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    /// By number.
    Leaf(usize),
    Some(Element, Box<Node>),
}

#[derive(Debug)]
pub(crate) enum Leaf {
    /// Some value passes; negated: there are values and none passes.
    One { target: Target, test: Test, negated: bool },
    /// Some pair of values compares so; negated: both sides are there and no pair does.
    Pair { left: Target, comparison: Comparison, right: Target, negated: bool },
}

/// Where values come from.
#[derive(Debug)]
pub(crate) enum Target {
    Attribute(Places),
    Field(Field),
    /// Jaeger's virtual attribute `error`: the bool "status is ERROR", always there.
    Error,
}

/// An attribute's key and the levels it is looked up on.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) key: String,
    pub(crate) span: bool,
    pub(crate) event: bool,
    pub(crate) link: bool,
    pub(crate) resource: bool,
    pub(crate) scope: bool,
    /// Another key, on the resource alone.
    pub(crate) resource_key: Option<String>,
}

impl Node {
    /// Shows every leaf below.
    pub(super) fn visit(&self, leaves: &[Leaf], f: &mut impl FnMut(&Leaf)) {
        match self {
            Self::Const(_) => {}
            Self::And(all) | Self::Or(all) => all.iter().for_each(|node| node.visit(leaves, f)),
            Self::Not(inner) | Self::Some(_, inner) => inner.visit(leaves, f),
            Self::Leaf(at) => leaves.get(*at).into_iter().for_each(f),
        }
    }

    /// Shows the element of every `some` below.
    pub(super) fn visit_elements(&self, f: &mut impl FnMut(Element)) {
        match self {
            Self::Some(element, inner) => {
                f(*element);
                inner.visit_elements(f);
            }
            Self::And(all) | Self::Or(all) => all.iter().for_each(|node| node.visit_elements(f)),
            Self::Not(inner) => inner.visit_elements(f),
            Self::Const(_) | Self::Leaf(_) => {}
        }
    }
}

impl Leaf {
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        match self {
            Self::One { target, .. } => std::iter::once(target).chain(None),
            Self::Pair { left, right, .. } => std::iter::once(left).chain(Some(right)),
        }
    }
}

impl Target {
    /// The element it speaks of: bound inside a `some` over that level.
    pub(crate) fn element(&self) -> Option<Element> {
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
}
