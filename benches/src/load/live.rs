//! A store that is asked while spans flow into it at a fixed rate. The questions are about what
//! lay there before, so that their answers are known exactly; the spans that flow in are later.

use std::time::{Duration, Instant};

use spanlake_benches::Result;
use spanlake_benches::model::Model;
use spanlake_benches::scale::Scale;

use crate::arguments::Arguments;
use crate::ingest::{Ingest, Sender};
use crate::process::Sampler;
use crate::queries::{Asked, Asker};
use crate::questions::{Audience, kinds};
use crate::server::Server;

/// Spans a second where none are given: the rate of the bar.
const RATE: u64 = 50_000;
/// Questions may take longer than the wished time; so much longer data lasts.
const SPARE: u64 = 20;

/// What such a time came to.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) rate: u64,
    pub(crate) ingest: Ingest,
    pub(crate) rounds: u64,
    pub(crate) queries: Vec<Asked>,
    /// Within that time alone.
    pub(crate) rss_max: u64,
    pub(crate) rss_median: u64,
    pub(crate) head_spans_after: f64,
}

/// Copies that flow in, if any do.
pub(crate) fn copies(set_spans: u64, arguments: &Arguments) -> u64 {
    let spans = arguments.live.unwrap_or(0) * arguments.rate.unwrap_or(RATE);
    spans.div_ceil(set_spans)
}

/// Sends for so many seconds, and until every question was asked once.
pub(crate) async fn run(
    server: &Server,
    model: &Model,
    later: &Scale,
    seconds: u64,
    arguments: &Arguments,
) -> Result<Live> {
    let rate = arguments.rate.unwrap_or(RATE);
    let process = server.process();
    process.forget_rss_max()?;
    let sampler = Sampler::start(process);
    let mut sender = Sender::new(server.grpc(), later, arguments, Some(rate));
    let source = sender.source();
    let sending = tokio::spawn(async move {
        let outcome = sender.send(u64::MAX).await;
        (outcome, sender)
    });
    let asked = ask(server, model, seconds, arguments).await;
    source.stop();
    let (sent, mut sender) = sending.await?;
    let (queries, rounds) = asked?;
    sent?;
    Ok(Live {
        rate,
        ingest: sender.take(),
        rounds,
        queries,
        rss_max: process.rss_max()?,
        rss_median: sampler.median(),
        head_spans_after: server.head_spans()?,
    })
}

async fn ask(
    server: &Server,
    model: &Model,
    seconds: u64,
    arguments: &Arguments,
) -> Result<(Vec<Asked>, u64)> {
    let began = Instant::now();
    let kinds = kinds(model, arguments, Audience::Filling);
    let mut asker = Asker::of(server, model, arguments).await?;
    let mut all = asker.all(&kinds).await?;
    let mut rounds = 1;
    while began.elapsed() < Duration::from_secs(seconds) {
        for (sum, more) in all.iter_mut().zip(asker.all(&kinds).await?) {
            sum.wrong += more.wrong;
            sum.warm.extend(more.warm);
        }
        rounds += 1;
    }
    for asked in &mut all {
        asked.warm.sort_by(f64::total_cmp);
        // The server's CPU is that of the spans that flow in, too.
        asked.cpu_millis = f64::NAN;
    }
    Ok((all, rounds))
}

/// The copies that follow those of a scale and those that flowed in before: more than will be sent.
pub(crate) fn later(scale: &Scale, before: u32, arguments: &Arguments) -> Scale {
    let copies = copies(scale.set().spans(), arguments) * SPARE;
    scale.after(before, u32::try_from(copies).unwrap_or(u32::MAX))
}

/// Copies of which something may have been sent.
pub(crate) fn begun(scale: &Scale, live: &Live) -> u32 {
    // Two more may have been under way.
    u32::try_from(live.ingest.spans.div_ceil(scale.set().spans()) + 2).unwrap_or(u32::MAX)
}
