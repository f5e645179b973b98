//! Spanlake's server: everything around the engine that talks to the world.
//!
//! In flow OTLP (gRPC, HTTP) and Jaeger's storage questions; out flow answers, metrics and logs.
//! The engine decides what is stored and what is the answer; this crate only translates, starts,
//! stops and reports. Rooms never reach into the engine's files, and never into each other past
//! `service`, the narrow waist between the doors and the store.

// What all of them say.
pub mod exit;
pub mod version;

// life's rooms: process, configuration, telemetry.
pub mod admin;
pub mod cli;
pub mod config;
pub mod life;
pub mod telemetry;

// wire's rooms: protocols.
pub mod jaeger;
pub mod otlp;
pub mod service;
pub mod status;
pub mod wire;

// eyes' rooms: what people see.
pub mod client;
pub mod demo;
pub mod eyes;
