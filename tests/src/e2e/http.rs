//! The smallest HTTP client that reads a health page: one HTTP/1.0 request, one answer, no reuse.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::Result;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// Body as text.
    pub body: String,
}

/// GET from a port of 127.0.0.1.
///
/// # Errors
/// Where nobody listens or what comes back is not HTTP.
pub fn get(port: u16, path: &str) -> Result<Answer> {
    exchange(port, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"))
}

/// POST without a body to a port of 127.0.0.1.
///
/// # Errors
/// As [`get`].
pub fn post(port: u16, path: &str) -> Result<Answer> {
    exchange(port, &format!("POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"))
}

fn exchange(port: u16, request: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(request.as_bytes())?;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw)?;
    let text = String::from_utf8_lossy(&raw);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    let status = head.split(' ').nth(1).ok_or("no status line")?.parse()?;
    Ok(Answer { status, body: body.to_owned() })
}
