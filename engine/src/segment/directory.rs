//! Which rows each trace has: fingerprints of trace ids with row ranges, sorted by fingerprint in
//! memory (16 bytes a trace), in row order in the file, where only the number of rows needs
//! writing beside the fingerprint. Two ids may share a fingerprint; the caller compares ids.

use std::ops::Range;

use super::blob::{Cursor, Parsed, put_u64, put_varint};

/// A segment's traces.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    /// By (fingerprint, first row).
    traces: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    fingerprint: u64,
    first_row: u32,
    rows: u32,
}

/// `traces` as (fingerprint, number of rows) in row order.
pub(super) fn encode(traces: &[(u64, u32)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(traces.len() * 9 + 8);
    put_varint(&mut out, traces.len() as u64);
    for &(fingerprint, rows) in traces {
        put_u64(&mut out, fingerprint);
        put_varint(&mut out, u64::from(rows));
    }
    out
}

impl Directory {
    /// The traces must cover `rows` rows.
    pub(super) fn decode(bytes: &[u8], rows: u32) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        let count = cursor.count(9)?;
        let mut traces = Vec::with_capacity(count);
        let mut first_row = 0u32;
        for _ in 0..count {
            let entry = Entry { fingerprint: cursor.u64()?, first_row, rows: cursor.varint_u32()? };
            first_row = first_row
                .checked_add(entry.rows)
                .filter(|_| entry.rows > 0)
                .ok_or("a trace has an absurd number of rows")?;
            traces.push(entry);
        }
        cursor.finish()?;
        if first_row != rows {
            return Err("traces and rows differ in number");
        }
        traces.sort_unstable();
        Ok(Self { traces })
    }

    pub(super) fn len(&self) -> usize {
        self.traces.len()
    }

    /// The rows of every trace with this fingerprint: none, one, or once in a blue moon more.
    pub(super) fn find(&self, fingerprint: u64) -> impl Iterator<Item = Range<u32>> {
        let from = self.traces.partition_point(|entry| entry.fingerprint < fingerprint);
        self.traces[from..]
            .iter()
            .take_while(move |entry| entry.fingerprint == fingerprint)
            .map(Entry::range)
    }

    /// All, by fingerprint.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Range<u32>)> {
        self.traces.iter().map(|entry| (entry.fingerprint, entry.range()))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.traces.capacity() * size_of::<Entry>()
    }
}

impl Entry {
    fn range(&self) -> Range<u32> {
        // `decode` added these up without overflow.
        self.first_row..self.first_row + self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
    fn finds_every_trace_also_where_fingerprints_collide() {
        let traces = [(900, 2), (u64::MAX, 1), (5, 300), (900, 7), (0, 1)];
        let directory = Directory::decode(&encode(&traces), 311).unwrap();
        assert_eq!(directory.len(), 5);
        let find = |fingerprint| directory.find(fingerprint).collect::<Vec<_>>();
        assert_eq!(find(900), [0..2, 303..310]);
        assert_eq!(find(u64::MAX), [2..3]);
        assert_eq!(find(5), [3..303]);
        assert_eq!(find(0), [310..311]);
        assert_eq!(find(6), []);
        let order: Vec<u64> = directory.iter().map(|(fingerprint, _)| fingerprint).collect();
        assert_eq!(order, [0, 5, 900, 900, u64::MAX]);
        assert_eq!(size_of::<Entry>(), 16);
    }

    #[test]
    fn refuses_what_does_not_add_up() {
        let good = encode(&[(1, 2), (2, 3)]);
        assert!(Directory::decode(&good, 5).is_ok());
        assert!(Directory::decode(&good, 6).is_err());
        assert!(Directory::decode(&encode(&[(1, 0), (2, 5)]), 5).is_err());
        assert!(Directory::decode(&encode(&[(1, u32::MAX), (2, 6)]), 5).is_err());
        (0..good.len()).for_each(|at| assert!(Directory::decode(&good[..at], 5).is_err()));
    }
}
