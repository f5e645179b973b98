//! Exports over gRPC.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use spanlake_proto::jaeger::storage::v2::{GetServicesRequest, GetTraceParams, GetTracesRequest};
use spanlake_proto::raw::RawMessage;
use spanlake_proto::raw_client;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request};

use spanlake_server::service::Limits;

use crate::house::{House, attribute, request, span};

#[tokio::test]
async fn compressed_or_not_an_export_is_stored_and_answered_in_kind() {
    let house = House::open().await;
    for (trace, encoding) in
        [(1, None), (2, Some(CompressionEncoding::Gzip)), (3, Some(CompressionEncoding::Zstd))]
    {
        let mut writer = house
            .writer()
            .await
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd);
        if let Some(encoding) = encoding {
            writer = writer.send_compressed(encoding);
        }
        let answer = writer.export(request("shop", vec![span(trace, 1)])).await.unwrap();
        let sent = encoding.map(|encoding| encoding.to_string());
        let came = answer.metadata().get("grpc-encoding").map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(came, sent, "compressed if and only if the request was");
    }
    assert_eq!(house.counts.get("accepted grpc"), 3);
    assert_eq!(house.counts.get("exports"), 3);
}

#[tokio::test]
async fn an_empty_export_is_answered_well() {
    let house = House::open().await;
    house.store(ExportTraceServiceRequest::default()).await;
    house.store(request("shop", vec![])).await;
    assert_eq!(house.counts.get("accepted grpc"), 0);
}

#[tokio::test]
async fn a_bad_span_is_told_and_the_rest_is_stored() {
    let house = House::open().await;
    let mut short = span(1, 2);
    short.trace_id = vec![1; 8];
    let sent = request("shop", vec![span(1, 1), short, span(1, 3)]);
    let partial = house.writer().await.export(sent).await.unwrap().into_inner().partial_success;
    let partial = partial.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("shop"), "{}", partial.error_message);
    assert_eq!(house.counts.get("accepted grpc"), 2);
    assert_eq!(house.counts.get("rejected trace_id_length"), 1);
}

#[tokio::test]
async fn bytes_that_are_no_export_are_the_senders_fault() {
    let house = House::open().await;
    let mut writer = raw_client::TraceServiceClient::new(house.channel().await);
    let status =
        writer.export(RawMessage(Bytes::from_static(b"\x0a\xff nonsense"))).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert_eq!(house.counts.get("refused grpc invalid"), 1);
}

#[tokio::test]
async fn text_that_is_not_utf8_goes_through_unchanged() {
    let house = House::open().await;
    let mut sent = span(7, 1);
    sent.name = "#BAD#".into();
    let bytes = request("shop", vec![sent]).encode_to_vec();
    let at = bytes.windows(5).position(|window| window == b"#BAD#").unwrap();
    let mut broken = bytes.clone();
    broken[at..at + 5].copy_from_slice(b"a\xff\xfe\xc0b");

    let mut writer = raw_client::TraceServiceClient::new(house.channel().await);
    let answer = writer.export(RawMessage(broken.clone().into())).await.unwrap().into_inner();
    assert_eq!(answer.partial_success, None);
    let mut reader = raw_client::TraceReaderClient::new(house.channel().await);
    let asked = GetTraceParams { trace_id: vec![7; 16], ..GetTraceParams::default() };
    let mut chunks =
        reader.get_traces(GetTracesRequest { query: vec![asked] }).await.unwrap().into_inner();
    let chunk = chunks.message().await.unwrap().unwrap();
    assert_eq!(chunk.0, broken);
    assert_eq!(chunks.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_large_export_passes_and_an_oversize_one_is_refused_for_good() {
    let house = House::open().await;
    let padded = |trace, megabytes: usize| {
        let mut large = span(trace, 1);
        let padding = opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(
            "x".repeat(megabytes << 20),
        );
        large.attributes.push(attribute("padding", padding));
        request("shop", vec![large])
    };
    house.store(padded(1, 20)).await;
    let status = house.writer().await.export(padded(2, 65)).await.unwrap_err();
    // OUT_OF_RANGE, or a time to retry, would make senders repeat it for ever.
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.details().is_empty() && status.message().contains("limit"), "{status}");
    assert_eq!(house.counts.get("refused grpc too_large"), 1);
}

#[tokio::test]
async fn a_named_tenant_is_refused_and_nothing_is_mixed_in() {
    let house = House::open().await;
    for header in ["x-tenant", "x-namespace"] {
        let mut sent = Request::new(request("shop", vec![span(1, 1), span(1, 2)]));
        sent.metadata_mut().insert(header, "acme".parse().unwrap());
        let status = house.writer().await.export(sent).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(header) && status.message().contains("acme"));

        let mut asked = Request::new(GetServicesRequest {});
        asked.metadata_mut().insert(header, "acme".parse().unwrap());
        let status = house.reader().await.get_services(asked).await.unwrap_err();
        assert!(status.message().contains(header), "{status}");
    }
    let services = house.reader().await.get_services(GetServicesRequest {}).await.unwrap();
    assert!(services.into_inner().services.is_empty());
    assert_eq!(house.counts.get("refused grpc tenancy"), 4, "spans of both requests");
}

#[tokio::test]
async fn a_draining_server_sends_exports_away_and_still_answers() {
    let house = House::open().await;
    house.store(request("shop", vec![span(1, 1)])).await;
    house.service.drain();
    house.service.exports_done().await;
    let status = house.writer().await.export(request("shop", vec![span(2, 1)])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!status.details().is_empty(), "a time to come back");
    assert_eq!(house.counts.get("refused grpc unavailable"), 1);
    let services = house.reader().await.get_services(GetServicesRequest {}).await.unwrap();
    assert_eq!(services.into_inner().services, ["shop"]);
}

#[tokio::test]
async fn uploads_under_way_are_counted_before_they_are_whole() {
    let limits = Limits { export_bytes: 1 << 20, ..Limits::default() };
    let house = House::open_with(limits).await;
    // A message of 900 KiB of which only 600 KiB ever arrive.
    let (body, _never_ends) = tokio::sync::mpsc::channel(1);
    let mut head = vec![0];
    head.extend_from_slice(&(900u32 << 10).to_be_bytes());
    head.resize(600 << 10, 0);
    body.send(Ok::<_, tonic::Status>(Bytes::from(head))).await.unwrap();
    let stuck = tokio_stream::wrappers::ReceiverStream::new(_never_ends);
    let upload =
        http::Request::post("http://x/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(tonic::body::Body::new(axum::body::Body::from_stream(stuck)))
            .unwrap();
    let mut channel = house.channel().await;
    let uploading = tokio::spawn(async move {
        use tower_service::Service as _;
        std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
        channel.call(upload).await.map(drop)
    });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;

    let padded = |trace, kilobytes: usize| {
        let mut large = span(trace, 1);
        large.attributes.push(crate::house::text("padding", &"x".repeat(kilobytes << 10)));
        request("shop", vec![large])
    };
    house.store(padded(1, 300)).await;
    let status = house.writer().await.export(padded(2, 700)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(!status.details().is_empty(), "a time to come back");
    assert_eq!(house.counts.get("refused grpc exhausted"), 1);

    uploading.abort();
    let _ = uploading.await;
    drop(body);
    // The share of an upload that broke off is free again.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    house.store(padded(2, 700)).await;
}
