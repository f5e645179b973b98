//! Data for measuring: a recorded or made set of OTLP requests goes in, any number of honest
//! copies of it comes out in the order a collector would see them, and a model says which answer
//! every question about them has. The model is written apart from the engine, from the rules, so
//! that it can find the engine wrong. Nothing here measures; `spanlake-load` and the benches do.

pub mod arrivals;
pub mod model;
pub mod scale;
pub mod set;
pub mod synthetic;

mod sites;
mod wire;

/// What can go wrong here is told to a person at a terminal; nobody branches on it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;
