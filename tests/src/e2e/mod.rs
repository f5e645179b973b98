//! Everything a test needs to run real programs against each other: ports, processes, the built
//! Spanlake, a real Jaeger and the Go oracle. Folders and flags flow in, running processes flow
//! out, and they end with the values that own them. Nothing here knows what an answer should be:
//! that is the oracle's business.

mod golang;
mod http;
mod jaeger;
mod oracle;
mod ports;
mod spanlake;
mod tools;

pub use golang::{go_build, oracle_binary};
pub use http::{Answer, get, post};
pub use jaeger::{Config, Jaeger};
pub use oracle::Oracle;
pub use ports::free_port;
pub use spanlake::{Ports, Spanlake, binary};
pub use tools::{
    Missing, data_set, install, need, repository, run_program, say, skipped, work_dir,
};

/// Errors of the workshop are only ever shown.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Ends the test early, green but loud, where a tool or a data set is missing; an error with
/// `CI=true`.
#[macro_export]
macro_rules! or_skip {
    ($wanted:expr) => {
        match $wanted {
            Ok(found) => found,
            Err(missing) => return $crate::e2e::skipped(&missing),
        }
    };
}
