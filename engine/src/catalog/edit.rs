//! Edits: the only way the catalog changes. An edit states the version it was made from and a
//! list of changes; all of them happen or none. The JSON form is version 1 and final; a kind or
//! field this build does not know is refused, never skipped.

use serde::{Deserialize, Serialize};

use super::partition::Partition;
use super::registry::RegisteredColumn;
use crate::segment::Facts;
use crate::tenancy::Tenancy;

/// What one commit does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// The version this edit makes: one above the version it was made from.
    pub(crate) version: u64,
    /// When, ns since 1970.
    pub(crate) at: u64,
    pub(crate) changes: Vec<Change>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Change {
    /// A segment appears.
    AddSegment { segment: SegmentEntry },
    /// An attribute gets a column of its own, for ever; added again it must be the same.
    AddColumn { column: RegisteredColumn },
    /// A segment disappears; its file goes after the last reader.
    DropSegment { name: String },
    /// Everything this writer logged for the tenancy up to `sequence` is in segments.
    SealedThrough { tenancy: Tenancy, writer: String, sequence: u64 },
    /// Every log frame of this writer below `sequence` is sealed or purged.
    LogStart { writer: String, sequence: u64 },
    /// Everything of every tenancy up to `sequence` is gone; a replay must not bring it back.
    Purged { writer: String, sequence: u64 },
}

/// A live segment as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentEntry {
    /// Its path below the data directory; unique for ever.
    pub(crate) name: String,
    pub(crate) tenancy: Tenancy,
    /// Its partition; `None` for a mixed segment.
    pub(crate) partition: Option<Partition>,
    pub(crate) facts: Facts,
}
