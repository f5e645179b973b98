//! The doors over real sockets: a store in a temporary directory, the gRPC and HTTP listeners as
//! the server puts them together, and clients on the other side.

// Tells clippy that all of it is a test.
#![cfg(test)]

mod export;
mod house;
mod http;
mod pages;
mod reads;
mod streams;
