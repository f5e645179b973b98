//! A made set, for any checkout: the shape of the data set that Jaeger's ClickHouse storage was
//! measured with: 10 spans a trace, 10 services, 11 attributes a span out of 97 keys with 1,000
//! values each. The same seed makes the same bytes.

use prost::Message as _;
use spanlake_proto::otlp::collector::ExportTraceServiceRequest;
use spanlake_proto::otlp::common::{AnyValue, InstrumentationScope, KeyValue, any_value};
use spanlake_proto::otlp::resource::Resource;
use spanlake_proto::otlp::trace::{ResourceSpans, ScopeSpans, Span, Status, status};

use crate::Result;
use crate::set::Set;

const SPANS_A_TRACE: usize = 10;
const SERVICES: u64 = 10;
const OPERATIONS_A_SERVICE: u64 = 6;
const ATTRIBUTES: usize = 11;
const KEYS: u64 = 97;
const VALUES: u64 = 1000;
/// Traces whose spans an SDK's batches hold together.
const TRACES_A_REQUEST: usize = 20;
/// A new trace every so many nanoseconds: a million of them in 10 days.
const TRACE_EVERY: u64 = 864_000_000;
/// When the set begins; copies are shifted anyway.
const BEGIN: u64 = 1_700_000_000_000_000_000;

/// SplitMix64: small, seeded, and good enough to draw data with.
#[derive(Debug, Clone)]
pub struct Draw(pub u64);

impl Draw {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound.max(1)
    }
}

/// A set of `traces` traces.
///
/// # Errors
/// Zero traces.
pub fn set(traces: usize, seed: u64) -> Result<Set> {
    let mut draw = Draw(seed);
    let firsts = (0..traces).step_by(TRACES_A_REQUEST);
    let requests = firsts.map(|first| {
        let last = traces.min(first + TRACES_A_REQUEST);
        request(first..last, &mut draw).encode_to_vec()
    });
    Set::of_requests("clickhouse-shape", requests)
}

fn request(traces: std::ops::Range<usize>, draw: &mut Draw) -> ExportTraceServiceRequest {
    let mut by_service: Vec<Vec<Span>> = vec![Vec::new(); SERVICES as usize];
    for trace in traces {
        for (service, span) in spans(BEGIN + trace as u64 * TRACE_EVERY, draw) {
            if let Some(spans) = by_service.get_mut(service as usize) {
                spans.push(span);
            }
        }
    }
    let filled = by_service.into_iter().enumerate().filter(|(_, spans)| !spans.is_empty());
    let resource_spans = filled.map(|(service, spans)| resource_spans(service as u64, spans));
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

/// One trace: a root, and children that start after their parent, each below an earlier span.
fn spans(begin: u64, draw: &mut Draw) -> Vec<(u64, Span)> {
    let mut trace_id = draw.number().to_be_bytes().to_vec();
    trace_id.extend(draw.number().to_be_bytes());
    let mut made: Vec<(u64, Span)> = Vec::with_capacity(SPANS_A_TRACE);
    for index in 0..SPANS_A_TRACE {
        let parent = index.checked_sub(1).map(|last| draw.below(last as u64 + 1) as usize);
        let parent = parent.and_then(|parent| made.get(parent));
        let parent_start = parent.map_or(begin, |(_, span)| span.start_time_unix_nano);
        let parent_id = parent.map(|(_, span)| span.span_id.clone()).unwrap_or_default();
        let service = draw.below(SERVICES);
        let start = parent_start + draw.below(2_000_000);
        let span = Span {
            trace_id: trace_id.clone(),
            span_id: draw.number().to_be_bytes().to_vec(),
            parent_span_id: parent_id,
            name: format!("/operation/{}", draw.below(OPERATIONS_A_SERVICE)),
            kind: 1 + draw.below(5) as i32,
            start_time_unix_nano: start,
            end_time_unix_nano: start + 10_000 + draw.below(50_000_000),
            attributes: (0..ATTRIBUTES).map(|_| attribute(draw)).collect(),
            status: (draw.below(50) == 0).then(|| Status {
                message: "the request failed".to_owned(),
                code: status::StatusCode::Error.into(),
            }),
            ..Span::default()
        };
        made.push((service, span));
    }
    made
}

fn attribute(draw: &mut Draw) -> KeyValue {
    let (key, value) = (draw.below(KEYS), draw.below(VALUES));
    // Each key has one type, as most keys of real programs do.
    let value = match key % 5 {
        0 => any_value::Value::IntValue(value as i64),
        1 => any_value::Value::BoolValue(value % 2 == 0),
        _ => any_value::Value::StringValue(format!("some-value-of-this-key-{value}")),
    };
    KeyValue {
        key: format!("some.attribute.key.{key}"),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn resource_spans(service: u64, spans: Vec<Span>) -> ResourceSpans {
    let name = any_value::Value::StringValue(format!("service-{service}"));
    let name = KeyValue {
        key: "service.name".to_owned(),
        value: Some(AnyValue { value: Some(name) }),
        ..KeyValue::default()
    };
    ResourceSpans {
        resource: Some(Resource { attributes: vec![name], ..Resource::default() }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "synthetic".to_owned(),
                ..InstrumentationScope::default()
            }),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}
