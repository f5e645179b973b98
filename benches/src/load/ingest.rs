//! Sending: clients that each hold one connection and one batch under way, as Jaeger's exporters
//! do, some batches twice. What the server refuses under pressure is sent again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use spanlake_benches::Result;
use spanlake_benches::arrivals::{Arrivals, Batch, Lateness};
use spanlake_benches::scale::Scale;
use spanlake_proto::raw::RawMessage;
use spanlake_proto::raw_client::TraceServiceClient;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::arguments::Arguments;
use crate::server::Server;

const SEAL_TIMEOUT: Duration = Duration::from_secs(300);
const RETRY_AFTER: Duration = Duration::from_millis(100);
const RETRIES_MAX: u32 = 600;

/// What sending came to.
#[derive(Debug, Default)]
pub(crate) struct Ingest {
    pub(crate) spans: u64,
    pub(crate) bytes: u64,
    pub(crate) batches: u64,
    pub(crate) repeated: u64,
    pub(crate) retries: u64,
    pub(crate) rejected: u64,
    /// Until the last batch was acknowledged, s.
    pub(crate) wall: f64,
    /// Server CPU until then, s.
    pub(crate) cpu_acked: f64,
    /// Server CPU until everything was sealed, s.
    pub(crate) cpu_sealed: f64,
    /// Milliseconds of each Export, sorted.
    pub(crate) exports: Vec<f64>,
}

/// Sends everything and waits until it is sealed.
pub(crate) async fn run(server: &Server, scale: &Scale, arguments: &Arguments) -> Result<Ingest> {
    let lateness = Lateness { minutes: arguments.late, days: arguments.very_late };
    let source = Source {
        arrivals: Mutex::new(Arrivals::new(scale.clone(), lateness, arguments.batch)),
        rate: arguments.rate,
        began: Instant::now(),
    };
    let source = std::sync::Arc::new(source);
    let cpu_before = server.cpu()?;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..arguments.clients.max(1) {
        let channel = Endpoint::from_shared(server.grpc().to_owned())?.connect().await?;
        let (source, repeats) = (std::sync::Arc::clone(&source), arguments.repeats);
        clients.spawn(async move { client(channel, &source, repeats).await });
    }
    let mut all = Ingest::default();
    while let Some(done) = clients.join_next().await {
        all.add(done??);
    }
    all.wall = source.began.elapsed().as_secs_f64();
    all.cpu_acked = server.cpu()? - cpu_before;
    crate::say("waiting until everything is sealed");
    wait_until_sealed(server).await?;
    all.cpu_sealed = server.cpu()? - cpu_before;
    all.exports.sort_by(f64::total_cmp);
    if all.spans != scale.spans() {
        return Err(format!("sent {} of {} spans", all.spans, scale.spans()).into());
    }
    Ok(all)
}

/// Batches for all clients.
struct Source {
    arrivals: Mutex<Arrivals>,
    rate: Option<u64>,
    began: Instant,
}

impl Source {
    fn next(&self) -> Option<Batch> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    /// Waits until the batch is due at the wished rate.
    async fn pace(&self, batch: &Batch) {
        let Some(rate) = self.rate.filter(|rate| *rate > 0) else { return };
        let due = Duration::from_secs_f64((batch.index * batch.spans) as f64 / rate as f64);
        tokio::time::sleep(due.saturating_sub(self.began.elapsed())).await;
    }
}

async fn client(channel: Channel, source: &Source, repeats: u64) -> Result<Ingest> {
    let mut client = TraceServiceClient::new(channel);
    let mut done = Ingest::default();
    let mut again: Option<Bytes> = None;
    while let Some(batch) = source.next() {
        source.pace(&batch).await;
        export(&mut client, batch.otlp.clone(), &mut done).await?;
        done.spans += batch.spans;
        done.bytes += batch.otlp.len() as u64;
        done.batches += 1;
        // The repetition comes after another batch, as a sender's retry does.
        if let Some(otlp) = again.take() {
            export(&mut client, otlp, &mut done).await?;
            done.repeated += 1;
        }
        // A multiplier without common factors spreads the choice evenly.
        if batch.index.wrapping_mul(7_919) % 1000 < repeats {
            again = Some(batch.otlp);
        }
    }
    Ok(done)
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

async fn wait_until_sealed(server: &Server) -> Result<()> {
    let began = Instant::now();
    while server.metric("spanlake_head_spans")? > 0.0 {
        if began.elapsed() > SEAL_TIMEOUT {
            return Err("the heads were not sealed in five minutes".into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
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
