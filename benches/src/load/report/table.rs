//! The table for people.

use std::fmt::{Result, Write as _};

use super::bars::bars;
use super::{Direct, Measured, Report, percentile};
use crate::arguments::Place;
use crate::ingest::Ingest;
use crate::jaeger::Through;
use crate::live::Live;
use crate::queries::Asked;

const MIB: f64 = 1024.0 * 1024.0;

impl Report {
    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> Result {
        let m = &self.machine;
        writeln!(
            out,
            "machine    {} cores, {}, Linux {}, {:.0} GiB, fsync {:.2} ms, load before {:.1}",
            m.cores, m.model, m.kernel, m.memory_gib, m.fsync_ms, m.load
        )?;
        let scale = &self.scale;
        writeln!(
            out,
            "data       {} x {}: {} spans, {} a copy, {:.0} B/span of OTLP, over {:.1} days",
            scale.set().name,
            scale.copies(),
            scale.spans(),
            scale.set().spans(),
            scale.set().bytes() as f64 / scale.set().spans() as f64,
            (scale.range().1 - scale.range().0) as f64 / 86_400e9,
        )?;
        match &self.measured {
            Measured::Direct(run) => self.direct(out, run),
            Measured::ThroughJaeger(runs) => {
                runs.iter().try_for_each(|run| self.through(out, run))?;
                side_by_side(out, runs)
            }
        }
    }

    fn direct(&self, out: &mut String, run: &Direct) -> Result {
        if let Some(done) = &run.ingest {
            let what = match run.place {
                Place::Segments => "durable ingest, sealed",
                Place::Head | Place::Both => "durable ingest, not all sealed",
            };
            row(
                out,
                what,
                &format!("{:.0} spans a CPU-second", done.spans as f64 / done.cpu_done),
            )?;
            ingest(out, done)?;
        }
        let (first, last) = (run.ingest_rss as f64 / MIB, run.rss as f64 / MIB);
        row(out, "RSS max", &format!("{first:.0} MiB before the questions, {last:.0} after"))?;
        let place = format!(
            "{:.0} in heads, {} rows in {} segments",
            run.head_spans, run.disk.rows, run.disk.segments
        );
        row(out, "spans lie", &place)?;
        self.disk(out, run)?;
        self.questions(out, "warm, over gRPC", &run.queries)?;
        if let Some(live) = &run.live {
            self.live(out, live)?;
        }
        let width = 64;
        let head = ["measured", "bar", "stretch"];
        writeln!(
            out,
            "\n{:<width$} {:>10} {:>9} {:>9}",
            "bar of issue 4", head[0], head[1], head[2]
        )?;
        for bar in bars(self, run) {
            let (axis, measured, verdict) = (&bar.axis, number(bar.measured), bar.verdict());
            let (wanted, stretch) = (number(bar.bar), number(bar.stretch));
            writeln!(out, "{axis:<width$} {measured:>10} {wanted:>9} {stretch:>9} {verdict}")?;
        }
        Ok(())
    }

    fn disk(&self, out: &mut String, run: &Direct) -> Result {
        let disk = &run.disk;
        writeln!(out, "\n{:<46} {:>12} {:>9}", "allocated on disk", "bytes", "B/span")?;
        let spans = run.spans as f64;
        let mut line = |name: &str, bytes: u64| {
            writeln!(out, "{name:<46} {bytes:>12} {:>9.2}", bytes as f64 / spans)
        };
        for (part, bytes) in disk.entries.iter().filter(|(_, bytes)| **bytes > 0) {
            line(part, *bytes)?;
        }
        let by_size = |parts: &std::collections::BTreeMap<String, u64>| {
            let mut parts: Vec<(String, u64)> = parts.clone().into_iter().collect();
            parts.sort_by_key(|(name, bytes)| (u64::MAX - bytes, name.clone()));
            parts
        };
        for (part, bytes) in by_size(&disk.columns) {
            line(&format!("  column {part}"), bytes)?;
        }
        for (part, bytes) in by_size(&disk.others) {
            line(&format!("  {part}"), bytes)?;
        }
        if disk.segments > 0 {
            let share = run.index_share() * 100.0;
            row(out, "index, directory, filters", &format!("{share:.1} % of segment bytes"))?;
        }
        Ok(())
    }

    fn questions(&self, out: &mut String, how: &str, queries: &[Asked]) -> Result {
        let title = format!("query, {how} (ms)");
        write!(out, "\n{title:<36} {:>5} {:>7}", "n", "size")?;
        write!(out, " {:>8} {:>8} {:>8} {:>8} {:>6}", "p50", "p95", "p99", "CPU", "wrong")?;
        let is_cold = queries.iter().any(|q| !q.cold.is_empty());
        if is_cold {
            write!(out, " {:>6} {:>9} {:>9}", "cold n", "cold p50", "cold max")?;
        }
        writeln!(out, "{}", if self.against.is_some() { "  x before" } else { "" })?;
        for q in queries {
            let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| number(percentile(&q.warm, share)));
            let (n, size, cpu) = (q.warm.len(), q.size, number(q.cpu_millis));
            write!(out, "{:<36} {n:>5} {size:>7.0} {p50:>8} {p95:>8} {p99:>8} {cpu:>8}", q.name)?;
            write!(out, " {:>6}", q.wrong)?;
            if is_cold {
                let [p50, max] = [0.5, 1.0].map(|share| number(percentile(&q.cold, share)));
                write!(out, " {:>6} {p50:>9} {max:>9}", q.cold.len())?;
            }
            let before = self.against.as_ref().and_then(|earlier| earlier.p50(q.name));
            match before.map(|before| percentile(&q.warm, 0.5) / before) {
                Some(ratio) => writeln!(out, " {ratio:>9.2}")?,
                None => writeln!(out)?,
            }
        }
        for q in queries.iter().filter(|q| !q.note.is_empty()) {
            writeln!(out, "{}: {}", q.name, q.note)?;
        }
        if is_cold {
            writeln!(
                out,
                "cold: the server restarted and every file of its directory dropped from the page \
                 cache (posix_fadvise DONTNEED) before each question"
            )?;
        }
        Ok(())
    }

    fn live(&self, out: &mut String, live: &Live) -> Result {
        writeln!(out, "\nwhile {} spans/s flow in, questions about what lay there", live.rate)?;
        let done = &live.ingest;
        row(out, "sent", &format!("{} spans", done.spans))?;
        ingest(out, done)?;
        let (max, median) = (live.rss_max as f64 / MIB, live.rss_median as f64 / MIB);
        row(out, "RSS max / median", &format!("{max:.0} / {median:.0} MiB"))?;
        let after = format!("{:.0}; {} rounds of questions", live.head_spans_after, live.rounds);
        row(out, "spans in heads afterwards", &after)?;
        self.questions(out, "while spans flow in", &live.queries)
    }

    fn through(&self, out: &mut String, run: &Through) -> Result {
        let done = &run.ingest;
        writeln!(out, "\nJaeger + {:?}", run.backend)?;
        let all = done.spans as f64 / done.cpu_done;
        row(out, "ingest, until idle", &format!("{all:.0} spans a CPU-second, Jaeger's included"))?;
        for share in &run.processes {
            let rate = done.spans as f64 / share.cpu;
            let rss = share.rss_max as f64 / MIB;
            let text =
                format!("{:.1} CPU-s ({rate:.0} spans a CPU-s), RSS max {rss:.0} MiB", share.cpu);
            row(out, &format!("  {}", share.name), &text)?;
        }
        ingest(out, done)?;
        for (part, bytes) in run.disk.entries.iter().filter(|(_, bytes)| **bytes > 0) {
            let per_span = *bytes as f64 / self.scale.spans() as f64;
            row(out, &format!("  disk: {part}"), &format!("{bytes} bytes, {per_span:.2} B/span"))?;
        }
        Ok(())
    }
}

fn row(out: &mut String, name: &str, value: &str) -> Result {
    writeln!(out, "{name:<32} {value}")
}

fn ingest(out: &mut String, i: &Ingest) -> Result {
    if i.cpu_acked > 0.0 {
        row(out, "  until the last ack", &format!("{:.0}", i.spans as f64 / i.cpu_acked))?;
    }
    let wall = format!("{:.0} spans/s for {:.1} s", i.spans as f64 / i.wall, i.wall);
    row(out, "  wall clock while sending", &wall)?;
    let size = i.spans as f64 / i.batches as f64;
    let (batches, repeated, retries) = (i.batches, i.repeated, i.retries);
    let batches = format!("{batches} of {size:.0} spans, {repeated} sent twice, {retries} retried");
    row(out, "  batches", &batches)?;
    let [p50, p99] = [0.5, 0.99].map(|share| number(percentile(&i.exports, share)));
    row(out, "  Export p50 / p99", &format!("{p50} / {p99} ms"))?;
    row(out, "  refused spans", &i.rejected.to_string())
}

/// The questions of all backends, one line a question.
fn side_by_side(out: &mut String, runs: &[Through]) -> Result {
    write!(out, "\n{:<32}", "query through Jaeger, warm (ms)")?;
    for run in runs {
        write!(out, " | {:<47}", format!("{:?}", run.backend))?;
    }
    write!(out, "\n{:<32}", "")?;
    for _ in runs {
        let [a, b, c] = ["p50", "p99", "CPU"];
        write!(out, " | {a:>8} {b:>8} {c:>8} {:>6} {:>6} {:>6}", "wrong", "alter", "fail")?;
    }
    writeln!(out)?;
    let first = runs.first().map_or(&[][..], |run| &run.queries);
    for (index, kind) in first.iter().enumerate() {
        write!(out, "{:<32}", kind.name)?;
        for q in runs.iter().filter_map(|run| run.queries.get(index)) {
            let [p50, p99] = [0.5, 0.99].map(|share| number(percentile(&q.warm, share)));
            let cpu = number(q.cpu_millis);
            write!(
                out,
                " | {p50:>8} {p99:>8} {cpu:>8} {:>6} {:>6} {:>6}",
                q.wrong, q.altered, q.failed
            )?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "CPU is that of Jaeger and what stands behind it. wrong: other traces, spans or names than \
         were sent; alter: the right ones, but not in order, not equal to what was sent, or without \
         their kinds; fail: no answer. Jaeger itself alters spans of no duration"
    )
}

/// Three digits that count; nothing where there is no figure.
fn number(value: f64) -> String {
    match value {
        value if !value.is_finite() => "-".to_owned(),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
