//! Puts the gRPC services together: which listener serves what, how large a message may be, when
//! answers are compressed, what health and reflection say. No service is implemented here.

mod envelope;
mod health;
mod metered;

use std::sync::Arc;

use spanlake_proto::server::{
    CapabilitiesServer, DependencyReaderServer, TraceReaderServer, TraceServiceServer,
};
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic_reflection::server::Builder as Reflection;

use self::envelope::{Envelope, answer_in_kind};
pub use self::health::Health;
use crate::jaeger::{CapabilitiesDoor, DependencyDoor, TraceReaderDoor};
use crate::otlp::TraceDoor;
use crate::service::{EXPORT_BYTES_MAX, Service};

/// Everything, for the storage port: Jaeger's storage API, OTLP, health and reflection.
///
/// # Errors
/// Only if the descriptors compiled into this binary do not parse.
pub fn storage_routes(
    service: &Arc<Service>,
    health: &Health,
) -> Result<Routes, tonic_reflection::server::Error> {
    let reader = TraceReaderServer::new(TraceReaderDoor(Arc::clone(service)))
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Gzip)
        .send_compressed(Zstd);
    let dependencies = DependencyReaderServer::new(DependencyDoor(Arc::clone(service)))
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Gzip)
        .send_compressed(Zstd);
    let capabilities = CapabilitiesServer::new(CapabilitiesDoor)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Gzip)
        .send_compressed(Zstd);
    Ok(otlp_routes(service, health)
        .add_service(InterceptedService::new(reader, answer_in_kind))
        .add_service(InterceptedService::new(dependencies, answer_in_kind))
        .add_service(InterceptedService::new(capabilities, answer_in_kind))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}

/// OTLP and health alone, for the OTLP port.
pub fn otlp_routes(service: &Arc<Service>, health: &Health) -> Routes {
    let traces = TraceServiceServer::new(TraceDoor(Arc::clone(service)))
        .max_decoding_message_size(EXPORT_BYTES_MAX)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .send_compressed(Gzip)
        .send_compressed(Zstd);
    let traces = InterceptedService::new(traces, answer_in_kind);
    Routes::new(Envelope::new(traces, Arc::clone(service))).add_service(health.server())
}

fn reflection() -> Reflection<'static> {
    Reflection::configure()
        .register_encoded_file_descriptor_set(spanlake_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
