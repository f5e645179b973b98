//! One question over the wire, and its answer as it came. What is timed is here, and no more:
//! from the request until the last message of the answer is read.

use prost_types::{Duration, Timestamp};
use spanlake_benches::Result;
use spanlake_benches::model::{Model, Question};
use spanlake_proto::client::DependencyReaderClient;
use spanlake_proto::jaeger::storage::v2::{
    AnyValue, Dependency, FindTraceSummariesRequest, FindTracesRequest, GetDependenciesRequest,
    GetOperationsRequest, GetServicesRequest, GetTraceParams, GetTracesRequest, KeyValue,
    Operation, TraceQueryParameters, TraceSummary, any_value,
};
use spanlake_proto::raw::RawMessage;
use spanlake_proto::raw_client::TraceReaderClient;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

const SECOND: u64 = 1_000_000_000;

/// A question.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Trace([u8; 16]),
    Summaries(Question),
    Traces(Question),
    Services,
    Operations(String),
    /// Of `[start, end)`, ns.
    Dependencies(u64, u64),
}

/// An answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// Encoded `TracesData` messages.
    Traces(Vec<RawMessage>),
    Summaries(Vec<TraceSummary>),
    Services(Vec<String>),
    Operations(Vec<Operation>),
    Dependencies(Vec<Dependency>),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    reader: TraceReaderClient<Channel>,
    dependencies: DependencyReaderClient<Channel>,
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
        Ok(Self {
            reader: TraceReaderClient::new(channel.clone()),
            dependencies: DependencyReaderClient::new(channel),
        })
    }

    /// Asks.
    pub(crate) async fn ask(&mut self, request: Request) -> Result<Answer> {
        Ok(match request {
            Request::Trace(request) => {
                Answer::Traces(all(self.reader.get_traces(request).await?.into_inner()).await?)
            }
            Request::Traces(request) => {
                Answer::Traces(all(self.reader.find_traces(request).await?.into_inner()).await?)
            }
            Request::Summaries(request) => {
                let stream = self.reader.find_trace_summaries(request).await?.into_inner();
                let batches = all(stream).await?;
                Answer::Summaries(batches.into_iter().flat_map(|b| b.summaries).collect())
            }
            Request::Services(request) => {
                Answer::Services(self.reader.get_services(request).await?.into_inner().services)
            }
            Request::Operations(request) => {
                let answer = self.reader.get_operations(request).await?;
                Answer::Operations(answer.into_inner().operations)
            }
            Request::Dependencies(request) => {
                let answer = self.dependencies.get_dependencies(request).await?;
                Answer::Dependencies(answer.into_inner().dependencies)
            }
        })
    }
}

async fn all<T>(mut stream: Streaming<T>) -> Result<Vec<T>> {
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    Ok(messages)
}

/// A question as a message.
#[derive(Debug)]
pub(crate) enum Request {
    Trace(GetTracesRequest),
    Summaries(FindTraceSummariesRequest),
    Traces(FindTracesRequest),
    Services(GetServicesRequest),
    Operations(GetOperationsRequest),
    Dependencies(GetDependenciesRequest),
}

impl Request {
    pub(crate) fn of(call: &Call, model: &Model) -> Self {
        match call {
            Call::Trace(id) => Self::Trace(GetTracesRequest {
                query: vec![GetTraceParams { trace_id: id.to_vec(), ..Default::default() }],
            }),
            Call::Summaries(question) => Self::Summaries(FindTraceSummariesRequest {
                query: Some(parameters(question, model)),
            }),
            Call::Traces(question) => {
                Self::Traces(FindTracesRequest { query: Some(parameters(question, model)) })
            }
            Call::Services => Self::Services(GetServicesRequest {}),
            Call::Operations(service) => Self::Operations(GetOperationsRequest {
                service: service.clone(),
                ..Default::default()
            }),
            Call::Dependencies(start, end) => Self::Dependencies(GetDependenciesRequest {
                start_time: Some(timestamp(*start)),
                end_time: Some(timestamp(*end)),
            }),
        }
    }
}

fn parameters(question: &Question, model: &Model) -> TraceQueryParameters {
    let attribute = question.attribute.map(|wanted| {
        let (key, value) = model.text(wanted);
        let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value)) });
        KeyValue { key, value }
    });
    TraceQueryParameters {
        service_name: question.service.clone().unwrap_or_default(),
        operation_name: question.operation.clone().unwrap_or_default(),
        attributes: attribute.into_iter().collect(),
        start_time_max: question.start_max.map(timestamp),
        duration_min: question.duration_min.map(|nanos| Duration {
            seconds: (nanos / SECOND) as i64,
            nanos: (nanos % SECOND) as i32,
        }),
        search_depth: question.limit as i32,
        ..Default::default()
    }
}

fn timestamp(nanos: u64) -> Timestamp {
    Timestamp { seconds: (nanos / SECOND) as i64, nanos: (nanos % SECOND) as i32 }
}
