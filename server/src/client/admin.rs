//! The administrator's verbs: asked of a server's admin port, or done on a directory that nobody
//! serves. Questions flow in, the server's or the store's words flow out. One small HTTP request a
//! verb: the admin port is on this machine, so there is no TLS, no proxy and no reuse.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use spanlake::TraceQuery;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Address, Embedded, Failure};
use crate::admin::{Ask, NOTHING_SEALED};
use crate::eyes::segments::{self, Row};

/// The admin port (surface.md).
const PORT: u16 = 17270;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// More than a list of 100,000 segments.
const ANSWER_MAX: u64 = 64 << 20;

/// Which server or directory to look after. Neither flag: the server on this machine.
#[derive(Debug, Clone, Default, Args)]
pub struct AdminPlace {
    /// Ask this server (its admin port) [default: http://127.0.0.1:17270]
    #[arg(long, value_name = "URL", conflicts_with = "data_dir", value_parser = address)]
    server: Option<Address>,
    /// Open this directory, where no server runs on it
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text, PORT)
}

impl AdminPlace {
    /// The server, which is not asked yet, or the open directory.
    ///
    /// # Errors
    /// A directory that is missing, locked or damaged.
    pub(crate) fn open(&self) -> Result<Steward, Failure> {
        match &self.data_dir {
            Some(directory) => Ok(Steward::Embedded(Embedded::open(directory)?)),
            None => {
                let address = self.server.clone().unwrap_or_else(|| Address::local(PORT));
                Ok(Steward::Remote(address))
            }
        }
    }
}

/// Who does the verbs.
#[derive(Debug)]
pub(crate) enum Steward {
    Remote(Address),
    Embedded(Embedded),
}

impl Steward {
    /// How a search is answered, as text or JSON.
    ///
    /// # Errors
    /// The server's or the store's.
    pub(crate) async fn explain(&self, query: &TraceQuery, json: bool) -> Result<String, Failure> {
        match self {
            Self::Remote(address) => {
                let path = if json { "/explain?format=json" } else { "/explain" };
                let body = json!(Ask::from(query)).to_string();
                call(address, "POST", path, &body).await
            }
            Self::Embedded(embedded) => {
                let explanation = embedded.explain(query)?;
                Ok(if json {
                    format!("{:#}\n", json!(explanation))
                } else {
                    explanation.to_string()
                })
            }
        }
    }

    /// The segments.
    ///
    /// # Errors
    /// The server's or the store's.
    pub(crate) async fn segments(&self) -> Result<Vec<Row>, Failure> {
        match self {
            Self::Remote(address) => {
                let text = call(address, "GET", "/segments", "").await?;
                segments::read(&text).map_err(|error| {
                    Failure::failed(format!("{address} sent no list of segments: {error}"))
                })
            }
            Self::Embedded(embedded) => Ok(segments::rows(&embedded.segments())),
        }
    }

    /// SQL that makes DuckDB's view over the segments.
    ///
    /// # Errors
    /// The server's or the store's, and where nothing is sealed.
    pub(crate) async fn duckdb(&self) -> Result<String, Failure> {
        match self {
            Self::Remote(address) => call(address, "GET", "/segments?format=duckdb", "").await,
            Self::Embedded(embedded) => {
                embedded.duckdb()?.ok_or_else(|| Failure::failed(NOTHING_SEALED))
            }
        }
    }

    /// Seals every head; `wait` = returns when no background work is due. What was done, in words.
    ///
    /// # Errors
    /// The server's or the store's.
    pub(crate) async fn flush(&self, wait: bool) -> Result<String, Failure> {
        match self {
            Self::Remote(address) => {
                let path = if wait { "/flush?wait=true" } else { "/flush" };
                call(address, "POST", path, "").await
            }
            Self::Embedded(embedded) => {
                // Nobody else works here, so waiting costs nothing and leaves the directory tidy.
                embedded.settle()?;
                Ok("sealed; no background work is due\n".to_owned())
            }
        }
    }
}

/// One HTTP/1.0 request; the answer ends with the connection. A verb may take its time, so only
/// the connecting has a limit.
async fn call(address: &Address, method: &str, path: &str, body: &str) -> Result<String, Failure> {
    let cut = |error: std::io::Error| {
        Failure::failed(format!("{address} broke off: {error}; is it Spanlake's admin port?"))
    };
    let authority = address.authority();
    let mut stream = connect(address).await?;
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.map_err(cut)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await.map_err(cut)?;
    match parse(&String::from_utf8_lossy(&answer)) {
        Some((200, body)) => Ok(body),
        Some((404, _)) | None => Err(Failure::failed(format!(
            "{address} does not serve {path}; is it Spanlake's admin port (17270 by default), of \
             this version?"
        ))),
        Some((_, body)) => Err(Failure::failed(format!("{address}: {}", body.trim_end()))),
    }
}

async fn connect(address: &Address) -> Result<TcpStream, Failure> {
    let nobody = |why: &dyn std::fmt::Display| {
        Failure::failed(format!(
            "no server at {address} ({why}); start one with `spanlake serve`, name another's admin \
             port with --server URL, or pass --data-dir DIR where no server runs"
        ))
    };
    let connecting = TcpStream::connect(address.authority());
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => connected.map_err(|error| nobody(&error)),
        Err(late) => Err(nobody(&late)),
    }
}

/// Status and body.
fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut words = head.lines().next()?.split(' ');
    let http = words.next()?.starts_with("HTTP/1.");
    let status = words.next()?.parse().ok()?;
    http.then(|| (status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart_and_others_are_none() {
        assert_eq!(
            parse("HTTP/1.1 200 OK\r\nA: b\r\n\r\nx\r\n\r\ny"),
            Some((200, "x\r\n\r\ny".into()))
        );
        assert_eq!(parse("HTTP/1.0 403 Forbidden\r\n\r\n"), Some((403, String::new())));
        for other in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 ok\r\n\r\n"] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }

    #[tokio::test]
    async fn nobody_there_says_what_to_do() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let failure = Steward::Remote(Address::local(port)).flush(false).await.unwrap_err();
        for word in ["refused", "`spanlake serve`", "--data-dir"] {
            assert!(failure.message().contains(word), "{failure}");
        }
    }

    #[test]
    fn the_default_port_is_admins() {
        assert_eq!(address("localhost").unwrap().uri(), "http://localhost:17270");
        assert_eq!(address("::1").unwrap().authority(), "[::1]:17270");
        assert_eq!(address(":5").unwrap().authority(), "127.0.0.1:5");
    }
}
