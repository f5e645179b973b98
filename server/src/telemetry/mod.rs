//! What the server tells about itself: log lines on standard error, metrics for Prometheus.
//!
//! Events of the engine, figures of requests and of the process flow in; text flows out. Nothing
//! here changes what the server does, holds attribute values, or makes a label from user data.

pub mod book;
pub mod events;
pub mod limit;
pub mod log;
pub mod metrics;

mod meter;
mod process;

pub use events::Ear;
pub use limit::{RateLimit, RateLimits};
pub use metrics::Metrics;
