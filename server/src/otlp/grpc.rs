//! OTLP over gRPC: `TraceService/Export` with the request as raw bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use spanlake_proto::raw::RawMessage;
use spanlake_proto::server::TraceService;
use tonic::{Request, Response, Status};

use super::answer::answer;
use crate::service::{Service, tenancy};

const TRANSPORT: &str = "grpc";

/// Set once an Export has reached its door, from where on the door counts what becomes of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reached(Arc<AtomicBool>);

impl Reached {
    pub(crate) fn yet(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The gRPC door for Exports.
#[derive(Debug, Clone)]
pub struct TraceDoor(pub Arc<Service>);

#[tonic::async_trait]
impl TraceService for TraceDoor {
    async fn export(
        &self,
        request: Request<RawMessage>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if let Some(reached) = request.extensions().get::<Reached>() {
            reached.0.store(true, Ordering::Relaxed);
        }
        let tenancy = tenancy(request.metadata().as_ref());
        // Put there by the envelope that counted the bytes; in its absence nothing was counted.
        let share = request.extensions().get().map_or_else(|| self.0.share(), Arc::clone);
        let otlp = request.into_inner().0;
        let tenancy =
            tenancy.inspect_err(|refusal| self.0.count_refused(TRANSPORT, refusal, &otlp))?;
        let ingested = self.0.export(TRANSPORT, tenancy, otlp, share).await?;
        Ok(Response::new(answer(&ingested)))
    }
}
