//! Exports through the waist: raw OTLP in, the engine's verdict out when the spans are durable
//! and visible. The walk runs on a blocking thread, the wait for the log on none. An
//! Export keeps its share of the budget until its verdict, so that a slow disk meets senders that
//! are told to come back, not a server that swallows memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use spanlake::{Ingested, Tenancy};
use tokio::sync::oneshot;

use super::count::count_spans;
use super::{Service, Share};
use crate::status::Refusal;

impl Service {
    /// Stores one OTLP `ExportTraceServiceRequest`; returns when its spans are durable and
    /// visible. Counts, and logs what was rejected. `share` is what the door has counted while
    /// the bytes arrived.
    ///
    /// # Errors
    /// The engine's, a drain's, and pressure, all meaning that nothing was stored.
    pub async fn export(
        &self,
        transport: &'static str,
        tenancy: Tenancy,
        otlp: Bytes,
        share: Arc<Share>,
    ) -> Result<Ingested, Refusal> {
        let started = Instant::now();
        self.meter.received_bytes(otlp.len() as u64);
        let verdict = self.submit(tenancy, otlp.clone(), share).await;
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

    async fn submit(
        &self,
        tenancy: Tenancy,
        otlp: Bytes,
        share: Arc<Share>,
    ) -> Result<Ingested, Refusal> {
        self.refuse_when_draining()?;
        share.cover(otlp.len()).await?;
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

    /// A share of the Exports' budget, empty at first: a door grows it while bytes arrive.
    pub fn share(&self) -> Arc<Share> {
        Arc::new(Share::of(&self.export_budget))
    }

    /// From now on Exports are refused with UNAVAILABLE; questions are still answered.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Returns when no Export is between its first byte and its verdict. Call
    /// [`Service::drain`] first, or this may wait for ever.
    pub async fn exports_done(&self) {
        self.export_budget.all_free().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use spanlake::{Options, Store};

    use super::*;
    use crate::service::{Limits, NoMeter};

    #[tokio::test]
    async fn past_its_budget_an_export_is_sent_away_with_a_time_to_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Options::default()).unwrap();
        let limits = Limits { export_bytes: 4096, ..Limits::default() };
        let service = Service::new(store, Arc::new(NoMeter), limits);
        let export = |bytes: usize| {
            // An unknown field of that many bytes: a request without spans.
            let mut otlp = vec![0x7a];
            prost::encoding::encode_varint(bytes as u64, &mut otlp);
            otlp.resize(otlp.len() + bytes, 0);
            service.export("grpc", Tenancy::default(), otlp.into(), service.share())
        };
        export(10 << 20).await.unwrap();
        let held = service.share();
        held.cover(2048).await.unwrap();
        export(100).await.unwrap();
        let refusal = export(3000).await.unwrap_err();
        assert_eq!(refusal.code, tonic::Code::ResourceExhausted);
        assert!(refusal.retry_after.is_some() && refusal.message.contains("4096"));
        drop(held);
        export(3000).await.unwrap();
        service.drain();
        let drained = tokio::time::timeout(Duration::from_secs(5), service.exports_done());
        drained.await.unwrap();
        assert_eq!(export(1).await.unwrap_err().code, tonic::Code::Unavailable);
    }
}
