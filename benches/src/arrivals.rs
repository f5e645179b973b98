//! The order in which a collector would send the copies' units: by the end of their last span,
//! copies interleaved where they overlap, a few late by minutes and fewer by days. Pure and
//! streaming: what is held is the copies under way and the late ones.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::VecDeque;

use bytes::Bytes;
use twox_hash::XxHash3_64;

use crate::scale::Scale;

const MINUTE: u64 = 60 * 1_000_000_000;
const DAY: u64 = 24 * 60 * MINUTE;
/// A request larger than this is not filled further.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// How many units are late, in parts per thousand.
#[derive(Debug, Clone, Copy)]
pub struct Lateness {
    /// Units that arrive 1 to 10 minutes after their spans ended.
    pub minutes: u64,
    /// Units that arrive 1 to 3 days after their spans ended.
    pub days: u64,
}

impl Lateness {
    fn delay(self, copy: u32, unit: u32) -> u64 {
        let draw = XxHash3_64::oneshot_with_seed(u64::from(copy), &unit.to_le_bytes());
        let (share, within) = (draw % 1000, draw / 1000);
        match share {
            share if share < self.days => DAY + within % (2 * DAY),
            share if share < self.days + self.minutes => MINUTE + within % (9 * MINUTE),
            _ => 0,
        }
    }
}

/// A request ready to be sent.
#[derive(Debug, Clone)]
pub struct Batch {
    /// An encoded `ExportTraceServiceRequest`.
    pub otlp: Bytes,
    /// Its spans.
    pub spans: u64,
    /// Number in the order of sending.
    pub index: u64,
}

/// All units of all copies, in the order of arrival, gathered into batches.
#[derive(Debug)]
pub struct Arrivals {
    scale: Scale,
    lateness: Lateness,
    batch_spans: u64,
    /// Units of the set by their end.
    order: Vec<u32>,
    due: BinaryHeap<Reverse<(u64, u32, u32)>>,
    copies_to_come: VecDeque<u32>,
    next_index: u64,
}

impl Arrivals {
    /// Batches of at least `batch_spans` spans, except the last.
    pub fn new(scale: Scale, lateness: Lateness, batch_spans: u64) -> Self {
        let units = scale.set().units();
        let mut order: Vec<u32> = (0..units.len() as u32).collect();
        order.sort_by_key(|&unit| units.get(unit as usize).map(|unit| unit.end_max));
        let copies_to_come = (0..scale.copies()).collect();
        let due = BinaryHeap::new();
        Self { scale, lateness, batch_spans, order, due, copies_to_come, next_index: 0 }
    }

    fn end(&self, copy: u32, unit: u32) -> u64 {
        let end = self.scale.set().units().get(unit as usize).map_or(0, |unit| unit.end_max);
        self.scale.time(copy, end)
    }

    /// The next (copy, unit).
    fn unit(&mut self) -> Option<(u32, u32)> {
        while let Some(&copy) = self.copies_to_come.front() {
            let first = self.order.first().map_or(0, |&unit| self.end(copy, unit));
            if self.due.peek().is_some_and(|Reverse((at, ..))| *at < first) {
                break;
            }
            self.copies_to_come.pop_front();
            for &unit in &self.order {
                let at = self.end(copy, unit) + self.lateness.delay(copy, unit);
                self.due.push(Reverse((at, copy, unit)));
            }
        }
        self.due.pop().map(|Reverse((_, copy, unit))| (copy, unit))
    }
}

impl Iterator for Arrivals {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let (mut otlp, mut spans) = (Vec::new(), 0);
        while spans < self.batch_spans && otlp.len() < BATCH_BYTES_MAX {
            let Some((copy, unit)) = self.unit() else { break };
            spans += self.scale.write(copy, unit as usize, &mut otlp);
        }
        let index = self.next_index;
        self.next_index += 1;
        (spans > 0).then(|| Batch { otlp: otlp.into(), spans, index })
    }
}
