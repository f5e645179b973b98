//! The workshop of the end-to-end tests.
