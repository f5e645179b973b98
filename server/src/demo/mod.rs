//! `spanlake demo`.
