//! The figures as one table for people, or as JSON for scripts, beside the bars they are held to.

mod bars;
mod json;
mod table;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use spanlake_benches::Result;
use spanlake_benches::scale::Scale;

use crate::arguments::{Backend, Place};
use crate::disk::Disk;
use crate::ingest::Ingest;
use crate::jaeger::Through;
use crate::live::Live;
use crate::machine::Machine;
use crate::queries::Asked;

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) scale: Scale,
    pub(crate) measured: Measured,
    pub(crate) against: Option<Earlier>,
}

/// One way or the other.
#[derive(Debug)]
pub(crate) enum Measured {
    Direct(Box<Direct>),
    ThroughJaeger(Vec<Through>),
}

/// A Spanlake alone.
#[derive(Debug)]
pub(crate) struct Direct {
    pub(crate) place: Place,
    /// Before the questions.
    pub(crate) head_spans: f64,
    /// Spans that lie there, in all.
    pub(crate) spans: u64,
    /// None where nothing was sent.
    pub(crate) ingest: Option<Ingest>,
    pub(crate) disk: Disk,
    pub(crate) ingest_rss: u64,
    pub(crate) rss: u64,
    pub(crate) queries: Vec<Asked>,
    pub(crate) live: Option<Live>,
}

impl Direct {
    fn index_share(&self) -> f64 {
        self.disk.index_bytes() as f64 / self.disk.segment_bytes().max(1) as f64
    }
}

/// The p50s of an earlier run.
#[derive(Debug)]
pub(crate) struct Earlier(BTreeMap<String, f64>);

impl Earlier {
    /// Reads what --save wrote.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| named(&e))?;
        let value: Value = serde_json::from_str(&text).map_err(|e| named(&e))?;
        let p50 =
            |query: &Value| Some((query["name"].as_str()?.to_owned(), query["p50_ms"].as_f64()?));
        let queries = value["queries"].as_array().ok_or_else(|| named(&"no queries"))?;
        Ok(Self(queries.iter().filter_map(p50).collect()))
    }

    fn p50(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied().filter(|millis| *millis > 0.0)
    }
}

impl Report {
    /// True where Spanlake refused nothing and every answer of it was right. What other backends
    /// make of the questions is reported, and no failure.
    pub(crate) fn is_right(&self) -> bool {
        let are_right = |queries: &[Asked]| queries.iter().all(|asked| asked.wrong == 0);
        let is_taken = |ingest: &Ingest| ingest.rejected == 0;
        match &self.measured {
            Measured::Direct(run) => {
                let live = run.live.as_ref();
                run.ingest.as_ref().is_none_or(is_taken)
                    && are_right(&run.queries)
                    && live.is_none_or(|l| is_taken(&l.ingest) && are_right(&l.queries))
            }
            // What Jaeger alters on the way (it gives spans without a duration one) is not ours.
            Measured::ThroughJaeger(runs) => {
                runs.iter().filter(|run| run.backend == Backend::Spanlake).all(|run| {
                    let is_right = |q: &Asked| q.wrong + q.failed == 0;
                    is_taken(&run.ingest) && run.queries.iter().all(is_right)
                })
            }
        }
    }
}

/// The value at or below which a share of the sorted values lies.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
