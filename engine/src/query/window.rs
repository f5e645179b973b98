//! Windows of time as counting sees them: which whole minutes they have, which stretches are left
//! over, and the rows of a segment that may lie in one. Nothing here knows what is counted.

use std::ops::Range;

use super::places::{STRIDE_ROWS, Stored};
use crate::batch::{Batch, Projection};
use crate::error::Result;
use crate::query::request::Cancel;
use crate::rollup::{MINUTE, MINUTES};

/// Rows read at once.
const RUN_ROWS: u32 = 16 * STRIDE_ROWS;

/// Starts that count: `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: u64,
    /// `None` = open.
    pub(crate) end: Option<u64>,
}

/// A stretch of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stretch {
    /// Whole minutes, from the first to before the second.
    Minutes(u32, u32),
    /// Less than a minute at either end, or a window that has no whole minute.
    Rows(Window),
}

impl Window {
    pub(super) fn holds(self, start: u64) -> bool {
        start >= self.start && self.end.is_none_or(|end| start < end)
    }

    pub(super) fn overlaps(self, (start_min, start_max): (u64, u64)) -> bool {
        start_max >= self.start && self.end.is_none_or(|end| start_min < end)
    }

    pub(super) fn of_minutes(from: u32, to: u32) -> Self {
        let end = (to < MINUTES).then(|| u64::from(to) * MINUTE);
        Self { start: u64::from(from) * MINUTE, end }
    }

    /// What can be told from rollups, and the rest.
    pub(super) fn cut(self) -> Vec<Stretch> {
        let from = self.start.div_ceil(MINUTE) as u32;
        let to = self.end.map_or(MINUTES, |end| (end / MINUTE) as u32);
        if from >= to {
            let is_empty = self.end.is_some_and(|end| end <= self.start);
            return if is_empty { Vec::new() } else { vec![Stretch::Rows(self)] };
        }
        let whole = Self::of_minutes(from, to);
        let before = Self { start: self.start, end: Some(whole.start) };
        let after = whole.end.map(|start| Self { start, end: self.end });
        let rest = [Some(before), after].into_iter().flatten();
        let rest = rest.filter(|rest| rest.end.is_none_or(|end| end > rest.start));
        rest.map(Stretch::Rows).chain([Stretch::Minutes(from, to)]).collect()
    }
}

/// Reads the blocks of a segment that may have starts in the window, some at once.
pub(super) fn each_overlapping(
    segment: &dyn Stored,
    window: Window,
    projection: &Projection,
    cancel: &Cancel,
    visit: &mut dyn FnMut(&Batch),
) -> Result<()> {
    let blocks = segment.blocks().iter();
    let inside = blocks.filter(|block| window.overlaps((block.start_min, block.start_max)));
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for block in inside {
        let rows = block.first_row..block.first_row + block.rows;
        match ranges.last_mut() {
            Some(last) if last.end == rows.start && last.len() < RUN_ROWS as usize => {
                last.end = rows.end;
            }
            _ => ranges.push(rows),
        }
    }
    for range in ranges {
        cancel.check()?;
        let batch = segment.read(range, projection)?;
        cancel.work().rows_scanned(batch.rows());
        visit(&batch);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every stretch as a window, those of minutes checked to be whole.
    fn stretches(window: Window) -> Vec<(u64, Option<u64>)> {
        let mut all: Vec<_> = window
            .cut()
            .into_iter()
            .map(|stretch| match stretch {
                Stretch::Rows(rows) => (rows.start, rows.end),
                Stretch::Minutes(from, to) => {
                    assert!(from < to && to <= MINUTES);
                    let whole = Window::of_minutes(from, to);
                    (whole.start, whole.end)
                }
            })
            .collect();
        all.sort_unstable_by_key(|stretch| stretch.0);
        all
    }

    #[test]
    fn a_window_is_its_stretches_one_after_another() {
        let last = u64::from(MINUTES - 1) * MINUTE;
        let bounds = [0, 1, MINUTE - 1, MINUTE, MINUTE + 1, 5 * MINUTE, last - 1, last, last + 1];
        let bounds = bounds.into_iter().chain([u64::MAX - 1, u64::MAX]);
        for start in bounds.clone() {
            for end in bounds.clone().map(Some).chain([None]) {
                let all = stretches(Window { start, end });
                if end.is_some_and(|end| end <= start) {
                    assert_eq!(all, [], "{start} {end:?}");
                    continue;
                }
                assert_eq!(all.first().unwrap().0, start);
                assert_eq!(all.last().unwrap().1, end);
                for pair in all.windows(2) {
                    assert_eq!(pair[0].1, Some(pair[1].0), "{start} {end:?}");
                }
                let whole = end.is_none_or(|end| end / MINUTE > start.div_ceil(MINUTE));
                let has_minutes = |s: &Stretch| matches!(s, Stretch::Minutes(..));
                let found = Window { start, end }.cut().iter().any(has_minutes);
                assert_eq!(found, whole && start <= last, "{start} {end:?}");
            }
        }
    }
}
