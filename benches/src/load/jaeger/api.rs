//! Jaeger's public query API, api_v3 over gRPC, and the service graph, which that version has over
//! HTTP alone. The few messages are written from jaeger-idl v0.6.0
//! (`proto/api_v3/query_service.proto`); spans stay bytes.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use prost::Message;
use prost_types::{Duration, Timestamp};
use spanlake_benches::Result;
use spanlake_benches::model::{Model, Question};
use spanlake_proto::codec::Codec;
use spanlake_proto::jaeger::storage::v2::{Dependency, Operation};
use spanlake_proto::raw::RawMessage;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request as Envelope, Streaming};

use crate::calls::{Answer, Call, all, duration, timestamp};

const MESSAGE_BYTES_MAX: usize = 64 << 20;
const MILLI: u64 = 1_000_000;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetTraceRequest {
    #[prost(string, tag = "1")]
    trace_id: String,
    #[prost(bool, tag = "4")]
    raw_traces: bool,
}

#[derive(Clone, PartialEq, Message)]
struct TraceQueryParameters {
    #[prost(string, tag = "1")]
    service_name: String,
    #[prost(string, tag = "2")]
    operation_name: String,
    #[prost(map = "string, string", tag = "3")]
    attributes: HashMap<String, String>,
    #[prost(message, optional, tag = "4")]
    start_time_min: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    start_time_max: Option<Timestamp>,
    #[prost(message, optional, tag = "6")]
    duration_min: Option<Duration>,
    #[prost(int32, tag = "8")]
    search_depth: i32,
    #[prost(bool, tag = "9")]
    raw_traces: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FindTracesRequest {
    #[prost(message, optional, tag = "1")]
    query: Option<TraceQueryParameters>,
}

#[derive(Clone, PartialEq, Message)]
struct GetServicesRequest {}

#[derive(Clone, PartialEq, Message)]
struct GetServicesResponse {
    #[prost(string, repeated, tag = "1")]
    services: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetOperationsRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct GetOperationsResponse {
    #[prost(message, repeated, tag = "1")]
    operations: Vec<Operation>,
}

/// A question as a message of this API.
#[derive(Debug)]
pub(crate) enum Request {
    Trace(GetTraceRequest),
    Traces(FindTracesRequest),
    Services,
    Operations(GetOperationsRequest),
    /// The HTTP path.
    Dependencies(String),
}

impl Request {
    /// # Errors
    /// The API has no such question.
    pub(crate) fn of(call: &Call, model: &Model) -> Result<Self> {
        Ok(match call {
            Call::Trace(id) => {
                let trace_id = id.iter().map(|byte| format!("{byte:02x}")).collect();
                Self::Trace(GetTraceRequest { trace_id, raw_traces: true })
            }
            Call::Traces(question) => {
                Self::Traces(FindTracesRequest { query: Some(parameters(question, model)) })
            }
            Call::Services => Self::Services,
            Call::Operations(service) => {
                Self::Operations(GetOperationsRequest { service: service.clone() })
            }
            Call::Dependencies(start, end) => {
                let (end, lookback) = (end.div_ceil(MILLI), (end - start).div_ceil(MILLI) + 1);
                Self::Dependencies(format!("/api/dependencies?endTs={end}&lookback={lookback}"))
            }
            Call::Summaries(_) => return Err("this API has no summaries".into()),
        })
    }
}

fn parameters(question: &Question, model: &Model) -> TraceQueryParameters {
    let (begin, end) = model.scale().range();
    // Its upper bound may be exclusive and is cut to microseconds by some backends.
    let start_max = question.start_max.unwrap_or(end + 1_000);
    TraceQueryParameters {
        service_name: question.service.clone().unwrap_or_default(),
        operation_name: question.operation.clone().unwrap_or_default(),
        attributes: question.attribute.map(|wanted| model.text(wanted)).into_iter().collect(),
        start_time_min: Some(timestamp(question.start_min.unwrap_or(begin.saturating_sub(1_000)))),
        start_time_max: Some(timestamp(start_max)),
        duration_min: question.duration_min.map(duration),
        search_depth: question.limit as i32,
        raw_traces: true,
    }
}

/// A connection to a Jaeger's query ports.
#[derive(Debug)]
pub(crate) struct QueryService {
    grpc: Grpc<Channel>,
    /// HOST:PORT.
    http: String,
}

impl QueryService {
    pub(crate) async fn connect(grpc: &str, http: &str) -> Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{grpc}"))?.connect().await?;
        let grpc = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { grpc, http: http.to_owned() })
    }

    /// Asks.
    pub(crate) async fn ask(&mut self, request: Request) -> Result<Answer> {
        Ok(match request {
            Request::Trace(request) => Answer::Traces(self.stream("GetTrace", request).await?),
            Request::Traces(request) => Answer::Traces(self.stream("FindTraces", request).await?),
            Request::Services => {
                let answer: GetServicesResponse =
                    self.unary("GetServices", GetServicesRequest {}).await?;
                Answer::Services(answer.services)
            }
            Request::Operations(request) => {
                let answer: GetOperationsResponse = self.unary("GetOperations", request).await?;
                Answer::Operations(answer.operations)
            }
            Request::Dependencies(path) => Answer::Dependencies(self.dependencies(&path)?),
        })
    }

    async fn unary<T, U>(&mut self, method: &'static str, request: T) -> Result<U>
    where
        T: Message + Send + Sync + 'static,
        U: Message + Default + Send + Sync + 'static,
    {
        self.grpc.ready().await?;
        let codec = Codec::<T, U>::default();
        Ok(self.grpc.unary(Envelope::new(request), path(method)?, codec).await?.into_inner())
    }

    /// An empty stream is the answer of one version where another says NOT_FOUND.
    async fn stream<T>(&mut self, method: &'static str, request: T) -> Result<Vec<RawMessage>>
    where
        T: Message + Send + Sync + 'static,
    {
        self.grpc.ready().await?;
        let codec = Codec::<T, RawMessage>::default();
        let asked = self.grpc.server_streaming(Envelope::new(request), path(method)?, codec).await;
        let read = match asked {
            Ok(answer) => {
                let stream: Streaming<RawMessage> = answer.into_inner();
                all(stream).await
            }
            Err(status) => Err(status.into()),
        };
        match read {
            Err(error) if is_not_found(&error) => Ok(Vec::new()),
            read => read,
        }
    }

    fn dependencies(&self, path: &str) -> Result<Vec<Dependency>> {
        let mut stream = TcpStream::connect(&self.http)?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.http)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
        if head.split(' ').nth(1) != Some("200") {
            return Err(format!("{path}: {answer}").into());
        }
        let body: serde_json::Value = serde_json::from_str(body)?;
        let text =
            |edge: &serde_json::Value, key: &str| edge[key].as_str().unwrap_or_default().to_owned();
        let edge = |edge: &serde_json::Value| Dependency {
            parent: text(edge, "parent"),
            child: text(edge, "child"),
            call_count: edge["callCount"].as_u64().unwrap_or(0),
            ..Dependency::default()
        };
        Ok(body["data"].as_array().map_or(Vec::new(), |data| data.iter().map(edge).collect()))
    }
}

fn is_not_found(error: &spanlake_benches::Error) -> bool {
    let status = error.downcast_ref::<tonic::Status>();
    status.is_some_and(|status| status.code() == tonic::Code::NotFound)
}

fn path(method: &str) -> Result<PathAndQuery> {
    Ok(format!("/jaeger.api_v3.QueryService/{method}").parse()?)
}
