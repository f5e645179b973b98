//! Searches in pages (jaeger-contract §1.12): every match once, in one order, whatever the sizes
//! of the pages and whatever happens between them; a token that is not of this walk is refused.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use opentelemetry_proto::tonic::trace::v1::Span;
use spanlake_proto::client::TraceReaderClient;
use spanlake_proto::jaeger::storage::v2::{
    AnyValue, FindTraceIDsRequest, FindTraceSummariesRequest, FindTracesRequest, KeyValue,
    Pagination, TraceQueryParameters, any_value,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::house::{House, NOW, request, span};

type Reader = TraceReaderClient<Channel>;

/// A trace of one span.
fn lone(trace: u32, start: u64) -> Span {
    let mut id = vec![0x77; 12];
    id.extend(trace.to_be_bytes());
    let times = (NOW + start, NOW + start + 10);
    Span { trace_id: id, start_time_unix_nano: times.0, end_time_unix_nano: times.1, ..span(0, 1) }
}

fn number(trace_id: &[u8]) -> u32 {
    u32::from_be_bytes(trace_id[12..].try_into().unwrap())
}

async fn flush(house: &House) {
    let store = house.service.store().clone();
    tokio::task::spawn_blocking(move || store.flush()).await.unwrap().unwrap();
}

/// The order of a search: latest start first, ties by trace id.
fn ordered(traces: &BTreeMap<u32, u64>) -> Vec<u32> {
    let mut order: Vec<u32> = traces.keys().copied().collect();
    order.sort_by_key(|trace| (Reverse(traces[trace]), *trace));
    order
}

/// Eleven traces, many of them with equal starts, in segments and in the head.
async fn market() -> (House, BTreeMap<u32, u64>) {
    let house = House::open().await;
    let starts: BTreeMap<u32, u64> =
        (0..11).map(|trace| (trace * 7 % 11, u64::from(trace / 4) * 1000)).collect();
    for (trace, start) in &starts {
        let name = if trace % 2 == 0 { "even" } else { "odd" };
        house.store(request(name, vec![lone(*trace, *start)])).await;
        if trace % 4 == 3 {
            flush(&house).await;
        }
    }
    (house, starts)
}

fn paged(page_size: u32, token: &str) -> TraceQueryParameters {
    let page_token = token.to_owned();
    TraceQueryParameters {
        pagination: Some(Pagination { page_size, page_token }),
        ..TraceQueryParameters::default()
    }
}

async fn ids(
    reader: &mut Reader,
    query: TraceQueryParameters,
) -> Result<(Vec<u32>, String), Status> {
    let answer = reader.find_trace_i_ds(FindTraceIDsRequest { query: Some(query) }).await?;
    let answer = answer.into_inner();
    let found = answer.trace_ids.iter().map(|found| number(&found.trace_id)).collect();
    Ok((found, answer.next_page_token))
}

/// The same through summaries; only the last chunk may carry a token.
async fn summaries(
    reader: &mut Reader,
    query: TraceQueryParameters,
) -> Result<(Vec<u32>, String), Status> {
    let query = FindTraceSummariesRequest { query: Some(query) };
    let mut stream = reader.find_trace_summaries(query).await?.into_inner();
    let (mut found, mut token) = (Vec::new(), String::new());
    while let Some(chunk) = stream.message().await? {
        assert_eq!(token, "", "a token stood before the last chunk");
        assert!(!chunk.summaries.is_empty());
        found.extend(chunk.summaries.iter().map(|summary| number(&summary.trace_id)));
        token = chunk.next_page_token;
    }
    Ok((found, token))
}

#[tokio::test]
async fn pages_of_any_size_are_the_whole_answer_cut_in_pieces() {
    let (house, traces) = market().await;
    let order = ordered(&traces);
    let mut reader = house.reader().await;
    for size in [1, 2, 3, 10, 11, 12, u32::MAX] {
        for by_summaries in [false, true] {
            let (mut walked, mut token) = (Vec::<u32>::new(), String::new());
            loop {
                let query = paged(size, &token);
                let (found, next) = match by_summaries {
                    true => summaries(&mut reader, query).await.unwrap(),
                    false => ids(&mut reader, query).await.unwrap(),
                };
                walked.extend(&found);
                let left = order.len() - walked.len();
                assert!(!found.is_empty() && found.len() as u64 <= u64::from(size));
                assert_eq!(next.is_empty(), left == 0, "{size}: {left} are left");
                if left == 0 {
                    break;
                }
                assert_eq!(found.len() as u64, u64::from(size), "only the last page is short");
                token = next;
            }
            assert_eq!(walked, order, "page size {size}");
        }
    }
    // Without pagination there is never a token, however much is left.
    let depth = TraceQueryParameters { search_depth: 2, ..TraceQueryParameters::default() };
    assert_eq!(ids(&mut reader, depth.clone()).await.unwrap(), (order[..2].into(), String::new()));
    assert_eq!(summaries(&mut reader, depth).await.unwrap(), (order[..2].into(), String::new()));
    let nothing = TraceQueryParameters { service_name: "nobody".into(), ..paged(5, "") };
    assert_eq!(ids(&mut reader, nothing.clone()).await.unwrap(), (vec![], String::new()));
    assert_eq!(summaries(&mut reader, nothing).await.unwrap(), (vec![], String::new()));
}

#[tokio::test]
async fn the_page_size_and_the_call_may_change_on_the_way() {
    let (house, traces) = market().await;
    let order = ordered(&traces);
    let mut reader = house.reader().await;
    let (first, token) = ids(&mut reader, paged(1, "")).await.unwrap();
    let (second, next) = summaries(&mut reader, paged(4, &token)).await.unwrap();
    let (third, end) = ids(&mut reader, paged(100, &next)).await.unwrap();
    assert_eq!([first, second, third].concat(), order);
    assert_eq!(end, "");
    // An older token still leads to where it led.
    let (again, _) = ids(&mut reader, paged(4, &token)).await.unwrap();
    assert_eq!(again, order[1..5]);
}

#[tokio::test]
async fn what_comes_in_between_pages_repeats_nothing_and_loses_nothing_older() {
    let (house, mut traces) = market().await;
    let order = ordered(&traces);
    let mut reader = house.reader().await;
    let (mut walked, token) = ids(&mut reader, paged(4, "")).await.unwrap();
    assert_eq!(walked, order[..4]);

    // A new trace before the place, one after it, one span more of a trace already delivered,
    // older than the place, and a newer one of a trace still to come.
    let (delivered, rising) = (order[0], order[9]);
    house.store(request("even", vec![lone(100, 9_000), lone(101, 1)])).await;
    let again = Span { span_id: vec![9; 8], ..lone(delivered, 2) };
    let risen = Span { span_id: vec![9; 8], ..lone(rising, 10_000) };
    house.store(request("even", vec![again, risen])).await;
    flush(&house).await;
    traces.extend([(101, 1)]);
    traces.remove(&rising);

    let (rest, end) = ids(&mut reader, paged(100, &token)).await.unwrap();
    walked.extend(rest);
    assert_eq!(walked, ordered(&traces));
    assert_eq!(end, "");
}

#[tokio::test]
async fn a_walk_goes_on_after_a_restart() {
    let (house, traces) = market().await;
    let (mut walked, token) = ids(&mut house.reader().await, paged(5, "")).await.unwrap();
    let house = house.reopen().await;
    let (rest, end) = summaries(&mut house.reader().await, paged(10, &token)).await.unwrap();
    walked.extend(rest);
    assert_eq!((walked, end), (ordered(&traces), String::new()));
}

fn assert_refused(answer: Result<(Vec<u32>, String), Status>, word: &str) {
    let status = answer.expect_err(word);
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let message = status.message();
    assert!(message.contains("invalid pagination") && message.contains(word), "{message}");
    let details = String::from_utf8_lossy(status.details()).into_owned();
    assert!(details.contains("PAGINATION_INVALID"), "{details}");
}

#[tokio::test]
async fn a_token_belongs_to_its_query() {
    let (house, _) = market().await;
    let mut reader = house.reader().await;
    let pair = |key: &str, value: any_value::Value| KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
    };
    let (_, token) = ids(&mut reader, paged(1, "")).await.unwrap();
    let year_one = Some(prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 });
    let same = TraceQueryParameters {
        start_time_min: year_one,
        duration_max: Some(prost_types::Duration::default()),
        ..paged(1, &token)
    };
    assert!(ids(&mut reader, same).await.is_ok(), "unset is unset, however it is written");
    let time = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    let length = Some(prost_types::Duration { seconds: 0, nanos: 1 });
    let text = any_value::Value::StringValue("v".into());
    for other in [
        TraceQueryParameters { service_name: "even".into(), ..paged(1, &token) },
        TraceQueryParameters { operation_name: "op-1".into(), ..paged(1, &token) },
        TraceQueryParameters { attributes: vec![pair("k", text.clone())], ..paged(1, &token) },
        TraceQueryParameters { start_time_min: time, ..paged(1, &token) },
        TraceQueryParameters { start_time_max: time, ..paged(1, &token) },
        TraceQueryParameters { duration_min: length, ..paged(1, &token) },
        TraceQueryParameters { duration_max: length, ..paged(1, &token) },
    ] {
        assert_refused(ids(&mut reader, other.clone()).await, "different query");
        assert_refused(summaries(&mut reader, other).await, "different query");
    }

    // Attributes count by key, in any order and of any type with the same text.
    let mut first = lone(200, 1);
    first.attributes = vec![crate::house::text("a", "1"), crate::house::text("b", "2")];
    let second = Span { trace_id: lone(201, 1).trace_id, ..first.clone() };
    house.store(request("even", vec![first, second])).await;
    let (a, b) = (any_value::Value::StringValue("1".into()), any_value::Value::IntValue(2));
    let both = vec![pair("a", a.clone()), pair("b", b)];
    let query = TraceQueryParameters { attributes: both, ..paged(1, "") };
    let (found, token) = ids(&mut reader, query).await.unwrap();
    assert_eq!(found, [200]);
    let turned = vec![pair("b", any_value::Value::StringValue("2".into())), pair("a", a)];
    let query = TraceQueryParameters { attributes: turned, ..paged(1, &token) };
    assert_eq!(ids(&mut reader, query).await.unwrap(), (vec![201], String::new()));
}

#[tokio::test]
async fn a_token_with_any_byte_changed_is_refused_and_never_a_fresh_search() {
    let (house, _) = market().await;
    let mut reader = house.reader().await;
    let (_, token) = ids(&mut reader, paged(2, "")).await.unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert_refused(ids(&mut reader, paged(2, &changed)).await, "page_token");
            assert_refused(summaries(&mut reader, paged(2, &changed)).await, "page_token");
        }
    }
    assert_refused(ids(&mut reader, paged(2, "not-a-token!")).await, "not valid base64");
    for foreign in [&token[..30], &format!("{token}AAAA"), "AAAA", " ", "\u{fffd}"] {
        assert_refused(ids(&mut reader, paged(2, foreign)).await, "page_token");
    }
    let asked = FindTracesRequest { query: Some(paged(2, &token)) };
    let status = reader.find_traces(asked).await.unwrap_err();
    assert!(status.message().contains("FindTraces has no pages"), "{status}");
    let deep = TraceQueryParameters { search_depth: 1, ..paged(2, &token) };
    assert_refused(ids(&mut reader, deep).await, "search_depth");
    assert_refused(ids(&mut reader, paged(0, &token)).await, "page_size");
}

/// The cap, and the token's place in a stream of many chunks.
#[tokio::test]
async fn a_page_larger_than_the_cap_is_cut_and_the_rest_follows() {
    let house = House::open().await;
    let spans = (0..10_001).map(|trace| lone(trace, u64::from(trace))).collect();
    house.store(request("shop", spans)).await;
    let mut reader = house.reader().await;
    let (first, token) = ids(&mut reader, paged(u32::MAX, "")).await.unwrap();
    assert_eq!((first.len(), first[0]), (10_000, 10_000));
    assert_eq!(ids(&mut reader, paged(9, &token)).await.unwrap(), (vec![0], String::new()));
    let (some, token) = summaries(&mut reader, paged(700, "")).await.unwrap();
    assert_eq!((some.len(), token.is_empty()), (700, false));
    let (more, _) = ids(&mut reader, paged(1, &token)).await.unwrap();
    assert_eq!(more, [9_300]);
}
