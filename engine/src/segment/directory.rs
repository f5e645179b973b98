//! The trace directory: which rows each trace has. In the file, in row order, a fingerprint of
//! the trace id and the number of rows: five bytes a trace. In memory sorted by fingerprint, nine
//! bytes a trace and one jump table, so that a probe touches one or two cache lines. Two ids may
//! share a fingerprint; the caller compares ids.

use std::ops::Range;

use super::blob::{Cursor, Parsed, put_u32, put_varint};
use crate::span::TraceId;

/// Traces that one entry of the jump table stands for, on average.
const PER_JUMP: usize = 16;
/// Row counts from here on stand in `long`.
const LONG: u8 = u8::MAX;

/// What the directory knows a trace by.
pub(crate) fn fingerprint(trace: &TraceId) -> u32 {
    (twox_hash::XxHash3_64::oneshot(&trace.0) >> 32) as u32
}

/// A segment's traces.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Directory {
    /// By (fingerprint, first row).
    traces: Vec<(u32, u32)>,
    /// Rows of each of `traces`.
    counts: Vec<u8>,
    /// (first row, rows) of the traces with many rows, by first row.
    long: Vec<(u32, u32)>,
    /// Where each stretch of fingerprints begins.
    jumps: Vec<u32>,
}

/// `traces` as (fingerprint, number of rows) in row order.
pub(super) fn encode(traces: &[(u32, u32)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(traces.len() * 5 + 8);
    put_varint(&mut out, traces.len() as u64);
    for &(fingerprint, rows) in traces {
        put_u32(&mut out, fingerprint);
        put_varint(&mut out, u64::from(rows));
    }
    out
}

impl Directory {
    /// The traces must cover `rows` rows.
    pub(super) fn decode(bytes: &[u8], rows: u32) -> Parsed<Self> {
        let mut cursor = Cursor::new(bytes);
        let count = cursor.count(5)?;
        let mut sorted = Vec::with_capacity(count);
        let mut first_row = 0u32;
        for _ in 0..count {
            let (fingerprint, here) = (cursor.u32()?, cursor.varint_u32()?);
            sorted.push((fingerprint, first_row, here));
            first_row = first_row
                .checked_add(here)
                .filter(|_| here > 0)
                .ok_or("a trace has an absurd number of rows")?;
        }
        cursor.finish()?;
        if first_row != rows {
            return Err("traces and rows differ in number");
        }
        let long = sorted.iter().filter(|t| t.2 >= u32::from(LONG)).map(|t| (t.1, t.2)).collect();
        sorted.sort_unstable();
        let traces: Vec<(u32, u32)> = sorted.iter().map(|t| (t.0, t.1)).collect();
        let counts = sorted.iter().map(|t| u8::try_from(t.2).unwrap_or(LONG)).collect();
        let stretches = traces.len().div_ceil(PER_JUMP);
        let mut jumps = vec![0; stretches + 1];
        for &(fingerprint, _) in &traces {
            jumps[stretch_of(fingerprint, stretches) + 1] += 1;
        }
        (1..jumps.len()).for_each(|at| jumps[at] += jumps[at - 1]);
        Ok(Self { traces, counts, long, jumps })
    }

    pub(super) fn len(&self) -> usize {
        self.traces.len()
    }

    /// The rows of every trace with this fingerprint: none, one, or once in a blue moon more.
    pub(super) fn find(&self, fingerprint: u32) -> impl Iterator<Item = Range<u32>> {
        let stretches = self.jumps.len().saturating_sub(1);
        let stretch = stretch_of(fingerprint, stretches);
        let jump = |at: usize| self.jumps.get(at).map_or(0, |&at| at as usize);
        let (from, to) = (jump(stretch), jump(stretch + 1));
        let here = self.traces.get(from..to).unwrap_or_default();
        let skip = here.partition_point(|trace| trace.0 < fingerprint);
        (from + skip..to)
            .map_while(|at| self.trace(at))
            .take_while(move |(print, _)| *print == fingerprint)
            .map(|(_, rows)| rows)
    }

    /// All, by fingerprint.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Range<u32>)> {
        (0..self.traces.len()).map_while(|at| self.trace(at))
    }

    fn trace(&self, at: usize) -> Option<(u32, Range<u32>)> {
        let &(fingerprint, first) = self.traces.get(at)?;
        let rows = match *self.counts.get(at)? {
            LONG => {
                let at = self.long.partition_point(|long| long.0 < first);
                self.long.get(at)?.1
            }
            short => u32::from(short),
        };
        // `decode` added these up without overflow.
        Some((fingerprint, first..first + rows))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.traces.capacity() * size_of::<(u32, u32)>()
            + self.counts.capacity()
            + self.long.capacity() * size_of::<(u32, u32)>()
            + self.jumps.capacity() * size_of::<u32>()
    }
}

/// Fingerprints are uniform, so stretches are of about one length.
fn stretch_of(fingerprint: u32, stretches: usize) -> usize {
    ((u64::from(fingerprint) * stretches as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Dice;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
    fn finds_every_trace_also_where_fingerprints_collide() {
        let traces = [(900, 2), (u32::MAX, 1), (5, 300), (900, 7), (0, 1), (77, 255), (78, 254)];
        let directory = Directory::decode(&encode(&traces), 820).unwrap();
        assert_eq!(directory.len(), 7);
        let find = |fingerprint| directory.find(fingerprint).collect::<Vec<_>>();
        assert_eq!(find(900), [0..2, 303..310]);
        assert_eq!(find(u32::MAX), [2..3]);
        assert_eq!(find(5), [3..303]);
        assert_eq!(find(0), [310..311]);
        assert_eq!(find(77), [311..566]);
        assert_eq!(find(78), [566..820]);
        assert_eq!(find(6), []);
        let order: Vec<u32> = directory.iter().map(|(fingerprint, _)| fingerprint).collect();
        assert_eq!(order, [0, 5, 77, 78, 900, 900, u32::MAX]);
        assert!(Directory::decode(&encode(&[]), 0).unwrap().find(3).next().is_none());
    }

    #[test]
    fn many_traces_cost_what_the_design_says() {
        let mut dice = Dice::new(1);
        let traces: Vec<(u32, u32)> =
            (0..20_000).map(|_| (dice.roll() as u32, 1 + (dice.roll() % 20) as u32)).collect();
        let rows = traces.iter().map(|t| t.1).sum();
        let bytes = encode(&traces);
        assert!(bytes.len() <= 6 * traces.len());
        let directory = Directory::decode(&bytes, rows).unwrap();
        assert!(directory.memory_bytes() <= 12 * traces.len());
        let mut first = 0;
        for (fingerprint, rows) in traces {
            assert!(directory.find(fingerprint).any(|found| found == (first..first + rows)));
            first += rows;
        }
        let wrong = (0..100_000).filter(|_| directory.find(dice.roll() as u32).next().is_some());
        assert!(wrong.count() < 20);
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
