//! A real Jaeger (2.13, from `tests/jaeger`) in front of a Spanlake, configured with the YAML that
//! the documentation tells people to paste. Configurations flow in, a Jaeger that says it is
//! healthy flows out. It is killed when its value goes away.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Result;
use super::golang::go_build;
use super::http::get;
use super::ports::free_port;
use super::tools::repository;

const PACKAGE: &str = "github.com/jaegertracing/jaeger/cmd/jaeger";
const HEALTHY_WITHIN: Duration = Duration::from_secs(60);

/// The ports the documentation names, and the placeholder that stands for each.
const DOCUMENTED: [(&str, &str); 8] = [
    ("17271", "spanlake"),
    ("4317", "otlp_grpc"),
    ("4318", "otlp_http"),
    ("14268", "thrift_http"),
    ("6831", "thrift_udp"),
    ("9411", "zipkin"),
    ("5778", "sampling_http"),
    ("5779", "sampling_grpc"),
];

/// A configuration; several are merged in their order, as Jaeger does with several `--config`.
#[derive(Debug, Clone, Copy)]
pub enum Config {
    /// The first YAML block of a document that contains a phrase.
    Documented(&'static str, &'static str),
    /// `tests/jaeger/config/NAME.yaml`.
    Tests(&'static str),
}

impl Config {
    /// Its text, with `{{names}}` for all ports.
    fn template(self, folder: &Path) -> Result<String> {
        match self {
            Self::Tests(name) => Ok(std::fs::read_to_string(folder.join(format!("{name}.yaml")))?),
            Self::Documented(document, phrase) => {
                let text = std::fs::read_to_string(repository().join(document))?;
                let block = yaml_block(&text, phrase)
                    .ok_or_else(|| format!("{document} has no YAML block with {phrase}"))?;
                Ok(DOCUMENTED.iter().fold(block.to_owned(), |yaml, (port, name)| {
                    yaml.replace(&format!("localhost:{port}"), &format!("127.0.0.1:{{{{{name}}}}}"))
                }))
            }
        }
    }
}

fn yaml_block<'a>(document: &'a str, phrase: &str) -> Option<&'a str> {
    document
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```").map(|(block, _)| block))
        .find(|block| block.contains(phrase))
}

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

    /// Starts Jaeger with merged configurations in front of the server at `spanlake`.
    ///
    /// # Errors
    /// Where it does not become healthy; its log comes with the error.
    pub fn start(configs: &[Config], spanlake: u16, dir: &Path) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("jaeger/config");
        let mut ports = BTreeMap::from([("spanlake".to_owned(), spanlake)]);
        let mut command = Command::new(Self::binary()?);
        for (i, config) in configs.iter().enumerate() {
            let file = dir.join(format!("jaeger-{i}.yaml"));
            std::fs::write(&file, fill(&config.template(&folder)?, &mut ports, &folder)?)?;
            command.arg("--config").arg(&file);
        }
        let log = dir.join("jaeger.log");
        let child = command
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

    /// The port a `{{name}}` of the configurations was filled with.
    ///
    /// # Errors
    /// Where they have no such name.
    pub fn port(&self, name: &str) -> Result<u16> {
        let port = self.ports.get(name);
        Ok(*port.ok_or_else(|| format!("the configuration has no {{{{{name}}}}}"))?)
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

/// Fills every `{{name}}`: `dir` is the folder, every other one a port of its own.
fn fill(template: &str, ports: &mut BTreeMap<String, u16>, dir: &Path) -> Result<String> {
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
    Ok(out)
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
        let mut ports = BTreeMap::from([("spanlake".to_owned(), 7)]);
        let template = "a: {{x}} {{spanlake}}\n# {{c}}\nb: {{x}} {{dir}}/f";
        let text = fill(template, &mut ports, Path::new("/d"))?;
        let x = ports["x"];
        assert_eq!(text, format!("a: {x} 7\nb: {x} /d/f\n"));
        assert_eq!(ports.len(), 2);
        assert!(fill("{{open", &mut ports, Path::new("/")).is_err());
        Ok(())
    }

    #[test]
    fn a_documents_block_is_found_by_what_it_says() {
        let document = "text\n```yaml\na: 1\n```\nmore\n```yaml\nb: wanted\n```\n";
        assert_eq!(yaml_block(document, "wanted"), Some("b: wanted\n"));
        assert_eq!(yaml_block(document, "text"), None);
    }
}
