//! Starts the binary and talks to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes, even on a machine under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary with a clean environment: no HOME, no TMPDIR, nothing of the developer's.
pub(crate) fn spanlake(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanlake"));
    command.args(args).env_clear().current_dir("/").stdin(Stdio::null());
    command
}

/// Flags of a server on free ports of 127.0.0.1 with JSON logs.
pub(crate) fn flags(data_dir: &Path) -> Vec<String> {
    let dir = data_dir.to_str().expect("is UTF-8");
    [
        "serve",
        "--data-dir",
        dir,
        "--grpc.endpoint=127.0.0.1:0",
        "--otlp.grpc.endpoint=127.0.0.1:0",
        "--otlp.http.endpoint=127.0.0.1:0",
        "--admin.endpoint=127.0.0.1:0",
        "--log.format=json",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// What a finished run said.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs to the end.
pub(crate) fn run(mut command: Command) -> Run {
    let output = command.output().expect("the binary runs");
    Run {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Run {
    /// Whatever is wrong, it must not look like a crash.
    pub(crate) fn assert_no_crash(&self) {
        for word in ["panicked", "backtrace", "RUST_BACKTRACE"] {
            assert!(!self.stderr.contains(word), "{}", self.stderr);
        }
    }
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    pub(crate) seen: Vec<String>,
}

impl Running {
    /// Starts `command`, reading its log.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// A server on `data_dir` with these flags besides [`flags`].
    pub(crate) fn serve(data_dir: &Path, more: &[&str]) -> Self {
        let mut command = spanlake(&[]);
        command.args(flags(data_dir)).args(more);
        Self::start(command)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first log line that contains `word`.
    pub(crate) fn line(&mut self, word: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        if let Some(line) = self.seen.iter().find(|line| line.contains(word)) {
            return line.clone();
        }
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let Ok(line) = self.lines.recv_timeout(left) else { break };
            self.seen.push(line.clone());
            if line.contains(word) {
                return line;
            }
        }
        panic!("no line with `{word}` in {:#?}", self.seen);
    }

    /// Waits for the start-up line and returns the addresses in it.
    pub(crate) fn started(&mut self) -> Doors {
        Doors::of(&self.line("spanlake started"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("a pid is positive");
        kill_process(Pid::from_raw(pid).expect("is not 0"), signal).expect("is delivered");
    }

    /// Waits for the end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("can be waited for") {
                self.seen.extend(self.lines.iter());
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("still running: {:#?}", self.seen);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) struct Doors {
    pub(crate) grpc: SocketAddr,
    pub(crate) otlp_http: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Doors {
    /// Those in the start-up line.
    pub(crate) fn of(line: &str) -> Self {
        let line: serde_json::Value = serde_json::from_str(line).expect("a log line is JSON");
        let address = |field: &str| {
            let text = line[field].as_str().expect(field);
            text.parse().unwrap_or_else(|_| panic!("{field} is {text}"))
        };
        Self { grpc: address("grpc"), otlp_http: address("otlp_http"), admin: address("admin") }
    }
}

/// One HTTP request; status and body.
pub(crate) fn http(
    to: SocketAddr,
    method: &str,
    path: &str,
    body: &[u8],
    kind: &str,
) -> (u16, String) {
    try_http(to, method, path, body, kind).expect("answers")
}

/// The same, where the server may be leaving.
pub(crate) fn try_http(
    to: SocketAddr,
    method: &str,
    path: &str,
    body: &[u8],
    kind: &str,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

pub(crate) fn get(to: SocketAddr, path: &str) -> (u16, String) {
    http(to, "GET", path, b"", "text/plain")
}

pub(crate) fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}
