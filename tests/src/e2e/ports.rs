//! Free ports of 127.0.0.1. Each call gives a port that nobody held a moment ago and that no
//! other call of this process gives again.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Result;

/// Below the range from which the kernel draws ports for outgoing connections: a client that
/// keeps knocking at a stopped server must never be given the server's own port.
const FIRST: u32 = 11_000;
const COUNT: u32 = 20_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port that is free for TCP and UDP.
///
/// # Errors
/// Where all of them are taken.
pub fn free_port() -> Result<u16> {
    // Test binaries may run beside each other: each starts at a place of its own.
    let offset = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + offset.wrapping_add(step) % COUNT)?;
        let tcp = TcpListener::bind(("127.0.0.1", port));
        if tcp.is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free port between 11000 and 31000".into())
}
