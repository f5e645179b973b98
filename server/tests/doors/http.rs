//! OTLP over HTTP, spoken by hand so that every byte of the answer is seen.

use std::io::Write as _;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use serde_json::{Value as Json, json};
use spanlake_proto::jaeger::storage::v2::GetServicesRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::house::{House, request, span};

struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Code and message of a `google.rpc.Status`.
    fn status_message(&self) -> (i32, String) {
        #[derive(Clone, PartialEq, prost::Message)]
        struct Status {
            #[prost(int32, tag = "1")]
            code: i32,
            #[prost(string, tag = "2")]
            message: String,
        }
        let status = Status::decode(self.body.as_slice()).unwrap();
        (status.code, status.message)
    }
}

async fn send(house: &House, head: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(house.http).await.unwrap();
    let head = format!(
        "{head}\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may answer and close before it has read a large body.
    let _ = stream.write_all(body).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let headers = String::from_utf8(bytes[..at].to_vec()).unwrap().to_lowercase();
    let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, headers, body: bytes[at + 4..].to_vec() }
}

async fn post(house: &House, headers: &[&str], body: &[u8]) -> Answer {
    let head: String = headers.iter().map(|header| format!("\r\n{header}")).collect();
    send(house, &format!("POST /v1/traces HTTP/1.1{head}"), body).await
}

const PROTOBUF: &str = "content-type: application/x-protobuf";
const JSON: &str = "content-type: application/json";

fn json_span(trace: u8) -> Json {
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "web"}}]},
        "scopeSpans": [{"spans": [{
            "traceId": format!("{trace:02x}").repeat(16), "spanId": "0000000000000001",
            "name": "click", "kind": "SPAN_KIND_CLIENT",
            "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": 1700000000000000001u64,
        }]}],
    }]})
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn protobuf_and_json_plain_and_compressed_are_stored() {
    let house = House::open().await;
    let protobuf = |trace| request("shop", vec![span(trace, 1)]).encode_to_vec();
    let json = |trace| json_span(trace).to_string().into_bytes();
    let zstd = |bytes: Vec<u8>| zstd::encode_all(bytes.as_slice(), 1).unwrap();
    for (headers, body) in [
        (vec![PROTOBUF], protobuf(1)),
        (vec![PROTOBUF, "content-encoding: gzip"], gzip(&protobuf(2))),
        (vec![PROTOBUF, "content-encoding: zstd"], zstd(protobuf(3))),
        (vec![JSON], json(4)),
        (vec![JSON, "content-encoding: gzip"], gzip(&json(5))),
    ] {
        let answer = post(&house, &headers, &body).await;
        assert_eq!(answer.status, 200, "{headers:?}: {}", String::from_utf8_lossy(&answer.body));
        assert!(answer.headers.contains(headers[0]), "in the form of the request");
        if headers[0] == JSON {
            assert_eq!(answer.json(), json!({}));
        } else {
            let decoded = ExportTraceServiceResponse::decode(answer.body.as_slice()).unwrap();
            assert_eq!(decoded, ExportTraceServiceResponse::default());
        }
    }
    let services = house.reader().await.get_services(GetServicesRequest {}).await.unwrap();
    assert_eq!(services.into_inner().services, ["shop", "web"]);
    assert_eq!(house.counts.get("accepted http"), 5);
}

#[tokio::test]
async fn a_bad_span_is_told_in_json_and_protobuf() {
    let house = House::open().await;
    let mut body = json_span(1);
    body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = json!("not hex");
    let answer = post(&house, &[JSON], body.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200);
    let partial = &answer.json()["partialSuccess"];
    assert_eq!(partial["rejectedSpans"], json!("1"));
    assert!(partial["errorMessage"].as_str().unwrap().contains("web"));

    let mut bad = span(1, 1);
    bad.span_id = vec![];
    let sent = request("shop", vec![bad, span(1, 2)]).encode_to_vec();
    let answer = post(&house, &[PROTOBUF], &sent).await;
    let decoded = ExportTraceServiceResponse::decode(answer.body.as_slice()).unwrap();
    assert_eq!(decoded.partial_success.unwrap().rejected_spans, 1);
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_status() {
    let house = House::open().await;
    let malformed = post(&house, &[PROTOBUF], b"\x0a\xff nonsense").await;
    assert_eq!((malformed.status, malformed.status_message().0), (400, 3));

    let mut body = json_span(1);
    body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["startTimeUnixNano"] = json!("soon");
    let answer = post(&house, &[JSON], body.to_string().as_bytes()).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(3)));
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("scopeSpans[0].spans[0].startTimeUnixNano"), "{message}");

    let bomb = gzip(&vec![b' '; 70 << 20]);
    for (headers, body, status) in [
        (vec!["content-type: text/plain"], &b"x"[..], 415),
        (vec![], b"x", 415),
        (vec![PROTOBUF, "content-encoding: br"], b"x", 415),
        (vec![PROTOBUF, "content-encoding: gzip"], b"x", 400),
        (vec![PROTOBUF, "x-tenant: acme"], b"", 400),
        (vec![JSON, "content-encoding: gzip"], &bomb, 413),
        (vec![PROTOBUF], &vec![0; (64 << 20) + 1], 413),
    ] {
        let answer = post(&house, &headers, body).await;
        assert_eq!(answer.status, status, "{headers:?}");
    }
    let tenant = post(&house, &[JSON, "x-tenant: acme"], b"{}").await;
    assert!(tenant.json()["message"].as_str().unwrap().contains("acme"));
    assert_eq!(send(&house, "GET /v1/traces HTTP/1.1", b"").await.status, 405);
    assert_eq!(send(&house, "POST /v1/other HTTP/1.1", b"").await.status, 404);
    assert_eq!(house.counts.get("accepted http"), 0);
    assert_eq!(house.counts.get("refused http invalid"), 6);
    assert_eq!(house.counts.get("refused http too_large"), 2);
    assert_eq!(house.counts.get("refused http tenancy"), 2);
}

#[tokio::test]
async fn a_draining_server_says_when_to_come_back() {
    let house = House::open().await;
    house.service.drain();
    let answer = post(&house, &[JSON], json_span(1).to_string().as_bytes()).await;
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!(14)));
    assert!(answer.headers.contains("retry-after: 1"), "{}", answer.headers);
}
