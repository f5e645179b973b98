//! Asking: each question twice (once to warm and to be checked in full, once on the clock), or
//! once with everything cold, and what it cost.

use std::time::Instant;

use spanlake_benches::Result;
use spanlake_benches::model::{Found, Model, Question};

use crate::arguments::Arguments;
use crate::calls::{Call, Client, Storage, page_request};
use crate::check::{Expected, Verdict, summaries};
use crate::process::{Process, cpu_of};
use crate::questions::{Asks, Kind, NEWEST};
use crate::server::Server;

/// Wrong answers that are shown before it is only counted.
const SHOWN_MAX: u64 = 3;
const SHOWN_CHARACTERS: usize = 600;

/// What one kind of question came to.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) name: &'static str,
    /// What was asked for, where the name does not say it.
    pub(crate) note: String,
    /// Milliseconds of each, warm, sorted.
    pub(crate) warm: Vec<f64>,
    /// Milliseconds of each, cold, sorted.
    pub(crate) cold: Vec<f64>,
    /// CPU of one on the server's side, ms.
    pub(crate) cpu_millis: f64,
    /// Spans, summaries or names of an average answer.
    pub(crate) size: f64,
    pub(crate) wrong: u64,
    /// Right traces, not as they were sent (or not in order); through Jaeger only.
    pub(crate) altered: u64,
    /// Refused or failed questions; through Jaeger only.
    pub(crate) failed: u64,
}

/// Whom to ask and how strictly.
#[derive(Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) client: Client,
    pub(crate) processes: Vec<Process>,
    pub(crate) model: &'a Model,
    /// True where an altered answer is a wrong one and a failed question ends the run.
    pub(crate) is_strict: bool,
    pub(crate) pages: usize,
}

impl<'a> Asker<'a> {
    /// For a Spanlake.
    pub(crate) async fn of(
        server: &Server,
        model: &'a Model,
        arguments: &Arguments,
    ) -> Result<Self> {
        let client = Client::Storage(Box::new(Storage::connect(server.grpc()).await?));
        let (processes, pages) = (vec![server.process()], arguments.pages);
        Ok(Self { client, processes, model, is_strict: true, pages })
    }

    /// Asks every question of every kind.
    pub(crate) async fn all(&mut self, kinds: &[Kind]) -> Result<Vec<Asked>> {
        let mut all = Vec::new();
        for kind in kinds {
            let mut asked = Asked { name: kind.name, note: kind.note.clone(), ..Asked::default() };
            match &kind.asks {
                Asks::Calls(calls) => self.calls(calls, &mut asked).await?,
                Asks::Walks(walks) => self.walks(walks, &mut asked).await?,
            }
            asked.warm.sort_by(f64::total_cmp);
            all.push(asked);
        }
        Ok(all)
    }

    async fn calls(&mut self, calls: &[(Call, Option<Found>)], asked: &mut Asked) -> Result<()> {
        let mut answers = Vec::with_capacity(calls.len());
        let mut size = 0;
        for (call, known) in calls {
            let expected = Expected::of(call, self.model, *known);
            size += expected.size(self.model);
            let request = self.client.prepare(call, self.model)?;
            match self.client.ask(request).await {
                Ok(answer) => {
                    let is_right = self.judge(call, expected.check(&answer, self.model), asked);
                    answers.push((call, answer, expected, is_right));
                }
                Err(error) => self.fail(call, error, asked)?,
            }
        }
        let cpu = cpu_of(&self.processes)?;
        for (call, first, expected, was_right) in &answers {
            let request = self.client.prepare(call, self.model)?;
            let began = Instant::now();
            let answer = self.client.ask(request).await?;
            asked.warm.push(began.elapsed().as_secs_f64() * 1e3);
            // The same bytes as the answer that was checked, or one that is checked itself.
            if *was_right && answer != *first {
                self.judge(call, expected.check(&answer, self.model), asked);
            }
        }
        let answered = answers.len().max(1) as f64;
        asked.cpu_millis = (cpu_of(&self.processes)? - cpu) * 1e3 / answered;
        asked.size = size as f64 / calls.len().max(1) as f64;
        Ok(())
    }

    /// Counts a verdict; true where there is nothing to count.
    fn judge(&self, call: &Call, verdict: Verdict, asked: &mut Asked) -> bool {
        let error = match verdict {
            Verdict::Right => return true,
            Verdict::Altered(error) if !self.is_strict => {
                asked.altered += 1;
                if asked.altered == 1 {
                    crate::say(&format!("altered, {}: {}", asked.name, short(&error)));
                }
                return false;
            }
            Verdict::Altered(error) | Verdict::Wrong(error) => error,
        };
        asked.wrong += 1;
        if asked.wrong <= SHOWN_MAX {
            crate::say(&format!("WRONG {}: {call:?}: {}", asked.name, short(&error)));
        }
        false
    }

    fn fail(&self, call: &Call, error: spanlake_benches::Error, asked: &mut Asked) -> Result<()> {
        if self.is_strict {
            return Err(format!("{}: {call:?}: {error}", asked.name).into());
        }
        asked.failed += 1;
        if asked.failed == 1 {
            crate::say(&format!("failed, {}: {call:?}: {error}", asked.name));
        }
        Ok(())
    }

    /// Walks searches page by page: once to be checked, once on the clock.
    async fn walks(&mut self, walks: &[Question], asked: &mut Asked) -> Result<()> {
        let Client::Storage(storage) = &mut self.client else { return Ok(()) };
        if !storage.is_paginated().await? {
            asked.note = "not asked: the server does not declare `paginated`".to_owned();
            return Ok(());
        }
        let mut cpu = 0.0;
        for pass in 0..2 {
            cpu = cpu_of(&self.processes)?;
            asked.warm.clear();
            for question in walks {
                let walked =
                    walk(storage, self.model, question, self.pages, &mut asked.warm).await?;
                if let Err(error) = walked {
                    asked.wrong += 1;
                    if asked.wrong <= SHOWN_MAX {
                        crate::say(&format!("WRONG walk {pass}: {question:?}: {error}"));
                    }
                }
            }
        }
        let pages = asked.warm.len().max(1) as f64;
        asked.cpu_millis = (cpu_of(&self.processes)? - cpu) * 1e3 / pages;
        asked.size = NEWEST as f64;
        Ok(())
    }
}

/// As much of a message as helps.
fn short(error: &str) -> String {
    match error.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &error[..end]),
        None => error.to_owned(),
    }
}

/// Walks one search; the outer error ends the run, the inner one says what was wrong.
async fn walk(
    storage: &mut Storage,
    model: &Model,
    question: &Question,
    pages: usize,
    millis: &mut Vec<f64>,
) -> Result<Result<()>> {
    // One more than is walked tells whether the last page must have a successor.
    let wanted = Question { limit: pages * NEWEST + 1, ..question.clone() };
    let expected = model.newest(&wanted);
    let mut token = String::new();
    for page in 0..pages {
        let rest = expected.get(page * NEWEST..).unwrap_or_default();
        let (right, more) = rest.split_at(rest.len().min(NEWEST));
        let request = page_request(question, model, NEWEST as u32, token);
        let began = Instant::now();
        let got = storage.page(request).await?;
        millis.push(began.elapsed().as_secs_f64() * 1e3);
        if let Err(error) = summaries(right, &got.summaries, model) {
            return Ok(Err(format!("page {page}: {error}").into()));
        }
        if got.token.is_empty() != more.is_empty() {
            let (has, left) = (if got.token.is_empty() { "no" } else { "a" }, more.len());
            return Ok(Err(format!("page {page} has {has} token where {left} follow").into()));
        }
        if got.token.is_empty() {
            break;
        }
        token = got.token;
    }
    Ok(Ok(()))
}

/// Asks some questions of each kind, the server restarted and its files dropped from the page
/// cache before every one.
pub(crate) async fn cold(
    server: &mut Server,
    model: &Model,
    kinds: &[Kind],
    arguments: &Arguments,
    asked: &mut [Asked],
) -> Result<()> {
    for (kind, asked) in kinds.iter().zip(asked) {
        let Asks::Calls(calls) = &kind.asks else { continue };
        // Both those with an open end and those that end long ago.
        let step = (calls.len() / arguments.cold.max(1)).max(1) | 1;
        for (call, known) in calls.iter().step_by(step).take(arguments.cold) {
            server.restart_cold()?;
            let mut asker = Asker::of(server, model, arguments).await?;
            let request = asker.client.prepare(call, model)?;
            let began = Instant::now();
            let answer = asker.client.ask(request).await?;
            asked.cold.push(began.elapsed().as_secs_f64() * 1e3);
            let expected = Expected::of(call, model, *known);
            asker.judge(call, expected.check(&answer, model), asked);
        }
        asked.cold.sort_by(f64::total_cmp);
    }
    Ok(())
}
