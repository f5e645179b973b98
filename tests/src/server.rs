//! The real `spanlake serve` for tests that end it badly: under another command, in another mount
//! namespace, not yet ready, killed at any moment (the other tests take `e2e::Spanlake`). Flags
//! flow in, a running process with its ports and typed clients flows out. It ends with its handle; it is only ever killed by its own
//! process id.
#![expect(clippy::expect_used, reason = "a test helper that fails must fail loudly")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use spanlake_proto::jaeger::storage::v2::{GetTraceParams, GetTracesRequest};
use spanlake_proto::raw_client::{TraceReaderClient, TraceServiceClient};
use tonic::transport::{Channel, Endpoint};

use crate::e2e::{binary, free_port};
use crate::model::spans::{Multiset, multiset, placed};

/// How to start a server.
#[derive(Debug)]
pub struct Launch {
    data_dir: PathBuf,
    arguments: Vec<String>,
    wrapper: Vec<String>,
    environment: Vec<(String, String)>,
    patience: Duration,
}

impl Launch {
    /// A server on this directory, on free ports of 127.0.0.1, without the default OTLP ports.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            arguments: Vec::new(),
            wrapper: Vec::new(),
            environment: Vec::new(),
            patience: Duration::from_secs(60),
        }
    }

    /// One more flag with its value.
    #[must_use]
    pub fn flag(mut self, name: &str, value: impl Into<String>) -> Self {
        self.arguments.extend([name.to_owned(), value.into()]);
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it under another command, whose arguments come first.
    #[must_use]
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|w| (*w).to_owned()).collect();
        self
    }

    /// Starts the process without waiting for it to be ready.
    ///
    /// # Panics
    /// Where the binary cannot be run.
    pub fn spawn(self) -> Server {
        let port = || free_port().expect("a free port");
        let ports = Ports { grpc: port(), admin: port(), http: port() };
        let mut words = self.wrapper.clone();
        let program = binary().unwrap_or_else(|e| panic!("spanlake does not build: {e}"));
        words.push(program.to_str().expect("a UTF-8 path").to_owned());
        words.extend(["serve".to_owned(), "--data-dir".to_owned()]);
        words.push(self.data_dir.to_str().expect("a UTF-8 path").to_owned());
        for (flag, value) in [
            ("--grpc.endpoint", format!("127.0.0.1:{}", ports.grpc)),
            ("--otlp.grpc.endpoint", "off".to_owned()),
            ("--otlp.http.endpoint", format!("127.0.0.1:{}", ports.http)),
            ("--admin.endpoint", format!("127.0.0.1:{}", ports.admin)),
        ] {
            words.extend([flag.to_owned(), value]);
        }
        words.extend(self.arguments);
        let log = tempfile::NamedTempFile::new().expect("a file for its words");
        let output = |file: &File| Stdio::from(file.try_clone().expect("a handle"));
        let child = Command::new(&words[0])
            .args(&words[1..])
            // A test's own variable would be one more warning.
            .env_remove("SPANLAKE_BIN")
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(output(log.as_file()))
            .stderr(output(log.as_file()))
            .spawn()
            .unwrap_or_else(|e| panic!("{words:?}: {e}"));
        Server { child, ports, log, patience: self.patience, status: None }
    }

    /// Starts the process and waits until it is ready.
    ///
    /// # Panics
    /// Where it ends or stays unready.
    pub fn start(self) -> Server {
        let mut server = self.spawn();
        server.wait_ready();
        server
    }
}

/// Where it listens, on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Storage v2 and OTLP over gRPC.
    pub grpc: u16,
    /// OTLP over HTTP.
    pub http: u16,
    /// Health, metrics.
    pub admin: u16,
}

/// A process; dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub ports: Ports,
    log: tempfile::NamedTempFile,
    patience: Duration,
    status: Option<ExitStatus>,
}

impl Server {
    /// Its process id (the wrapper's where there is one).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stdout and stderr so far.
    pub fn words(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Panics
    /// Where it ends or stays unready.
    pub fn wait_ready(&mut self) {
        let start = Instant::now();
        while start.elapsed() < self.patience {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                panic!("spanlake ended with {status} before it was ready:\n{}", self.words());
            }
            if http(self.ports.admin, "GET", "/readyz", &[], b"").is_ok_and(|a| a.status == 200) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("spanlake is not ready after {:?}:\n{}", self.patience, self.words());
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// Where the process is already gone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }

    /// kill -9, and waits for the end.
    ///
    /// # Panics
    /// Where that fails.
    pub fn kill(&mut self) {
        if self.status.is_none() {
            self.child.kill().expect("the process is there");
            self.status = Some(self.child.wait().expect("it ends"));
        }
    }

    /// Waits for its end, at most so long; `None` where it goes on.
    ///
    /// # Panics
    /// Where it cannot be waited for.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        while self.status.is_none() && start.elapsed() < patience {
            self.status = self.child.try_wait().expect("the child can be waited for");
            if self.status.is_none() {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        self.status
    }

    /// SIGTERM, and waits for a clean exit.
    ///
    /// # Panics
    /// Where the exit is not clean.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait(Duration::from_secs(60));
        assert!(status.is_some_and(|s| s.success()), "SIGTERM: {status:?}\n{}", self.words());
    }

    fn endpoint(&self) -> Endpoint {
        let url = format!("http://127.0.0.1:{}", self.ports.grpc);
        Endpoint::from_shared(url).expect("a URL").connect_timeout(Duration::from_secs(5))
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// Where nobody listens.
    pub async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        self.endpoint().connect().await
    }

    /// Writes raw Exports, over a connection of its own.
    ///
    /// # Panics
    /// Where nobody listens.
    pub async fn writer(&self) -> TraceServiceClient<Channel> {
        let channel = self.connect().await.expect("the server listens");
        TraceServiceClient::new(channel).max_encoding_message_size(usize::MAX)
    }

    /// Reads raw traces, over a connection of its own.
    ///
    /// # Panics
    /// Where nobody listens.
    pub async fn reader(&self) -> TraceReaderClient<Channel> {
        let channel = self.connect().await.expect("the server listens");
        TraceReaderClient::new(channel).max_decoding_message_size(usize::MAX)
    }

    /// What is stored of a trace.
    ///
    /// # Panics
    /// Where it cannot be read.
    pub async fn trace(&self, id: [u8; 16]) -> Multiset {
        let one = GetTraceParams { trace_id: id.to_vec(), start_time: None, end_time: None };
        let mut reader = self.reader().await;
        let request = GetTracesRequest { query: vec![one] };
        let mut stream = reader.get_traces(request).await.expect("GetTraces").into_inner();
        let mut spans = Vec::new();
        while let Some(chunk) = stream.message().await.expect("a chunk") {
            spans.extend(placed(&chunk.0).expect("OTLP"));
        }
        multiset(spans)
    }

    /// A request to the admin port.
    ///
    /// # Errors
    /// Where nobody listens.
    pub fn admin(&self, method: &str, path: &str) -> std::io::Result<Answer> {
        http(self.ports.admin, method, path, &[], b"")
    }

    /// Threads of the process.
    pub fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.pid())).map_or(0, Iterator::count)
    }

    /// Its resident memory in bytes, now or at its highest.
    pub fn resident(&self, highest: bool) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let name = if highest { "VmHWM:" } else { "VmRSS:" };
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
        let kibibytes = line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
        kibibytes.unwrap_or(0) * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head, as sent.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One HTTP/1.1 request to a port of 127.0.0.1; the connection is closed after it.
///
/// # Errors
/// Where nobody listens or the answer is no HTTP.
pub fn http(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    // A server may answer and hang up before it has read all; its answer counts then.
    let sent = stream.write_all(body);
    let mut bytes = Vec::new();
    if let (Err(e), true) = (stream.read_to_end(&mut bytes), bytes.is_empty()) {
        return Err(sent.err().unwrap_or(e));
    }
    parse(&bytes).ok_or_else(|| std::io::Error::other("no HTTP answer"))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let raw = &bytes[end + 4..];
    let body = if chunked { unchunk(raw)? } else { raw.to_vec() };
    Some(Answer { status, head, body })
}

fn unchunk(mut raw: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = raw.windows(2).position(|w| w == b"\r\n")?;
        let length =
            usize::from_str_radix(std::str::from_utf8(&raw[..line]).ok()?.trim(), 16).ok()?;
        raw = &raw[line + 2..];
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(raw.get(..length)?);
        raw = raw.get(length + 2..)?;
    }
}
