//! The server under load: started here or found running, and what the system tells of it: CPU
//! time, memory, blocks on disk, and its own metrics.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use spanlake_benches::Result;

use crate::arguments::Arguments;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_millis(200);

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
        let child = Command::new(&arguments.spanlake)
            .arg("serve")
            .arg("--data-dir")
            .arg(&data_dir)
            .args(["--grpc.endpoint", &grpc, "--admin.endpoint", &admin])
            .args(["--otlp.grpc.endpoint", "off", "--otlp.http.endpoint", "off"])
            .args(["--retention.time", "0", "--log.level", "warn"])
            .args(&arguments.serve)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|e| {
                let path = arguments.spanlake.display();
                format!("{path}: {e}; build it with `cargo build --release -p spanlake-server`")
            })?;
        let pid = child.id();
        let child = Some(Running { child: Some(child), temporary });
        Ok(Self { grpc: format!("http://{grpc}"), admin, pid, data_dir, child })
    }

    fn wait_until_ready(&self) -> Result<()> {
        let began = Instant::now();
        while !self.http("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            if began.elapsed() > START_TIMEOUT {
                return Err(format!("the server is not ready at http://{}", self.admin).into());
            }
            std::thread::sleep(PATIENCE);
        }
        Ok(())
    }

    /// The storage port.
    pub(crate) fn grpc(&self) -> &str {
        &self.grpc
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    fn http(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.admin)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let host = &self.admin;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// A metric without labels.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let answer = self.http("/metrics")?;
        let mut lines =
            answer.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = lines.next().ok_or_else(|| format!("/metrics has no {name}"))?;
        Ok(value.trim().parse()?)
    }

    /// CPU seconds of all its threads, user and system, since it started.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .map_err(|e| format!("the server is gone: {e}"))?;
        // The second field is the name in parentheses, which may hold anything.
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = after_name.split(' ').collect();
        let ticks = |index: usize| fields.get(index).unwrap_or(&"").parse::<u64>();
        let ticks = ticks(11)? + ticks(12)?;
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// The most memory it ever had resident, bytes.
    pub(crate) fn rss_max(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 = line.unwrap_or("").trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// Allocated bytes by entry of the data directory.
    pub(crate) fn disk(&self) -> Result<BTreeMap<String, u64>> {
        let mut parts = BTreeMap::new();
        for entry in std::fs::read_dir(&self.data_dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            parts.insert(name, allocated(&entry.path())?);
        }
        Ok(parts)
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
        }
        Ok(())
    }
}

fn allocated(path: &Path) -> Result<u64> {
    let metadata = std::fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.blocks() * 512);
    }
    let mut sum = 0;
    for entry in std::fs::read_dir(path)? {
        sum += allocated(&entry?.path())?;
    }
    Ok(sum)
}

/// An address nobody listens on at this moment.
fn free_port() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
