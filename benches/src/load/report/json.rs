//! The same as JSON.

use serde_json::{Value, json};

use super::bars::bars;
use super::{Direct, Measured, Report, percentile};
use crate::disk::Disk;
use crate::ingest::Ingest;
use crate::jaeger::Through;
use crate::live::Live;
use crate::queries::Asked;

impl Report {
    pub(crate) fn json(&self) -> String {
        let m = &self.machine;
        let mut value = json!({
            "machine": {
                "cores": m.cores, "model": m.model, "kernel": m.kernel,
                "memory_gib": m.memory_gib, "fsync_ms": m.fsync_ms, "load": m.load,
            },
            "data": {
                "set": self.scale.set().name, "copies": self.scale.copies(),
                "spans": self.scale.spans(),
            },
        });
        match &self.measured {
            Measured::Direct(run) => self.direct_json(run, &mut value),
            Measured::ThroughJaeger(runs) => {
                value["through_jaeger"] = runs.iter().map(through).collect();
            }
        }
        format!("{value:#}")
    }

    fn direct_json(&self, run: &Direct, value: &mut Value) {
        value["place"] = format!("{:?}", run.place).into();
        value["head_spans"] = run.head_spans.into();
        value["ingest"] = run.ingest.as_ref().map_or(Value::Null, ingest);
        value["disk"] = disk(&run.disk);
        value["rss_max_bytes"] = json!({ "ingest": run.ingest_rss, "all": run.rss });
        value["queries"] = run.queries.iter().map(query).collect();
        value["live"] = run.live.as_ref().map_or(Value::Null, live);
        let bar = |bar: super::bars::Bar| {
            json!({
                "axis": bar.axis, "measured": bar.measured, "bar": bar.bar,
                "stretch": bar.stretch, "verdict": bar.verdict(),
            })
        };
        value["bars"] = bars(self, run).into_iter().map(bar).collect();
    }
}

fn ingest(i: &Ingest) -> Value {
    json!({
        "spans": i.spans, "otlp_bytes": i.bytes,
        "spans_per_cpu_second": i.spans as f64 / i.cpu_done,
        "cpu_seconds": i.cpu_done, "cpu_seconds_until_acked": i.cpu_acked,
        "wall_seconds": i.wall, "batches": i.batches, "repeated": i.repeated,
        "retries": i.retries, "rejected": i.rejected,
        "export_p50_ms": percentile(&i.exports, 0.5),
        "export_p99_ms": percentile(&i.exports, 0.99),
    })
}

fn disk(disk: &Disk) -> Value {
    json!({
        "bytes": disk.entries, "segments": disk.segments, "rows": disk.rows,
        "columns": disk.columns, "others": disk.others, "index_bytes": disk.index_bytes(),
    })
}

fn query(q: &Asked) -> Value {
    json!({
        "name": q.name, "note": q.note, "n": q.warm.len(), "size": q.size,
        "p50_ms": percentile(&q.warm, 0.5), "p95_ms": percentile(&q.warm, 0.95),
        "p99_ms": percentile(&q.warm, 0.99), "cpu_ms": q.cpu_millis, "wrong": q.wrong,
        "altered": q.altered, "failed": q.failed, "cold_ms": q.cold,
    })
}

fn live(live: &Live) -> Value {
    json!({
        "rate": live.rate, "ingest": ingest(&live.ingest), "rounds": live.rounds,
        "rss_max_bytes": live.rss_max, "rss_median_bytes": live.rss_median,
        "queries": live.queries.iter().map(query).collect::<Value>(),
    })
}

fn through(run: &Through) -> Value {
    let share = |share: &crate::jaeger::Share| json!({ "name": share.name, "cpu_seconds": share.cpu, "rss_max_bytes": share.rss_max });
    json!({
        "backend": format!("{:?}", run.backend), "ingest": ingest(&run.ingest),
        "processes": run.processes.iter().map(share).collect::<Value>(),
        "disk": disk(&run.disk),
        "queries": run.queries.iter().map(query).collect::<Value>(),
    })
}
