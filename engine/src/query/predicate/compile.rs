//! From an expression to the tree that is asked of spans: references become targets, comparisons
//! become tests of values, and what makes no sense or is not served is refused by name. What
//! constants mean stands in `types`; nothing here knows what a batch is.

use super::legacy;
use super::tree::{Leaf, Node, Places, Target};
use super::types::{self, Domain};
use crate::error::{Error, ErrorKind, Result};
use crate::query::expression::{
    Comparison, EXPRESSION_DEPTH_MAX, Element, Expression, Level, List, Operand, Reference,
};
use crate::query::test::{Form, Test};

/// Compiles expression after expression, over leaves that all share.
#[derive(Debug, Default)]
pub(super) struct Compiler {
    pub(super) leaves: Vec<Leaf>,
}

/// Where in the tree the compiler stands.
#[derive(Debug, Clone, Copy, Default)]
struct Scope {
    depth: usize,
    in_event: bool,
    in_link: bool,
}

impl Compiler {
    pub(super) fn compile(&mut self, expression: &Expression) -> Result<Node> {
        self.node(expression, &Scope::default())
    }

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
            Expression::Or(any) if any.is_empty() => Node::Const(false),
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
            Expression::Legacy { key, value } => match legacy::special(key, value) {
                // Ours, and shallow, however deep it stands in the filter.
                Some(special) => self.compile(&special)?,
                None => self.one(everywhere(key), Test::Form(Form::new(value)), false),
            },
            Expression::Regex(..) => return Err(not_served("regex")),
            Expression::Phrase(..) => return Err(not_served("phrase")),
            Expression::FullText(..) => return Err(not_served("fulltext")),
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
                check(Domain::of_constant(a))?;
                check(Domain::of_constant(b))?;
                let holds = types::compare(a, positive, b).map_err(|why| invalid(whole, why))?;
                Ok(Node::Const(holds != negated))
            }
            (Operand::Constant(_), Operand::Reference(_)) => {
                self.compare(whole, right, comparison.reversed(), left)
            }
            (Operand::Reference(reference), Operand::Constant(constant)) => {
                let domain = Domain::of(reference);
                check(domain)?;
                check(Domain::of_constant(constant))?;
                let wanted = types::resolve(domain, constant).map_err(|why| invalid(whole, why))?;
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
        let wanted =
            types::resolve_list(Domain::of(reference), list).map_err(|why| invalid(whole, why))?;
        Ok(self.one(target(reference), Test::OneOf(wanted), negated))
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

/// An attribute on any of the five levels, as Jaeger's own search looks it up.
fn everywhere(key: &str) -> Target {
    Target::Attribute(Places {
        key: key.to_owned(),
        span: true,
        event: true,
        link: true,
        resource: true,
        scope: true,
        resource_key: key.strip_prefix("resource.").map(str::to_owned),
    })
}

fn invalid(expression: &Expression, why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("filter: {expression}: {why}"))
}

fn not_served(operator: &str) -> Error {
    let what = format!("filter: the operator {operator} is not served by this store");
    Error::new(ErrorKind::Unimplemented, what)
}
