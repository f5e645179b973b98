//! A Jaeger 2.13 of our own: its configuration is written here, its binary is built once from
//! tests/jaeger. It is killed when its value goes away.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use spanlake_benches::Result;

use crate::arguments::Arguments;
use crate::process::Process;
use crate::server::free_port;

const PACKAGE: &str = "github.com/jaegertracing/jaeger/cmd/jaeger";
const HEALTHY_WITHIN: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_millis(100);

/// Receiver, queue and query ports as docs/jaeger.md has them: an answer to the sender is one
/// from the store. `BACKEND` is filled in.
const CONFIGURATION: &str = r#"
service:
  extensions: [jaeger_storage, jaeger_query, healthcheckv2]
  pipelines:
    traces: {receivers: [otlp], exporters: [jaeger_storage_exporter]}
  telemetry:
    metrics: {level: none}
    logs: {level: warn}
extensions:
  healthcheckv2:
    use_v2: true
    http: {endpoint: "HEALTH"}
  jaeger_query:
    storage: {traces: main}
    grpc: {endpoint: "QUERY_GRPC"}
    http: {endpoint: "QUERY_HTTP"}
  jaeger_storage:
    backends:
      main:
BACKEND
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "OTLP", max_recv_msg_size_mib: 64}
exporters:
  jaeger_storage_exporter:
    trace_storage: main
    queue:
      enabled: true
      wait_for_result: true
      sizer: requests
      queue_size: 1000
      num_consumers: 10
      block_on_overflow: true
"#;

/// A running Jaeger.
#[derive(Debug)]
pub(crate) struct Jaeger {
    child: Child,
    dir: tempfile::TempDir,
    otlp: String,
    query_grpc: String,
    query_http: String,
    health: String,
}

impl Jaeger {
    /// With Badger inside, as Jaeger configures it but for a directory that stays and spans that
    /// do not expire during the run.
    pub(crate) fn with_badger(arguments: &Arguments) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("spanlake-load-jaeger-").tempdir()?;
        let sync = arguments.badger_sync;
        let data = dir.path().join("data");
        std::fs::create_dir_all(&data)?;
        let data = data.display();
        let badger = format!(
            "        badger:\n          directories: {{keys: \"{data}/keys\", values: \
             \"{data}/values\"}}\n          ephemeral: false\n          consistency: {sync}\n\
             \x20         ttl: {{spans: 2400h}}"
        );
        Self::start(dir, &badger, arguments)
    }

    /// In front of a Spanlake, whose address is `http://HOST:PORT`.
    pub(crate) fn before_spanlake(grpc: &str, arguments: &Arguments) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("spanlake-load-jaeger-").tempdir()?;
        let endpoint = grpc.trim_start_matches("http://");
        let remote = format!(
            "        grpc:\n          endpoint: {endpoint}\n          tls: {{insecure: true}}"
        );
        Self::start(dir, &remote, arguments)
    }

    fn start(dir: tempfile::TempDir, backend: &str, arguments: &Arguments) -> Result<Self> {
        let [otlp, query_grpc, query_http, health] =
            [free_port()?, free_port()?, free_port()?, free_port()?];
        let configuration = CONFIGURATION
            .replace("BACKEND", backend)
            .replace("HEALTH", &health)
            .replace("QUERY_GRPC", &query_grpc)
            .replace("QUERY_HTTP", &query_http)
            .replace("OTLP", &otlp);
        let file = dir.path().join("jaeger.yaml");
        std::fs::write(&file, configuration)?;
        let child = Command::new(binary(arguments)?)
            .arg("--config")
            .arg(&file)
            .env_clear()
            // Its own traces would go to the default OTLP port.
            .env("OTEL_TRACES_SAMPLER", "always_off")
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.path().join("jaeger.log"))?)
            .spawn()?;
        let mut jaeger = Self { child, dir, otlp, query_grpc, query_http, health };
        jaeger.wait_until_healthy()?;
        Ok(jaeger)
    }

    fn wait_until_healthy(&mut self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < HEALTHY_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("jaeger ended with {status}: {}", self.log()).into());
            }
            if self.is_healthy().unwrap_or(false) {
                return Ok(());
            }
            std::thread::sleep(PATIENCE);
        }
        Err(format!("jaeger is not healthy after {HEALTHY_WITHIN:?}: {}", self.log()).into())
    }

    fn is_healthy(&self) -> Result<bool> {
        let mut stream = TcpStream::connect(&self.health)?;
        write!(stream, "GET /status HTTP/1.0\r\nHost: {}\r\n\r\n", self.health)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.contains("StatusOK"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("jaeger.log")).unwrap_or_default()
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// HOST:PORT of its OTLP receiver.
    pub(crate) fn otlp(&self) -> &str {
        &self.otlp
    }

    /// HOST:PORT of its query API over gRPC.
    pub(crate) fn query_grpc(&self) -> &str {
        &self.query_grpc
    }

    /// HOST:PORT of its query API over HTTP.
    pub(crate) fn query_http(&self) -> &str {
        &self.query_http
    }

    /// Where Badger lies.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for Jaeger {
    fn drop(&mut self) {
        // It may be gone already; nothing is lost by that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program: the one of the arguments, or built where the tests build theirs (some minutes,
/// once).
fn binary(arguments: &Arguments) -> Result<PathBuf> {
    if let Some(path) = &arguments.jaeger {
        return Ok(path.clone());
    }
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
    let out = tests.join(".work/bin/jaeger");
    if !out.is_file() {
        crate::say("building Jaeger from tests/jaeger (some minutes, once)");
        let built = Command::new("go")
            .current_dir(tests.join("jaeger"))
            .args(["build", "-o"])
            .arg(&out)
            .arg(PACKAGE)
            .status()
            .map_err(|e| format!("go: {e}; or name a Jaeger with --jaeger"))?;
        if !built.success() {
            return Err("Jaeger does not build".into());
        }
    }
    Ok(out)
}
