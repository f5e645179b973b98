//! Traces too large to be read whole: streamed part by part, from head and segments, with retries
//! in between, and still each copy once.

use std::collections::HashMap;

use bytes::Bytes;

use crate::otlp::wire::{Fields, Value, put_bytes, put_tag};
use crate::query::request::Cancel;
use crate::{Options, Store, Tenancy, TraceId};

const TRACE: [u8; 16] = [7; 16];
const SPANS: u64 = 6000;

fn span(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, &TRACE);
    put_bytes(&mut out, 2, &(number + 1).to_be_bytes());
    put_bytes(&mut out, 5, format!("operation {}", number % 7).as_bytes());
    put_tag(&mut out, 7, 1);
    out.extend_from_slice(&(1_700_000_000_000_000_000 + number * 1000).to_le_bytes());
    out
}

/// An Export of these spans.
fn export(numbers: impl Iterator<Item = u64>) -> Bytes {
    let mut scope = Vec::new();
    numbers.for_each(|number| put_bytes(&mut scope, 2, &span(number)));
    let (mut resource, mut request) = (Vec::new(), Vec::new());
    put_bytes(&mut resource, 2, &scope);
    put_bytes(&mut request, 1, &resource);
    Bytes::from(request)
}

fn children(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Fields::new(message).map(|f| f.unwrap()).filter_map(move |f| match f.value {
        Value::Bytes(bytes) if f.number == number => Some(bytes),
        _ => None,
    })
}

/// How often each span comes back.
fn copies(store: &Store) -> HashMap<Vec<u8>, usize> {
    let ids = vec![TraceId(TRACE)];
    let mut stream = store.view().get_traces(&Tenancy::default(), ids, Cancel::new());
    let mut seen = HashMap::new();
    while let Some(chunk) = stream.next_chunk(10_000).unwrap() {
        assert!(chunk.spans > 0);
        let resources = children(&chunk.otlp, 1);
        for span in resources.flat_map(|r| children(r, 2)).flat_map(|s| children(s, 2)) {
            *seen.entry(span.to_vec()).or_default() += 1;
        }
    }
    seen
}

#[test]
fn a_large_trace_comes_back_once_from_head_and_segments() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    let ingest = |otlp: Bytes| store.ingest(&Tenancy::default(), otlp).unwrap();
    let expect = |copies_of_ten: usize| {
        let mut seen = copies(&store);
        assert_eq!(seen.remove(&span(10)), Some(copies_of_ten));
        assert_eq!(seen.len() as u64, SPANS - 1);
        assert!(seen.values().all(|&copies| copies == 1));
    };
    // Head alone, in pieces and out of order, then a retry of everything.
    ingest(export((0..SPANS).filter(|n| n % 2 == 1)));
    ingest(export((0..SPANS).filter(|n| n % 2 == 0)));
    ingest(export(0..SPANS));
    expect(1);
    // A segment; then the head repeats all of it, one span twice in one Export.
    store.flush().unwrap();
    expect(1);
    ingest(export((0..SPANS).chain([10])));
    expect(2);
    let view = store.view();
    let summaries = view.find_summaries(&Tenancy::default(), &Default::default(), &Cancel::new());
    assert_eq!(summaries.unwrap()[0].span_count, SPANS + 1);
    // The seal keeps what the segment lacked: one copy.
    store.flush().unwrap();
    expect(2);
    assert_eq!(store.stats().segment_spans, SPANS + 1);
    assert_eq!(store.stats().duplicate_spans, 2 * SPANS);
}
