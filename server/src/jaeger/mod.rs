//! Jaeger's remote storage API v2. In flow its messages, through [`Service`] go questions in the
//! engine's words, out flow its answers; every quirk of its clients (jaeger-contract §1.3, §12)
//! ends here. Spans pass as raw OTLP.
//!
//! [`Service`]: crate::service::Service

mod capabilities;
mod dependencies;
mod filter;
mod query;
mod reader;
mod summaries;
mod time;
mod token;

pub use capabilities::CapabilitiesDoor;
pub use dependencies::DependencyDoor;
pub use reader::TraceReaderDoor;
