//! Sending: clients that each hold one connection and one batch under way, as Jaeger's exporters
//! do, some batches twice. What the server refuses under pressure is sent again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use spanlake_benches::Result;
use spanlake_benches::arrivals::{Arrivals, Batch, Lateness};
use spanlake_benches::scale::Scale;
use spanlake_proto::raw::RawMessage;
use spanlake_proto::raw_client::TraceServiceClient;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::arguments::{Arguments, Place};
use crate::process::{Process, cpu_of};
use crate::server::Server;

const RETRY_AFTER: Duration = Duration::from_millis(100);
const RETRIES_MAX: u32 = 600;
/// More often than an idle server seals.
const AWAKE_EVERY: Duration = Duration::from_secs(5);

/// What sending came to.
#[derive(Debug, Default)]
pub(crate) struct Ingest {
    pub(crate) spans: u64,
    pub(crate) bytes: u64,
    pub(crate) batches: u64,
    pub(crate) repeated: u64,
    pub(crate) retries: u64,
    pub(crate) rejected: u64,
    /// While batches were sent, s.
    pub(crate) wall: f64,
    /// CPU of the processes until the last batch was acknowledged, s.
    pub(crate) cpu_acked: f64,
    /// Their CPU until no background work was due, s.
    pub(crate) cpu_done: f64,
    /// Milliseconds of each Export, sorted.
    pub(crate) exports: Vec<f64>,
}

/// Sends everything and puts it where it is to lie.
pub(crate) async fn run(
    server: &Server,
    scale: &Scale,
    arguments: &Arguments,
) -> Result<(Ingest, Sender)> {
    let process = [server.process()];
    let rate = arguments.rate.filter(|_| arguments.live.is_none());
    let mut sender = Sender::new(server.grpc(), scale, arguments, rate);
    let before = cpu_of(&process)?;
    let to_flush = match arguments.place {
        Place::Head => 0,
        Place::Both => scale.spans() / 2,
        Place::Segments => scale.spans(),
    };
    let shares = arguments.segments.max(1);
    if to_flush > 0 {
        for share in 1..=shares {
            sender.send(to_flush * share / shares).await?;
            sender.done.cpu_acked = cpu_of(&process)? - before;
            server.flush().await?;
        }
    }
    sender.send(u64::MAX).await?;
    if arguments.place != Place::Segments {
        sender.done.cpu_acked = cpu_of(&process)? - before;
    }
    let done = sender.finish(scale, cpu_of(&process)? - before)?;
    Ok((done, sender))
}

/// Sends everything to a backend that is done when it is idle.
pub(crate) async fn run_until_idle(
    otlp: &str,
    processes: &[Process],
    scale: &Scale,
    arguments: &Arguments,
) -> Result<Ingest> {
    let mut sender = Sender::new(&format!("http://{otlp}"), scale, arguments, arguments.rate);
    let before = cpu_of(processes)?;
    sender.send(u64::MAX).await?;
    sender.done.cpu_acked = cpu_of(processes)? - before;
    // Idle: less than a fiftieth of a core over two seconds.
    let mut last = cpu_of(processes)?;
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = cpu_of(processes)?;
        if now - last < 0.04 {
            return sender.finish(scale, now - before);
        }
        last = now;
    }
}

/// Clients and what they have sent.
#[derive(Debug)]
pub(crate) struct Sender {
    url: String,
    clients: usize,
    repeats: u64,
    source: Arc<Source>,
    done: Ingest,
}

impl Sender {
    pub(crate) fn new(url: &str, scale: &Scale, arguments: &Arguments, rate: Option<u64>) -> Self {
        let lateness = Lateness { minutes: arguments.late, days: arguments.very_late };
        let supply = Supply {
            arrivals: Arrivals::new(scale.clone(), lateness, arguments.batch),
            taken: 0,
            until: 0,
            last: Bytes::new(),
        };
        let source = Source {
            supply: Mutex::new(supply),
            rate: rate.filter(|rate| *rate > 0),
            began: Instant::now(),
            stop: AtomicBool::new(false),
        };
        Self {
            url: url.to_owned(),
            clients: arguments.clients.max(1),
            repeats: arguments.repeats,
            source: Arc::new(source),
            done: Ingest::default(),
        }
    }

    /// Goes on until so many spans are sent in all, or there are no more, or it is told to stop.
    pub(crate) async fn send(&mut self, until: u64) -> Result<()> {
        self.source.supply().until = until;
        let began = Instant::now();
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..self.clients {
            let channel = Endpoint::from_shared(self.url.clone())?.connect().await?;
            let (source, repeats) = (Arc::clone(&self.source), self.repeats);
            clients.spawn(async move { client(channel, &source, repeats).await });
        }
        while let Some(done) = clients.join_next().await {
            self.done.add(done??);
        }
        self.done.wall += began.elapsed().as_secs_f64();
        Ok(())
    }

    /// What ends [`Sender::send`] early.
    pub(crate) fn source(&self) -> Arc<Source> {
        Arc::clone(&self.source)
    }

    /// What was sent, where that need not be everything.
    pub(crate) fn take(&mut self) -> Ingest {
        let mut done = std::mem::take(&mut self.done);
        done.exports.sort_by(f64::total_cmp);
        done
    }

    fn finish(&mut self, scale: &Scale, cpu_done: f64) -> Result<Ingest> {
        let mut done = self.take();
        done.cpu_done = cpu_done;
        if done.spans != scale.spans() {
            return Err(format!("sent {} of {} spans", done.spans, scale.spans()).into());
        }
        Ok(done)
    }

    /// Sends the last batch again every few seconds until it is dropped: a repeat adds nothing,
    /// and a head that gets one is not idle.
    pub(crate) async fn keep_awake(&self) -> Result<tokio::task::JoinSet<()>> {
        let last = self.source.supply().last.clone();
        let channel = Endpoint::from_shared(self.url.clone())?.connect().await?;
        let mut client = TraceServiceClient::new(channel);
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            loop {
                tokio::time::sleep(AWAKE_EVERY).await;
                // Where it is refused, the count of spans in the head will tell.
                let _ = client.export(RawMessage(last.clone())).await;
            }
        });
        Ok(task)
    }
}

/// Batches for all clients.
#[derive(Debug)]
pub(crate) struct Source {
    supply: Mutex<Supply>,
    rate: Option<u64>,
    began: Instant,
    stop: AtomicBool,
}

#[derive(Debug)]
struct Supply {
    arrivals: Arrivals,
    /// Spans handed out.
    taken: u64,
    until: u64,
    last: Bytes,
}

impl Source {
    fn supply(&self) -> MutexGuard<'_, Supply> {
        self.supply.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more is handed out.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The next batch, and how many spans were handed out before it.
    fn next(&self) -> Option<(Batch, u64)> {
        let mut supply = self.supply();
        if supply.taken >= supply.until || self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let batch = supply.arrivals.next()?;
        let before = supply.taken;
        supply.taken += batch.spans;
        supply.last = batch.otlp.clone();
        Some((batch, before))
    }

    /// Waits until the batch is due at the wished rate.
    async fn pace(&self, before: u64) {
        let Some(rate) = self.rate else { return };
        let due = Duration::from_secs_f64(before as f64 / rate as f64);
        tokio::time::sleep(due.saturating_sub(self.began.elapsed())).await;
    }
}

async fn client(channel: Channel, source: &Source, repeats: u64) -> Result<Ingest> {
    let mut client = TraceServiceClient::new(channel);
    let mut done = Ingest::default();
    let mut again: Option<Bytes> = None;
    while let Some((batch, before)) = source.next() {
        source.pace(before).await;
        export(&mut client, batch.otlp.clone(), &mut done).await?;
        done.spans += batch.spans;
        done.bytes += batch.otlp.len() as u64;
        done.batches += 1;
        // The repetition comes after another batch, as a sender's retry does.
        repeat(&mut client, again.take(), &mut done).await?;
        // A multiplier without common factors spreads the choice evenly.
        if batch.index.wrapping_mul(7_919) % 1000 < repeats {
            again = Some(batch.otlp);
        }
    }
    repeat(&mut client, again, &mut done).await?;
    Ok(done)
}

async fn repeat(
    client: &mut TraceServiceClient<Channel>,
    otlp: Option<Bytes>,
    done: &mut Ingest,
) -> Result<()> {
    if let Some(otlp) = otlp {
        export(client, otlp, done).await?;
        done.repeated += 1;
    }
    Ok(())
}

async fn export(
    client: &mut TraceServiceClient<Channel>,
    otlp: Bytes,
    done: &mut Ingest,
) -> Result<()> {
    for _ in 0..RETRIES_MAX {
        let began = Instant::now();
        match client.export(RawMessage(otlp.clone())).await {
            Ok(answer) => {
                done.exports.push(began.elapsed().as_secs_f64() * 1e3);
                let partial = answer.into_inner().partial_success;
                let rejected = partial.map_or(0, |partial| partial.rejected_spans);
                done.rejected += u64::try_from(rejected).unwrap_or(0);
                return Ok(());
            }
            Err(status) if matches!(status.code(), Code::ResourceExhausted | Code::Unavailable) => {
                done.retries += 1;
                tokio::time::sleep(RETRY_AFTER).await;
            }
            Err(status) => return Err(format!("Export failed: {status}").into()),
        }
    }
    Err("the server refused a batch for a minute".into())
}

impl Ingest {
    fn add(&mut self, other: Self) {
        self.spans += other.spans;
        self.bytes += other.bytes;
        self.batches += other.batches;
        self.repeated += other.repeated;
        self.retries += other.retries;
        self.rejected += other.rejected;
        self.exports.extend(other.exports);
    }
}
