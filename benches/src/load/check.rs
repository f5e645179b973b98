//! Is the answer right? Exactly: the traces asked for in their order, every span of each of them
//! with every byte, every field of a summary, every name and every call.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use spanlake_benches::Result;
use spanlake_benches::model::{Contents, Found, Model, contents_of};
use spanlake_proto::jaeger::storage::v2::{Dependency, Operation, TraceSummary};
use spanlake_proto::otlp::trace::TracesData;
use spanlake_proto::raw::RawMessage;

use crate::calls::{Answer, Call};

/// What an answer must be. Worked out once, before the questions are asked.
#[derive(Debug)]
pub(crate) enum Expected {
    /// These traces, whole, in this order.
    Traces(Vec<Found>),
    Summaries(Vec<Found>),
    Services(Vec<String>),
    Operations(BTreeSet<(String, String)>),
    Dependencies(BTreeMap<(String, String), u64>),
}

impl Expected {
    pub(crate) fn of(call: &Call, model: &Model, known: Option<Found>) -> Self {
        match call {
            Call::Trace(_) => Self::Traces(known.into_iter().collect()),
            Call::Summaries(question) => Self::Summaries(model.newest(question)),
            Call::Traces(question) => Self::Traces(model.newest(question)),
            Call::Services => Self::Services(model.services()),
            Call::Operations(service) => Self::Operations(model.operations(service)),
            Call::Dependencies(..) => Self::Dependencies(model.dependencies()),
        }
    }

    /// Spans or rows a right answer has.
    pub(crate) fn size(&self, model: &Model) -> usize {
        match self {
            Self::Traces(found) => found.iter().map(|f| model.trace_spans(f.trace)).sum(),
            Self::Summaries(found) => found.len(),
            Self::Services(names) => names.len(),
            Self::Operations(names) => names.len(),
            Self::Dependencies(calls) => calls.len(),
        }
    }

    /// Compares.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check(&self, answer: &Answer, model: &Model) -> Result<()> {
        match (self, answer) {
            (Self::Traces(expected), Answer::Traces(got)) => traces(expected, got, model),
            (Self::Summaries(expected), Answer::Summaries(got)) => summaries(expected, got, model),
            (Self::Services(expected), Answer::Services(got)) => same("services", expected, &{
                let mut got = got.clone();
                got.sort_unstable();
                got
            }),
            (Self::Operations(expected), Answer::Operations(got)) => {
                let pair = |o: &Operation| (o.name.clone(), o.span_kind.clone());
                same("operations", expected, &got.iter().map(pair).collect())?;
                same("number of operations", &expected.len(), &got.len())
            }
            (Self::Dependencies(expected), Answer::Dependencies(got)) => {
                let edge = |d: &Dependency| ((d.parent.clone(), d.child.clone()), d.call_count);
                same("calls", expected, &got.iter().map(edge).collect())?;
                same("number of edges", &expected.len(), &got.len())
            }
            _ => Err("an answer of another kind".into()),
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, got: &T) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {got:?}").into())
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn traces(expected: &[Found], got: &[RawMessage], model: &Model) -> Result<()> {
    let mut pieces: Vec<(Vec<u8>, Contents)> = Vec::new();
    for message in got {
        let data = TracesData::decode(message.0.clone())?;
        let spans = data.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans);
        let ids: BTreeSet<&[u8]> = spans.map(|span| span.trace_id.as_slice()).collect();
        let [id] = ids.into_iter().collect::<Vec<_>>()[..] else {
            return Err("a message is empty or holds two traces".into());
        };
        match pieces.last_mut() {
            Some((last, contents)) if last == id => {
                for (span, count) in contents_of(&data) {
                    *contents.entry(span).or_default() += count;
                }
            }
            _ => pieces.push((id.to_vec(), contents_of(&data))),
        }
    }
    let ids = |found: &Found| hex(&found.id);
    same(
        "traces",
        &expected.iter().map(ids).collect::<Vec<_>>(),
        &pieces.iter().map(|(id, _)| hex(id)).collect(),
    )?;
    for (found, (id, contents)) in expected.iter().zip(&pieces) {
        let right = model.contents(found.copy, found.trace)?;
        if right != *contents {
            let (spans, sent) = (contents.values().sum::<u32>(), right.values().sum::<u32>());
            let id = hex(id);
            return Err(format!("trace {id}: {spans} spans, {sent} were sent, or not equal").into());
        }
    }
    Ok(())
}

fn summaries(expected: &[Found], got: &[TraceSummary], model: &Model) -> Result<()> {
    same(
        "traces",
        &expected.iter().map(|found| hex(&found.id)).collect::<Vec<_>>(),
        &got.iter().map(|summary| hex(&summary.trace_id)).collect(),
    )?;
    for (found, got) in expected.iter().zip(got) {
        let right = model.summary(found.copy, found.trace);
        let root = (got.root_service_name.clone(), got.root_operation_name.clone());
        if !right.roots.contains(&root) {
            return Err(format!("root: expected one of {:?}, got {root:?}", right.roots).into());
        }
        let services = got.services.iter();
        let services: Vec<_> = services
            .map(|service| (service.name.clone(), service.span_count, service.error_span_count))
            .collect();
        same("services", &right.services, &services)?;
        same(
            "summary",
            &[right.min_start, right.max_end, right.spans, right.errors, right.orphans],
            &[
                got.min_start_time_unix_nano,
                got.max_end_time_unix_nano,
                got.span_count,
                got.error_span_count,
                got.orphan_span_count,
            ],
        )?;
    }
    Ok(())
}
