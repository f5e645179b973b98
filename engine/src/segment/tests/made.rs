//! Batches made up: plain ones as a shop's spans are, and odd ones with anything a span may carry.

use std::sync::Arc;

use bytes::Bytes;

use crate::batch::{Batch, Field, Fixed, Level, Value};
use crate::otlp::wire::put_bytes;
use crate::span::{ResourceContext, ScopeContext, SpanId, TraceId};
use crate::world::Dice;

/// Rolls below a limit.
pub(super) struct Rolls(Dice);

impl Rolls {
    pub(super) fn new(seed: u64) -> Self {
        Self(Dice::new(seed))
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0.roll() % limit
    }

    fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn any(&mut self) -> u64 {
        self.0.roll()
    }
}

/// A new allocation each time: equal resources must be found equal by value.
fn resource(number: u64) -> Arc<ResourceContext> {
    let (mut pair, mut any, mut inner, mut bytes) = (vec![], vec![], vec![], vec![]);
    put_bytes(&mut pair, 1, b"service.name");
    put_bytes(&mut any, 1, format!("service-{}", number % 7).as_bytes());
    put_bytes(&mut pair, 2, &any);
    put_bytes(&mut inner, 1, &pair);
    put_bytes(&mut bytes, 1, &inner);
    if number > 7 {
        // Equal attributes, another schema: equal text for other readers, another resource.
        put_bytes(&mut bytes, 3, b"schema");
    }
    let service = match number {
        0 => String::new(),
        n => format!("service-{}", n % 7),
    };
    let bytes = if number == 0 { Vec::new() } else { bytes };
    Arc::new(ResourceContext { bytes: bytes.into(), service: service.into() })
}

fn scope(number: u64) -> Arc<ScopeContext> {
    let (mut inner, mut bytes) = (Vec::new(), Vec::new());
    put_bytes(&mut inner, 1, format!("scope \"{number}\"").as_bytes());
    put_bytes(&mut bytes, 1, &inner);
    Arc::new(ScopeContext { bytes: bytes.into() })
}

const KEYS: [&[u8]; 9] = [
    b"http.method",
    b"http_method",
    b"HTTP.METHOD",
    b"",
    b"a",
    b"\xff broken",
    "schl\u{fc}ssel".as_bytes(),
    b"id",
    b"raw",
];
const TEXTS: [&[u8]; 8] = [
    b"",
    b"GET",
    b"\xc3 broken \xff",
    b"0f8fad5b-d9cb-469f-a165-70867728950e",
    "\u{1f980}".as_bytes(),
    b"GET",
    b"a\"b\\c\n",
    &[b'x'; 3000],
];
const NUMBERS: [u64; 6] = [0, 1, u64::MAX, 1 << 63, 0x7ff8_0000_0000_0001, 0x4009_21fb_5444_2d18];

fn odd_attribute(batch: &mut Batch, level: Level, rolls: &mut Rolls) {
    let key = rolls.pick(&KEYS);
    let text = rolls.pick(&TEXTS);
    let number = rolls.pick(&NUMBERS);
    let value = match rolls.below(10) {
        0..3 => Value::String(text),
        3 => Value::Bool(number & 1 == 1),
        4 | 5 => Value::Int(number as i64),
        6 => Value::Double(number),
        7 => Value::Bytes(text),
        // An empty array, a map of "a" to nothing.
        8 => Value::Other(rolls.pick(&[b"\x2a\x00", b"\x32\x05\x0a\x03\x0a\x01a"])),
        _ => rolls.pick(&[Value::Empty, Value::Missing]),
    };
    batch.push_attribute(level, key, value);
}

fn maybe_text(batch: &mut Batch, field: Field, rolls: &mut Rolls) {
    let text = rolls.pick(&TEXTS);
    if rolls.one_in(4) && !text.is_empty() {
        batch.push_field_text(field, text);
    }
}

fn maybe_number(batch: &mut Batch, field: Field, rolls: &mut Rolls) {
    if rolls.one_in(5) {
        batch.push_field(field, rolls.pick(&[1, 7, u64::from(u32::MAX)]));
    }
}

fn odd_event(batch: &mut Batch, rolls: &mut Rolls) {
    batch.push_field(Field::EventTime, rolls.pick(&NUMBERS));
    maybe_text(batch, Field::EventName, rolls);
    (0..rolls.below(3)).for_each(|_| odd_attribute(batch, Level::Event, rolls));
    maybe_number(batch, Field::EventDropped, rolls);
}

fn odd_link(batch: &mut Batch, rolls: &mut Rolls) {
    batch.push_field_text(Field::LinkTraceId, rolls.pick(&[b"", b"ABCDEFGHIJKLMNOP"]));
    if rolls.one_in(2) {
        batch.push_field_text(Field::LinkSpanId, rolls.pick(&[b"abcdefgh", &[0; 8]]));
    }
    maybe_text(batch, Field::LinkTraceState, rolls);
    (0..rolls.below(2)).for_each(|_| odd_attribute(batch, Level::Link, rolls));
    maybe_number(batch, Field::LinkDropped, rolls);
    maybe_number(batch, Field::LinkFlags, rolls);
}

/// Spans with anything at all, of a few traces, in `sources` batches.
pub(super) fn odd(rows: u64, sources: usize, seed: u64) -> Vec<Batch> {
    let mut rolls = Rolls::new(seed);
    let mut batches: Vec<Batch> = Vec::new();
    batches.resize_with(sources, Batch::default);
    for _ in 0..rows {
        let at = rolls.below(sources as u64) as usize;
        odd_row(&mut batches[at], &mut rolls);
    }
    batches
}

fn odd_row(batch: &mut Batch, rolls: &mut Rolls) {
    let parent = rolls.pick(&[0, 0, 1, 2, 3, 99]);
    maybe_text(batch, Field::TraceState, rolls);
    if parent == 0 && rolls.one_in(3) {
        batch.push_field(Field::ZeroParent, 0);
    }
    (0..rolls.below(6)).for_each(|_| odd_attribute(batch, Level::Span, rolls));
    maybe_number(batch, Field::DroppedAttributes, rolls);
    (0..rolls.below(8).saturating_sub(5)).for_each(|_| odd_event(batch, rolls));
    maybe_number(batch, Field::DroppedEvents, rolls);
    (0..rolls.below(8).saturating_sub(5)).for_each(|_| odd_link(batch, rolls));
    maybe_number(batch, Field::DroppedLinks, rolls);
    let status = rolls.pick(&[0, 1, 2, -1]);
    if status != 0 || rolls.one_in(4) {
        batch.push_field(Field::Status, 0);
        maybe_text(batch, Field::StatusMessage, rolls);
    }
    maybe_number(batch, Field::Flags, rolls);
    let (number, scope_number) = (rolls.below(10), rolls.below(4));
    let resource = batch.add_resource(&resource(number));
    let scope = batch.add_scope(&scope(scope_number));
    let time = [1000, 1001, 1002, 1003, 0, u64::MAX, 1 << 63, i64::MAX as u64];
    let fixed = Fixed {
        trace_id: TraceId((u128::from(rolls.below(6)) << 100 | 1).to_be_bytes()),
        span_id: SpanId((1 + rolls.below(4)).to_be_bytes()),
        parent: SpanId(u64::to_be_bytes(parent)),
        start: rolls.pick(&time),
        end: rolls.pick(&time),
        kind: rolls.pick(&[0, 1, 2, 3, 4, 5, -1, i32::MIN, i32::MAX]),
        status,
        name: rolls.pick(&TEXTS),
        resource,
        scope,
        sequence: 5 + rolls.below(9),
    };
    batch.close_row(&fixed, None);
    if rolls.one_in(10) {
        // An unknown field, which cells cannot hold.
        let row = batch.rows() - 1;
        let mut raw = super::span(batch, row);
        put_bytes(&mut raw, 99, b"from the future");
        batch.raw.insert(row as u32, Bytes::from(raw));
    }
}

/// A shop's traces: plausible sizes, repeats and near-unique values.
pub(super) fn shop(spans: usize, seed: u64) -> Vec<Batch> {
    let mut rolls = Rolls::new(seed);
    let mut batches: Vec<Batch> = Vec::new();
    batches.resize_with(3, Batch::default);
    let (mut count, mut clock) = (0, 1_700_000_000_000_000_000);
    while count < spans {
        clock += rolls.below(3_000_000);
        let trace =
            TraceId((u128::from(rolls.any()) << 64 | u128::from(rolls.any())).to_be_bytes());
        let mut ids: Vec<SpanId> = Vec::new();
        for index in 0..(1 + rolls.below(12)).min((spans - count) as u64) {
            let batch = rolls.below(3) as usize;
            let parent = ids.get(rolls.below(index + 1) as usize).copied().unwrap_or_default();
            let id = SpanId(rolls.any().to_be_bytes());
            ids.push(id);
            let start = clock + index * 100_000 + rolls.below(90_000);
            shop_row(&mut batches[batch], trace, (id, parent), start, &mut rolls);
            count += 1;
        }
    }
    batches
}

fn shop_row(
    batch: &mut Batch,
    trace_id: TraceId,
    (span_id, parent): (SpanId, SpanId),
    start: u64,
    rolls: &mut Rolls,
) {
    let operation = rolls.below(40);
    for (key, text) in [
        ("http.method", "GET".to_owned()),
        ("http.route", format!("/api/v1/thing-{operation}")),
        ("net.peer.ip", format!("10.0.{}.{}", rolls.below(4), rolls.below(250))),
        ("request.id", format!("{:016x}", rolls.any())),
    ] {
        batch.push_attribute(Level::Span, key.as_bytes(), Value::String(text.as_bytes()));
    }
    let code = Value::Int(200 + rolls.below(3) as i64);
    batch.push_attribute(Level::Span, b"http.status_code", code);
    batch.push_attribute(
        Level::Span,
        b"ratio",
        Value::Double(f64::to_bits(operation as f64 / 7.0)),
    );
    batch.push_attribute(Level::Span, b"cached", Value::Bool(operation == 3));
    if operation == 7 {
        for at in 0..2 {
            batch.push_field(Field::EventTime, at * 1000);
            batch.push_field_text(Field::EventName, b"exception");
            let message = Value::String(b"it broke");
            batch.push_attribute(Level::Event, b"exception.message", message);
        }
        batch.push_field(Field::Status, 0);
    }
    let name = format!("GET /api/v1/thing-{operation}");
    let (resource_at, scope_at) = (operation % 6, operation % 3);
    let resource = batch.add_resource(&resource(resource_at));
    let scope = batch.add_scope(&scope(scope_at));
    let fixed = Fixed {
        trace_id,
        span_id,
        parent,
        start,
        end: start + rolls.below(5_000_000),
        kind: 1 + (operation % 5) as i32,
        status: if operation == 7 { 2 } else { 0 },
        name: name.as_bytes(),
        resource,
        scope,
        sequence: 5,
    };
    batch.close_row(&fixed, None);
}
