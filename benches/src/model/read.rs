//! Builds the model from the set, with prost's decoding. Each unit is decoded as it was recorded
//! and as copy 1 has it, which tells what varies.

use std::collections::{HashMap, HashSet};

use prost::Message as _;
use spanlake_proto::otlp::collector::ExportTraceServiceRequest;
use spanlake_proto::otlp::common::{AnyValue, KeyValue, any_value};
use spanlake_proto::otlp::trace::{self as otlp, ResourceSpans};

use super::{Model, Pair, Span, Trace};
use crate::Result;
use crate::scale::Scale;

/// Keys by which Jaeger asks for something other than an attribute.
const SPECIAL: [&str; 5] = ["error", "span.kind", "span.status", "scope.name", "scope.version"];

impl Model {
    /// The model of a scaled set.
    ///
    /// # Errors
    /// The set does not decode.
    pub fn of(scale: Scale) -> Result<Self> {
        let mut reading = Reading::new(scale);
        for unit in 0..reading.model.scale.set().units().len() {
            let was = ResourceSpans::decode(reading.model.scale.set().unit(unit).0)?;
            let mut other = Vec::new();
            reading.model.scale.write(1, unit, &mut other);
            for other in ExportTraceServiceRequest::decode(other.as_slice())?.resource_spans {
                reading.resource_spans(unit as u32, &was, &other)?;
            }
        }
        Ok(reading.finish())
    }
}

struct Reading {
    model: Model,
    names: HashMap<String, u32>,
    traces: HashMap<[u8; 16], u32>,
    pairs: HashMap<(String, String), u32>,
    odd_keys: HashSet<String>,
}

impl Reading {
    fn new(scale: Scale) -> Self {
        let model = Model {
            scale,
            names: Vec::new(),
            spans: Vec::new(),
            traces: Vec::new(),
            pairs: Vec::new(),
            span_pairs: Vec::new(),
        };
        Self {
            model,
            names: HashMap::new(),
            traces: HashMap::new(),
            pairs: HashMap::new(),
            odd_keys: HashSet::new(),
        }
    }

    fn resource_spans(
        &mut self,
        unit: u32,
        was: &ResourceSpans,
        other: &ResourceSpans,
    ) -> Result<()> {
        let attributes = |of: &ResourceSpans| {
            of.resource.as_ref().map_or(Vec::new(), |resource| resource.attributes.clone())
        };
        let service = service(&attributes(was));
        let shared = self.pairs(&attributes(was), &attributes(other));
        for (was, other) in was.scope_spans.iter().zip(&other.scope_spans) {
            let mut shared = shared.clone();
            if let (Some(was), Some(other)) = (&was.scope, &other.scope) {
                shared.extend(self.pairs(&was.attributes, &other.attributes));
            }
            for (was, other) in was.spans.iter().zip(&other.spans) {
                self.span(unit, &service, shared.clone(), was, other)?;
            }
        }
        Ok(())
    }

    fn span(
        &mut self,
        unit: u32,
        service: &str,
        mut pairs: Vec<u32>,
        was: &otlp::Span,
        other: &otlp::Span,
    ) -> Result<()> {
        pairs.extend(self.pairs(&was.attributes, &other.attributes));
        for (was, other) in was.events.iter().zip(&other.events) {
            pairs.extend(self.pairs(&was.attributes, &other.attributes));
        }
        for (was, other) in was.links.iter().zip(&other.links) {
            pairs.extend(self.pairs(&was.attributes, &other.attributes));
        }
        pairs.sort_unstable();
        pairs.dedup();
        for &pair in &pairs {
            if let Some(pair) = self.model.pairs.get_mut(pair as usize) {
                pair.spans += 1;
            }
        }
        let id = was.trace_id.as_slice().try_into().map_err(|_| "a trace id is not 16 bytes")?;
        let trace = self.trace(id);
        let begin = self.model.span_pairs.len();
        self.model.span_pairs.extend(pairs);
        let span = Span {
            trace,
            unit,
            service: self.name(service),
            name: self.name(&was.name),
            kind: was.kind,
            start: was.start_time_unix_nano,
            end: was.end_time_unix_nano,
            error: was.status.as_ref().is_some_and(|status| status.code == 2),
            id: was.span_id.as_slice().try_into().map_err(|_| "a span id is not 8 bytes")?,
            parent: was.parent_span_id.as_slice().try_into().ok(),
            pairs: begin..self.model.span_pairs.len(),
        };
        let number = self.model.spans.len() as u32;
        if let Some(trace) = self.model.traces.get_mut(trace as usize) {
            trace.spans.push(number);
        }
        self.model.spans.push(span);
        Ok(())
    }

    fn trace(&mut self, id: [u8; 16]) -> u32 {
        let traces = &mut self.model.traces;
        *self.traces.entry(id).or_insert_with(|| {
            traces.push(Trace { id, spans: Vec::new() });
            traces.len() as u32 - 1
        })
    }

    fn name(&mut self, name: &str) -> u32 {
        if let Some(&known) = self.names.get(name) {
            return known;
        }
        let number = self.model.names.len() as u32;
        self.model.names.push(name.to_owned());
        self.names.insert(name.to_owned(), number);
        number
    }

    fn pairs(&mut self, was: &[KeyValue], other: &[KeyValue]) -> Vec<u32> {
        let both = was.iter().zip(other);
        both.filter_map(|(was, other)| {
            let Some(value) = text(was.value.as_ref()) else {
                self.odd_keys.insert(was.key.clone());
                return None;
            };
            let varies = text(other.value.as_ref()).as_ref() != Some(&value);
            Some(self.pair(was.key.clone(), value, varies))
        })
        .collect()
    }

    fn pair(&mut self, key: String, value: String, varies: bool) -> u32 {
        let pairs = &mut self.model.pairs;
        let number = *self.pairs.entry((key, value)).or_insert_with_key(|(key, value)| {
            let unfit = SPECIAL.contains(&key.as_str()) || key.starts_with("resource.");
            let (key, value) = (key.clone(), value.clone());
            pairs.push(Pair { key, value, spans: 0, varies, unfit });
            pairs.len() as u32 - 1
        });
        if let Some(pair) = pairs.get_mut(number as usize) {
            pair.varies |= varies;
        }
        number
    }

    fn finish(mut self) -> Model {
        for pair in &mut self.model.pairs {
            pair.unfit |= self.odd_keys.contains(&pair.key) || pair.value.is_empty();
        }
        self.model
    }
}

fn service(resource: &[KeyValue]) -> String {
    let named = resource.iter().find(|pair| pair.key == "service.name");
    match named.and_then(|pair| pair.value.as_ref()).and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(name)) => name.clone(),
        _ => String::new(),
    }
}

/// The text of the types whose text needs no rule to know.
fn text(value: Option<&AnyValue>) -> Option<String> {
    match value?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        any_value::Value::BoolValue(truth) => Some(truth.to_string()),
        _ => None,
    }
}
