//! A `spanlake serve` process: a folder and flags flow in, a server that is ready flows out. It
//! is killed when its value goes away; restarts keep folder and ports.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::Result;
use super::http::get;
use super::ports::free_port;
use super::tools::{locked, repository, run};

/// How long a start, with its recovery, may take.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Storage v2 and OTLP over gRPC.
    pub grpc: u16,
    /// OTLP over gRPC.
    pub otlp_grpc: u16,
    /// OTLP over HTTP.
    pub otlp_http: u16,
    /// Health, metrics, administration.
    pub admin: u16,
}

/// A server of this test.
#[derive(Debug)]
pub struct Spanlake {
    child: Option<Child>,
    dir: PathBuf,
    flags: Vec<String>,
    /// Its ports, the same after a restart.
    pub ports: Ports,
}

/// The program: `SPANLAKE_BIN`, or a release build of this workspace.
///
/// # Errors
/// Where it does not build.
pub fn binary() -> Result<PathBuf> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    if let Some(path) = std::env::var_os("SPANLAKE_BIN") {
        return Ok(path.into());
    }
    Ok(BUILT.get_or_init(|| build().map_err(|e| e.to_string())).clone()?)
}

fn build() -> Result<PathBuf> {
    locked("spanlake", || {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(repository()).args(["build", "--release", "--quiet", "-p"]);
        cargo.args(["spanlake-server", "--bin", "spanlake", "--message-format=json"]);
        run(&mut cargo)?
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|message| message["target"]["name"] == "spanlake")
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .ok_or_else(|| "cargo names no executable `spanlake`".into())
    })
}

impl Spanlake {
    /// Starts a server on `dir/data` with free ports and waits until it is ready.
    ///
    /// # Errors
    /// Where it does not become ready; its log comes with the error.
    pub fn start(dir: &Path, flags: &[&str]) -> Result<Self> {
        let ports = Ports {
            grpc: free_port()?,
            otlp_grpc: free_port()?,
            otlp_http: free_port()?,
            admin: free_port()?,
        };
        let flags = flags.iter().map(|&f| f.to_owned()).collect();
        let mut server = Self { child: None, dir: dir.to_owned(), flags, ports };
        server.restart()?;
        Ok(server)
    }

    /// Starts it again, on the same folder and ports.
    ///
    /// # Errors
    /// As [`Spanlake::start`].
    pub fn restart(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let mut command = Command::new(binary()?);
        command.arg("serve").arg("--data-dir").arg(self.dir.join("data"));
        for (flag, port) in [
            ("--grpc.endpoint", self.ports.grpc),
            ("--otlp.grpc.endpoint", self.ports.otlp_grpc),
            ("--otlp.http.endpoint", self.ports.otlp_http),
            ("--admin.endpoint", self.ports.admin),
        ] {
            command.arg(flag).arg(format!("127.0.0.1:{port}"));
        }
        command.args(&self.flags).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn()?);
        self.wait_ready()
    }

    fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().transpose()) {
                return Err(format!("spanlake ended with {}: {}", status?, self.log()).into());
            }
            if get(self.ports.admin, "/readyz").is_ok_and(|a| a.status == 200) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("spanlake is not ready after {READY_WITHIN:?}: {}", self.log()).into())
    }

    fn log_file(&self) -> PathBuf {
        self.dir.join("spanlake.log")
    }

    /// What it logged, over all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn process(&mut self) -> Result<Child> {
        self.child.take().ok_or_else(|| "spanlake does not run".into())
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        let mut child = self.process()?;
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        Ok(child.wait()?)
    }

    /// [`Spanlake::stop`], which must end with 0.
    ///
    /// # Errors
    /// Where it does not.
    pub fn stop_cleanly(&mut self) -> Result<()> {
        let status = self.stop()?;
        if status.success() {
            return Ok(());
        }
        Err(format!("a stop by SIGTERM ended with {status}: {}", self.log()).into())
    }

    /// kill -9, and waits for the end.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.process()?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// The most memory it ever held, in bytes (`VmHWM`).
    ///
    /// # Errors
    /// Where the kernel does not say.
    pub fn peak_memory(&self) -> Result<u64> {
        let pid = self.child.as_ref().ok_or("spanlake does not run")?.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// The storage port as an address.
    pub fn grpc(&self) -> String {
        format!("127.0.0.1:{}", self.ports.grpc)
    }
}

impl Drop for Spanlake {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may be gone already; nothing is lost by that.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
