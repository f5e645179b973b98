//! Exports through the waist: raw OTLP in, the engine's verdict out when the spans are durable
//! and visible. The walk runs on a blocking thread, the wait for the log on none. Bytes between
//! the door and the verdict are counted against one budget, so that a slow disk meets senders
//! that are told to come back, not a server that swallows memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use spanlake::{Ingested, Tenancy};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Service;
use crate::otlp::count::count_spans;
use crate::status::Refusal;

/// Budget is dealt out in pieces of this size, since a semaphore counts to 2³².
const PIECE: usize = 1024;
/// How long an Export waits for its share of the budget.
const PATIENCE: Duration = Duration::from_secs(2);

impl Service {
    /// Stores one OTLP `ExportTraceServiceRequest`; returns when its spans are durable and
    /// visible. Counts, and logs what was rejected.
    ///
    /// # Errors
    /// The engine's, a drain's, and pressure, all meaning that nothing was stored.
    pub async fn export(
        &self,
        transport: &'static str,
        tenancy: Tenancy,
        otlp: Bytes,
    ) -> Result<Ingested, Refusal> {
        let started = Instant::now();
        self.meter.received_bytes(otlp.len() as u64);
        let verdict = self.submit(tenancy, otlp.clone()).await;
        match &verdict {
            Ok(ingested) => self.count_ingested(transport, ingested),
            Err(refusal) => self.count_refused(transport, refusal, &otlp),
        }
        self.meter.export_seconds(started.elapsed().as_secs_f64());
        verdict
    }

    /// Counts an Export that is refused as a whole, with as many spans as its bytes show.
    pub fn count_refused(&self, transport: &'static str, refusal: &Refusal, otlp: &[u8]) {
        self.meter.refused_spans(transport, refusal.word(), count_spans(otlp).max(1));
    }

    fn count_ingested(&self, transport: &'static str, ingested: &Ingested) {
        self.meter.accepted_spans(transport, ingested.accepted);
        self.meter.late_spans(ingested.late);
        self.meter.skewed_spans("future", ingested.future);
        for rejection in &ingested.rejected {
            self.meter.rejected_spans(rejection.reason, rejection.count);
            self.rejections.log(rejection, Instant::now());
        }
    }

    async fn submit(&self, tenancy: Tenancy, otlp: Bytes) -> Result<Ingested, Refusal> {
        self.refuse_when_draining()?;
        let share = self.share_of(otlp.len()).await?;
        // Again: a drain may have begun while this Export waited.
        self.refuse_when_draining()?;
        let (sender, verdict) = oneshot::channel();
        let store = self.store.clone();
        let walk = tokio::task::spawn_blocking(move || {
            store.submit(&tenancy, otlp, move |result| {
                drop(share);
                // The sender may have gone; its spans are stored all the same.
                let _ = sender.send(result);
            });
        });
        walk.await.map_err(|e| Refusal::internal(format!("the batch ended in a bug: {e}")))?;
        match verdict.await {
            Ok(result) => result.map_err(Refusal::from),
            Err(_) => Err(Refusal::unavailable(
                "the store closed before the batch was durable; send it again",
            )),
        }
    }

    fn refuse_when_draining(&self) -> Result<(), Refusal> {
        if self.draining.load(Ordering::Acquire) {
            return Err(Refusal::unavailable("the server is shutting down; send the batch again"));
        }
        Ok(())
    }

    /// Waits for room in the budget, not for long.
    async fn share_of(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let all = pieces(self.limits.export_bytes);
        let wanted = pieces(bytes).clamp(1, all);
        let budget = Arc::clone(&self.export_budget);
        match tokio::time::timeout(PATIENCE, budget.acquire_many_owned(wanted)).await {
            Ok(Ok(share)) => Ok(share),
            _ => Err(Refusal::exhausted(format!(
                "Exports in flight hold their limit of {} bytes; send the batch again",
                self.limits.export_bytes
            ))),
        }
    }

    /// From now on Exports are refused with UNAVAILABLE; questions are still answered.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Returns when no Export is between its door and its verdict. Call [`Service::drain`]
    /// first, or this may wait for ever.
    pub async fn exports_done(&self) {
        let all = pieces(self.limits.export_bytes);
        // The semaphore is never closed.
        let _ = self.export_budget.acquire_many(all).await;
    }
}

/// Budget of `bytes` in pieces.
pub(super) fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX)
}
