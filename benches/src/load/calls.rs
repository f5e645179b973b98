//! One question over the wire, and its answer as it came. What is timed is here, and no more:
//! from the request until the last message of the answer is read.

use prost_types::{Duration, Timestamp};
use spanlake_benches::Result;
use spanlake_benches::model::{Model, Question};
use spanlake_proto::client::{CapabilitiesClient, DependencyReaderClient};
use spanlake_proto::jaeger::storage::v2::{
    AnyValue, Dependency, FindTraceSummariesRequest, FindTracesRequest, GetCapabilitiesRequest,
    GetDependenciesRequest, GetOperationsRequest, GetServicesRequest, GetTraceParams,
    GetTracesRequest, KeyValue, Operation, Pagination, TraceQueryParameters, TraceSummary,
    any_value,
};
use spanlake_proto::raw::RawMessage;
use spanlake_proto::raw_client::TraceReaderClient;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use crate::jaeger::api;

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

/// One page of a walk.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) summaries: Vec<TraceSummary>,
    /// Empty on the last page.
    pub(crate) token: String,
}

/// Whom the questions go to.
#[derive(Debug)]
pub(crate) enum Client {
    /// A Spanlake's storage port.
    Storage(Box<Storage>),
    /// A Jaeger's query port.
    Jaeger(api::QueryService),
}

/// A question ready to be sent.
#[derive(Debug)]
pub(crate) enum Request {
    Storage(StorageRequest),
    Jaeger(api::Request),
}

impl Client {
    /// Makes the message, which is not timed.
    pub(crate) fn prepare(&self, call: &Call, model: &Model) -> Result<Request> {
        match self {
            Self::Storage(_) => Ok(Request::Storage(StorageRequest::of(call, model))),
            Self::Jaeger(_) => api::Request::of(call, model).map(Request::Jaeger),
        }
    }

    /// Asks.
    pub(crate) async fn ask(&mut self, request: Request) -> Result<Answer> {
        match (self, request) {
            (Self::Storage(storage), Request::Storage(request)) => storage.ask(request).await,
            (Self::Jaeger(service), Request::Jaeger(request)) => service.ask(request).await,
            _ => Err("a request for another API".into()),
        }
    }
}

/// A connection to a storage port.
#[derive(Debug)]
pub(crate) struct Storage {
    reader: TraceReaderClient<Channel>,
    dependencies: DependencyReaderClient<Channel>,
    capabilities: CapabilitiesClient<Channel>,
}

impl Storage {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
        Ok(Self {
            reader: TraceReaderClient::new(channel.clone()),
            dependencies: DependencyReaderClient::new(channel.clone()),
            capabilities: CapabilitiesClient::new(channel),
        })
    }

    /// Whether searches can be walked in pages.
    pub(crate) async fn is_paginated(&mut self) -> Result<bool> {
        let answer = self.capabilities.get_capabilities(GetCapabilitiesRequest {}).await?;
        Ok(answer.into_inner().search.is_some_and(|search| search.paginated))
    }

    /// One page.
    pub(crate) async fn page(&mut self, request: FindTraceSummariesRequest) -> Result<Page> {
        let batches = all(self.reader.find_trace_summaries(request).await?.into_inner()).await?;
        let token = batches.last().map_or(String::new(), |last| last.next_page_token.clone());
        let summaries = batches.into_iter().flat_map(|batch| batch.summaries).collect();
        Ok(Page { summaries, token })
    }

    async fn ask(&mut self, request: StorageRequest) -> Result<Answer> {
        Ok(match request {
            StorageRequest::Trace(request) => {
                Answer::Traces(all(self.reader.get_traces(request).await?.into_inner()).await?)
            }
            StorageRequest::Traces(request) => {
                Answer::Traces(all(self.reader.find_traces(request).await?.into_inner()).await?)
            }
            StorageRequest::Summaries(request) => {
                Answer::Summaries(self.page(request).await?.summaries)
            }
            StorageRequest::Services(request) => {
                Answer::Services(self.reader.get_services(request).await?.into_inner().services)
            }
            StorageRequest::Operations(request) => {
                let answer = self.reader.get_operations(request).await?;
                Answer::Operations(answer.into_inner().operations)
            }
            StorageRequest::Dependencies(request) => {
                let answer = self.dependencies.get_dependencies(request).await?;
                Answer::Dependencies(answer.into_inner().dependencies)
            }
        })
    }
}

/// Reads a stream to its end.
pub(crate) async fn all<T>(mut stream: Streaming<T>) -> Result<Vec<T>> {
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    Ok(messages)
}

/// A question as a message of the storage API.
#[derive(Debug)]
pub(crate) enum StorageRequest {
    Trace(GetTracesRequest),
    Summaries(FindTraceSummariesRequest),
    Traces(FindTracesRequest),
    Services(GetServicesRequest),
    Operations(GetOperationsRequest),
    Dependencies(GetDependenciesRequest),
}

impl StorageRequest {
    fn of(call: &Call, model: &Model) -> Self {
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

/// The message that asks for one page of a search.
pub(crate) fn page_request(
    question: &Question,
    model: &Model,
    page_size: u32,
    page_token: String,
) -> FindTraceSummariesRequest {
    let mut query = parameters(question, model);
    query.search_depth = 0;
    query.pagination = Some(Pagination { page_size, page_token });
    FindTraceSummariesRequest { query: Some(query) }
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
        start_time_min: question.start_min.map(timestamp),
        start_time_max: question.start_max.map(timestamp),
        duration_min: question.duration_min.map(duration),
        search_depth: question.limit as i32,
        ..Default::default()
    }
}

/// Nanoseconds as a duration.
pub(crate) fn duration(nanos: u64) -> Duration {
    Duration { seconds: (nanos / SECOND) as i64, nanos: (nanos % SECOND) as i32 }
}

/// Nanoseconds since 1970 as a time.
pub(crate) fn timestamp(nanos: u64) -> Timestamp {
    Timestamp { seconds: (nanos / SECOND) as i64, nanos: (nanos % SECOND) as i32 }
}
