//! `spanlake demo`.

pub mod shop;
