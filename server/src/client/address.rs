//! A server's address as people type it.
//!
//! `http://host:port`, `host:port`, `host`, `:port` or an IPv6 address flow in, a URI that gRPC
//! understands flows out.

use std::fmt;
use std::str::FromStr;

/// The storage port (surface.md).
const PORT: u16 = 17271;

/// `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// The URI.
    pub fn uri(&self) -> &str {
        &self.0
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        self.0.strip_prefix("http://").unwrap_or(&self.0)
    }

    /// A port of this machine.
    pub fn local(port: u16) -> Self {
        Self(format!("http://127.0.0.1:{port}"))
    }
}

impl Default for Address {
    fn default() -> Self {
        Self::local(PORT)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, PORT)
    }
}

impl Address {
    /// Reads what people type; `default` is the port where they name none.
    ///
    /// # Errors
    /// A sentence that shows the right form.
    pub fn parse(text: &str, default: u16) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a server's address; write for instance localhost:{default} or http://host:{default}"
            )
        };
        if text.to_ascii_lowercase().starts_with("https://") {
            return Err("TLS is not supported; write http://".to_owned());
        }
        let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let (host, port) = split(authority, default).ok_or_else(wrong)?;
        let host_ok = !host.contains(['/', '@', '?', '#', ' ']);
        let uri = format!("http://{host}:{port}");
        if !host_ok || uri.parse::<http::Uri>().is_err() {
            return Err(wrong());
        }
        Ok(Self(uri))
    }
}

/// Host (IPv6 in brackets) and port.
fn split(authority: &str, default: u16) -> Option<(String, u16)> {
    if authority.is_empty() {
        return None;
    }
    if authority.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some((format!("[{authority}]"), default));
    }
    if let Some(port) = authority.strip_prefix(':') {
        return Some(("127.0.0.1".to_owned(), port.parse().ok()?));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
            Some((host.to_owned(), port.parse().ok()?))
        }
        _ => Some((authority.to_owned(), default)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_understood() {
        for (text, uri) in [
            ("http://127.0.0.1:17271", "http://127.0.0.1:17271"),
            ("http://traces.example:9000/", "http://traces.example:9000"),
            ("localhost:17271", "http://localhost:17271"),
            ("localhost", "http://localhost:17271"),
            (":4317", "http://127.0.0.1:4317"),
            ("[::1]:17271", "http://[::1]:17271"),
            ("[::1]", "http://[::1]:17271"),
            ("::1", "http://[::1]:17271"),
        ] {
            assert_eq!(text.parse::<Address>().map(|a| a.0), Ok(uri.to_owned()), "{text}");
        }
        assert_eq!(Address::default().uri(), "http://127.0.0.1:17271");
    }

    #[test]
    fn the_rest_is_refused() {
        for text in
            ["", "http://", "host:port", "host:99999", "https://host", "a b:1", "u@h:1", "h/p:1"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
