//! OTLP over gRPC: `TraceService/Export` with the request as raw bytes.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use spanlake_proto::raw::RawMessage;
use spanlake_proto::server::TraceService;
use tonic::{Request, Response, Status};

use super::answer::answer;
use crate::service::{Service, tenancy};

const TRANSPORT: &str = "grpc";

/// The gRPC door for Exports.
#[derive(Debug, Clone)]
pub struct TraceDoor(pub Arc<Service>);

#[tonic::async_trait]
impl TraceService for TraceDoor {
    async fn export(
        &self,
        request: Request<RawMessage>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let tenancy = tenancy(request.metadata().as_ref());
        let otlp = request.into_inner().0;
        let tenancy =
            tenancy.inspect_err(|refusal| self.0.count_refused(TRANSPORT, refusal, &otlp))?;
        let ingested = self.0.export(TRANSPORT, tenancy, otlp).await?;
        Ok(Response::new(answer(&ingested)))
    }
}
