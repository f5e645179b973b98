//! Which build this is. Two constants that the command line, the start's log line and the metrics
//! all tell.

/// The version in Cargo.toml.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The git revision the binary was built from, or `unknown`.
pub const REVISION: &str = env!("SPANLAKE_REVISION");
