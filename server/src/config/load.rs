//! Layers: flag over environment over file over default. Texts flow in from the four sources,
//! one [`Setting`] per key flows out, with its origin; every complaint is collected before any is
//! reported, so that one run shows all of them.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::keys::{self, ENV_FILE, ENV_PREFIX, KEYS, Key, Kind};
use super::value::{self, Value};
use super::{expand, kubernetes, yaml};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// Its path.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable, by name.
    Environment(String),
    /// A flag, as it was written.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{} line {line}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// One key with its value and origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: &'static Key,
    /// The value as text, expanded.
    pub text: String,
    /// The value.
    pub value: Value,
    /// Who set it.
    pub origin: Origin,
}

/// Everything a configuration is made of.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Key, value and flag as written, in the order of the command line.
    pub flags: Vec<Flag>,
    /// The process's environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// One key set on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Dotted name.
    pub name: String,
    /// Its value.
    pub text: String,
    /// `--set` or the flag's own name, for messages.
    pub written: String,
}

/// What is wrong with a configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// What loading found besides the values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// One per key, in the table's order.
    pub all: Vec<Setting>,
    /// What deserves a log line but stops nothing.
    pub warnings: Vec<String>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

/// Reads all sources and settles each key.
///
/// # Errors
/// Every unknown key, unreadable value and unreadable file, each with its place.
pub fn settle(sources: &Sources) -> Result<Settings, Problems> {
    let mut layers = Layers::default();
    layers.environment(sources);
    if let Some(file) = sources.file.clone().or_else(|| layers.file.take()) {
        layers.file(&file, sources);
        layers.file = Some(file);
    }
    layers.flags(sources);
    let all = KEYS.iter().filter_map(|key| layers.setting(key)).collect();
    if layers.problems.is_empty() {
        Ok(Settings { all, warnings: layers.warnings, file: layers.file })
    } else {
        Err(Problems(layers.problems))
    }
}

#[derive(Default)]
struct Layers {
    /// Later sources with higher precedence replace earlier ones, see [`Layers::put`].
    set: Vec<(&'static Key, String, Origin)>,
    file: Option<PathBuf>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Layers {
    fn environment(&mut self, sources: &Sources) {
        let mut ours: Vec<_> = sources
            .environment
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value)))
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        ours.sort_unstable();
        for (name, value) in ours {
            let Some(value) = value.to_str() else {
                self.problems.push(format!("environment variable {name} is not UTF-8"));
                continue;
            };
            if name == ENV_FILE {
                self.file = (!value.is_empty()).then(|| PathBuf::from(value));
            } else if let Some(key) = KEYS.iter().find(|key| key.env() == name) {
                // Charts pass empty variables for what is not set; only an endpoint has an empty
                // value of its own (off).
                if !value.is_empty() || key.kind == Kind::Endpoint {
                    self.put(key, value, Origin::Environment(name.to_owned()), sources);
                }
            } else if !kubernetes::is_service_link(name, value) {
                self.warnings.push(unknown_variable(name));
            }
        }
    }

    fn file(&mut self, path: &std::path::Path, sources: &Sources) {
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(format!("cannot read configuration file {shown}: {error}"));
                return;
            }
        };
        let entries = match yaml::entries(&text) {
            Ok(entries) => entries,
            Err(fault) => {
                self.problems.push(format!("{shown} line {}: {}", fault.line, fault.message));
                return;
            }
        };
        for entry in entries {
            let origin = Origin::File { path: path.to_owned(), line: entry.line };
            match (keys::find(&entry.name), entry.text) {
                (Some(key), Some(text)) => self.put(key, &text, origin, sources),
                (Some(key), None) if key.kind == Kind::Endpoint => {
                    self.put(key, "off", origin, sources);
                }
                (Some(key), None) => self.problems.push(format!(
                    "{origin}: `{}` has no value; give it one or remove the line",
                    key.name
                )),
                // `retention:` with every line below it commented out.
                (None, None) if is_section(&entry.name) => {}
                (None, _) => {
                    self.problems.push(format!("{origin}: {}", unknown_key(&entry.name)));
                }
            }
        }
    }

    fn flags(&mut self, sources: &Sources) {
        let mut seen: Vec<&str> = Vec::new();
        for flag in &sources.flags {
            let Some(key) = keys::find(&flag.name) else {
                self.problems.push(format!("{}: {}", flag.written, unknown_key(&flag.name)));
                continue;
            };
            if seen.contains(&key.name) {
                self.problems.push(format!("`{}` is set twice on the command line", key.name));
                continue;
            }
            seen.push(key.name);
            self.put(key, &flag.text, Origin::Flag(flag.written.clone()), sources);
        }
    }

    /// Sets `key`, if nothing of higher precedence has.
    fn put(&mut self, key: &'static Key, text: &str, origin: Origin, sources: &Sources) {
        let lookup = |name: &str| variable(sources, name);
        let text = match expand::expand(text, lookup) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(format!("{origin}: `{}`: {error}", key.name));
                return;
            }
        };
        if let Err(error) = value::parse(key.kind, &text) {
            let error = if key.secret { "is not readable".to_owned() } else { error };
            self.problems.push(format!("{origin}: `{}`: {error}", key.name));
            return;
        }
        match self.set.iter_mut().find(|(other, ..)| other.name == key.name) {
            Some(held) if rank(&held.2) <= rank(&origin) => *held = (key, text, origin),
            Some(_) => {}
            None => self.set.push((key, text, origin)),
        }
    }

    fn setting(&mut self, key: &'static Key) -> Option<Setting> {
        let (text, origin) = match self.set.iter().find(|(other, ..)| other.name == key.name) {
            Some((_, text, origin)) => (text.clone(), origin.clone()),
            None => (key.default.to_owned(), Origin::Default),
        };
        match value::parse(key.kind, &text) {
            Ok(value) => Some(Setting { key, text, value, origin }),
            Err(error) => {
                self.problems.push(format!("{origin}: `{}`: {error}", key.name));
                None
            }
        }
    }
}

fn rank(origin: &Origin) -> u8 {
    match origin {
        Origin::Default => 0,
        Origin::File { .. } => 1,
        Origin::Environment(_) => 2,
        Origin::Flag(_) => 3,
    }
}

fn variable(sources: &Sources, name: &str) -> Option<String> {
    let (_, value) = sources.environment.iter().find(|(held, _)| held == name)?;
    value.to_str().map(str::to_owned)
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

fn unknown_key(name: &str) -> String {
    match keys::nearest(name, KEYS.iter().map(|key| key.name)) {
        Some(near) => format!("unknown key `{name}`; did you mean `{near}`?"),
        None => format!("unknown key `{name}`; `spanlake config print` lists every key"),
    }
}

fn unknown_variable(name: &str) -> String {
    let known: Vec<String> = KEYS.iter().map(Key::env).collect();
    match keys::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("environment variable {name} is not known; did you mean {near}?"),
        None => format!("environment variable {name} is not known and was ignored"),
    }
}
