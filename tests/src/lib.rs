//! The workshop of the end-to-end tests.

pub mod e2e;
