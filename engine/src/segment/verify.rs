//! Reads a whole segment and believes nothing: every byte of the file is under a checksum that is
//! checked here, rows must be in order, and index and columns must agree. An `Ok` means that every
//! later read answers, and answers right (the filters alone cannot be checked: their terms are the
//! query's business).

use std::collections::HashSet;
use std::sync::Arc;

use super::read::Segment;
use super::schema::Column;
use super::tables::{Operations, kind_number};
use super::{Block, Columns, Facts, fingerprint, footer};
use crate::error::Result;
use crate::span::{SpanKind, SpanRow, TraceId};

impl Segment {
    /// Checks all of the file.
    ///
    /// # Errors
    /// `Corrupted` naming the file and what is wrong; `Io`.
    pub(crate) fn verify(&self) -> Result<()> {
        // The footer and the index once more from the file, not from memory.
        let fresh = Segment::open(Arc::clone(self.file()), self.name())?;
        fresh.verify_head()?;
        let mut seen = Seen::default();
        for block in fresh.blocks() {
            let rows =
                fresh.read(block.first_row..block.first_row + block.rows, Columns::Payload)?;
            fresh.verify_block(block, &rows)?;
            fresh.verify_services(block, &rows)?;
            for row in rows {
                seen.row(row).map_err(|what| fresh.damaged(what))?;
            }
        }
        fresh.verify_sums(seen)
    }

    /// The opening magic is the one part of the file that no checksum covers.
    fn verify_head(&self) -> Result<()> {
        let head = 0..footer::MAGIC.len() as u64;
        let head = self.file().read_many(std::slice::from_ref(&head));
        match head.ok().and_then(|mut parts| parts.pop()) {
            Some(head) if head == footer::MAGIC[..] => Ok(()),
            _ => Err(self.damaged("it does not begin as a Parquet file")),
        }
    }

    fn verify_block(&self, block: &Block, rows: &[SpanRow]) -> Result<()> {
        let starts = || rows.iter().map(|row| row.start);
        if starts().min() != Some(block.start_min) || starts().max() != Some(block.start_max) {
            return Err(self.damaged("a block's bounds are not those of its rows"));
        }
        Ok(())
    }

    /// The one column that reads do without.
    fn verify_services(&self, block: &Block, rows: &[SpanRow]) -> Result<()> {
        let range = block.first_row..block.first_row + block.rows;
        let mut services = Vec::with_capacity(rows.len());
        for (group, part) in self.groups_of(range) {
            services.extend(self.fetch(group, part, &[Column::Service])?.bytes(Column::Service)?);
        }
        let same = services.len() == rows.len()
            && services
                .iter()
                .zip(rows)
                .all(|(a, row)| a.data() == row.resource.service.as_bytes());
        if same { Ok(()) } else { Err(self.damaged("a row's service is not its resource's")) }
    }

    fn verify_sums(&self, mut seen: Seen) -> Result<()> {
        seen.end_trace();
        seen.traces.sort_unstable();
        let listed = self.traces().map(|(print, rows)| (print, rows.start, rows.end));
        if !listed.eq(seen.traces.iter().copied()) {
            return Err(self.damaged("its directory does not list its traces"));
        }
        let facts = self.facts();
        let counted = Facts {
            spans: u64::from(seen.rows),
            traces: seen.traces.len() as u64,
            start_min: seen.start_min.unwrap_or_default(),
            start_max: seen.start_max,
            end_max: seen.end_max,
            ..facts.clone()
        };
        if *facts != counted || facts.sequence_min > facts.sequence_max {
            return Err(self.damaged("its facts are not those of its rows"));
        }
        let operations = self
            .operations()
            .iter()
            .map(|(service, operation)| (service, &operation.name, operation.kind));
        let seen = seen
            .operations
            .iter()
            .map(|(service, name, kind)| (service, name, SpanKind::from_number(*kind)));
        if !operations.eq(seen) {
            return Err(self.damaged("its operations are not those of its rows"));
        }
        Ok(())
    }
}

/// What the rows so far add up to.
#[derive(Default)]
struct Seen {
    rows: u32,
    start_min: Option<u64>,
    start_max: u64,
    end_max: u64,
    operations: Operations,
    /// (fingerprint, first row, row behind the last).
    traces: Vec<(u64, u32, u32)>,
    trace_start: u32,
    ids: HashSet<TraceId>,
    /// First row of the current trace, and the last row.
    first: Option<SpanRow>,
    last: Option<SpanRow>,
}

impl Seen {
    fn row(&mut self, row: SpanRow) -> Result<(), &'static str> {
        self.start_min = Some(self.start_min.unwrap_or(u64::MAX).min(row.start));
        self.start_max = self.start_max.max(row.start);
        self.end_max = self.end_max.max(row.end);
        self.operations.insert((
            Arc::clone(&row.resource.service),
            String::from_utf8_lossy(&row.name).into_owned(),
            kind_number(row.kind),
        ));
        match (&self.first, &self.last) {
            (Some(first), Some(last)) if first.trace_id == row.trace_id => {
                if (last.start, last.span_id, &last.span) > (row.start, row.span_id, &row.span) {
                    return Err("the spans of a trace are out of order");
                }
            }
            (Some(first), _) if (first.start, first.trace_id) >= (row.start, row.trace_id) => {
                return Err("its traces are out of order");
            }
            _ if !self.ids.insert(row.trace_id) => {
                return Err("the spans of a trace do not lie together");
            }
            _ => {
                self.end_trace();
                self.first = Some(row.clone());
            }
        }
        self.rows += 1;
        self.last = Some(row);
        Ok(())
    }

    fn end_trace(&mut self) {
        if let Some(first) = self.first.take() {
            self.traces.push((fingerprint(&first.trace_id), self.trace_start, self.rows));
            self.trace_start = self.rows;
        }
    }
}
