//! Answers that are streams: pieces every client takes, and clients that stop taking them.

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use spanlake_proto::jaeger::storage::v2::{GetServicesRequest, GetTraceParams, GetTracesRequest};
use spanlake_server::service::Limits;

use crate::house::{House, attribute, request, span, spans_of};

const SPANS: u64 = 4_000;

/// A trace of some 16 MB, four times what a Go client takes in one message.
async fn large_trace(house: &House) {
    for first in (1..=SPANS).step_by(1_000) {
        let padded = |n| {
            let mut large = span(5, n);
            large.attributes.push(attribute("padding", Value::StringValue("x".repeat(4_000))));
            large
        };
        house.store(request("shop", (first..first + 1_000).map(padded).collect())).await;
    }
}

fn the_trace() -> GetTracesRequest {
    let asked = GetTraceParams { trace_id: vec![5; 16], ..GetTraceParams::default() };
    GetTracesRequest { query: vec![asked] }
}

#[tokio::test]
async fn a_large_trace_comes_whole_in_pieces_of_one_or_two_mebibytes() {
    let house = House::open().await;
    large_trace(&house).await;
    let mut chunks = house.reader().await.get_traces(the_trace()).await.unwrap().into_inner();
    let mut resources = Vec::new();
    let mut sizes = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        sizes.push(chunk.encoded_len());
        resources.extend(chunk.resource_spans);
    }
    assert!(sizes.len() >= 8 && sizes.iter().all(|size| (1..2 << 20).contains(size)), "{sizes:?}");
    let spans = spans_of(resources);
    assert_eq!(spans.len() as u64, SPANS);
    assert!(spans.iter().zip(1..).all(|(span, n)| span.span_id == u64::to_be_bytes(n)));
}

#[tokio::test]
async fn clients_that_stop_reading_block_nobody() {
    let house = House::open_with(Limits { reads: 1, ..Limits::default() }).await;
    large_trace(&house).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        // A connection each, since a connection's window is shared.
        let mut chunks = house.reader().await.get_traces(the_trace()).await.unwrap().into_inner();
        chunks.message().await.unwrap().unwrap();
        stalled.push(chunks);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let returned = house.counts.get("returned");
    assert!(returned < 20 * SPANS, "the streams do stall: {returned} spans left");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(house.counts.get("returned"), returned, "nothing is read ahead without end");

    let others = async {
        house.reader().await.get_services(GetServicesRequest {}).await.unwrap();
        house.store(request("shop", vec![span(6, 1)])).await;
        let mut chunks = house.reader().await.get_traces(the_trace()).await.unwrap().into_inner();
        let mut spans = 0;
        while let Some(chunk) = chunks.message().await.unwrap() {
            spans += spans_of(chunk.resource_spans).len() as u64;
        }
        assert_eq!(spans, SPANS);
    };
    tokio::time::timeout(Duration::from_secs(20), others).await.unwrap();

    // Those who only paused still get everything.
    let mut resumed = stalled.pop().unwrap();
    let mut bytes = 0;
    while let Some(chunk) = resumed.message().await.unwrap() {
        bytes += chunk.encoded_len();
    }
    assert!(bytes > 12 << 20, "{bytes}");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_question() {
    let house = House::open().await;
    large_trace(&house).await;
    let mut chunks = house.reader().await.get_traces(the_trace()).await.unwrap().into_inner();
    chunks.message().await.unwrap().unwrap();
    assert_eq!(house.counts.get("finished"), 0);
    drop(chunks);
    house.until("finished", 1).await;
    assert_eq!(house.counts.get("query get_traces err"), 1);
    assert!(house.counts.get("returned") < SPANS);
}

#[tokio::test]
async fn a_client_that_never_comes_back_loses_its_stream_and_hears_why() {
    let limits = Limits { streams: 1, stall: Duration::from_millis(200), ..Limits::default() };
    let house = House::open_with(limits).await;
    large_trace(&house).await;
    let mut stalled = house.reader().await.get_traces(the_trace()).await.unwrap().into_inner();
    stalled.message().await.unwrap().unwrap();

    // The only slot is free again before this one loses its patience.
    let mut other = house.reader().await.get_traces(the_trace()).await.unwrap().into_inner();
    assert!(other.message().await.unwrap().is_some());
    house.until("query get_traces err", 1).await;

    let status = loop {
        match stalled.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a cut answer must not look like a whole one"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    assert!(status.message().contains("took nothing"), "{status}");
}

#[tokio::test]
async fn past_the_limit_of_streams_a_question_is_sent_away() {
    let house = House::open_with(Limits { streams: 1, ..Limits::default() }).await;
    large_trace(&house).await;
    let mut open = house.reader().await.get_traces(the_trace()).await.unwrap().into_inner();
    open.message().await.unwrap().unwrap();
    let status = house.reader().await.get_traces(the_trace()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    drop(open);
    house.reader().await.get_traces(the_trace()).await.unwrap();
}
