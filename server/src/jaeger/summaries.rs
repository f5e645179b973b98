//! Trace summaries as messages, in batches that every client takes.

use prost::Message as _;
use spanlake_proto::jaeger::storage::v2::{
    FindTraceSummariesResponse, ServiceSummary, TraceSummary,
};

/// Bytes of one batch: well below the 4 MiB a Go client takes by default.
const BATCH_BYTES: usize = 1 << 20;
/// Summaries of one batch: the first ones arrive early.
const BATCH_SUMMARIES: usize = 256;

/// The batches of an answer, in order; none is empty. The last one carries the token.
pub(super) fn batches(
    summaries: Vec<spanlake::TraceSummary>,
    token: String,
) -> impl Iterator<Item = FindTraceSummariesResponse> {
    let mut rest = summaries.into_iter().map(message).peekable();
    std::iter::from_fn(move || {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < BATCH_SUMMARIES {
            let Some(next) = rest.peek() else { break };
            bytes += next.encoded_len();
            if bytes > BATCH_BYTES && !batch.is_empty() {
                break;
            }
            batch.extend(rest.next());
        }
        let last = rest.peek().is_none();
        let next_page_token = if last { token.clone() } else { String::new() };
        (!batch.is_empty())
            .then_some(FindTraceSummariesResponse { summaries: batch, next_page_token })
    })
}

fn message(summary: spanlake::TraceSummary) -> TraceSummary {
    let service = |service: spanlake::ServiceSummary| ServiceSummary {
        name: service.name,
        span_count: count(service.span_count),
        error_span_count: count(service.error_span_count),
    };
    TraceSummary {
        trace_id: summary.trace_id.0.to_vec(),
        root_service_name: summary.root_service,
        root_operation_name: summary.root_operation,
        min_start_time_unix_nano: summary.min_start,
        max_end_time_unix_nano: summary.max_end,
        span_count: count(summary.span_count),
        error_span_count: count(summary.error_span_count),
        orphan_span_count: count(summary.orphan_span_count),
        services: summary.services.into_iter().map(service).collect(),
    }
}

/// The wire has 31 bits for a count; more is said as the most it can say.
fn count(spans: u64) -> i32 {
    i32::try_from(spans).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use spanlake::TraceId;

    use super::*;

    fn summary(n: u64, name_bytes: usize) -> spanlake::TraceSummary {
        spanlake::TraceSummary {
            trace_id: TraceId(u128::from(n).to_be_bytes()),
            root_service: "s".repeat(name_bytes),
            root_operation: "op".into(),
            min_start: 1,
            max_end: 2,
            span_count: 3,
            error_span_count: 4,
            orphan_span_count: 5,
            services: vec![spanlake::ServiceSummary {
                name: "svc".into(),
                span_count: 6,
                error_span_count: 7,
            }],
        }
    }

    #[test]
    fn batches_are_bounded_in_number_and_bytes_and_lose_nothing() {
        for (count, name_bytes, batch_max) in [(1000, 1, 256), (30, 100_000, 10), (3, 2 << 20, 1)] {
            let all: Vec<_> = (0..count).map(|n| summary(n, name_bytes)).collect();
            let batches: Vec<_> = batches(all.clone(), "next".into()).collect();
            let (last, others) = batches.split_last().unwrap();
            assert_eq!(last.next_page_token, "next");
            assert!(others.iter().all(|batch| batch.next_page_token.is_empty()));
            let sizes = batches.iter().map(|b| b.summaries.len());
            assert_eq!(sizes.max(), Some(batch_max));
            let out: Vec<_> = batches.into_iter().flat_map(|b| b.summaries).collect();
            assert_eq!(out, all.into_iter().map(message).collect::<Vec<_>>());
        }
        assert_eq!(batches(vec![], String::new()).count(), 0, "nothing found is an empty stream");
    }
}
