//! OTLP's doors: gRPC and HTTP. In flow Exports as protobuf or JSON, compressed or not; through
//! [`Service`](crate::service::Service) go raw OTLP protobuf bytes; out flow OTLP's answers.
//! Spans are never decoded here.

mod answer;
mod grpc;
mod http;
pub mod json;

pub(crate) use grpc::Reached;
pub use grpc::TraceDoor;
pub use http::http_router;
