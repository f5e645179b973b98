//! Byte-for-byte equality of everything, for ordinary and for odd spans.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use proptest::prelude::*;

use super::made::{Message, shop};
use super::{assert_same, built, open, sorted, terms};
use crate::segment::{BLOCK_ROWS, Columns, Facts, GROUP_BLOCKS, fingerprint};
use crate::span::{SpanKind, SpanRow, TraceId};

/// A tail of fields 9 and up, unknown ones, or anything at all.
fn tail() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => Just(Vec::new()),
        3 => prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| {
            let mut out = vec![0x4a];
            crate::segment::blob::put_bytes(&mut out, &bytes);
            out.extend_from_slice(&[0x85, 0x01, 1, 2, 3, 4]);
            out
        }),
        1 => Just(vec![7; 300_000]),
        // Unknown field 99, and what looks like fields that stand in columns.
        1 => Just(vec![0x9a, 0x06, 1, 0xff]),
        1 => Just(vec![0x1a, 1, b'x']),
        1 => Just(vec![0x22, 8, 1, 2, 3, 4, 5, 6, 7, 8]),
        1 => Just(vec![0x41, 0, 0, 0, 0, 0, 0, 0, 0]),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 1_000u64..1_100,
        1 => Just(0), 1 => Just(u64::MAX), 1 => Just(1 << 63), 1 => any::<u64>(),
    ]
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[a-c]{1,2}".prop_map(String::into_bytes),
        1 => Just(Vec::new()),
        1 => Just(b"\xff\xfe broken \xc3".to_vec()),
        1 => Just("näme".as_bytes().to_vec()),
        1 => Just(vec![b'x'; 200]),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let ids = (0u128..6, 0u64..5, prop::option::of(0u64..3));
    let kind = prop_oneof![0..6, Just(-1), Just(i32::MIN), Just(99), Just(i32::MAX)];
    let state = prop_oneof![Just(Vec::new()), Just(b"a=b".to_vec()), Just(vec![b's'; 500])];
    (ids, name(), kind, (time(), time()), tail(), state, (0..4i32, 0..9u8, 0..6u8)).prop_map(
        |((trace, span, parent), name, kind, (start, end), tail, trace_state, shared)| Message {
            trace: trace << 100,
            span,
            trace_state,
            parent,
            name,
            kind,
            start,
            end,
            tail,
            status: shared.0 - 1,
            resource: shared.1,
            scope: shared.2,
        },
    )
}

/// Mostly the row's own message; sometimes one that says something else, or nothing at all.
fn row() -> impl Strategy<Value = SpanRow> {
    (message(), 0..12u8, prop::collection::vec(any::<u8>(), 0..30)).prop_map(
        |(message, choice, noise)| {
            let own = message.encode();
            match choice {
                0 => message.row_with(noise.into()),
                1 => message.row_with(Bytes::new()),
                2 => message.row_with(own[..own.len() / 2].to_vec().into()),
                3 => {
                    let other = Message { name: b"other".to_vec(), ..message.clone() };
                    message.row_with(other.encode().into())
                }
                4 => message.row_with([&own[18..], &own[..18]].concat().into()),
                _ => message.row(),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_come_back(rows in prop::collection::vec(row(), 1..60)) {
        let rows = sorted(rows);
        let built = built(&rows);
        let segment = open(&built.bytes).unwrap();
        segment.verify().unwrap();
        prop_assert_eq!(segment.facts(), &built.facts);
        assert_same(&segment.read(0..segment.rows(), Columns::Payload).unwrap(), &rows, true);
        assert_same(&segment.read(0..segment.rows(), Columns::Fixed).unwrap(), &rows, false);
    }
}

#[test]
fn every_range_of_rows_over_blocks_and_row_groups() {
    let rows = shop(BLOCK_ROWS * GROUP_BLOCKS + 2 * BLOCK_ROWS + 17, 3);
    let built = built(&rows);
    let segment = open(&built.bytes).unwrap();
    let (block, group, all) =
        (BLOCK_ROWS as u32, (BLOCK_ROWS * GROUP_BLOCKS) as u32, rows.len() as u32);
    let ranges = [
        0..all,
        0..0,
        all..all,
        0..1,
        all - 1..all,
        block - 1..block + 1,
        block..2 * block,
        group - 1..group + 1,
        group..group + 1,
        group - block - 5..group + block + 5,
    ];
    for range in ranges {
        let sent = &rows[range.start as usize..range.end as usize];
        assert_same(&segment.read(range.clone(), Columns::Payload).unwrap(), sent, true);
        assert_same(&segment.read(range, Columns::Fixed).unwrap(), sent, false);
    }
    assert!(segment.read(0..all + 1, Columns::Fixed).is_err());
    #[expect(clippy::reversed_empty_ranges, reason = "a caller's mistake must not panic")]
    let reversed = segment.read(2..1, Columns::Fixed);
    assert!(reversed.is_err());
    segment.verify().unwrap();
}

#[test]
fn blocks_bound_their_rows_and_know_their_terms() {
    let rows = shop(3 * BLOCK_ROWS + 100, 4);
    let segment = open(&built(&rows).bytes).unwrap();
    assert_eq!(segment.blocks().len(), 4);
    let mut maybe = 0;
    for (index, (block, sent)) in segment.blocks().iter().zip(rows.chunks(BLOCK_ROWS)).enumerate() {
        assert_eq!((block.first_row, block.rows), ((index * BLOCK_ROWS) as u32, sent.len() as u32));
        assert_eq!(block.start_min, sent.iter().map(|r| r.start).min().unwrap());
        assert_eq!(block.start_max, sent.iter().map(|r| r.start).max().unwrap());
        for row in sent {
            terms(row, &mut |term| assert!(segment.may_contain(index, term)));
        }
        maybe += (0..10_000).filter(|n| segment.may_contain(index, fingerprint(&id(*n)))).count();
    }
    assert!(maybe < 40_000 / 50, "{maybe} of 40,000 absent terms may be there");
}

fn id(number: u128) -> TraceId {
    TraceId(number.to_be_bytes())
}

/// Counts reads.
#[derive(Debug)]
struct Counting(super::MemoryFile, std::sync::atomic::AtomicUsize);

impl crate::world::ReadFile for Counting {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn read_many(&self, ranges: &[std::ops::Range<u64>]) -> std::io::Result<Vec<Bytes>> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.read_many(ranges)
    }
}

#[test]
fn traces_are_located_and_unknown_ones_cost_no_read() {
    let rows = shop(5_000, 5);
    let bytes = built(&rows).bytes;
    let file = Arc::new(Counting(super::MemoryFile(bytes.into()), 0.into()));
    let segment = super::Segment::open(Arc::clone(&file) as _, "counted").unwrap();
    let mut at = 0;
    let mut listed = BTreeSet::new();
    for trace in rows.chunk_by(|a, b| a.trace_id == b.trace_id) {
        let range = at..at + trace.len() as u32;
        let located = segment.locate(&trace[0].trace_id).unwrap();
        assert_eq!(located, Some(range.clone()));
        assert!(segment.may_hold(&trace[0].trace_id));
        listed.insert((fingerprint(&trace[0].trace_id), range.start, range.end));
        at = range.end;
    }
    let traces: Vec<_> = segment.traces().map(|(f, r)| (f, r.start, r.end)).collect();
    assert!(traces.is_sorted());
    assert_eq!(traces, listed.into_iter().collect::<Vec<_>>());
    assert_eq!(segment.facts().traces, traces.len() as u64);
    let before = file.1.load(std::sync::atomic::Ordering::Relaxed);
    for number in 0..1_000 {
        assert_eq!(segment.locate(&id(number)).unwrap(), None);
        assert!(!segment.may_hold(&id(number)));
    }
    assert_eq!(file.1.load(std::sync::atomic::Ordering::Relaxed), before);
}

#[test]
fn operations_and_facts_are_those_of_the_rows() {
    let mut rows = shop(2_000, 6);
    rows[0].sequence = 3;
    rows[1_999].sequence = 90;
    let built = built(&rows);
    let segment = open(&built.bytes).unwrap();
    let mut sent: BTreeSet<(String, String, SpanKind)> = BTreeSet::new();
    for row in &rows {
        let name = String::from_utf8_lossy(&row.name).into_owned();
        sent.insert((row.resource.service.to_string(), name, SpanKind::from_number(row.kind)));
    }
    let listed: Vec<_> = segment
        .operations()
        .iter()
        .map(|(service, o)| (service.to_string(), o.name.clone(), o.kind))
        .collect();
    assert_eq!(listed, sent.into_iter().collect::<Vec<_>>());
    let expected = Facts {
        format: 0,
        spans: 2_000,
        traces: rows.chunk_by(|a, b| a.trace_id == b.trace_id).count() as u64,
        bytes: built.bytes.len() as u64,
        start_min: rows.iter().map(|r| r.start).min().unwrap(),
        start_max: rows.iter().map(|r| r.start).max().unwrap(),
        end_max: rows.iter().map(|r| r.end).max().unwrap(),
        sequence_min: 3,
        sequence_max: 90,
    };
    assert_eq!(built.facts, expected);
    assert_eq!(segment.facts(), &expected);
    assert!(segment.memory_bytes() > 0);
}

#[test]
fn rows_share_resources_and_scopes() {
    let segment = open(&built(&shop(500, 7)).bytes).unwrap();
    let (a, b) = (
        segment.read(0..500, Columns::Fixed).unwrap(),
        segment.read(0..500, Columns::Payload).unwrap(),
    );
    for (a, b) in a.iter().zip(&b) {
        assert!(Arc::ptr_eq(&a.resource, &b.resource) && Arc::ptr_eq(&a.scope, &b.scope));
    }
}

/// A trace of giant spans: its pages are cut by bytes, inside a block.
#[test]
fn giant_spans_come_back_over_many_pages() {
    let giant = |span| Message {
        trace: 1,
        span,
        start: 9,
        tail: vec![span as u8; 700_000],
        ..Message::default()
    };
    let mut rows: Vec<SpanRow> = (0..7).map(|span| giant(span).row()).collect();
    rows.push(giant(8).row_with(vec![1; 3_000_000].into()));
    let rows = sorted(rows);
    let segment = open(&built(&rows).bytes).unwrap();
    for at in 0..8 {
        let read = segment.read(at..at + 1, Columns::Payload).unwrap();
        assert_same(&read, &rows[at as usize..at as usize + 1], true);
    }
    segment.verify().unwrap();
}

#[test]
fn rows_out_of_order_or_none_are_refused() {
    let row = |trace, span, start| Message { trace, span, start, ..Message::default() }.row();
    let mut no_terms = |_: &SpanRow, _: &mut dyn FnMut(u64)| {};
    let mut refused = |rows: &[SpanRow]| super::build(rows, &mut no_terms).is_err();
    assert!(refused(&[]));
    assert!(refused(&[row(1, 1, 5), row(1, 2, 4)]));
    assert!(refused(&[row(1, 2, 5), row(1, 1, 5)]));
    assert!(refused(&[row(1, 1, 5), row(2, 1, 4)]));
    assert!(refused(&[row(2, 1, 5), row(1, 1, 5)]));
    assert!(refused(&[row(1, 1, 5), row(2, 1, 6), row(1, 1, 7)]));
    assert!(!refused(&[row(1, 1, 5), row(1, 1, 5), row(2, 1, 5)]), "two copies are two rows");
}

/// What every other Parquet reader sees.
#[test]
fn it_is_an_ordinary_parquet_file() {
    let mut rows = shop(BLOCK_ROWS * GROUP_BLOCKS + 10, 8);
    rows[5].name = Bytes::from_static(b"bad \xff name");
    let reader = SerializedFileReader::new(Bytes::from(built(&rows).bytes)).unwrap();
    assert_eq!(reader.metadata().num_row_groups(), 2);
    let mut seen = 0;
    for (record, sent) in reader.get_row_iter(None).unwrap().zip(&rows) {
        let record = record.unwrap();
        let column = |name| {
            record
                .get_column_iter()
                .find(|(n, _)| n.as_str() == name)
                .map(|(_, f)| f.clone())
                .unwrap()
        };
        let Field::Bytes(id) = column("trace_id") else { panic!("trace_id") };
        assert_eq!(id.data(), sent.trace_id.0);
        assert_eq!(column("start_time_unix_nano"), Field::ULong(sent.start));
        assert_eq!(column("duration_nano"), Field::Long(sent.end.wrapping_sub(sent.start) as i64));
        assert_eq!(column("service"), Field::Str(sent.resource.service.to_string()));
        assert_eq!(column("name"), Field::Str(String::from_utf8_lossy(&sent.name).into_owned()));
        assert_eq!(column("kind"), Field::Int(sent.kind));
        seen += 1;
    }
    assert_eq!(seen, rows.len());
}
