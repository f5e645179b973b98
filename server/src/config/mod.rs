//! Configuration: one table of keys, four sources, one typed value.
//!
//! The command line's flags, the environment, one YAML file and the defaults flow in; a
//! [`Config`] whose every value is valid flows out, or all complaints at once. Nothing here opens
//! a port or a data directory, and nothing after it reads the environment again.

pub mod keys;
pub mod load;
pub mod value;

mod expand;
mod kubernetes;
mod print;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

pub use load::{Flag, Origin, Problems, Settings, Sources};
pub use print::{print_json, print_text};
pub use value::HostPort;
use value::Value;

/// Least `memory.limit` with which a default Jaeger batch still fits.
pub const MEMORY_LIMIT_MIN: u64 = 64 << 20;

/// A listener's configured place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The key that sets it, for messages.
    pub key: &'static str,
    /// Host, with `listen_host` filled in, and port; `None` where it is disabled.
    pub address: Option<(String, u16)>,
    /// Whether someone set it. A default that is taken is a warning, a choice that is taken an
    /// error.
    pub explicit: bool,
}

/// `memory.limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// Of the cgroup's limit or of RAM.
    Percent(u8),
    /// Bytes.
    Bytes(u64),
}

/// What expires when. Parsed and shown; this version does not act on it yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Age, where it is bounded.
    pub time: Option<Duration>,
    /// Bytes of the data directory, where they are bounded.
    pub max_bytes: Option<u64>,
    /// Fullness of the volume, where it is bounded.
    pub max_disk_percent: Option<u8>,
}

/// Whether log lines are for people or for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// A valid configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `storage.data_dir`.
    pub data_dir: PathBuf,
    /// `storage.lock_timeout`.
    pub lock_timeout: Duration,
    /// `storage.on_fsync_error` is `exit`.
    pub exit_on_fsync_error: bool,
    /// `grpc.endpoint`.
    pub grpc: Endpoint,
    /// `otlp.grpc.endpoint`.
    pub otlp_grpc: Endpoint,
    /// `otlp.http.endpoint`.
    pub otlp_http: Endpoint,
    /// `admin.endpoint`.
    pub admin: Endpoint,
    /// `admin.allow_purge`.
    pub allow_purge: bool,
    /// `memory.limit`.
    pub memory_limit: MemoryLimit,
    /// `query.slow_threshold`; zero = off.
    pub slow_query: Duration,
    /// `retention.*`.
    pub retention: Retention,
    /// `shutdown.timeout`.
    pub shutdown_timeout: Duration,
    /// `log.level`.
    pub log_level: String,
    /// `log.format`.
    pub log_format: LogFormat,
    /// The settings it was made from, with their origins.
    pub settings: Settings,
}

impl Config {
    /// Settles every key from `sources`.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place and what to write instead.
    pub fn load(sources: &Sources) -> Result<Config, Problems> {
        let config = Config::from_settings(load::settle(sources)?);
        match config.memory_limit {
            MemoryLimit::Bytes(bytes) if bytes < MEMORY_LIMIT_MIN => Err(Problems(vec![format!(
                "{}: `memory.limit`: {bytes} bytes are too few; 64MiB is the least that works",
                config.origin("memory.limit")
            )])),
            MemoryLimit::Percent(0) => Err(Problems(vec![format!(
                "{}: `memory.limit`: 0% leaves nothing to work with",
                config.origin("memory.limit")
            )])),
            _ => Ok(config),
        }
    }

    /// What `load` makes of no sources at all.
    pub fn defaults() -> Config {
        let all = keys::KEYS.iter().filter_map(|key| {
            let value = value::parse(key.kind, key.default).ok()?;
            Some(load::Setting {
                key,
                text: key.default.to_owned(),
                value,
                origin: Origin::Default,
            })
        });
        let settings = Settings { all: all.collect(), ..Settings::default() };
        Config::from_settings(settings)
    }

    fn origin(&self, name: &str) -> Origin {
        let setting = self.settings.all.iter().find(|setting| setting.key.name == name);
        setting.map_or(Origin::Default, |setting| setting.origin.clone())
    }

    fn from_settings(settings: Settings) -> Config {
        let read = Reader(&settings);
        let listen_host = read.text("listen_host");
        let endpoint = |name: &'static str| read.endpoint(name, &listen_host);
        Config {
            data_dir: PathBuf::from(read.text("storage.data_dir")),
            lock_timeout: read.duration("storage.lock_timeout"),
            exit_on_fsync_error: read.text("storage.on_fsync_error") == "exit",
            grpc: endpoint("grpc.endpoint"),
            otlp_grpc: endpoint("otlp.grpc.endpoint"),
            otlp_http: endpoint("otlp.http.endpoint"),
            admin: endpoint("admin.endpoint"),
            allow_purge: read.value("admin.allow_purge") == Some(&Value::Bool(true)),
            memory_limit: match read.value("memory.limit") {
                Some(Value::Size(bytes)) => MemoryLimit::Bytes(*bytes),
                Some(Value::Percent(percent)) => MemoryLimit::Percent(*percent),
                _ => MemoryLimit::Percent(60),
            },
            slow_query: read.duration("query.slow_threshold"),
            retention: read.retention(),
            shutdown_timeout: read.duration("shutdown.timeout"),
            log_level: read.text("log.level"),
            log_format: match read.text("log.format").as_str() {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => LogFormat::Auto,
            },
            settings,
        }
    }
}

/// Takes values out of settings by name; that name and kind agree with the table is held by a
/// test, which sets every key and finds it in the [`Config`].
struct Reader<'a>(&'a Settings);

impl Reader<'_> {
    fn setting(&self, name: &str) -> Option<&load::Setting> {
        self.0.all.iter().find(|setting| setting.key.name == name)
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.setting(name).map(|setting| &setting.value)
    }

    fn text(&self, name: &str) -> String {
        match self.value(name) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        }
    }

    fn duration(&self, name: &str) -> Duration {
        match self.value(name) {
            Some(Value::Duration(duration)) => *duration,
            _ => Duration::ZERO,
        }
    }

    fn endpoint(&self, key: &'static str, listen_host: &str) -> Endpoint {
        let address = match self.value(key) {
            Some(Value::Endpoint(Some(at))) => {
                Some((at.host.clone().unwrap_or_else(|| listen_host.to_owned()), at.port))
            }
            _ => None,
        };
        let explicit = self.setting(key).is_some_and(|set| set.origin != Origin::Default);
        Endpoint { key, address, explicit }
    }

    fn retention(&self) -> Retention {
        let time = self.duration("retention.time");
        let max_bytes = match self.value("retention.max_bytes") {
            Some(Value::Size(bytes)) => *bytes,
            _ => 0,
        };
        let percent = match self.value("retention.max_disk_percent") {
            Some(Value::Percent(percent)) => *percent,
            _ => 0,
        };
        Retention {
            time: (!time.is_zero()).then_some(time),
            max_bytes: (max_bytes > 0).then_some(max_bytes),
            max_disk_percent: (percent > 0).then_some(percent),
        }
    }
}
