//! Spans made up: a message with any of its fields, and rows that agree with it.

use std::sync::Arc;

use bytes::Bytes;

use crate::segment::blob::{put_bytes, put_varint};
use crate::span::{ResourceContext, ScopeContext, SpanId, SpanRow, TraceId};
use crate::world::Dice;

/// The fields of a message; [`Message::row`] encodes them canonically.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) trace_state: Vec<u8>,
    /// `Some(0)`: eight zero bytes on the wire.
    pub(super) parent: Option<u64>,
    pub(super) name: Vec<u8>,
    pub(super) kind: i32,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Encoded fields from 9 on, unknown ones included.
    pub(super) tail: Vec<u8>,
    pub(super) status: i32,
    pub(super) resource: u8,
    pub(super) scope: u8,
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.push(0x0a);
        put_bytes(&mut out, &self.trace.to_be_bytes());
        out.push(0x12);
        put_bytes(&mut out, &self.span.to_be_bytes());
        if !self.trace_state.is_empty() {
            out.push(0x1a);
            put_bytes(&mut out, &self.trace_state);
        }
        if let Some(parent) = self.parent {
            out.push(0x22);
            put_bytes(&mut out, &parent.to_be_bytes());
        }
        if !self.name.is_empty() {
            out.push(0x2a);
            put_bytes(&mut out, &self.name);
        }
        if self.kind != 0 {
            out.push(0x30);
            put_varint(&mut out, i64::from(self.kind) as u64);
        }
        for (tag, time) in [(0x39, self.start), (0x41, self.end)] {
            if time != 0 {
                out.push(tag);
                out.extend_from_slice(&time.to_le_bytes());
            }
        }
        out.extend_from_slice(&self.tail);
        out
    }

    pub(super) fn row(&self) -> SpanRow {
        self.row_with(self.encode().into())
    }

    /// The row with another message than its own.
    pub(super) fn row_with(&self, span: Bytes) -> SpanRow {
        SpanRow {
            trace_id: TraceId(self.trace.to_be_bytes()),
            span_id: SpanId(self.span.to_be_bytes()),
            parent: self.parent.filter(|&id| id != 0).map(|id| SpanId(id.to_be_bytes())),
            start: self.start,
            end: self.end,
            kind: self.kind,
            status: self.status,
            name: self.name.clone().into(),
            resource: resource(self.resource),
            scope: scope(self.scope),
            span,
            sequence: 5 + u64::from(self.resource),
        }
    }
}

/// A new allocation each time: equal resources must be found equal by value.
fn resource(number: u8) -> Arc<ResourceContext> {
    let service = match number {
        0 => String::new(),
        n => format!("service-{}", n % 7),
    };
    Arc::new(ResourceContext {
        bytes: vec![number; usize::from(number) * 3].into(),
        service: service.into(),
    })
}

fn scope(number: u8) -> Arc<ScopeContext> {
    Arc::new(ScopeContext { bytes: vec![number; usize::from(number % 5)].into() })
}

/// A shop's traces: plausible sizes and repeats, the same for the same seed.
pub(super) fn shop(spans: usize, seed: u64) -> Vec<SpanRow> {
    let mut dice = Dice::new(seed);
    let mut rows = Vec::with_capacity(spans);
    let mut clock = 1_700_000_000_000_000_000;
    while rows.len() < spans {
        clock += dice.roll() % 3_000_000;
        let trace = u128::from(dice.roll()) << 64 | u128::from(dice.roll());
        let mut ids: Vec<u64> = Vec::new();
        for index in 0..(1 + dice.roll() % 12).min((spans - rows.len()) as u64) {
            let operation = dice.roll() % 40;
            let start = clock + index * 100_000 + dice.roll() % 90_000;
            let span = dice.roll();
            let message = Message {
                trace,
                span,
                parent: ids.get((dice.roll() % (index + 1)) as usize).copied(),
                name: format!("GET /api/v1/thing-{operation}").into_bytes(),
                kind: 1 + (operation % 5) as i32,
                start,
                end: start + dice.roll() % 5_000_000,
                tail: attributes(operation, &mut dice),
                resource: (operation % 11) as u8,
                scope: (operation % 3) as u8,
                status: if operation == 7 { 2 } else { 0 },
                ..Message::default()
            };
            ids.push(span);
            rows.push(message.row());
        }
    }
    super::sorted(rows)
}

fn attributes(operation: u64, dice: &mut Dice) -> Vec<u8> {
    let mut out = Vec::new();
    let values = [
        ("http.method", "GET".to_owned()),
        ("http.route", format!("/api/v1/thing-{operation}")),
        ("http.status_code", format!("{}", 200 + dice.roll() % 3)),
        ("net.peer.ip", format!("10.0.{}.{}", dice.roll() % 4, dice.roll() % 250)),
        ("request.id", format!("{:016x}", dice.roll())),
        ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Firefox/128".to_owned()),
    ];
    for (key, value) in values {
        let (mut any, mut pair) = (vec![0x0a], vec![0x0a]);
        put_bytes(&mut any, value.as_bytes());
        put_bytes(&mut pair, key.as_bytes());
        pair.push(0x12);
        put_bytes(&mut pair, &any);
        out.push(9 << 3 | 2);
        put_bytes(&mut out, &pair);
    }
    out
}
