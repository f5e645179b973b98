//! Shapes: which columns a row has a cell of, in order. A shape is a node of a trie, so that a
//! row finds its shape step by step as it is walked, and the step that the last row took is tried
//! first. Column numbers in, shape numbers out, and back.

use hashbrown::HashMap;

/// The shape of a row without cells.
pub(crate) const EMPTY: u32 = 0;
const NONE: u32 = u32::MAX;

/// The shapes of a batch.
#[derive(Debug)]
pub(crate) struct Shapes {
    nodes: Vec<Node>,
    /// (node, column) to child; only of children that are not their parent's first.
    edges: HashMap<(u32, u32), u32>,
    /// The columns of finished shapes, one list behind the other.
    lists: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    parent: u32,
    /// The column of the last step.
    column: u32,
    depth: u32,
    /// The child visited last.
    recent: u32,
    /// Where its list begins, once finished.
    list: usize,
}

impl Default for Shapes {
    fn default() -> Self {
        let root = Node { parent: NONE, column: NONE, depth: 0, recent: NONE, list: 0 };
        Self { nodes: vec![root], edges: HashMap::new(), lists: Vec::new() }
    }
}

impl Shapes {
    /// The column of the step taken last from `node`, and where it led.
    pub(super) fn recent(&self, node: u32) -> Option<(u32, u32)> {
        let recent = self.nodes.get(node as usize)?.recent;
        self.nodes.get(recent as usize).map(|child| (recent, child.column))
    }

    /// One step on from `node`.
    pub(super) fn child(&mut self, node: u32, column: u32) -> u32 {
        if let Some((child, taken)) = self.recent(node)
            && taken == column
        {
            return child;
        }
        let next = self.nodes.len() as u32;
        let child = *self.edges.entry((node, column)).or_insert(next);
        if child == next {
            let depth = self.nodes.get(node as usize).map_or(0, |n| n.depth) + 1;
            self.nodes.push(Node { parent: node, column, depth, recent: NONE, list: usize::MAX });
        }
        if let Some(parent) = self.nodes.get_mut(node as usize) {
            parent.recent = child;
        }
        child
    }

    /// Makes `node` a shape: from now on its columns can be asked for.
    pub(super) fn finish(&mut self, node: u32) -> u32 {
        let Some(&Node { list: usize::MAX, depth, .. }) = self.nodes.get(node as usize) else {
            return node;
        };
        let start = self.lists.len();
        self.lists.resize(start + depth as usize, 0);
        let mut at = node;
        for slot in self.lists.get_mut(start..).unwrap_or_default().iter_mut().rev() {
            let Some(step) = self.nodes.get(at as usize) else { break };
            (*slot, at) = (step.column, step.parent);
        }
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.list = start;
        }
        node
    }

    /// The shape of these columns.
    pub(crate) fn intern(&mut self, columns: &[u32]) -> u32 {
        let node = columns.iter().fold(EMPTY, |node, &column| self.child(node, column));
        self.finish(node)
    }

    /// The columns of a finished shape; none for what is no shape.
    pub(crate) fn columns(&self, shape: u32) -> &[u32] {
        let Some(node) = self.nodes.get(shape as usize) else { return &[] };
        let end = node.list.checked_add(node.depth as usize);
        end.and_then(|end| self.lists.get(node.list..end)).unwrap_or_default()
    }

    /// Every shape's number is below this.
    pub(crate) fn bound(&self) -> usize {
        self.nodes.len()
    }

    /// What they hold in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.edges.capacity() * size_of::<((u32, u32), u32)>()
            + self.lists.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_are_one_shape() {
        let mut shapes = Shapes::default();
        let a = shapes.intern(&[3, 1, 3]);
        let b = shapes.intern(&[3, 1]);
        let c = shapes.intern(&[1, 3]);
        assert_eq!(shapes.intern(&[3, 1, 3]), a);
        assert_eq!(shapes.intern(&[]), EMPTY);
        assert!(a != b && b != c);
        assert_eq!(shapes.columns(a), [3, 1, 3]);
        assert_eq!(shapes.columns(b), [3, 1]);
        assert_eq!(shapes.columns(c), [1, 3]);
        assert_eq!(shapes.columns(EMPTY), [0u32; 0]);
        assert_eq!(shapes.columns(999), [0u32; 0]);
    }
}
