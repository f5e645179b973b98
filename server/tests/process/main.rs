//! Real processes: the binary is started, asked, signalled and its exit code read. Every server
//! here listens on ports that the system chooses, on 127.0.0.1 only.

#![expect(clippy::expect_used, reason = "tests: the message of a failed expectation is the point")]

mod broken;
mod container;
mod harness;
mod lifecycle;
mod refusals;
mod spans;
mod verbs;
