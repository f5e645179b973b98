//! The workshop of the end-to-end tests.

pub mod model;
pub mod server;
pub mod syscalls;
