//! Is the answer right? Exactly: the traces asked for in their order, every span of each of them
//! with every byte, every field of a summary, every name and every call.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use spanlake_benches::Result;
use spanlake_benches::model::{Contents, Found, Model, contents_of};
use spanlake_proto::jaeger::storage::v2::{Dependency, Operation, TraceSummary};
use spanlake_proto::otlp::trace::{Span, TracesData};
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

/// What an answer is.
#[derive(Debug)]
pub(crate) enum Verdict {
    Right,
    /// The right traces with the right spans, but in another order or not as they were sent; or
    /// the right operations without their kinds. Only Jaeger and its other backends may do so.
    Altered(String),
    Wrong(String),
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
    pub(crate) fn check(&self, answer: &Answer, model: &Model) -> Verdict {
        let compared = match (self, answer) {
            (Self::Traces(expected), Answer::Traces(got)) => {
                return traces(expected, got, model)
                    .unwrap_or_else(|error| Verdict::Wrong(error.to_string()));
            }
            (Self::Summaries(expected), Answer::Summaries(got)) => summaries(expected, got, model),
            (Self::Services(expected), Answer::Services(got)) => same("services", expected, &{
                let mut got = got.clone();
                got.sort_unstable();
                got
            }),
            (Self::Operations(expected), Answer::Operations(got)) => {
                return operations(expected, got);
            }
            (Self::Dependencies(expected), Answer::Dependencies(got)) => {
                dependencies(expected, got)
            }
            _ => Err("an answer of another kind".into()),
        };
        compared.map_or_else(|error| Verdict::Wrong(error.to_string()), |()| Verdict::Right)
    }
}

fn operations(expected: &BTreeSet<(String, String)>, got: &[Operation]) -> Verdict {
    let pair = |o: &Operation| (o.name.clone(), o.span_kind.clone());
    let kinds = same("operations", expected, &got.iter().map(pair).collect())
        .and_then(|()| same("number of operations", &expected.len(), &got.len()));
    let Err(error) = kinds else { return Verdict::Right };
    let names: BTreeSet<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
    if names == got.iter().map(|o| o.name.as_str()).collect() {
        return Verdict::Altered(error.to_string());
    }
    Verdict::Wrong(error.to_string())
}

fn dependencies(expected: &BTreeMap<(String, String), u64>, got: &[Dependency]) -> Result<()> {
    let edge = |d: &Dependency| ((d.parent.clone(), d.child.clone()), d.call_count);
    same("calls", expected, &got.iter().map(edge).collect())?;
    same("number of edges", &expected.len(), &got.len())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, got: &T) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {got:?}").into())
}

/// A count as it is on the wire. A negative one is never equal to a right one.
fn counted(count: i32) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A trace of an answer.
#[derive(Default)]
struct Got {
    contents: Contents,
    span_ids: Vec<Vec<u8>>,
}

/// What an answer holds.
#[derive(Default)]
struct Gathered {
    /// Ids in the order of their messages.
    order: Vec<Vec<u8>>,
    by_id: BTreeMap<Vec<u8>, Got>,
    /// A message was empty or held two traces.
    is_mixed: bool,
}

fn gather(messages: &[RawMessage]) -> Result<Gathered> {
    let mut gathered = Gathered::default();
    for message in messages {
        let data = TracesData::decode(message.0.clone())?;
        let ids: BTreeSet<Vec<u8>> = spans(&data).map(|span| span.trace_id.clone()).collect();
        gathered.is_mixed |= ids.len() != 1;
        for id in ids {
            // The same trace again after another one is two pieces, which no order explains.
            if gathered.order.last() != Some(&id) {
                gathered.order.push(id.clone());
            }
            let of_it = spans(&data).filter(|span| span.trace_id == id);
            let got = gathered.by_id.entry(id.clone()).or_default();
            got.span_ids.extend(of_it.map(|span| span.span_id.clone()));
            for (span, count) in contents_of(&data, &id) {
                *got.contents.entry(span).or_default() += count;
            }
        }
    }
    Ok(gathered)
}

fn spans(data: &TracesData) -> impl Iterator<Item = &Span> {
    data.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans)
}

fn traces(expected: &[Found], got: &[RawMessage], model: &Model) -> Result<Verdict> {
    let Gathered { order, mut by_id, is_mixed } = gather(got)?;
    let mut altered = is_mixed.then(|| "a message is empty or holds two traces".to_owned());
    let right: Vec<String> = expected.iter().map(|found| hex(&found.id)).collect();
    let order: Vec<String> = order.iter().map(|id| hex(id)).collect();
    if right != order {
        let sorted = |ids: &[String]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        same("traces", &sorted(&right), &sorted(&order))?;
        altered.get_or_insert_with(|| format!("order: expected {right:?}, got {order:?}"));
    }
    for found in expected {
        let id = hex(&found.id);
        let got = by_id.get_mut(found.id.as_slice()).ok_or("a trace is missing")?;
        got.span_ids.sort_unstable();
        let right = model.span_ids(found.copy, found.trace);
        if !right.iter().map(|id| id.as_slice()).eq(got.span_ids.iter().map(Vec::as_slice)) {
            let (got, right) = (got.span_ids.len(), right.len());
            return Err(format!("trace {id}: {got} spans, not the {right} that were sent").into());
        }
        if model.contents(found.copy, found.trace)? != got.contents {
            altered.get_or_insert_with(|| format!("trace {id}: not equal to what was sent"));
        }
    }
    Ok(altered.map_or(Verdict::Right, Verdict::Altered))
}

/// Compares summaries, in their order.
///
/// # Errors
/// What is wrong.
pub(crate) fn summaries(expected: &[Found], got: &[TraceSummary], model: &Model) -> Result<()> {
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
            .map(|s| (s.name.clone(), counted(s.span_count), counted(s.error_span_count)))
            .collect();
        same("services", &right.services, &services)?;
        same(
            "summary",
            &[right.min_start, right.max_end, right.spans, right.errors, right.orphans],
            &[
                got.min_start_time_unix_nano,
                got.max_end_time_unix_nano,
                counted(got.span_count),
                counted(got.error_span_count),
                counted(got.orphan_span_count),
            ],
        )?;
    }
    Ok(())
}
