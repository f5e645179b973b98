//! What the catalog tells an administrator: its segments, one line each.

use serde::Serialize;

use super::state::CatalogState;

/// A live segment. Times are nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// Its path below the data directory.
    pub name: String,
    /// `tenant/namespace`.
    pub tenancy: String,
    /// Its partition's directory name, such as `2026-11-21T06`; `mixed` where it has none.
    pub partition: String,
    /// Spans in it.
    pub spans: u64,
    /// Traces in it, the torn ones counted where their spans lie.
    pub traces: u64,
    /// Length of its file.
    pub bytes: u64,
    /// Earliest start.
    pub start_min: u64,
    /// Latest start.
    pub start_max: u64,
    /// Latest end.
    pub end_max: u64,
}

impl CatalogState {
    /// All segments, by tenancy, then earliest start, then name.
    pub(crate) fn listing(&self) -> Vec<SegmentInfo> {
        let one = |entry: &super::edit::SegmentEntry| SegmentInfo {
            name: entry.name.clone(),
            tenancy: entry.tenancy.to_string(),
            partition: self.window(entry.partition),
            spans: entry.facts.spans,
            traces: entry.facts.traces,
            bytes: entry.facts.bytes,
            start_min: entry.facts.start_min,
            start_max: entry.facts.start_max,
            end_max: entry.facts.end_max,
        };
        let mut all: Vec<SegmentInfo> = self.segments.values().map(one).collect();
        all.sort_by(|a, b| {
            (&a.tenancy, a.start_min, &a.name).cmp(&(&b.tenancy, b.start_min, &b.name))
        });
        all
    }
}
