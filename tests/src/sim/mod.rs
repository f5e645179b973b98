//! A simulated machine for the engine: a disk that keeps only what was synced, a clock that
//! jumps, faults by seed. A seed flows in; out flows what was counted, or a failure with the
//! steps that led to it. The same seed is the same run, call by call: the store's threads are
//! real, but each step waits until they are done, and where a step is to fall into another
//! one, the thread that does the other stands still at a named call to the disk.
//!
//! | room | holds |
//! |---|---|
//! | [`disk`] | files and names, what is durable of them, traps, lies |
//! | [`clock`] | time |
//! | [`steps`] | what can happen, as values; a new kind of step is a variant here and an arm in [`run`] |
//! | [`truth`] | what the store must hold, and what it may |
//! | [`run`] | the loop: a step, then what it says is held against the truth |
//! | `spoil` | bits flipped at rest |
//! | [`report`] | numbers |
#![expect(clippy::expect_used, reason = "a test helper that fails must fail loudly")]

pub mod clock;
pub mod disk;
pub mod report;
pub mod run;
mod spoil;
pub mod steps;
pub mod truth;
