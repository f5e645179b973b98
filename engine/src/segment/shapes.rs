//! The shapes of a file: which columns a row has cells of, in order. A shape is a node of a tree,
//! so that shapes that begin alike share what they share; rows name the node. Lists of columns
//! in, node numbers out, and back.

use hashbrown::HashMap;

use super::blob::{Cursor, Parsed, put_varint};

/// A tree of shapes. Node 0, the empty shape, is not kept.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ShapeTree {
    /// Parent and last column of each node from 1 on; a parent's number is below its child's.
    nodes: Vec<(u32, u32)>,
}

impl ShapeTree {
    /// Nodes, the empty shape included.
    pub(super) fn len(&self) -> usize {
        self.nodes.len() + 1
    }

    /// The columns of a shape.
    pub(super) fn columns(&self, shape: u32) -> Vec<u32> {
        let mut columns = Vec::new();
        let mut at = shape;
        while let Some(&(parent, column)) =
            at.checked_sub(1).and_then(|n| self.nodes.get(n as usize))
        {
            columns.push(column);
            at = parent;
        }
        columns.reverse();
        columns
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.nodes.len() as u64);
        for (&(parent, column), number) in self.nodes.iter().zip(1u32..) {
            put_varint(&mut out, u64::from(number - parent));
            put_varint(&mut out, u64::from(column));
        }
        out
    }

    /// Columns must be below `columns`.
    pub(super) fn decode(bytes: &[u8], columns: usize) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        let count = cursor.count(2)?;
        let mut nodes = Vec::with_capacity(count);
        for number in 1..=count as u64 {
            let parent = number.checked_sub(cursor.varint()?).filter(|&parent| parent < number);
            let column = cursor.varint_u32()?;
            match parent {
                Some(parent) if (column as usize) < columns => nodes.push((parent as u32, column)),
                _ => return Err("its shapes do not add up"),
            }
        }
        cursor.finish()?;
        Ok(Self { nodes })
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<(u32, u32)>()
    }
}

/// Collects shapes.
#[derive(Debug, Default)]
pub(super) struct ShapeWriter {
    tree: ShapeTree,
    children: HashMap<(u32, u32), u32>,
}

impl ShapeWriter {
    /// The number of a shape, which is added where it is new.
    pub(super) fn intern(&mut self, columns: impl IntoIterator<Item = u32>) -> u32 {
        columns.into_iter().fold(0, |node, column| {
            *self.children.entry((node, column)).or_insert_with(|| {
                self.tree.nodes.push((node, column));
                self.tree.nodes.len() as u32
            })
        })
    }

    pub(super) fn finish(self) -> ShapeTree {
        self.tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_come_back() {
        let lists: [&[u32]; 6] = [&[], &[3, 1], &[3, 1, 3, 1], &[1, 3], &[3, 1], &[0]];
        let mut writer = ShapeWriter::default();
        let numbers: Vec<u32> = lists.iter().map(|l| writer.intern(l.iter().copied())).collect();
        let tree = writer.finish();
        let tree = ShapeTree::decode(&tree.encode(), 4).unwrap();
        assert_eq!((numbers[0], numbers[1], tree.len()), (0, numbers[4], 8));
        for (list, number) in lists.iter().zip(numbers) {
            assert_eq!(tree.columns(number), *list);
        }
        assert_eq!(tree.columns(99), [0u32; 0]);
        assert!(ShapeTree::decode(&tree.encode(), 3).is_err());
    }

    #[test]
    fn damage_never_panics() {
        let mut writer = ShapeWriter::default();
        writer.intern([1, 2, 3, 2]);
        writer.intern([1, 3]);
        let good = writer.finish().encode();
        for at in 0..good.len() {
            assert!(ShapeTree::decode(&good[..at], 4).is_err());
            for value in 0..=255 {
                let mut bad = good.clone();
                bad[at] = value;
                if let Ok(tree) = ShapeTree::decode(&bad, 4) {
                    (0..10).for_each(|shape| drop(tree.columns(shape)));
                }
            }
        }
    }
}
