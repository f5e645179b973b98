//! The one protocol the engine speaks: the bytes of OTLP traces.
pub mod value;
