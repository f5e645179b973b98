//! The shop's traces on their way to the server.
//!
//! Visits flow in from [`Shop`], OTLP Exports flow out through a gRPC client like any SDK's: first
//! the last hour at once, then one or two visits a second, each when its time has passed.

use std::time::{Duration, Instant};

use spanlake_proto::client::TraceServiceClient;
use spanlake_proto::otlp::collector::ExportTraceServiceRequest;
use tonic::transport::{Channel, Endpoint};

use super::shop::{Shop, ShopTrace};
use crate::client::{Address, Failure};
use crate::eyes;

const SECOND: u64 = 1_000_000_000;
/// Visits of the last hour.
const VISITS: u64 = 320;
/// The hour ends here before now, so that even the longest trace is over.
const GRACE: u64 = 45 * SECOND;
/// Spans an Export, as SDKs batch them.
const BATCH: usize = 512;
/// Between two visits.
const PAUSE: Duration = Duration::from_millis(700);
/// Failed Exports in a row that end the demo; a restart of Jaeger passes before.
const FAILURES_MAX: u32 = 10;

/// What was written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wrote {
    pub(super) traces: u64,
    pub(super) spans: u64,
    pub(super) took: Duration,
}

/// The shop and the line to the server.
#[derive(Debug)]
pub(super) struct Traffic {
    shop: Shop,
    line: TraceServiceClient<Channel>,
}

impl Traffic {
    pub(super) async fn to(address: &Address, seed: u64) -> Result<Self, Failure> {
        Ok(Self { shop: Shop::new(seed), line: connect(address).await? })
    }

    /// The same shop, sending somewhere else.
    pub(super) async fn move_to(self, address: &Address) -> Result<Self, Failure> {
        Ok(Self { line: connect(address).await?, ..self })
    }

    /// Sends the last hour.
    pub(super) async fn last_hour(&mut self) -> Result<Wrote, Failure> {
        let started = Instant::now();
        let to = eyes::now().saturating_sub(GRACE);
        let from = to.saturating_sub(3_600 * SECOND);
        let visits: Vec<_> = self.shop.visits(from, to, VISITS).collect();
        let mut wrote = Wrote::default();
        let mut batch = Vec::new();
        for trace in visits.into_iter().flat_map(|visit| visit.traces) {
            wrote.traces += 1;
            wrote.spans += trace.spans as u64;
            batch.push(trace);
            if batch.iter().map(|t: &ShopTrace| t.spans).sum::<usize>() >= BATCH {
                self.send(std::mem::take(&mut batch)).await?;
            }
        }
        self.send(batch).await?;
        wrote.took = started.elapsed();
        Ok(wrote)
    }

    /// Visits as they happen, until this is dropped or the line stays dead.
    pub(super) async fn go_on(&mut self) -> Result<(), Failure> {
        let mut under_way: Vec<ShopTrace> = Vec::new();
        let mut failures = 0;
        loop {
            under_way.extend(self.shop.visit(eyes::now()).traces);
            tokio::time::sleep(PAUSE).await;
            let now = eyes::now();
            let (over, rest): (Vec<_>, Vec<_>) =
                under_way.into_iter().partition(|trace| trace.end_unix_nano <= now);
            under_way = rest;
            match self.send(over).await {
                Ok(()) => failures = 0,
                Err(failure) if failures == FAILURES_MAX => return Err(failure),
                Err(_) => failures += 1,
            }
        }
    }

    async fn send(&mut self, traces: Vec<ShopTrace>) -> Result<(), Failure> {
        if traces.is_empty() {
            return Ok(());
        }
        let resource_spans = traces.into_iter().flat_map(|trace| trace.resource_spans).collect();
        let answer =
            self.line.export(ExportTraceServiceRequest { resource_spans }).await.map_err(|s| {
                Failure::failed(format!("the Export failed: {:?}: {}", s.code(), s.message()))
            })?;
        match answer.into_inner().partial_success {
            Some(partial) if partial.rejected_spans > 0 => Err(Failure::failed(format!(
                "{} spans were rejected: {}",
                partial.rejected_spans, partial.error_message
            ))),
            _ => Ok(()),
        }
    }
}

async fn connect(address: &Address) -> Result<TraceServiceClient<Channel>, Failure> {
    let unreachable =
        |e: tonic::transport::Error| Failure::failed(format!("no OTLP at {address}: {e}"));
    let endpoint = Endpoint::from_shared(address.uri().to_owned()).map_err(unreachable)?;
    Ok(TraceServiceClient::new(endpoint.connect().await.map_err(unreachable)?))
}
