//! The oracle: a brute-force store over decoded trees that shares no code with the engine, and
//! what tests need around it. Raw Exports flow into a [`Model`]; every answer the engine can give
//! flows out, computed by looking at every span. Slow on purpose, simple on purpose; it must
//! never call the engine to learn an answer.
#![expect(clippy::expect_used, reason = "a test helper that fails must fail loudly")]

pub mod case;
pub mod check;
pub mod dice;
pub mod files;
pub mod invent;
pub mod search;
pub mod spans;
pub mod text;
pub mod twist;
pub mod wire;

pub use check::Checker;
pub use dice::Dice;
pub use spans::{Model, Outcome, Placed};
