//! The wire: messages, typed clients and raw servers of everything Spanlake speaks over gRPC,
//! generated from idl/. A client sees OTLP spans as the types of `opentelemetry-proto`; a server
//! sees them as bytes ([`raw::RawMessage`]), because the engine takes and gives raw OTLP and one
//! string that is not UTF-8 must not cost a batch. Nothing here decides anything.

pub mod codec;
pub mod raw;

/// OTLP messages, the types of the opentelemetry-proto crate.
pub mod otlp {
    pub use opentelemetry_proto::tonic::collector::trace::v1 as collector;
    pub use opentelemetry_proto::tonic::{
        common::v1 as common, resource::v1 as resource, trace::v1 as trace,
    };
}

#[expect(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod generated {
    pub mod jaeger {
        pub mod storage {
            pub mod v2 {
                include!(concat!(env!("OUT_DIR"), "/client/jaeger.storage.v2.rs"));
            }
        }
        pub mod expression {
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/client/jaeger.expression.v1.rs"));
            }
        }
    }
    pub mod trace_service {
        include!(concat!(env!("OUT_DIR"), "/client/opentelemetry.proto.collector.trace.v1.rs"));
    }
    pub mod raw {
        pub mod storage {
            include!(concat!(env!("OUT_DIR"), "/raw/jaeger.storage.v2.rs"));
        }
        pub mod trace_service {
            include!(concat!(env!("OUT_DIR"), "/raw/opentelemetry.proto.collector.trace.v1.rs"));
        }
    }
}

pub use generated::jaeger;

/// Typed gRPC clients.
pub mod client {
    pub use crate::generated::trace_service::trace_service_client::TraceServiceClient;
    pub use crate::jaeger::storage::v2::capabilities_client::CapabilitiesClient;
    pub use crate::jaeger::storage::v2::dependency_reader_client::DependencyReaderClient;
    pub use crate::jaeger::storage::v2::trace_reader_client::TraceReaderClient;
}

/// gRPC clients that see OTLP spans as [`raw::RawMessage`]: for whoever wants the exact bytes, or
/// has to survive strings that are not UTF-8.
pub mod raw_client {
    pub use crate::generated::raw::storage::trace_reader_client::TraceReaderClient;
    pub use crate::generated::raw::trace_service::trace_service_client::TraceServiceClient;
}

/// gRPC servers: the trait to implement and the service that serves it. OTLP spans pass through
/// as [`raw::RawMessage`].
pub mod server {
    pub use crate::generated::raw::storage::capabilities_server::{
        Capabilities, CapabilitiesServer,
    };
    pub use crate::generated::raw::storage::dependency_reader_server::{
        DependencyReader, DependencyReaderServer,
    };
    pub use crate::generated::raw::storage::trace_reader_server::{TraceReader, TraceReaderServer};
    pub use crate::generated::raw::trace_service::trace_service_server::{
        TraceService, TraceServiceServer,
    };
}

/// All of idl/ as an encoded `FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Full names of the services, as health checks and reflection know them.
pub mod name {
    pub use crate::generated::raw::storage::capabilities_server::SERVICE_NAME as CAPABILITIES;
    pub use crate::generated::raw::storage::dependency_reader_server::SERVICE_NAME as DEPENDENCY_READER;
    pub use crate::generated::raw::storage::trace_reader_server::SERVICE_NAME as TRACE_READER;
    pub use crate::generated::raw::trace_service::trace_service_server::SERVICE_NAME as TRACE_SERVICE;
}
