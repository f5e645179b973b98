//! Jaeger's storage API: what was exported comes back, and what cannot be answered is refused
//! with the codes and reasons of jaeger-contract §1.5.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message as _;
use prost_types::{Duration, Timestamp};
use spanlake_proto::client::{CapabilitiesClient, DependencyReaderClient, TraceReaderClient};
use spanlake_proto::jaeger::expression::v1::{Call, Expression, Scalar, expression};
use spanlake_proto::jaeger::storage::v2::{
    self as storage, AnyValue, Dependency, FindSpansRequest, FindTraceIDsRequest,
    FindTraceSummariesRequest, FindTracesRequest, GetCapabilitiesRequest, GetDependenciesRequest,
    GetOperationsRequest, GetServicesRequest, GetTraceParams, GetTracesRequest, KeyValue,
    Operation, Pagination, ServiceSummary, TraceQueryParameters, TraceSummary, any_value,
};
use spanlake_proto::name;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::house::{House, NOW, attribute, request, resource, span, spans_of};

/// What a Go client of any generation sends for a search with nothing set.
fn go_zero() -> TraceQueryParameters {
    let year_one = Some(Timestamp { seconds: -62_135_596_800, nanos: 0 });
    TraceQueryParameters {
        start_time_min: year_one,
        start_time_max: year_one,
        duration_min: Some(Duration::default()),
        duration_max: Some(Duration::default()),
        ..TraceQueryParameters::default()
    }
}

async fn all(chunks: Result<tonic::Response<Streaming<TracesData>>, Status>) -> Vec<TracesData> {
    let mut chunks = chunks.unwrap().into_inner();
    let mut out = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        out.push(chunk);
    }
    out
}

async fn find(reader: &mut TraceReaderClient<Channel>, query: TraceQueryParameters) -> Vec<u8> {
    let found = FindTraceIDsRequest { query: Some(query) };
    let found = reader.find_trace_i_ds(found).await.unwrap().into_inner();
    assert_eq!(found.next_page_token, "");
    found.trace_ids.iter().map(|found| found.trace_id[0]).collect()
}

/// Traces 1, 2 and 3 of a shop; the second spans of each belong to a till.
async fn shop() -> House {
    let house = House::open().await;
    for trace in 1..=3 {
        let mut root = span(trace, 1);
        root.attributes
            .push(attribute("http.status_code", Value::IntValue(200 + i64::from(trace))));
        let mut call = span(trace, 2);
        call.status =
            Some(opentelemetry_proto::tonic::trace::v1::Status { code: 2, ..Default::default() });
        house.store(request("shop", vec![root])).await;
        house.store(request("till", vec![call])).await;
    }
    house
}

#[tokio::test]
async fn exported_traces_are_found_whole_from_head_and_segments() {
    let house = shop().await;
    for sealed in [false, true] {
        if sealed {
            let store = house.service.store().clone();
            tokio::task::spawn_blocking(move || store.flush()).await.unwrap().unwrap();
        }
        let mut reader = house.reader().await;
        let query = TraceQueryParameters { service_name: "shop".into(), ..go_zero() };
        let found = all(reader.find_traces(FindTracesRequest { query: Some(query) }).await).await;
        let order: Vec<u8> = found
            .iter()
            .map(|chunk| spans_of(chunk.resource_spans.clone())[0].trace_id[0])
            .collect();
        assert_eq!(order, [3, 2, 1], "newest first, one trace a chunk");
        let trace = spans_of(found[1].resource_spans.clone());
        assert_eq!(trace.len(), 2, "spans of other services come too");
        assert_eq!(
            trace[0].attributes[0].value.as_ref().unwrap().value,
            Some(Value::IntValue(202))
        );

        let ids = [[2; 16], [9; 16], [1; 16], [2; 16]].map(|id| GetTraceParams {
            trace_id: id.to_vec(),
            start_time: Some(Timestamp { seconds: -62_135_596_800, nanos: 0 }),
            end_time: None,
        });
        let got = all(reader.get_traces(GetTracesRequest { query: ids.into() }).await).await;
        let order: Vec<u8> =
            got.iter().map(|c| spans_of(c.resource_spans.clone())[0].trace_id[0]).collect();
        assert_eq!(order, [2, 1], "unknown ids are skipped, repeated ones come once");
    }
    house.until("query find_traces ok", 2).await;
    house.until("query get_traces ok", 2).await;
    assert_eq!(house.counts.get("returned"), 2 * (6 + 4));
}

#[tokio::test]
async fn nothing_found_is_an_empty_stream() {
    let house = House::open().await;
    let mut reader = house.reader().await;
    let unknown = GetTraceParams { trace_id: vec![1; 16], ..GetTraceParams::default() };
    assert!(
        all(reader.get_traces(GetTracesRequest { query: vec![unknown] }).await).await.is_empty()
    );
    assert!(all(reader.get_traces(GetTracesRequest::default()).await).await.is_empty());
    let request = FindTracesRequest { query: Some(go_zero()) };
    assert!(all(reader.find_traces(request).await).await.is_empty());
    let request = FindTraceSummariesRequest { query: Some(go_zero()) };
    let mut summaries = reader.find_trace_summaries(request).await.unwrap().into_inner();
    assert_eq!(summaries.message().await.unwrap(), None);
}

#[tokio::test]
async fn conditions_hold_on_one_span_and_typed_values_match_by_text() {
    let house = shop().await;
    let mut reader = house.reader().await;
    let with = |value: any_value::Value, service: &str| {
        let attributes = vec![KeyValue {
            key: "http.status_code".into(),
            value: Some(AnyValue { value: Some(value) }),
        }];
        let query = TraceQueryParameters { service_name: service.into(), attributes, ..go_zero() };
        let mut reader = reader.clone();
        async move { find(&mut reader, query).await }
    };
    assert_eq!(with(any_value::Value::StringValue("202".into()), "").await, [2]);
    assert_eq!(with(any_value::Value::IntValue(203), "shop").await, [3]);
    assert!(with(any_value::Value::IntValue(203), "till").await.is_empty());

    let at = |nanos: u64| {
        Some(Timestamp {
            seconds: (nanos / 1_000_000_000) as i64,
            nanos: (nanos % 1_000_000_000) as i32,
        })
    };
    let second = 1_000_000_000;
    let window = TraceQueryParameters {
        start_time_min: at(NOW + 2 * second + 1),
        start_time_max: at(NOW + 3 * second + 1),
        ..go_zero()
    };
    assert_eq!(find(&mut reader, window).await, [3, 2], "both bounds are inclusive");
    let depth = TraceQueryParameters { search_depth: 1, ..go_zero() };
    assert_eq!(find(&mut reader, depth).await, [3]);
}

#[tokio::test]
async fn a_depth_that_is_cut_is_told() {
    let house = House::open().await;
    for (depth, told) in [(10_000, None), (10_001, Some("10000"))] {
        let query = Some(TraceQueryParameters { search_depth: depth, ..go_zero() });
        let answer = house.reader().await.find_trace_i_ds(FindTraceIDsRequest { query }).await;
        let answer = answer.unwrap();
        let header = answer.metadata().get("x-spanlake-search-depth");
        assert_eq!(header.map(|value| value.to_str().unwrap()), told);
    }
}

#[tokio::test]
async fn summaries_names_and_calls_are_answered() {
    let house = shop().await;
    let mut reader = house.reader().await;
    let request = FindTraceSummariesRequest { query: Some(go_zero()) };
    let mut batches = reader.find_trace_summaries(request).await.unwrap().into_inner();
    let batch = batches.message().await.unwrap().unwrap();
    assert_eq!(batches.message().await.unwrap(), None);
    assert_eq!(batch.summaries.len(), 3);
    let start = NOW + 3_000_000_000;
    let service = |name: &str, errors| ServiceSummary {
        name: name.into(),
        span_count: 1,
        error_span_count: errors,
    };
    let expected = TraceSummary {
        trace_id: vec![3; 16],
        root_service_name: "shop".into(),
        root_operation_name: "op-1".into(),
        min_start_time_unix_nano: start + 1,
        max_end_time_unix_nano: start + 1_002,
        span_count: 2,
        error_span_count: 1,
        orphan_span_count: 0,
        services: vec![service("shop", 0), service("till", 1)],
    };
    assert_eq!(batch.summaries[0], expected);

    let services = reader.get_services(GetServicesRequest {}).await.unwrap().into_inner();
    assert_eq!(services.services, ["shop", "till"]);
    for (kind, count) in [("", 1), ("server", 1), ("client", 0)] {
        let request = GetOperationsRequest { service: "shop".into(), span_kind: kind.into() };
        let operations = reader.get_operations(request).await.unwrap().into_inner().operations;
        let expected = Operation { name: "op-1".into(), span_kind: "server".into() };
        assert_eq!(operations, vec![expected; count], "{kind}");
    }

    let mut graph = DependencyReaderClient::new(house.channel().await);
    let year_one = Some(Timestamp { seconds: -62_135_596_800, nanos: 0 });
    let request = GetDependenciesRequest { start_time: year_one, end_time: year_one };
    let calls = graph.get_dependencies(request).await.unwrap().into_inner().dependencies;
    let expected = Dependency {
        parent: "shop".into(),
        child: "till".into(),
        call_count: 3,
        source: String::new(),
    };
    assert_eq!(calls, [expected]);
}

#[tokio::test]
async fn capabilities_declare_what_holds() {
    let house = House::open().await;
    let mut client = CapabilitiesClient::new(house.channel().await);
    let answer = client.get_capabilities(GetCapabilitiesRequest {}).await.unwrap().into_inner();
    let expected = storage::SearchCapabilities {
        without_service_name: true,
        same_span_conjunction: true,
        paginated: true,
        ..storage::SearchCapabilities::default()
    };
    assert_eq!(answer.search, Some(expected));
}

/// The `ErrorInfo` of a status as text: reason and domain are found as they stand.
fn reason_of(status: &Status) -> String {
    String::from_utf8_lossy(status.details()).into_owned()
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_code_and_reason() {
    let house = House::open().await;
    let mut reader = house.reader().await;
    let paged = |page_size| {
        Some(TraceQueryParameters {
            pagination: Some(Pagination { page_size, page_token: String::new() }),
            ..go_zero()
        })
    };
    let filtered = |op: &str| {
        let scalar = Scalar::default();
        let kind = expression::Term::Scalar(scalar);
        let args = vec![Expression { term: Some(kind) }];
        Some(TraceQueryParameters { filter: Some(Call { op: op.into(), args }), ..go_zero() })
    };
    for (query, code, reason) in [
        (paged(0), Code::InvalidArgument, "PAGINATION_INVALID"),
        (filtered(""), Code::InvalidArgument, "FILTER_INVALID"),
        (filtered("eq"), Code::Unimplemented, "FILTER_UNSUPPORTED"),
    ] {
        let ids = reader.find_trace_i_ds(FindTraceIDsRequest { query: query.clone() }).await;
        let request = FindTraceSummariesRequest { query: query.clone() };
        let summaries = reader.find_trace_summaries(request).await;
        let traces = reader.find_traces(FindTracesRequest { query }).await;
        for status in [ids.unwrap_err(), summaries.unwrap_err(), traces.unwrap_err()] {
            assert_eq!(status.code(), code, "{status}");
            let details = reason_of(&status);
            assert!(details.contains(reason) && details.contains("jaeger.storage.v2"));
        }
    }
    let status = reader.find_traces(FindTracesRequest { query: paged(5) }).await.unwrap_err();
    assert!(reason_of(&status).contains("PAGINATION_INVALID"), "FindTraces has no pages");

    let status = reader.find_spans(FindSpansRequest { query: None }).await.unwrap_err();
    assert_eq!((status.code(), status.details().len()), (Code::Unimplemented, 0), "bare");

    let short = GetTraceParams { trace_id: vec![1; 8], ..GetTraceParams::default() };
    let wrong = [
        reader.find_traces(FindTracesRequest { query: None }).await.unwrap_err(),
        reader.get_traces(GetTracesRequest { query: vec![short] }).await.unwrap_err(),
        reader.get_operations(GetOperationsRequest::default()).await.unwrap_err(),
    ];
    for (status, word) in wrong.iter().zip(["query", "trace_id", "service"]) {
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(word), "{status}");
    }
    assert_eq!(house.counts.get("started"), house.counts.get("finished"));
}

#[tokio::test]
async fn a_question_that_does_not_decode_is_the_callers_fault() {
    let house = House::open().await;
    let mut client = tonic::client::Grpc::new(house.channel().await);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/jaeger.storage.v2.TraceReader/GetServices");
    // Field 1 of a length that the message does not have.
    let request = spanlake_proto::raw::RawMessage(Bytes::from_static(b"\x0a\x7f"));
    let codec = spanlake_proto::codec::Codec::<
        spanlake_proto::raw::RawMessage,
        spanlake_proto::raw::RawMessage,
    >::default();
    let status = client.unary(tonic::Request::new(request), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}

#[tokio::test]
async fn health_tells_reads_and_writes_apart() {
    let house = House::open().await;
    let mut client = HealthClient::new(house.channel().await);
    let mut states = async |service: &str| {
        let request = HealthCheckRequest { service: service.into() };
        client.check(request).await.unwrap().into_inner().status
    };
    const SERVING: i32 = 1;
    const NOT_SERVING: i32 = 2;
    for service in
        ["", name::TRACE_READER, name::DEPENDENCY_READER, name::CAPABILITIES, name::TRACE_SERVICE]
    {
        assert_eq!(states(service).await, SERVING, "{service}");
    }
    house.health.serving(false).await;
    assert_eq!(states("").await, SERVING);
    assert_eq!(states(name::TRACE_READER).await, SERVING);
    assert_eq!(states(name::TRACE_SERVICE).await, NOT_SERVING);
    house.health.draining().await;
    assert_eq!(states("").await, NOT_SERVING);
}

#[tokio::test]
async fn reflection_names_every_service_and_gives_its_files() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let house = House::open().await;
    let mut client = ServerReflectionClient::new(house.channel().await);
    let mut ask = async |message_request| {
        let request =
            ServerReflectionRequest { host: String::new(), message_request: Some(message_request) };
        let request = tokio_stream::iter([request]);
        let mut answers = client.server_reflection_info(request).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(list) =
        ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("a list of services");
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for service in [
        name::TRACE_READER,
        name::DEPENDENCY_READER,
        name::CAPABILITIES,
        name::TRACE_SERVICE,
        "grpc.health.v1.Health",
    ] {
        assert!(names.iter().any(|name| name == service), "{service} in {names:?}");
        let symbol = MessageRequest::FileContainingSymbol(service.into());
        let MessageResponse::FileDescriptorResponse(file) = ask(symbol).await else {
            panic!("the file of {service}");
        };
        let file = prost_types::FileDescriptorProto::decode(&*file.file_descriptor_proto[0]);
        assert!(!file.unwrap().service.is_empty());
    }
}

#[tokio::test]
async fn one_export_of_several_services_keeps_its_resources() {
    let house = House::open().await;
    let mut sent = request("shop", vec![span(1, 1)]);
    sent.resource_spans.push(resource("till", vec![span(1, 2)]));
    house.store(sent.clone()).await;
    let asked = GetTraceParams { trace_id: vec![1; 16], ..GetTraceParams::default() };
    let got = house.reader().await.get_traces(GetTracesRequest { query: vec![asked] }).await;
    let mut got = all(got).await;
    assert_eq!(got.len(), 1);
    let mut resources = std::mem::take(&mut got[0].resource_spans);
    resources.sort_by_key(|r| spans_of([r.clone()])[0].span_id.clone());
    assert_eq!(resources, sent.resource_spans);
}
