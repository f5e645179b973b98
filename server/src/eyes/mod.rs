//! What people and scripts see of the stored traces and how they are stored: `spanlake services`,
//! `traces`, `trace`, `explain`, `segments`, and `flush`.
//!
//! The commands (`command`, and its flags in `args`) fetch data through [`crate::client`]; the
//! renderers below are pure functions from that data to text, one file a picture, so that the
//! demo draws with the same hand. Everything drawn is hostile input until `text` has seen it.
//! Nothing here talks to a socket or a store, and nothing here decides what a search matches.

mod args;
mod command;
mod detail;
mod json;
mod model;
mod otlp;
pub(crate) mod paint;
pub(crate) mod segments;
pub(crate) mod services;
mod table;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod traces;
mod tree;
pub(crate) mod waterfall;

#[cfg(test)]
mod fixture;

pub use args::{ExplainArgs, FlushArgs, SegmentsArgs, ServicesArgs, TraceArgs, TracesArgs};
pub(crate) use command::{complain, now, print, sample};
pub use command::{explain, flush, segments, services, trace, traces};
pub use model::Trace;
pub(crate) use model::{TraceBuilder, trace_id_of};
pub(crate) use otlp::TracesData;
pub use paint::Paint;

/// How wide and in which colours to draw.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Columns of the terminal.
    pub columns: usize,
    /// Colour or not.
    pub paint: Paint,
}

impl Look {
    /// What standard output can show.
    pub fn of_stdout() -> Self {
        Self { columns: paint::columns(), paint: Paint::of_stdout() }
    }
}
