//! The questions: what kinds, which ones, asked twice (once to warm and to be checked in full,
//! once on the clock), and what they cost.

use std::time::Instant;

use spanlake_benches::Result;
use spanlake_benches::model::{Found, Model, Question};
use spanlake_benches::synthetic::Draw;

use crate::arguments::Arguments;
use crate::calls::{Call, Client, Request};
use crate::check::Expected;
use crate::server::Server;

/// Traces of a search's answer.
const NEWEST: usize = 20;
/// Wrong answers that are shown before it is only counted.
const SHOWN_MAX: u64 = 3;

/// What one kind of question came to.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) name: &'static str,
    /// What was asked for, where the name does not say it.
    pub(crate) note: String,
    /// Milliseconds of each, sorted.
    pub(crate) millis: Vec<f64>,
    /// Server CPU of one, ms.
    pub(crate) cpu_millis: f64,
    /// Spans, summaries or names of an average answer.
    pub(crate) size: f64,
    pub(crate) wrong: u64,
}

/// A kind of question.
struct Kind {
    name: &'static str,
    note: String,
    calls: Vec<(Call, Option<Found>)>,
}

/// Asks everything.
pub(crate) async fn run(
    server: &Server,
    model: &Model,
    arguments: &Arguments,
) -> Result<Vec<Asked>> {
    let mut client = Client::connect(server.grpc()).await?;
    let mut all = Vec::new();
    for kind in kinds(model, arguments) {
        all.push(ask(&mut client, server, model, kind).await?);
    }
    Ok(all)
}

async fn ask(client: &mut Client, server: &Server, model: &Model, kind: Kind) -> Result<Asked> {
    let mut wrong = 0;
    let mut answers = Vec::with_capacity(kind.calls.len());
    let mut size = 0;
    for (call, known) in &kind.calls {
        let answer = client.ask(Request::of(call, model)).await;
        let answer = answer.map_err(|e| format!("{}: {call:?}: {e}", kind.name))?;
        let expected = Expected::of(call, model, *known);
        size += expected.size(model);
        if let Err(error) = expected.check(&answer, model) {
            wrong += 1;
            if wrong <= SHOWN_MAX {
                crate::say(&format!("WRONG {}: {call:?}: {error}", kind.name));
            }
        }
        answers.push((answer, expected));
    }
    let mut millis = Vec::with_capacity(kind.calls.len());
    let cpu = server.cpu()?;
    for ((call, _), (first, expected)) in kind.calls.iter().zip(&answers) {
        let request = Request::of(call, model);
        let began = Instant::now();
        let answer = client.ask(request).await?;
        millis.push(began.elapsed().as_secs_f64() * 1e3);
        // The same bytes as the answer that was checked, or one that is checked itself.
        if answer != *first && expected.check(&answer, model).is_err() {
            wrong += 1;
        }
    }
    let asked = kind.calls.len().max(1) as f64;
    let cpu_millis = (server.cpu()? - cpu) * 1e3 / asked;
    millis.sort_by(f64::total_cmp);
    Ok(Asked {
        name: kind.name,
        note: kind.note,
        millis,
        cpu_millis,
        size: size as f64 / asked,
        wrong,
    })
}

fn kinds(model: &Model, arguments: &Arguments) -> Vec<Kind> {
    let (count, seed) = (arguments.queries.max(1), arguments.seed);
    let (begin, end) = model.scale().range();
    let services = model.services();
    let service = |index: usize| services.get(index % services.len().max(1)).cloned();
    let mut draw = Draw(seed);
    let known: Vec<_> = (0..count)
        .map(|_| {
            let copy = draw.below(model.scale().copies().into()) as u32;
            let trace = draw.below(model.traces().into()) as u32;
            let id = model.trace_id(copy, trace);
            (Call::Trace(id), Some(Found { copy, trace, id }))
        })
        .collect();
    let unknown: Vec<_> = (0..count)
        .map(|_| {
            let mut id = [7; 16];
            id[..8].copy_from_slice(&draw.number().to_be_bytes());
            (Call::Trace(id), None)
        })
        .collect();
    // Every other search ends at a random moment, so that old segments are asked too.
    let ends: Vec<Option<u64>> =
        (0..count).map(|i| (i % 2 == 1).then(|| begin + draw.below(end - begin))).collect();
    let searches = |of: &dyn Fn(usize) -> Question| -> Vec<Question> {
        let with_end = |(index, end): (usize, &Option<u64>)| Question {
            start_max: *end,
            limit: NEWEST,
            ..of(index)
        };
        ends.iter().enumerate().map(with_end).collect()
    };
    let by_service = |i: usize| Question { service: service(i), ..Question::default() };
    let by_operation = |i: usize| Question {
        service: service(i),
        operation: service(i).and_then(|service| {
            let operations = model.operations(&service);
            operations.iter().nth(i / services.len() % operations.len().max(1)).map(|o| o.0.clone())
        }),
        ..Question::default()
    };
    let p99: Vec<u64> = services.iter().map(|service| model.duration_p99(service)).collect();
    let slow = |i: usize| Question {
        service: service(i),
        duration_min: p99.get(i % p99.len().max(1)).copied(),
        ..Question::default()
    };
    let rare = model.rare();
    let by_rare = |i: usize| Question {
        attribute: rare.get((i * 977) % rare.len().max(1)).copied(),
        ..Question::default()
    };
    let common = model.common();
    let by_common = |_| Question { attribute: common, ..Question::default() };
    let about = |i: usize| model.about(seed.wrapping_add(i as u64 * 7_919));
    let common_name = common.map_or_else(String::new, |wanted| {
        let (key, value) = model.text(wanted);
        format!("{key}={value}, {:.2} % of spans", model.share(wanted) * 100.0)
    });
    let rare_name = rare.first().map_or_else(String::new, |&wanted| {
        let (key, value) = model.text(wanted);
        format!("for instance {key}={value}, {:.5} % of spans", model.share(wanted) * 100.0)
    });
    let summaries = |name, note, of: &dyn Fn(usize) -> Question| Kind {
        name,
        note,
        calls: searches(of).into_iter().map(|q| (Call::Summaries(q), None)).collect(),
    };
    let kind = |name, calls: Vec<(Call, Option<Found>)>| Kind { name, note: String::new(), calls };
    vec![
        kind("trace by id", known),
        kind("unknown id", unknown),
        summaries("20 newest by service", String::new(), &by_service),
        summaries("20 newest by service, operation", String::new(), &by_operation),
        summaries("20 newest by service, slowest 1 %", String::new(), &slow),
        summaries("20 newest by rare attribute", rare_name, &by_rare),
        summaries("20 newest by common attribute", common_name, &by_common),
        summaries("20 newest by all of these", String::new(), &about),
        summaries("20 newest of all", String::new(), &|_| Question::default()),
        kind(
            "20 newest whole traces by service",
            searches(&by_service).into_iter().map(|q| (Call::Traces(q), None)).collect(),
        ),
        kind("services", vec![(Call::Services, None); count]),
        kind(
            "operations",
            (0..count).map(|i| (Call::Operations(service(i).unwrap_or_default()), None)).collect(),
        ),
        kind(
            "dependencies",
            // It counts every span there is.
            vec![(Call::Dependencies(0, end + 1), None); count.div_ceil(20)],
        ),
    ]
}
