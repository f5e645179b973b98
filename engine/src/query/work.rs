//! What reads cost, counted as they go: cheap counters under a [`Cancel`](crate::Cancel), for the
//! slow-query log, `explain` and metrics. Numbers only; nothing is decided by them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the reads under one switch did. Counts only grow.
        #[derive(Debug, Default)]
        pub struct Work {
            $($name: AtomicU64,)*
            /// For whom this counts too.
            also: Vec<Arc<Work>>,
        }

        /// The counts of one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
        #[non_exhaustive]
        pub struct Counts { $($(#[$doc])* pub $name: u64,)* }

        impl Work {
            $(pub(crate) fn $name(&self, more: usize) {
                self.$name.fetch_add(more as u64, Ordering::Relaxed);
                self.also.iter().for_each(|also| also.$name(more));
            })*

            /// Counts for these too.
            pub(crate) fn below(also: [Arc<Work>; 2]) -> Self {
                Self { also: also.into(), ..Self::default() }
            }

            /// The counts so far.
            pub fn counts(&self) -> Counts {
                Counts { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl Counts {
            /// Each count with its name, in order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Segments a search, or a count of dependencies, looked at.
    segments_considered,
    /// Of these, those outside its times.
    segments_pruned_by_time,
    /// Of these, those whose index has not what a match must have.
    segments_pruned_by_index,
    /// Of these, those that could not hold anything newer than what was found.
    segments_not_reached,
    /// Blocks of the segments that were opened.
    blocks_considered,
    /// Of these, those outside the search's times or durations.
    blocks_pruned_by_time,
    /// Of these, those whose terms say no.
    blocks_pruned_by_index,
    /// Of these, those that were read.
    blocks_read,
    /// Head chunks that were scanned.
    chunks_scanned,
    /// Rows whose columns were looked at.
    rows_scanned,
    /// Rows that matched.
    rows_matched,
    /// Traces whose places were looked up.
    traces_located,
    /// Segments asked whether they hold a trace.
    trace_probes,
    /// Of these, those whose directory answered "perhaps" for nothing.
    false_probes,
    /// Traces looked at once more, since a page's cursor may stand behind them.
    cursor_checks,
    /// Rows read whole, to be returned.
    rows_returned,
}
