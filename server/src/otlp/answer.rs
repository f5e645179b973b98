//! The engine's verdict as OTLP's `ExportTraceServiceResponse`: rejected spans become
//! `partial_success` with their number and, for each reason, a sentence with service and cause.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use spanlake::Ingested;

/// The answer to an Export that was stored, if perhaps not all of it.
pub(super) fn answer(ingested: &Ingested) -> ExportTraceServiceResponse {
    let rejected: u64 = ingested.rejected.iter().map(|r| r.count).sum();
    let partial_success = (rejected > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(rejected).unwrap_or(i64::MAX),
        error_message: message(ingested, rejected),
    });
    ExportTraceServiceResponse { partial_success }
}

fn message(ingested: &Ingested, rejected: u64) -> String {
    let causes: Vec<String> = ingested
        .rejected
        .iter()
        .map(|r| {
            format!("{} x {} (first from service {:?}): {}", r.count, r.reason, r.service, r.detail)
        })
        .collect();
    format!("{rejected} spans rejected, {} stored: {}", ingested.accepted, causes.join("; "))
}

#[cfg(test)]
mod tests {
    use spanlake::Rejection;

    use super::*;

    #[test]
    fn rejected_spans_are_told_with_reason_and_service() {
        let whole = Ingested { accepted: 5, ..Ingested::default() };
        assert_eq!(answer(&whole).partial_success, None);

        let rejection = |reason, count, detail: &str| Rejection {
            reason,
            count,
            detail: detail.into(),
            service: "shop".into(),
        };
        let ingested = Ingested {
            accepted: 5,
            rejected: vec![
                rejection("trace_id_length", 2, "a trace id must have 16 bytes"),
                rejection("span_id_zero", 1, "a span id must not be all zeros"),
            ],
            ..Ingested::default()
        };
        let partial = answer(&ingested).partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 3);
        for part in ["trace_id_length", "a trace id must have 16 bytes", "span_id_zero", "shop"] {
            assert!(partial.error_message.contains(part), "{}", partial.error_message);
        }
    }
}
