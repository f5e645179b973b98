//! The figures as one table for people, or as JSON for scripts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use spanlake_benches::scale::Scale;
use spanlake_benches::set::Set;

use crate::ingest::Ingest;
use crate::machine::Machine;
use crate::queries::Asked;

const MIB: f64 = 1024.0 * 1024.0;

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) set: Arc<Set>,
    pub(crate) scale: Scale,
    pub(crate) ingest: Ingest,
    pub(crate) disk: BTreeMap<String, u64>,
    pub(crate) ingest_rss: u64,
    pub(crate) rss: u64,
    pub(crate) queries: Vec<Asked>,
}

/// The value at or below which a share of the sorted values lies.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

impl Report {
    /// True where nothing was refused and every answer was right.
    pub(crate) fn is_right(&self) -> bool {
        self.ingest.rejected == 0 && self.queries.iter().all(|asked| asked.wrong == 0)
    }

    fn spans_per_cpu_second(&self) -> f64 {
        self.ingest.spans as f64 / self.ingest.cpu_sealed
    }

    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let Self { machine: m, ingest: i, .. } = self;
        writeln!(
            out,
            "machine    {} cores, {}, Linux {}, {:.0} GiB, fsync {:.2} ms, load before {:.1}",
            m.cores, m.model, m.kernel, m.memory_gib, m.fsync_ms, m.load
        )?;
        writeln!(
            out,
            "data       {} x {}: {} spans, {} a copy, {:.0} B/span of OTLP",
            self.set.name,
            self.scale.copies(),
            i.spans,
            self.set.spans(),
            i.bytes as f64 / i.spans as f64
        )?;
        let rows = [
            (
                "durable ingest, sealed",
                format!("{:.0} spans per server CPU-second", self.spans_per_cpu_second()),
            ),
            ("  until the last ack", format!("{:.0}", i.spans as f64 / i.cpu_acked)),
            ("  wall clock", format!("{:.0} spans/s for {:.1} s", i.spans as f64 / i.wall, i.wall)),
            (
                "  batches",
                format!(
                    "{} of {:.0} spans, {} sent twice, {} retried under pressure",
                    i.batches,
                    i.spans as f64 / i.batches as f64,
                    i.repeated,
                    i.retries
                ),
            ),
            (
                "  Export p50 / p99",
                format!(
                    "{:.1} / {:.1} ms",
                    percentile(&i.exports, 0.5),
                    percentile(&i.exports, 0.99)
                ),
            ),
            ("  refused spans", i.rejected.to_string()),
            (
                "RSS max",
                format!(
                    "{:.0} MiB after ingest, {:.0} MiB after queries",
                    self.ingest_rss as f64 / MIB,
                    self.rss as f64 / MIB
                ),
            ),
        ];
        for (name, value) in rows {
            writeln!(out, "{name:<26} {value}")?;
        }
        writeln!(out, "\n{:<26} {:>12} {:>9}", "allocated on disk", "bytes", "B/span")?;
        for (part, bytes) in self.disk.iter().filter(|(_, bytes)| **bytes > 0) {
            let per_span = *bytes as f64 / i.spans as f64;
            writeln!(out, "{part:<26} {bytes:>12} {per_span:>9.2}")?;
        }
        writeln!(
            out,
            "\n{:<34} {:>5} {:>7} {:>8} {:>8} {:>8} {:>8} {:>6}",
            "query, warm, over gRPC (ms)", "n", "size", "p50", "p95", "p99", "CPU", "wrong"
        )?;
        for q in &self.queries {
            writeln!(
                out,
                "{:<34} {:>5} {:>7.0} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>6}",
                q.name,
                q.millis.len(),
                q.size,
                percentile(&q.millis, 0.5),
                percentile(&q.millis, 0.95),
                percentile(&q.millis, 0.99),
                q.cpu_millis,
                q.wrong
            )?;
        }
        for q in self.queries.iter().filter(|q| !q.note.is_empty()) {
            writeln!(out, "{}: {}", q.name, q.note)?;
        }
        Ok(())
    }

    pub(crate) fn json(&self) -> String {
        let Self { machine: m, ingest: i, .. } = self;
        let queries = self.queries.iter().map(|q| {
            json!({
                "name": q.name, "note": q.note, "n": q.millis.len(), "size": q.size,
                "p50_ms": percentile(&q.millis, 0.5), "p95_ms": percentile(&q.millis, 0.95),
                "p99_ms": percentile(&q.millis, 0.99), "cpu_ms": q.cpu_millis, "wrong": q.wrong,
            })
        });
        let value = json!({
            "machine": {
                "cores": m.cores, "model": m.model, "kernel": m.kernel,
                "memory_gib": m.memory_gib, "fsync_ms": m.fsync_ms, "load": m.load,
            },
            "data": {
                "set": self.set.name, "copies": self.scale.copies(), "spans": i.spans,
                "otlp_bytes": i.bytes,
            },
            "ingest": {
                "spans_per_cpu_second": self.spans_per_cpu_second(),
                "cpu_seconds": i.cpu_sealed, "cpu_seconds_until_acked": i.cpu_acked,
                "wall_seconds": i.wall, "batches": i.batches, "repeated": i.repeated,
                "retries": i.retries, "rejected": i.rejected,
                "export_p50_ms": percentile(&i.exports, 0.5),
                "export_p99_ms": percentile(&i.exports, 0.99),
            },
            "disk_bytes": self.disk,
            "rss_max_bytes": { "ingest": self.ingest_rss, "all": self.rss },
            "queries": queries.collect::<Vec<Value>>(),
        });
        format!("{value:#}")
    }
}
