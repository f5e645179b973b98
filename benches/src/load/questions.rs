//! The questions: what kinds there are and which ones are asked. Everything is chosen by the
//! seed; nothing here asks.

use spanlake_benches::model::{Found, Model, Question};
use spanlake_benches::synthetic::Draw;

use crate::arguments::Arguments;
use crate::calls::Call;

/// Traces of a search's answer, and of a page.
pub(crate) const NEWEST: usize = 20;
/// Times that are asked for: from minutes to a day.
const WINDOW_MIN: u64 = 10 * 60 * 1_000_000_000;
const WINDOW_MAX: u64 = 24 * 3600 * 1_000_000_000;

/// A kind of question.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// What is asked for, where the name does not say it.
    pub(crate) note: String,
    pub(crate) asks: Asks,
}

/// What a kind asks.
#[derive(Debug)]
pub(crate) enum Asks {
    /// One question a call, with the trace where the question is its id.
    Calls(Vec<(Call, Option<Found>)>),
    /// Searches walked in pages.
    Walks(Vec<Question>),
}

/// To whom, which decides what can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A store at rest.
    Resting,
    /// A store that later spans flow into: no search is open towards them.
    Filling,
    /// A Jaeger: whole traces only, and every search names a service.
    Jaeger,
}

/// All kinds, in the order of the report.
pub(crate) fn kinds(model: &Model, arguments: &Arguments, audience: Audience) -> Vec<Kind> {
    let maker = Maker::new(model, arguments, audience);
    let mut kinds = maker.lookups();
    kinds.extend(maker.searches());
    kinds.extend(maker.lists());
    if let Some(only) = &arguments.only {
        kinds.retain(|kind| kind.name.contains(only));
    }
    kinds
}

struct Maker<'a> {
    model: &'a Model,
    audience: Audience,
    count: usize,
    seed: u64,
    services: Vec<String>,
    /// Where each search's time ends.
    ends: Vec<Option<u64>>,
}

impl<'a> Maker<'a> {
    fn new(model: &'a Model, arguments: &Arguments, audience: Audience) -> Self {
        let count = arguments.queries.max(1);
        let (begin, end) = model.scale().range();
        let mut draw = Draw(arguments.seed ^ 0x0e4d);
        let open = (audience == Audience::Filling).then_some(end);
        // Every other search ends at a random moment, so that old segments are asked too.
        let ends = (0..count)
            .map(|i| if i % 2 == 1 { Some(begin + draw.below(end - begin)) } else { open });
        Self {
            model,
            audience,
            count,
            seed: arguments.seed,
            services: model.services(),
            ends: ends.collect(),
        }
    }

    fn service(&self, index: usize) -> Option<String> {
        self.services.get(index % self.services.len().max(1)).cloned()
    }

    fn operation(&self, index: usize) -> Option<String> {
        let operations = self.model.operations(&self.service(index)?);
        let nth = index / self.services.len() % operations.len().max(1);
        operations.iter().nth(nth).map(|(name, _)| name.clone())
    }

    fn lookups(&self) -> Vec<Kind> {
        let model = self.model;
        let mut draw = Draw(self.seed);
        let known = (0..self.count).map(|_| {
            let copy = draw.below(model.scale().copies().into()) as u32;
            let trace = draw.below(model.traces().into()) as u32;
            let id = model.trace_id(copy, trace);
            (Call::Trace(id), Some(Found { copy, trace, id }))
        });
        let known = known.collect();
        let unknown = (0..self.count).map(|_| {
            let mut id = [7; 16];
            id[..8].copy_from_slice(&draw.number().to_be_bytes());
            (Call::Trace(id), None)
        });
        vec![calls("trace by id", known), calls("unknown id", unknown.collect())]
    }

    fn searches(&self) -> Vec<Kind> {
        let model = self.model;
        let through_jaeger = self.audience == Audience::Jaeger;
        let by_service = |i: usize| Question { service: self.service(i), ..Question::default() };
        let by_operation = |i: usize| Question { operation: self.operation(i), ..by_service(i) };
        let p99: Vec<u64> = self.services.iter().map(|name| model.duration_p99(name)).collect();
        let slow = |i: usize| Question {
            duration_min: p99.get(i % p99.len().max(1)).copied(),
            ..by_service(i)
        };
        let (begin, end) = model.scale().range();
        let by_time = |i: usize| {
            let mut draw = Draw(self.seed ^ (i as u64) << 32);
            let start = begin + draw.below(end - begin);
            let window = WINDOW_MIN + draw.below(WINDOW_MAX - WINDOW_MIN);
            Question {
                service: self.service(i).filter(|_| through_jaeger),
                start_min: Some(start),
                start_max: Some(end.min(start + window)),
                ..Question::default()
            }
        };
        let rare = model.rare();
        let common = model.common();
        let by_attribute = |wanted: Option<_>| Question {
            service: wanted.filter(|_| through_jaeger).and_then(|w| model.service_of(w)),
            attribute: wanted,
            ..Question::default()
        };
        let by_rare = |i: usize| by_attribute(rare.get(i * 977 % rare.len().max(1)).copied());
        let about = |i: usize| Question {
            start_min: Some(begin),
            ..model.about(self.seed.wrapping_add(i as u64 * 7_919))
        };
        let value = |wanted: Option<_>| match wanted {
            None => "the set has none".to_owned(),
            Some(wanted) => {
                let ((key, value), share) = (model.text(wanted), model.share(wanted) * 100.0);
                format!("{key}={value}, {share:.5} % of spans")
            }
        };
        let all = [
            self.search("20 newest by service", String::new(), &by_service),
            self.search("20 newest by operation", String::new(), &by_operation),
            self.search("20 newest by duration", "a service's slowest 1 %".into(), &slow),
            self.search("20 newest by time", "10 minutes to a day".into(), &by_time),
            self.search("20 newest by rare attribute", value(rare.first().copied()), &by_rare),
            self.search("20 newest by common attribute", value(common), &|_| by_attribute(common)),
            self.search("20 newest by all filters", String::new(), &about),
        ];
        let mut kinds: Vec<Kind> = all.into_iter().collect();
        if !through_jaeger {
            kinds.push(self.search("20 newest of all", String::new(), &|_| Question::default()));
            let whole = self.questions(&by_service).into_iter();
            let whole = whole.map(|question| (Call::Traces(question), None)).collect();
            kinds.push(calls("20 newest whole traces by service", whole));
            let walks = self.questions(&by_service).into_iter().step_by(7).collect();
            let note = "each page of a walk, by service".to_owned();
            kinds.push(Kind { name: "page of 20", note, asks: Asks::Walks(walks) });
        }
        kinds
    }

    fn lists(&self) -> Vec<Kind> {
        let (begin, end) = self.model.scale().range();
        // Spans without a time stay without one in every copy; only a Jaeger wants a beginning.
        let begin = if self.audience == Audience::Jaeger { begin } else { 0 };
        let operations = (0..self.count).map(|i| self.service(i).unwrap_or_default());
        vec![
            calls("services", vec![(Call::Services, None); self.count]),
            calls("operations", operations.map(|name| (Call::Operations(name), None)).collect()),
            // It counts every span there is.
            calls(
                "dependencies",
                vec![(Call::Dependencies(begin, end + 1), None); self.count.div_ceil(20)],
            ),
        ]
    }

    fn questions(&self, of: &dyn Fn(usize) -> Question) -> Vec<Question> {
        let with_end = |(index, end): (usize, &Option<u64>)| {
            let question = of(index);
            Question { start_max: question.start_max.or(*end), limit: NEWEST, ..question }
        };
        self.ends.iter().enumerate().map(with_end).collect()
    }

    fn search(&self, name: &'static str, note: String, of: &dyn Fn(usize) -> Question) -> Kind {
        let call = |question| match self.audience {
            Audience::Jaeger => (Call::Traces(question), None),
            _ => (Call::Summaries(question), None),
        };
        let asks = Asks::Calls(self.questions(of).into_iter().map(call).collect());
        Kind { name, note, asks }
    }
}

fn calls(name: &'static str, calls: Vec<(Call, Option<Found>)>) -> Kind {
    Kind { name, note: String::new(), asks: Asks::Calls(calls) }
}
