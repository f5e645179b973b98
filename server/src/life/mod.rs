//! The life of the process: start, recover, serve, drain, stop.
//!
//! A valid configuration flows in; ports, a store and the doors between them come to be, in the
//! order that lets an operator see each step, and go again in the order that loses nothing. No
//! request is handled in here, and nothing here knows a protocol's messages.

pub mod listen;
pub mod memory;
pub mod signals;
pub mod state;
pub mod volume;

mod holder;
