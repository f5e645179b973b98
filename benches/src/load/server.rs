//! The Spanlake under load: started here or found running, restarted and flushed when asked, and
//! its own metrics.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use spanlake_benches::Result;

use crate::arguments::Arguments;
use crate::process::Process;

const START_TIMEOUT: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_millis(20);
/// A flush of everything may take long on a busy machine.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(900);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    grpc: String,
    admin: String,
    pid: u32,
    data_dir: PathBuf,
    child: Option<Running>,
}

/// A process that ends with its handle, unless it is let go.
#[derive(Debug)]
struct Running {
    command: Command,
    child: Option<Child>,
    temporary: Option<tempfile::TempDir>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Server {
    /// Starts the server, or takes the running one of the arguments.
    pub(crate) fn start(arguments: &Arguments) -> Result<Self> {
        let server = match (&arguments.server, &arguments.admin, arguments.pid, &arguments.data_dir)
        {
            (Some(grpc), Some(admin), Some(pid), Some(data_dir)) => Self {
                grpc: grpc.clone(),
                admin: admin.trim_start_matches("http://").to_owned(),
                pid,
                data_dir: data_dir.clone(),
                child: None,
            },
            _ => Self::spawn(arguments)?,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn spawn(arguments: &Arguments) -> Result<Self> {
        let temporary = match &arguments.data_dir {
            None => Some(tempfile::Builder::new().prefix("spanlake-load-").tempdir()?),
            Some(_) => None,
        };
        let chosen = arguments.data_dir.clone();
        let data_dir = chosen
            .or_else(|| temporary.as_ref().map(|dir| dir.path().join("data")))
            .ok_or("no data directory")?;
        let (grpc, admin) = (free_port()?, free_port()?);
        let mut command = Command::new(&arguments.spanlake);
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(&data_dir)
            .args(["--grpc.endpoint", &grpc, "--admin.endpoint", &admin])
            .args(["--otlp.grpc.endpoint", "off", "--otlp.http.endpoint", "off"])
            .args(["--retention.time", "0", "--log.level", "warn"])
            .args(&arguments.serve)
            // The tests' variable, which the server would warn of.
            .env_remove("SPANLAKE_TEST_DATA")
            .stdin(Stdio::null());
        let mut running = Running { command, child: None, temporary };
        let pid = running.spawn()?;
        Ok(Self { grpc: format!("http://{grpc}"), admin, pid, data_dir, child: Some(running) })
    }

    fn wait_until_ready(&self) -> Result<()> {
        let began = Instant::now();
        while !self
            .http("GET", "/readyz", ANSWER_TIMEOUT)
            .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
        {
            if began.elapsed() > START_TIMEOUT {
                return Err(format!("the server is not ready at http://{}", self.admin).into());
            }
            std::thread::sleep(PATIENCE);
        }
        Ok(())
    }

    /// Ends it and starts it again, with none of its files in the page cache.
    pub(crate) fn restart_cold(&mut self) -> Result<()> {
        let running = self.child.as_mut().ok_or("a server found running is not restarted")?;
        running.terminate()?;
        crate::disk::drop_from_page_cache(&self.data_dir)?;
        self.pid = running.spawn()?;
        self.wait_until_ready()
    }

    /// The storage port.
    pub(crate) fn grpc(&self) -> &str {
        &self.grpc
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.pid)
    }

    fn http(&self, method: &str, path: &str, timeout: Duration) -> Result<String> {
        let mut stream = TcpStream::connect(&self.admin)?;
        stream.set_read_timeout(Some(timeout))?;
        let host = &self.admin;
        let close = "Content-Length: 0\r\nConnection: close";
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{close}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// A metric without labels.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let answer = self.http("GET", "/metrics", ANSWER_TIMEOUT)?;
        let mut lines =
            answer.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = lines.next().ok_or_else(|| format!("/metrics has no {name}"))?;
        Ok(value.trim().parse()?)
    }

    /// Spans in heads.
    pub(crate) fn head_spans(&self) -> Result<f64> {
        self.metric("spanlake_head_spans")
    }

    /// Seals everything and waits until no background work is due. A server without `/flush`
    /// seals when it is idle; that is waited for.
    pub(crate) async fn flush(&self) -> Result<()> {
        let answer = self.http("POST", "/flush?wait=true", FLUSH_TIMEOUT)?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        match status {
            "404" | "405" => crate::say("the server has no /flush: waiting until it is idle"),
            status if status.starts_with('2') => {}
            _ => return Err(format!("the flush failed: {answer}").into()),
        }
        let began = Instant::now();
        while self.head_spans()? > 0.0 {
            if began.elapsed() > FLUSH_TIMEOUT {
                return Err("the heads were not sealed in 15 minutes".into());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    /// Ends it, or with `keep` leaves it and says where it is.
    pub(crate) fn stop(mut self, keep: bool) -> Result<()> {
        let Some(running) = &mut self.child else { return Ok(()) };
        if keep {
            running.child.take();
            running.temporary.take().map(tempfile::TempDir::keep);
            crate::say(&format!(
                "left running: --server {} --admin {} --pid {} --data-dir {}",
                self.grpc,
                self.admin,
                self.pid,
                self.data_dir.display()
            ));
            return Ok(());
        }
        // What stays is left as an operator leaves it.
        if running.temporary.is_none() { running.terminate() } else { Ok(()) }
    }
}

impl Running {
    fn spawn(&mut self) -> Result<u32> {
        let child = self.command.spawn().map_err(|e| {
            let path = self.command.get_program().display();
            format!("{path}: {e}; build it with `cargo build --release -p spanlake-server`")
        })?;
        let pid = child.id();
        self.child = Some(child);
        Ok(pid)
    }

    /// Ends it as an operator does.
    fn terminate(&mut self) -> Result<()> {
        let mut child = self.child.take().ok_or("the server does not run")?;
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        let status = child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the server ended with {status}").into())
        }
    }
}

/// An address nobody listens on at this moment.
pub(crate) fn free_port() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
