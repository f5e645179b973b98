//! What the rooms of `gather` share: the row that is being gathered, where it goes, and the small
//! memories that let a string be interned once a row group and a term be listed once a block.

use crate::batch::Batch;
use crate::segment::columns::{GroupData, LeafData};
use crate::segment::layout::{Fixed, Layout, Remainder};

/// (term, block) pairs, in order of blocks, perhaps repeated.
pub(in crate::segment) type Terms = Vec<(u64, u32)>;

/// A row of some batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) batch: &'a Batch,
    /// Number of the batch among the sources.
    pub(super) source: usize,
    /// Number of the row in the batch.
    pub(super) number: usize,
    /// The block of the segment that it falls into.
    pub(super) block: u32,
}

/// The row group that is being filled, and the terms of its blocks.
#[derive(Debug)]
pub(super) struct Sink<'g> {
    pub(super) layout: &'g Layout,
    pub(super) data: &'g mut GroupData,
    pub(super) terms: &'g mut Terms,
    /// Number of the row group, from 1.
    pub(super) group: u32,
}

impl Sink<'_> {
    pub(super) fn fixed(&mut self, leaf: Fixed) -> &mut LeafData {
        self.data.fixed(self.layout, leaf)
    }

    pub(super) fn remainder(&mut self, leaf: Remainder) -> &mut LeafData {
        self.data.remainder(self.layout, leaf)
    }
}

/// A string's code in the row group that had it last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Code {
    group: u32,
    code: u32,
}

impl Code {
    /// The code in this row group, which `intern` gives the first time.
    pub(super) fn of(&mut self, group: u32, intern: impl FnOnce() -> u32) -> u32 {
        if self.group != group {
            *self = Self { group, code: intern() };
        }
        self.code
    }
}

/// The block that has a term, of those met so far the last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Listed {
    /// One above the block.
    above: u32,
}

impl Listed {
    /// True the first time in each block. Blocks come in order.
    pub(super) fn enters(&mut self, block: u32) -> bool {
        let is_first = self.above <= block;
        self.above = block + 1;
        is_first
    }

    /// True before any block has it.
    pub(super) fn is_nowhere(self) -> bool {
        self.above == 0
    }
}
