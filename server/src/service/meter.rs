//! What the waist counts. The doors and the waist call a [`Meter`]; whoever runs the server
//! decides what becomes of the figures. No label here has unbounded values.

use std::fmt;

use spanlake::Counts;

/// Listens to what passes the waist; must be quick and must not block.
pub trait Meter: fmt::Debug + Send + Sync + 'static {
    /// Spans that are durable and visible, by transport (`grpc`, `http`).
    fn accepted_spans(&self, transport: &'static str, spans: u64);
    /// Spans of Exports refused as a whole (1 where they cannot be counted), by reason.
    fn refused_spans(&self, transport: &'static str, reason: &'static str, spans: u64);
    /// Bad spans of Exports whose rest was stored, by reason.
    fn rejected_spans(&self, reason: &'static str, spans: u64);
    /// Bytes of OTLP protobuf received, after decompression.
    fn received_bytes(&self, bytes: u64);
    /// Time of one Export from its last byte to its answer.
    fn export_seconds(&self, seconds: f64);
    /// Accepted spans that start more than an hour before their arrival.
    fn late_spans(&self, spans: u64);
    /// Accepted spans whose clock is off, by direction (`future`).
    fn skewed_spans(&self, direction: &'static str, spans: u64);
    /// One question ended.
    fn query(&self, operation: &'static str, ok: bool, seconds: f64);
    /// What its reads did.
    fn query_work(&self, work: &Counts);
    /// A question begins.
    fn query_started(&self);
    /// It is over, whatever the answer.
    fn query_finished(&self);
    /// Spans sent in answers.
    fn returned_spans(&self, spans: u64);
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMeter;

impl Meter for NoMeter {
    fn accepted_spans(&self, _: &'static str, _: u64) {}
    fn refused_spans(&self, _: &'static str, _: &'static str, _: u64) {}
    fn rejected_spans(&self, _: &'static str, _: u64) {}
    fn received_bytes(&self, _: u64) {}
    fn export_seconds(&self, _: f64) {}
    fn late_spans(&self, _: u64) {}
    fn skewed_spans(&self, _: &'static str, _: u64) {}
    fn query(&self, _: &'static str, _: bool, _: f64) {}
    fn query_work(&self, _: &Counts) {}
    fn query_started(&self) {}
    fn query_finished(&self) {}
    fn returned_spans(&self, _: u64) {}
}
