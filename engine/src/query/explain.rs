//! How a search was answered: what was asked, what could be ruled out and by what, what was read.
//! The search tells a [`Recorder`] as it goes; what comes out is for people and for `--json`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::places::Stored;
use super::predicate::{Bounds, Required};
use super::work::Counts;

/// What became of a segment in a search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fate {
    /// No span of it starts within the search's times.
    OutsideTimes,
    /// No block of it has this.
    WithoutTerm(String),
    /// Enough was found that is newer than all of it.
    NotReached,
    /// Its blocks were looked at one by one.
    Opened {
        /// All its blocks.
        blocks: usize,
        /// Those outside the search's times or durations.
        outside_times: usize,
        /// Those whose terms say no.
        without_terms: usize,
        /// Those that were read.
        read: usize,
    },
}

/// A segment in a search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SegmentPlan {
    /// Its file's name.
    pub name: String,
    /// Its rows.
    pub rows: u32,
    /// What became of it.
    pub fate: Option<Fate>,
    /// Per term, the blocks that may have it; `None` = nearly all.
    pub terms: Vec<(String, Option<u64>)>,
}

/// The plan of a search, and what it came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The question as one predicate.
    pub predicate: String,
    /// What every match must have.
    pub required: Vec<String>,
    /// Starts a match can have, both inclusive, ns since 1970.
    pub start: (u64, u64),
    /// Shortest duration a match can have, ns.
    pub duration_min: u64,
    /// Chunks of the head and their rows.
    pub head: (usize, usize),
    /// The segments, in the order they were met.
    pub segments: Vec<SegmentPlan>,
    /// Traces found.
    pub found: usize,
    /// Nanoseconds it took.
    pub nanos: u64,
    /// What was done.
    pub counts: Counts,
}

/// Hears what a search does, where somebody wants to know.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Option<Record>);

#[derive(Debug, Default)]
struct Record {
    required: Vec<String>,
    segments: Vec<SegmentPlan>,
    by_name: BTreeMap<String, usize>,
}

impl Recorder {
    /// One that keeps what it hears; the default one does not.
    pub(crate) fn keeping() -> Self {
        Self(Some(Record::default()))
    }

    pub(crate) fn required(&mut self, required: &[Required]) {
        if let Some(record) = &mut self.0 {
            record.required = required.iter().map(|r| r.text.clone()).collect();
        }
    }

    fn plan(&mut self, segment: &dyn Stored) -> Option<&mut SegmentPlan> {
        let record = self.0.as_mut()?;
        let next = record.segments.len();
        let at = *record.by_name.entry(segment.name().to_owned()).or_insert(next);
        if at == next {
            let (name, rows) = (segment.name().to_owned(), segment.rows());
            record.segments.push(SegmentPlan { name, rows, fate: None, terms: Vec::new() });
        }
        record.segments.get_mut(at)
    }

    pub(crate) fn fate(&mut self, segment: &dyn Stored, fate: Fate) {
        if let Some(plan) = self.plan(segment) {
            plan.fate = Some(fate);
        }
    }

    pub(crate) fn term(&mut self, segment: &dyn Stored, text: &str, blocks: Option<u64>) {
        if let Some(plan) = self.plan(segment) {
            plan.terms.push((text.to_owned(), blocks));
        }
    }

    pub(crate) fn read(&mut self, segment: &dyn Stored) {
        if let Some(SegmentPlan { fate: Some(Fate::Opened { read, .. }), .. }) = self.plan(segment)
        {
            *read += 1;
        }
    }

    /// What was recorded, with what only the caller knows.
    pub(crate) fn explanation(
        self,
        predicate: &str,
        bounds: Bounds,
        head: (usize, usize),
        found: usize,
        nanos: u64,
        counts: Counts,
    ) -> Explanation {
        let record = self.0.unwrap_or_default();
        Explanation {
            predicate: predicate.to_owned(),
            required: record.required,
            start: bounds.start,
            duration_min: bounds.duration_min,
            head,
            segments: record.segments,
            found,
            nanos,
            counts,
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutsideTimes => f.write_str("outside the times"),
            Self::WithoutTerm(term) => write!(f, "index: without {term}"),
            Self::NotReached => f.write_str("not reached: enough was newer"),
            Self::Opened { blocks, outside_times, without_terms, read } => write!(
                f,
                "{read} of {blocks} blocks read, {outside_times} outside the times, \
                 {without_terms} ruled out by the index"
            ),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "question  {}", self.predicate)?;
        writeln!(f, "starts    {} to {}", self.start.0, self.start.1)?;
        if self.duration_min > 0 {
            writeln!(f, "duration  at least {} ns", self.duration_min)?;
        }
        let required = match self.required.is_empty() {
            true => "nothing: every block within the times is read".to_owned(),
            false => self.required.join("; "),
        };
        writeln!(f, "required  {required}")?;
        writeln!(f, "head      {} chunks, {} rows", self.head.0, self.head.1)?;
        writeln!(f, "segments  {}", self.segments.len())?;
        for segment in &self.segments {
            let fate = segment.fate.as_ref().map_or_else(String::new, ToString::to_string);
            writeln!(f, "  {}  {} rows  {fate}", segment.name, segment.rows)?;
            for (term, blocks) in &segment.terms {
                match blocks {
                    Some(blocks) => writeln!(f, "    {term}: {blocks} blocks")?,
                    None => writeln!(f, "    {term}: nearly all blocks")?,
                }
            }
        }
        writeln!(f, "found     {} traces in {:.3} ms", self.found, self.nanos as f64 / 1e6)?;
        for (name, count) in self.counts.iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "  {:<26}{count}", name.replace('_', " "))?;
        }
        Ok(())
    }
}
