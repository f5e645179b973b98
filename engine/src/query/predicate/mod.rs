//! A search's conditions, made ready to be asked: the fields and the filter of a query become one
//! conjunction, its cheap parts first. A query goes in; out come the tree for the evaluator, the
//! columns it needs, and what the planner may prune by. Its time window stays the caller's
//! business. Pure.

mod columns;
mod compile;
mod legacy;
mod pruning;
mod tree;
mod types;

use self::compile::Compiler;
pub(super) use self::pruning::{Bounds, Required};
pub(super) use self::tree::{Leaf, Node, Places, Target};
use super::request::TraceQuery;
use crate::batch::Projection;
use crate::error::Result;

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

impl Predicate {
    /// Compiles a search's conditions.
    ///
    /// # Errors
    /// `Invalid` where the filter makes no sense, `Unimplemented` where it is not served.
    pub(crate) fn compile(query: &TraceQuery) -> Result<Self> {
        let mut compiler = Compiler::default();
        let legacy = legacy::fields(query);
        let (mut nodes, mut texts) = (Vec::new(), Vec::new());
        for expression in legacy.iter().chain(&query.filter) {
            flatten(compiler.compile(expression)?, &mut nodes);
            texts.push(expression.to_string());
        }
        let leaves = compiler.leaves;
        nodes.sort_by_key(|node| (node.needs_cells(&leaves), node.price(&leaves)));
        let fixed = nodes.partition_point(|node| !node.needs_cells(&leaves));
        let text = match texts.is_empty() {
            true => "every span".to_owned(),
            false => texts.join(" and "),
        };
        Ok(Self { conjuncts: nodes, fixed, leaves, text })
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
        nodes.iter().for_each(|node| node.project(&self.leaves, &mut projection));
        projection
    }

    /// What every match must have; each entry is a conjunct.
    pub(crate) fn required(&self) -> Vec<Required> {
        pruning::required(&self.conjuncts, &self.leaves)
    }

    /// What every match's times must be, within `window`.
    pub(crate) fn bounds(&self, window: (u64, u64)) -> Bounds {
        pruning::bounds(&self.conjuncts, &self.leaves, window)
    }
}

/// Adds the conjuncts of a tree.
fn flatten(node: Node, to: &mut Vec<Node>) {
    match node {
        Node::And(all) => all.into_iter().for_each(|node| flatten(node, to)),
        node => to.push(node),
    }
}
