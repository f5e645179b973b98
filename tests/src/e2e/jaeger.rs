//! A real Jaeger (2.13, from `tests/jaeger`) in front of a Spanlake: a configuration template
//! flows in, a Jaeger that says it is healthy flows out. It is killed when its value goes away.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Result;
use super::golang::go_build;
use super::http::get;
use super::ports::free_port;

const PACKAGE: &str = "github.com/jaegertracing/jaeger/cmd/jaeger";
const HEALTHY_WITHIN: Duration = Duration::from_secs(60);

/// A Jaeger of this test.
#[derive(Debug)]
pub struct Jaeger {
    child: Child,
    log: PathBuf,
    ports: BTreeMap<String, u16>,
}

impl Jaeger {
    /// The program: `JAEGER_BIN`, or built from `tests/jaeger` (some minutes, once).
    ///
    /// # Errors
    /// Where Go refuses.
    pub fn binary() -> Result<PathBuf> {
        match std::env::var_os("JAEGER_BIN") {
            Some(path) => Ok(path.into()),
            None => go_build("jaeger", PACKAGE, "jaeger"),
        }
    }

    /// Starts Jaeger with `tests/jaeger/config/NAME.yaml` in front of the server at `spanlake`.
    ///
    /// # Errors
    /// Where it does not become healthy; its log comes with the error.
    pub fn start(config: &str, spanlake: u16, dir: &Path) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("jaeger/config");
        let template = std::fs::read_to_string(folder.join(format!("{config}.yaml")))?;
        let (text, ports) = fill(&template, spanlake, &folder)?;
        let file = dir.join("jaeger.yaml");
        std::fs::write(&file, text)?;
        let log = dir.join("jaeger.log");
        let child = Command::new(Self::binary()?)
            .arg("--config")
            .arg(&file)
            .env_clear()
            // Its own traces would go to the default OTLP port.
            .env("OTEL_TRACES_SAMPLER", "always_off")
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut jaeger = Self { child, log, ports };
        jaeger.wait_healthy()?;
        Ok(jaeger)
    }

    fn wait_healthy(&mut self) -> Result<()> {
        let deadline = Instant::now() + HEALTHY_WITHIN;
        let port = self.port("health")?;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("jaeger ended with {status}: {}", self.log()).into());
            }
            if get(port, "/status").is_ok_and(|a| a.body.contains("StatusOK")) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("jaeger is not healthy after {HEALTHY_WITHIN:?}: {}", self.log()).into())
    }

    /// The port a `{{name}}` of the template was filled with.
    ///
    /// # Errors
    /// Where the template has no such name.
    pub fn port(&self, name: &str) -> Result<u16> {
        Ok(*self
            .ports
            .get(name)
            .ok_or_else(|| format!("the configuration has no {{{{{name}}}}}"))?)
    }

    /// [`Jaeger::port`] as an address.
    ///
    /// # Errors
    /// As [`Jaeger::port`].
    pub fn address(&self, name: &str) -> Result<String> {
        Ok(format!("127.0.0.1:{}", self.port(name)?))
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Fills every `{{name}}`: `spanlake` and `dir` are given, every other is a port of its own.
fn fill(template: &str, spanlake: u16, dir: &Path) -> Result<(String, BTreeMap<String, u16>)> {
    let mut ports = BTreeMap::from([("spanlake".to_owned(), spanlake)]);
    let mut out = String::new();
    for line in template.lines().filter(|l| !l.trim_start().starts_with('#')) {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or("a {{ without }}")?;
            out.push_str(before);
            if name == "dir" {
                out.push_str(&dir.display().to_string());
            } else {
                if !ports.contains_key(name) {
                    ports.insert(name.to_owned(), free_port()?);
                }
                out.push_str(&ports[name].to_string());
            }
            rest = after;
        }
        out.push_str(rest);
        out.push('\n');
    }
    Ok((out, ports))
}

impl Drop for Jaeger {
    fn drop(&mut self) {
        // It may be gone already; nothing is lost by that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_with_one_port_a_name() -> Result<()> {
        let (text, ports) =
            fill("a: {{x}} {{spanlake}}\n# {{c}}\nb: {{x}} {{dir}}/f", 7, Path::new("/d"))?;
        let x = ports["x"];
        assert_eq!(text, format!("a: {x} 7\nb: {x} /d/f\n"));
        assert_eq!(ports.len(), 2);
        assert!(fill("{{open", 7, Path::new("/")).is_err());
        Ok(())
    }
}
