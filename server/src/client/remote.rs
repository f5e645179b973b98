//! A server that speaks Jaeger's remote storage API v2, asked over gRPC.
//!
//! The engine's questions flow in, translated to Jaeger's messages; answers flow out as the
//! engine's. Spans are taken as raw bytes, so that one string that is not UTF-8 spoils nothing.

use std::time::Duration;

use spanlake::{Operation, ServiceSummary, SpanKind, TraceId, TraceQuery, TraceSummary};
use spanlake_proto::jaeger::storage::v2 as wire;
use spanlake_proto::raw::RawMessage;
use spanlake_proto::raw_client::TraceReaderClient;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use super::address::Address;
use super::assemble::{Assembler, Found};
use super::failure::Failure;
use crate::eyes::Trace;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Servers send chunks of 1–2 MiB; one span may be larger, up to what they accept (64 MiB).
const MESSAGE_MAX: usize = 128 << 20;
const SECOND: u64 = 1_000_000_000;

/// A connection.
#[derive(Debug)]
pub struct Remote {
    client: TraceReaderClient<Channel>,
    address: Address,
}

impl Remote {
    /// Connects.
    ///
    /// # Errors
    /// Where nobody answers, with what to do.
    pub async fn connect(address: Address) -> Result<Self, Failure> {
        let endpoint = Endpoint::from_shared(address.uri().to_owned())
            .map_err(|e| Failure::usage(format!("{address}: {e}")))?
            .connect_timeout(CONNECT_TIMEOUT);
        let channel = endpoint.connect().await.map_err(|e| {
            Failure::failed(format!(
                "no server at {address} ({}); start one with `spanlake serve`, name another with --server URL, or pass --data-dir DIR where no server runs",
                root_cause(&e)
            ))
        })?;
        let client = TraceReaderClient::new(channel)
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MESSAGE_MAX);
        Ok(Self { client, address })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) async fn services(&mut self) -> Result<Vec<String>, Failure> {
        let answer = self.client.get_services(wire::GetServicesRequest {}).await;
        Ok(answer.map_err(|s| self.failure(s))?.into_inner().services)
    }

    pub(super) async fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Failure> {
        let request =
            wire::GetOperationsRequest { service: service.to_owned(), span_kind: String::new() };
        let answer = self.client.get_operations(request).await.map_err(|s| self.failure(s))?;
        let operations = answer.into_inner().operations.into_iter();
        Ok(operations
            .map(|o| Operation {
                name: o.name,
                kind: SpanKind::from_word(&o.span_kind).unwrap_or(SpanKind::Unspecified),
            })
            .collect())
    }

    pub(super) async fn summaries(
        &mut self,
        query: &TraceQuery,
    ) -> Result<Vec<TraceSummary>, Failure> {
        let request = wire::FindTraceSummariesRequest { query: Some(parameters(query)) };
        let answer = self.client.find_trace_summaries(request).await;
        let mut stream = answer.map_err(|s| self.failure(s))?.into_inner();
        let mut summaries = Vec::new();
        while let Some(chunk) = stream.message().await.map_err(|s| self.failure(s))? {
            for summary in chunk.summaries {
                summaries.push(self.summary(summary)?);
            }
        }
        Ok(summaries)
    }

    fn summary(&self, summary: wire::TraceSummary) -> Result<TraceSummary, Failure> {
        let trace_id = TraceId::from_slice(&summary.trace_id)
            .map_err(|e| Failure::failed(format!("{} sent a wrong summary: {e}", self.address)))?;
        let share = |s: wire::ServiceSummary| ServiceSummary {
            name: s.name,
            span_count: u64::try_from(s.span_count).unwrap_or(0),
            error_span_count: u64::try_from(s.error_span_count).unwrap_or(0),
        };
        Ok(TraceSummary {
            trace_id,
            root_service: summary.root_service_name,
            root_operation: summary.root_operation_name,
            min_start: summary.min_start_time_unix_nano,
            max_end: summary.max_end_time_unix_nano,
            span_count: u64::try_from(summary.span_count).unwrap_or(0),
            error_span_count: u64::try_from(summary.error_span_count).unwrap_or(0),
            orphan_span_count: u64::try_from(summary.orphan_span_count).unwrap_or(0),
            services: summary.services.into_iter().map(share).collect(),
        })
    }

    pub(super) async fn trace(&mut self, id: TraceId) -> Result<Option<Trace>, Failure> {
        let one = wire::GetTraceParams { trace_id: id.0.to_vec(), ..Default::default() };
        let answer = self.client.get_traces(wire::GetTracesRequest { query: vec![one] }).await;
        let stream = answer.map_err(|s| self.failure(s))?.into_inner();
        Ok(self.pull(stream, usize::MAX).await?.traces.pop())
    }

    pub(super) async fn find_traces(
        &mut self,
        query: &TraceQuery,
        spans_max: usize,
    ) -> Result<Found, Failure> {
        let request = wire::FindTracesRequest { query: Some(parameters(query)) };
        let answer = self.client.find_traces(request).await;
        let stream = answer.map_err(|s| self.failure(s))?.into_inner();
        self.pull(stream, spans_max).await
    }

    async fn pull(
        &self,
        mut stream: Streaming<RawMessage>,
        spans_max: usize,
    ) -> Result<Found, Failure> {
        let mut site = Assembler::new(spans_max);
        while let Some(piece) = stream.message().await.map_err(|s| self.failure(s))? {
            if !site.take(piece.0)? {
                break;
            }
        }
        Ok(site.finish())
    }

    fn failure(&self, status: Status) -> Failure {
        let address = &self.address;
        let message = status.message();
        Failure::failed(match status.code() {
            Code::Unimplemented => not_ours(address),
            // What tonic makes of an answer that is not gRPC at all.
            Code::Internal if message.starts_with("protocol error") => not_ours(address),
            Code::Unavailable => format!("{address} is not available: {message}"),
            code => format!("{address} answered {code:?}: {message}"),
        })
    }
}

fn not_ours(address: &Address) -> String {
    format!(
        "{address} answers, but does not offer Jaeger's storage API v2; is it Spanlake's gRPC port (17271 by default)?"
    )
}

/// Jaeger's form of the question: absent = open, durations 0 = open.
fn parameters(query: &TraceQuery) -> wire::TraceQueryParameters {
    let attribute = |a: &spanlake::AttributeEquals| wire::KeyValue {
        key: a.key.clone(),
        value: Some(wire::AnyValue {
            value: Some(wire::any_value::Value::StringValue(a.value.clone())),
        }),
    };
    wire::TraceQueryParameters {
        service_name: query.service.clone().unwrap_or_default(),
        operation_name: query.operation.clone().unwrap_or_default(),
        attributes: query.attributes.iter().map(attribute).collect(),
        start_time_min: query.start_min.map(timestamp),
        start_time_max: query.start_max.map(timestamp),
        duration_min: query.duration_min.map(duration),
        duration_max: query.duration_max.map(duration),
        search_depth: i32::try_from(query.limit).unwrap_or(i32::MAX),
        ..Default::default()
    }
}

fn timestamp(nanos: u64) -> prost_types::Timestamp {
    let (seconds, nanos) = split(nanos);
    prost_types::Timestamp { seconds, nanos }
}

fn duration(nanos: u64) -> prost_types::Duration {
    let (seconds, nanos) = split(nanos);
    prost_types::Duration { seconds, nanos }
}

fn split(nanos: u64) -> (i64, i32) {
    // Both fit: u64::MAX / 10^9 < 2^35, and a remainder is below 10^9.
    ((nanos / SECOND) as i64, (nanos % SECOND) as i32)
}

/// tonic says "transport error"; people want "connection refused".
fn root_cause(error: &tonic::transport::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    let mut text = cause.to_string();
    while let Some(next) = cause.source() {
        cause = next;
        text = cause.to_string();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_bounds_stay_absent() {
        let sent = parameters(&TraceQuery { limit: 20, ..TraceQuery::default() });
        assert_eq!(sent, wire::TraceQueryParameters { search_depth: 20, ..Default::default() });
    }

    #[test]
    fn nanoseconds_arrive_whole() {
        let sent = parameters(&TraceQuery {
            start_min: Some(1_795_248_753_123_456_789),
            start_max: Some(u64::MAX),
            duration_min: Some(1),
            ..TraceQuery::default()
        });
        let moment = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
        assert_eq!(sent.start_time_min, moment(1_795_248_753, 123_456_789));
        assert_eq!(sent.start_time_max, moment(18_446_744_073, 709_551_615));
        assert_eq!(sent.duration_min, Some(prost_types::Duration { seconds: 0, nanos: 1 }));
    }

    #[tokio::test]
    async fn nobody_there_says_what_to_do() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let failure = Remote::connect(Address::local(port)).await.unwrap_err();
        assert!(failure.message().contains("refused"), "{failure}");
        assert!(failure.message().contains("`spanlake serve`"), "{failure}");
        assert!(failure.message().contains("--data-dir"), "{failure}");
    }
}
