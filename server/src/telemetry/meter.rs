//! What passes the waist becomes metrics.

use spanlake::Counts;

use super::metrics::Metrics;
use crate::service::Meter;

impl Meter for Metrics {
    fn accepted_spans(&self, transport: &'static str, spans: u64) {
        self.accepted.get_or_create(&[("transport", transport)]).inc_by(spans);
    }

    fn refused_spans(&self, transport: &'static str, reason: &'static str, spans: u64) {
        let labels = [("transport", transport), ("reason", reason)];
        self.refused.get_or_create(&labels).inc_by(spans);
    }

    fn rejected_spans(&self, reason: &'static str, spans: u64) {
        self.rejected.get_or_create(&[("reason", reason)]).inc_by(spans);
    }

    fn received_bytes(&self, bytes: u64) {
        self.received_bytes.inc_by(bytes);
    }

    fn export_seconds(&self, seconds: f64) {
        self.export_seconds.observe(seconds);
    }

    fn late_spans(&self, spans: u64) {
        self.late.inc_by(spans);
    }

    fn skewed_spans(&self, direction: &'static str, spans: u64) {
        self.skewed.get_or_create(&[("direction", direction)]).inc_by(spans);
    }

    fn query(&self, operation: &'static str, ok: bool, seconds: f64) {
        let result = if ok { "ok" } else { "err" };
        self.queries.get_or_create(&[("operation", operation), ("result", result)]).inc();
        self.query_seconds.get_or_create(&[("operation", operation)]).observe(seconds);
    }

    fn query_work(&self, work: &Counts) {
        self.trace_lookups.inc_by(work.traces_located);
        self.trace_probes.inc_by(work.trace_probes);
        self.false_reads.inc_by(work.false_probes);
        let pruned = work.blocks_pruned_by_time.saturating_add(work.blocks_pruned_by_index);
        for (outcome, blocks) in [("read", work.blocks_read), ("pruned", pruned)] {
            self.blocks.get_or_create(&[("outcome", outcome)]).inc_by(blocks);
        }
        let left_out = [
            ("pruned_time", work.segments_pruned_by_time),
            ("pruned_index", work.segments_pruned_by_index),
            ("not_reached", work.segments_not_reached),
        ];
        let read = left_out
            .iter()
            .fold(work.segments_considered, |read, (_, segments)| read.saturating_sub(*segments));
        for (outcome, segments) in left_out.into_iter().chain([("read", read)]) {
            self.query_segments.get_or_create(&[("outcome", outcome)]).inc_by(segments);
        }
    }

    fn query_started(&self) {
        self.in_flight.inc();
    }

    fn query_finished(&self) {
        self.in_flight.dec();
    }

    fn returned_spans(&self, spans: u64) {
        self.spans_returned.inc_by(spans);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_reach_the_answer() {
        let metrics = Metrics::new();
        metrics.accepted_spans("grpc", 3);
        metrics.refused_spans("http", "exhausted", 2);
        metrics.rejected_spans("trace_id_length", 1);
        metrics.received_bytes(100);
        metrics.export_seconds(0.002);
        metrics.late_spans(4);
        metrics.skewed_spans("future", 5);
        metrics.query_started();
        metrics.query("find_traces", false, 0.5);
        metrics.returned_spans(6);
        let mut work = Counts::default();
        work.segments_considered = 20;
        work.segments_pruned_by_time = 2;
        work.segments_pruned_by_index = 3;
        work.segments_not_reached = 4;
        work.blocks_read = 5;
        work.blocks_pruned_by_time = 6;
        work.blocks_pruned_by_index = 7;
        work.traces_located = 8;
        work.trace_probes = 9;
        work.false_probes = 10;
        metrics.query_work(&work);
        let text = metrics.encode();
        for line in [
            "spanlake_receiver_accepted_spans_total{transport=\"grpc\"} 3",
            "spanlake_receiver_accepted_spans_total{transport=\"http\"} 0",
            "spanlake_receiver_refused_spans_total{transport=\"http\",reason=\"exhausted\"} 2",
            "spanlake_receiver_rejected_spans_total{reason=\"trace_id_length\"} 1",
            "spanlake_receiver_bytes_total 100",
            "spanlake_export_duration_seconds_count 1",
            "spanlake_late_spans_total 4",
            "spanlake_skewed_spans_total{direction=\"future\"} 5",
            "spanlake_queries_in_flight 1",
            "spanlake_query_requests_total{operation=\"find_traces\",result=\"err\"} 1",
            "spanlake_query_duration_seconds_count{operation=\"find_traces\"} 1",
            "spanlake_query_spans_returned_total 6",
            "spanlake_query_segments_total{outcome=\"read\"} 11",
            "spanlake_query_segments_total{outcome=\"pruned_time\"} 2",
            "spanlake_query_segments_total{outcome=\"pruned_index\"} 3",
            "spanlake_query_segments_total{outcome=\"not_reached\"} 4",
            "spanlake_query_blocks_total{outcome=\"read\"} 5",
            "spanlake_query_blocks_total{outcome=\"pruned\"} 13",
            "spanlake_query_trace_lookups_total 8",
            "spanlake_query_trace_probes_total 9",
            "spanlake_query_false_reads_total 10",
        ] {
            assert!(text.lines().any(|held| held == line), "{line} is missing in\n{text}");
        }
        metrics.query_finished();
        assert!(metrics.encode().contains("spanlake_queries_in_flight 0"));
    }
}
