//! The workshop of the end-to-end tests.

pub mod e2e;
pub mod model;
pub mod mounts;
pub mod server;
pub mod sim;
pub mod syscalls;
