//! Is it the same span? (Invariant 8.) Compares decoded content, so rows of different batches can
//! be compared without putting their messages together.

use super::Batch;

impl Batch {
    /// Equal resource, scope, both schema URLs and span. Cells stand in canonical order and keep
    /// every bit, so equal cells are the same as equality after decoding, order of attributes and
    /// bits of NaN included. Both batches must be full.
    pub(crate) fn same_span(&self, row: usize, other: &Batch, there: usize) -> bool {
        if self.is_raw(row) || other.is_raw(there) {
            // A row read from a segment may be raw where the same row in the head is not.
            return self.same_context(row, other, there) && self.same_bytes(row, other, there);
        }
        self.same_fixed(row, other, there)
            && self.same_context(row, other, there)
            && self.same_cells(row, other, there)
    }

    fn is_raw(&self, row: usize) -> bool {
        self.raw.contains_key(&(row as u32))
    }

    fn same_bytes(&self, row: usize, other: &Batch, there: usize) -> bool {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        self.write_span(row, &mut ours);
        other.write_span(there, &mut theirs);
        ours == theirs
    }

    fn same_fixed(&self, row: usize, other: &Batch, there: usize) -> bool {
        self.trace_id.get(row) == other.trace_id.get(there)
            && self.span_id.get(row) == other.span_id.get(there)
            && self.start.get(row) == other.start.get(there)
            && self.end.get(row) == other.end.get(there)
            && self.parent.get(row) == other.parent.get(there)
            && self.kind.get(row) == other.kind.get(there)
            && self.status.get(row) == other.status.get(there)
            && self.name(row) == other.name(there)
    }

    fn same_context(&self, row: usize, other: &Batch, there: usize) -> bool {
        let bytes = |batch: &Batch, row| {
            (
                batch.resource(row).map(|r| r.bytes.clone()),
                batch.scope(row).map(|s| s.bytes.clone()),
            )
        };
        bytes(self, row) == bytes(other, there)
    }

    fn same_cells(&self, row: usize, other: &Batch, there: usize) -> bool {
        let (columns, cells) = self.shape_and_cells(row);
        let (their_columns, their_cells) = other.shape_and_cells(there);
        columns.len() == their_columns.len()
            && columns.iter().zip(cells).zip(their_columns.iter().zip(their_cells)).all(
                |((&column, &cell), (&theirs, &their_cell))| {
                    let what = self.what(column);
                    what == other.what(theirs)
                        && match what.is_some_and(super::What::is_textual) {
                            true => self.text(column, cell) == other.text(theirs, their_cell),
                            false => cell == their_cell,
                        }
                },
            )
    }
}
