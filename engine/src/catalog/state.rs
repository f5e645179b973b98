//! The catalog's state at one version: an immutable value. Applying an edit gives the next value
//! or says why not; no I/O, no clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::edit::{Change, Edit, SegmentEntry};
use super::partition::Partition;
use super::registry::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::tenancy::Tenancy;

/// How far a writer's log is sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriterState {
    /// Per `tenant/namespace`.
    pub(crate) sealed_through: BTreeMap<String, u64>,
    pub(crate) log_start: u64,
    pub(crate) purged_through: u64,
}

impl WriterState {
    /// The highest sequence of the tenancy that replay skips.
    pub(crate) fn replay_above(&self, tenancy: &Tenancy) -> u64 {
        let sealed = self.sealed_through.get(&tenancy.to_string()).copied().unwrap_or(0);
        sealed.max(self.purged_through)
    }

    /// The highest sequence this writer is known to have used.
    pub(crate) fn highest(&self) -> u64 {
        let sealed = self.sealed_through.values().copied().max().unwrap_or(0);
        sealed.max(self.purged_through).max(self.log_start.saturating_sub(1))
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CatalogState {
    pub(crate) version: u64,
    /// Fixed at creation (ns).
    pub(crate) partition_width: u64,
    /// The writer that owns this data directory's log.
    pub(crate) writer: String,
    /// Number of the next segment this writer names.
    pub(crate) next_segment: u64,
    pub(crate) writers: BTreeMap<String, WriterState>,
    /// By name.
    pub(crate) segments: BTreeMap<String, SegmentEntry>,
    /// Append-only. Catalogs of before format 1 of segments have none.
    #[serde(default)]
    pub(crate) columns: Registry,
}

impl CatalogState {
    /// A new store's.
    pub(crate) fn new(writer: String, partition_width: u64) -> Self {
        Self {
            version: 0,
            partition_width,
            writer,
            next_segment: 1,
            writers: BTreeMap::new(),
            segments: BTreeMap::new(),
            columns: Registry::default(),
        }
    }

    /// This writer's state.
    pub(crate) fn own(&self) -> WriterState {
        self.writers.get(&self.writer).cloned().unwrap_or_default()
    }

    /// The path of segment number `number`.
    pub(crate) fn segment_name(
        &self,
        tenancy: &Tenancy,
        partition: Option<Partition>,
        number: u64,
    ) -> String {
        let window = self.window(partition);
        format!("segments/{tenancy}/{window}/{}-{number:08}.parquet", self.writer)
    }

    /// The name of a partition's directory.
    pub(crate) fn window(&self, partition: Option<Partition>) -> String {
        match partition {
            Some(partition) => partition.label(self.partition_width),
            None => "mixed".to_owned(),
        }
    }

    /// The number in a segment's name if this writer gave it.
    pub(crate) fn own_number(&self, name: &str) -> Option<u64> {
        let file = name.rsplit('/').next()?.strip_suffix(".parquet")?;
        file.strip_prefix(&self.writer)?.strip_prefix('-')?.parse().ok()
    }

    /// The state after `edit`.
    ///
    /// # Errors
    /// `Internal` where the edit was not made from this version or does not fit it.
    pub(crate) fn apply(&self, edit: &Edit) -> Result<Self> {
        if edit.version != self.version + 1 {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("catalog edit {} does not follow version {}", edit.version, self.version),
            ));
        }
        let mut next = Self { version: edit.version, ..self.clone() };
        for change in &edit.changes {
            next.change(change)?;
        }
        Ok(next)
    }

    fn change(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::AddSegment { segment } => {
                if let Some(number) = self.own_number(&segment.name) {
                    self.next_segment = self.next_segment.max(number + 1);
                }
                if self.segments.insert(segment.name.clone(), segment.clone()).is_some() {
                    return Err(Error::internal(format!("segment {} added twice", segment.name)));
                }
            }
            Change::AddColumn { column } => {
                let there = self.columns.find(column.level, &column.key, column.kind);
                if there != Some(column) {
                    self.columns.add(column)?;
                }
            }
            Change::DropSegment { name } => {
                if self.segments.remove(name).is_none() {
                    return Err(Error::internal(format!("segment {name} dropped but not there")));
                }
            }
            Change::SealedThrough { tenancy, writer, sequence } => {
                let writer = self.writers.entry(writer.clone()).or_default();
                let sealed = writer.sealed_through.entry(tenancy.to_string()).or_default();
                *sealed = (*sealed).max(*sequence);
            }
            Change::LogStart { writer, sequence } => {
                let writer = self.writers.entry(writer.clone()).or_default();
                writer.log_start = writer.log_start.max(*sequence);
            }
            Change::Purged { writer, sequence } => {
                let writer = self.writers.entry(writer.clone()).or_default();
                writer.purged_through = writer.purged_through.max(*sequence);
            }
        }
        Ok(())
    }
}
