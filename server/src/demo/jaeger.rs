//! A real Jaeger v2 in front of the demo's server.
//!
//! A port flows in; a Jaeger that has read from Spanlake flows out, with its ports and its origin:
//! the `jaeger` on the PATH, or one built by Go from `tests/jaeger`. It lives as long as its value.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Failure;
use crate::eyes;

const PACKAGE: &str = "github.com/jaegertracing/jaeger/cmd/jaeger";
const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(5);
/// Jaeger's answers here are small; more is not read.
const ANSWER_MAX: u64 = 16 << 20;

/// Where the program came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Path,
    BuiltByGo,
}

/// Where it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) query_http: u16,
    pub(super) query_grpc: u16,
    pub(super) otlp_grpc: u16,
    pub(super) otlp_http: u16,
}

/// A running Jaeger.
#[derive(Debug)]
pub(super) struct Jaeger {
    child: Child,
    pub(super) origin: Origin,
    pub(super) program: PathBuf,
    pub(super) version: String,
    pub(super) ports: Ports,
    pub(super) config: PathBuf,
    log: PathBuf,
}

/// What it read from Spanlake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReadBack {
    pub(super) services: usize,
    pub(super) spans: usize,
}

impl Jaeger {
    /// Finds or builds it, writes its configuration beside `data_dir` and waits until it answers.
    pub(super) async fn start(data_dir: &Path, storage: u16) -> Result<Self, Failure> {
        let (program, origin) = program().await?;
        let ports = Ports::choose()?;
        let folder = beside(data_dir);
        let failed = |what: &str, e: std::io::Error| Failure::failed(format!("{what}: {e}"));
        fs::create_dir_all(&folder).map_err(|e| failed(&folder.display().to_string(), e))?;
        let (config, log) = (folder.join("jaeger.yaml"), folder.join("jaeger.log"));
        fs::write(&config, yaml(&ports, storage)).map_err(|e| failed("jaeger.yaml", e))?;
        let output = File::create(&log).map_err(|e| failed("jaeger.log", e))?;
        let errors = output.try_clone().map_err(|e| failed("jaeger.log", e))?;
        let child = Command::new(&program)
            .arg("--config")
            .arg(&config)
            // Its own traces would go to the default OTLP port.
            .env("OTEL_TRACES_SAMPLER", "always_off")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|e| failed(&format!("cannot run {}", program.display()), e))?;
        let version = version(&program, origin);
        let mut jaeger = Self { child, origin, program, version, ports, config, log };
        jaeger.wait_ready().await?;
        Ok(jaeger)
    }

    async fn wait_ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.failure(&format!("Jaeger ended with {status}")));
            }
            let otlp =
                TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.otlp_grpc)).await.is_ok();
            if otlp && self.get("/api/services").await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        Err(self.failure("Jaeger does not answer"))
    }

    /// Asks Jaeger for what Spanlake holds.
    pub(super) async fn read_back(&self, trace: &str) -> Result<ReadBack, Failure> {
        let services = self.get("/api/services").await?;
        let trace = self.get(&format!("/api/traces/{trace}")).await?;
        let count = |value: &serde_json::Value| value.as_array().map_or(0, Vec::len);
        let read = ReadBack {
            services: count(&services["data"]),
            spans: count(&trace["data"][0]["spans"]),
        };
        if read.services == 0 || read.spans == 0 {
            return Err(self.failure(&format!("Jaeger reads nothing from Spanlake ({read:?})")));
        }
        Ok(read)
    }

    /// One HTTP/1.0 request: no client library for two questions to ourselves.
    async fn get(&self, path: &str) -> Result<serde_json::Value, Failure> {
        let failed = |e: &dyn std::fmt::Display| self.failure(&format!("GET {path}: {e}"));
        let address = (Ipv4Addr::LOCALHOST, self.ports.query_http);
        let mut stream = TcpStream::connect(address).await.map_err(|e| failed(&e))?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(|e| failed(&e))?;
        let mut answer = Vec::new();
        let mut limited = stream.take(ANSWER_MAX);
        let read = limited.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .map_err(|e| failed(&e))?
            .map_err(|e| failed(&e))?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.lines().next().unwrap_or_default();
        if status.split(' ').nth(1) != Some("200") {
            return Err(failed(&status));
        }
        serde_json::from_str(body).map_err(|e| failed(&e))
    }

    fn failure(&self, what: &str) -> Failure {
        Failure::failed(format!("{what}; its log is {}", self.log.display()))
    }
}

impl Drop for Jaeger {
    /// SIGTERM, so that it sends what it holds; SIGKILL where that takes too long.
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            // Errors mean that it is gone already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + STOPPED_WITHIN;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not inside the data directory, whose files are Spanlake's alone.
fn beside(data_dir: &Path) -> PathBuf {
    let mut name = data_dir.file_name().unwrap_or_default().to_owned();
    name.push("-jaeger");
    data_dir.with_file_name(name)
}

impl Ports {
    /// The usual ones where they are free.
    fn choose() -> Result<Self, Failure> {
        // All are held until all are chosen, so that no free port is given out twice.
        let mut held = Vec::new();
        let mut choose = |usual: u16| -> Result<u16, Failure> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, usual))
                .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
                .map_err(|e| Failure::failed(format!("no free port for Jaeger: {e}")))?;
            let port = listener.local_addr().map_or(usual, |address| address.port());
            held.push(listener);
            Ok(port)
        };
        Ok(Self {
            query_http: choose(16686)?,
            query_grpc: choose(16685)?,
            otlp_grpc: choose(4317)?,
            otlp_http: choose(4318)?,
        })
    }
}

/// docs/jaeger.md's configuration for 2.13 to 2.18: no `batch`, the sender hears the truth.
fn yaml(ports: &Ports, storage: u16) -> String {
    let Ports { query_http, query_grpc, otlp_grpc, otlp_http } = ports;
    format!(
        "\
# Written by `spanlake demo --jaeger`: Jaeger v2 in front of Spanlake.
# No batch processor: it would answer before anything is stored.
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [jaeger_storage_exporter]
  telemetry:
    metrics: {{level: none}}
    logs: {{level: warn}}
extensions:
  jaeger_query:
    storage: {{traces: spanlake}}
    grpc: {{endpoint: \"127.0.0.1:{query_grpc}\"}}
    http: {{endpoint: \"127.0.0.1:{query_http}\"}}
  jaeger_storage:
    backends:
      spanlake:
        grpc:
          endpoint: \"127.0.0.1:{storage}\"
          tls: {{insecure: true}}
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: \"127.0.0.1:{otlp_grpc}\"}}
      http: {{endpoint: \"127.0.0.1:{otlp_http}\"}}
exporters:
  jaeger_storage_exporter:
    trace_storage: spanlake
    queue:
      enabled: true
      wait_for_result: true
      sizer: requests
      queue_size: 1000
      num_consumers: 10
      block_on_overflow: true
    retry_on_failure:
      enabled: true
      initial_interval: 500ms
      max_interval: 5s
      max_elapsed_time: 0s
"
    )
}

/// `jaeger` on the PATH, or built in the tests' Go module.
async fn program() -> Result<(PathBuf, Origin), Failure> {
    if let Some(program) = on_path("jaeger") {
        return Ok((program, Origin::Path));
    }
    let Some(module) = module() else {
        return Err(Failure::failed(
            "no `jaeger` on the PATH, and no tests/jaeger from which to build one; run this in Spanlake's repository, or take Jaeger v2 from https://www.jaegertracing.io/download/",
        ));
    };
    // Where the end-to-end tests build theirs: one build serves both.
    let built = module.with_file_name(".work").join("bin").join("jaeger");
    if built.is_file() {
        return Ok((built, Origin::BuiltByGo));
    }
    let Some(go) = on_path("go") else {
        return Err(Failure::failed(
            "neither `jaeger` nor `go` is on the PATH; install one of them",
        ));
    };
    eyes::print(
        "\nbuilding Jaeger from its Go module: minutes the first time, then never again ...\n",
    )?;
    build(go, module, built.clone()).await?;
    Ok((built, Origin::BuiltByGo))
}

async fn build(go: PathBuf, module: PathBuf, out: PathBuf) -> Result<(), Failure> {
    let failed = |e: String| Failure::failed(format!("go build of Jaeger failed: {e}"));
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder).map_err(|e| failed(e.to_string()))?;
    }
    // A build that is cut off must not look like a program.
    let unfinished = out.with_extension(format!("{}.tmp", std::process::id()));
    let target = unfinished.clone();
    let run = move || {
        Command::new(go).current_dir(module).args(["build", "-o"]).arg(target).arg(PACKAGE).status()
    };
    let status = tokio::task::spawn_blocking(run).await.map_err(|e| failed(e.to_string()))?;
    match status {
        Ok(status) if status.success() => {
            fs::rename(&unfinished, &out).map_err(|e| failed(e.to_string()))
        }
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// `tests/jaeger` above the working directory or above this program (target/debug/spanlake).
fn module() -> Option<PathBuf> {
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    let above = starts.iter().flatten().flat_map(|start| start.ancestors());
    above.map(|folder| folder.join("tests/jaeger")).find(|m| m.join("go.mod").is_file())
}

fn on_path(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &PathBuf| {
        path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(runs)
}

/// What it calls itself; the module's version where it was built without one.
fn version(program: &Path, origin: Origin) -> String {
    if origin == Origin::BuiltByGo {
        return "Jaeger 2.13 (v1.76.0)".to_owned();
    }
    let output = Command::new(program).arg("version").stdin(Stdio::null()).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let parsed = serde_json::from_str::<serde_json::Value>(text.trim()).ok();
    let version = parsed.and_then(|v| Some(v.get("gitVersion")?.as_str()?.to_owned()));
    version.map_or_else(|| "Jaeger".to_owned(), |version| format!("Jaeger {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jaegers_files_stay_out_of_the_data_directory() {
        assert_eq!(beside(Path::new("./spanlake-demo")), Path::new("./spanlake-demo-jaeger"));
        assert_eq!(beside(Path::new("/d/x/")), Path::new("/d/x-jaeger"));
    }

    #[test]
    fn ports_differ_and_stand_in_the_config() {
        let ports = Ports::choose().unwrap();
        let all = [ports.query_http, ports.query_grpc, ports.otlp_grpc, ports.otlp_http];
        let distinct: std::collections::BTreeSet<u16> = all.into_iter().collect();
        assert_eq!(distinct.len(), 4);
        let text = yaml(&ports, 17_271);
        for port in distinct {
            assert!(text.contains(&format!("\"127.0.0.1:{port}\"")), "{port}");
        }
        assert!(text.contains("endpoint: \"127.0.0.1:17271\"\n          tls: {insecure: true}\n"));
        assert!(!text.contains("{{") && !text.contains("processors"));
    }
}
