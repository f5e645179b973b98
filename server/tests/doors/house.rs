//! A running server for one test, and the spans that tests send.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use spanlake::{Counts, Options, Store};
use spanlake_proto::client::{TraceReaderClient, TraceServiceClient};
use spanlake_server::service::{Limits, Meter, Service};
use spanlake_server::wire::{Health, storage_routes};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};

/// Figures by name and labels.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<String, u64>>);

impl Tally {
    fn add(&self, name: String, n: u64) {
        *self.0.lock().unwrap().entry(name).or_default() += n;
    }

    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

impl Meter for Tally {
    fn accepted_spans(&self, transport: &'static str, n: u64) {
        self.add(format!("accepted {transport}"), n);
    }
    fn refused_spans(&self, transport: &'static str, reason: &'static str, n: u64) {
        self.add(format!("refused {transport} {reason}"), n);
    }
    fn rejected_spans(&self, reason: &'static str, n: u64) {
        self.add(format!("rejected {reason}"), n);
    }
    fn received_bytes(&self, n: u64) {
        self.add("bytes".into(), n);
    }
    fn export_seconds(&self, _: f64) {
        self.add("exports".into(), 1);
    }
    fn late_spans(&self, n: u64) {
        self.add("late".into(), n);
    }
    fn skewed_spans(&self, direction: &'static str, n: u64) {
        self.add(format!("skewed {direction}"), n);
    }
    fn query(&self, operation: &'static str, ok: bool, _: f64) {
        self.add(format!("query {operation} {}", if ok { "ok" } else { "err" }), 1);
    }
    fn query_work(&self, work: &Counts) {
        self.add("trace probes".into(), work.trace_probes);
        self.add("rows scanned".into(), work.rows_scanned);
    }
    fn query_started(&self) {
        self.add("started".into(), 1);
    }
    fn query_finished(&self) {
        self.add("finished".into(), 1);
    }
    fn returned_spans(&self, n: u64) {
        self.add("returned".into(), n);
    }
}

/// A server that lives as long as its test.
pub(crate) struct House {
    pub(crate) service: Arc<Service>,
    pub(crate) counts: Arc<Tally>,
    pub(crate) health: Health,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    doors: Vec<JoinHandle<()>>,
    directory: tempfile::TempDir,
}

impl House {
    pub(crate) async fn open() -> House {
        Self::open_with(Limits::default()).await
    }

    pub(crate) async fn open_with(limits: Limits) -> House {
        Self::open_in(tempfile::tempdir().unwrap(), limits).await
    }

    /// Closes the store and opens its directory again, in another process as it were.
    pub(crate) async fn reopen(self) -> House {
        self.doors.iter().for_each(JoinHandle::abort);
        let store = self.service.store().clone();
        let closed = tokio::task::spawn_blocking(move || store.close(Duration::from_secs(60)));
        assert!(closed.await.unwrap().unwrap());
        Self::open_in(self.directory, Limits::default()).await
    }

    async fn open_in(directory: tempfile::TempDir, limits: Limits) -> House {
        let store = Store::open(directory.path().join("data"), Options::default()).unwrap();
        let counts = Arc::new(Tally::default());
        let service = Arc::new(Service::new(store, counts.clone(), limits));
        let health = Health::new();
        health.serving(true).await;

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = listener.local_addr().unwrap();
        let routes = storage_routes(&service, &health).unwrap();
        let incoming = TcpListenerStream::new(listener);
        let server = Server::builder().add_routes(routes).serve_with_incoming(incoming);
        let grpc_door = tokio::spawn(async move { server.await.unwrap() });

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap();
        let router = spanlake_server::otlp::http_router(service.clone());
        let http_door = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let doors = vec![grpc_door, http_door];
        House { service, counts, health, grpc, http, doors, directory }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.grpc)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub(crate) async fn writer(&self) -> TraceServiceClient<Channel> {
        TraceServiceClient::new(self.channel().await).max_encoding_message_size(usize::MAX)
    }

    pub(crate) async fn reader(&self) -> TraceReaderClient<Channel> {
        TraceReaderClient::new(self.channel().await)
    }

    /// Exports and expects that all of it is stored.
    pub(crate) async fn store(&self, request: ExportTraceServiceRequest) {
        let answer = self.writer().await.export(request).await.unwrap().into_inner();
        assert_eq!(answer.partial_success, None);
    }

    /// Waits until a figure has a value; a meter may count after the answer has left.
    pub(crate) async fn until(&self, name: &str, value: u64) {
        for _ in 0..500 {
            if self.counts.get(name) == value {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{name} is {} and not {value}: {:?}", self.counts.get(name), self.counts);
    }
}

pub(crate) const NOW: u64 = 1_700_000_000_000_000_000;

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// Span `n` of a trace; span 1 is its root, and the parent of the others.
pub(crate) fn span(trace: u8, n: u64) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: n.to_be_bytes().into(),
        parent_span_id: if n == 1 { vec![] } else { 1u64.to_be_bytes().into() },
        name: format!("op-{n}"),
        kind: 2,
        start_time_unix_nano: NOW + u64::from(trace) * 1_000_000_000 + n,
        end_time_unix_nano: NOW + u64::from(trace) * 1_000_000_000 + n + 1_000,
        ..Span::default()
    }
}

/// Spans of one service as one resource.
pub(crate) fn resource(service: &str, spans: Vec<Span>) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource {
            attributes: vec![text("service.name", service)],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

pub(crate) fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest { resource_spans: vec![resource(service, spans)] }
}

/// All spans of some resources, sorted by id.
pub(crate) fn spans_of(resources: impl IntoIterator<Item = ResourceSpans>) -> Vec<Span> {
    let scopes = resources.into_iter().flat_map(|r| r.scope_spans);
    let mut spans: Vec<Span> = scopes.flat_map(|s| s.spans).collect();
    spans.sort_by(|a, b| (&a.trace_id, &a.span_id).cmp(&(&b.trace_id, &b.span_id)));
    spans
}
