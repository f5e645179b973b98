//! The one table of configuration keys. It drives the file parser, the flags, the environment
//! variables, `config print` and the help; a key that is not here does not exist.

/// What kind of text a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A path of the local system.
    Path,
    /// A host name or an address.
    Host,
    /// `:PORT`, `HOST:PORT`, or `off`.
    Endpoint,
    /// `20s`, `72h`, `7d`; `0` where the key says what it means.
    Duration,
    /// `10GiB`; `0` where the key says what it means.
    Size,
    /// `10GiB` or `60%`.
    SizeOrPercent,
    /// `80` or `80%`.
    Percent,
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// How the value is written in a usage line.
    pub fn placeholder(self) -> &'static str {
        match self {
            Kind::Path => "DIR",
            Kind::Host => "HOST",
            Kind::Endpoint => "HOST:PORT|off",
            Kind::Duration => "DURATION",
            Kind::Size => "SIZE",
            Kind::SizeOrPercent => "SIZE|PERCENT",
            Kind::Percent => "PERCENT",
            Kind::Bool => "true|false",
            Kind::Choice(_) => "WORD",
        }
    }
}

/// One configuration key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Dotted name, as in the file and after `--`.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// The value where nobody sets one.
    pub default: &'static str,
    /// A short second flag, without its dashes.
    pub alias: Option<&'static str>,
    /// Never printed.
    pub secret: bool,
    /// One sentence for the help.
    pub doc: &'static str,
}

impl Key {
    /// The environment variable that sets it.
    pub fn env(&self) -> String {
        format!("{ENV_PREFIX}{}", self.name.replace('.', "_").to_uppercase())
    }
}

/// What every environment variable of ours begins with.
pub const ENV_PREFIX: &str = "SPANLAKE_";
/// The variable that names the configuration file.
pub const ENV_FILE: &str = "SPANLAKE_CONFIG";

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    alias: Option<&'static str>,
    doc: &'static str,
) -> Key {
    Key { name, kind, default, alias, secret: false, doc }
}

/// Every key, in the order in which it is printed.
pub const KEYS: &[Key] = &[
    key(
        "storage.data_dir",
        Kind::Path,
        "./spanlake-data",
        Some("data-dir"),
        "Directory that holds everything; created where it is missing",
    ),
    key(
        "storage.lock_timeout",
        Kind::Duration,
        "30s",
        None,
        "How long to wait for another process to release the directory; 0 = not at all",
    ),
    key(
        "storage.on_fsync_error",
        Kind::Choice(&["read-only", "exit"]),
        "read-only",
        None,
        "After a failed write or sync of the log: read-only = answer questions and refuse spans \
         until a restart; exit = end with code 1, for a supervisor that restarts",
    ),
    key(
        "listen_host",
        Kind::Host,
        "localhost",
        None,
        "Host of every endpoint written as :PORT; localhost = 127.0.0.1 and ::1",
    ),
    key(
        "grpc.endpoint",
        Kind::Endpoint,
        ":17271",
        None,
        "Jaeger storage v2 and OTLP over gRPC; off disables",
    ),
    key(
        "otlp.grpc.endpoint",
        Kind::Endpoint,
        ":4317",
        None,
        "OTLP over gRPC; off disables (beside a Jaeger on this host, 4317 is Jaeger's)",
    ),
    key(
        "otlp.http.endpoint",
        Kind::Endpoint,
        ":4318",
        None,
        "OTLP over HTTP; off disables (beside a Jaeger on this host, 4318 is Jaeger's)",
    ),
    key(
        "admin.endpoint",
        Kind::Endpoint,
        ":17270",
        None,
        "Health, readiness, metrics and administration over HTTP; off disables",
    ),
    key(
        "admin.allow_purge",
        Kind::Bool,
        "false",
        Some("allow-purge"),
        "Serve POST /purge, which removes every span (for test suites)",
    ),
    key(
        "memory.limit",
        Kind::SizeOrPercent,
        "60%",
        None,
        "Cap for the whole process; a percentage is of the cgroup's limit or of RAM",
    ),
    key(
        "query.slow_threshold",
        Kind::Duration,
        "1s",
        None,
        "Time from which a question is logged as slow, with its plan and cost; 0 = never",
    ),
    key("retention.time", Kind::Duration, "7d", None, "Age at which spans expire; 0 = keep all"),
    key(
        "retention.max_bytes",
        Kind::Size,
        "0",
        None,
        "Bytes of the data directory past which the oldest spans expire; 0 = keep all",
    ),
    key(
        "retention.max_disk_percent",
        Kind::Percent,
        "80",
        None,
        "Fullness of the volume past which the oldest spans expire; 0 = keep all",
    ),
    key(
        "shutdown.timeout",
        Kind::Duration,
        "20s",
        None,
        "How long a stop may take; what is not sealed by then stays in the log, nothing is lost",
    ),
    key(
        "log.level",
        Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        "info",
        None,
        "error, warn, info, debug or trace",
    ),
    key(
        "log.format",
        Kind::Choice(&["auto", "text", "json"]),
        "auto",
        None,
        "text, json, or auto: text on a terminal, else json; always on stderr",
    ),
];

/// The key called `name`.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The name among `names` that was most likely meant by `wrong`, if any is near enough.
pub fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase().replace('-', "_");
    names
        .map(|name| (likeness(&wrong, &name.to_lowercase()), name))
        .filter(|(score, _)| *score >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// How alike two names are, 0 to 1. A name that only lacks its section is a near miss too:
/// people write `data_dir` for `storage.data_dir`.
fn likeness(wrong: &str, name: &str) -> f64 {
    let whole = strsim::normalized_damerau_levenshtein(wrong, name);
    let last = name.rsplit('.').next().unwrap_or(name);
    let tail = strsim::normalized_damerau_levenshtein(wrong, last) * 0.95;
    whole.max(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_each_default_fits_its_kind() {
        let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
        for key in KEYS {
            super::super::value::parse(key.kind, key.default)
                .unwrap_or_else(|error| panic!("{}: {error}", key.name));
        }
    }

    #[test]
    fn a_key_names_its_variable() {
        let key = find("otlp.grpc.endpoint").expect("is in the table");
        assert_eq!(key.env(), "SPANLAKE_OTLP_GRPC_ENDPOINT");
    }

    #[test]
    fn near_misses_are_recognised_and_far_ones_are_not() {
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("retension.time", names()), Some("retention.time"));
        assert_eq!(nearest("data-dir", names()), Some("storage.data_dir"));
        assert_eq!(nearest("otlp.grpc.endpont", names()), Some("otlp.grpc.endpoint"));
        assert_eq!(nearest("Log.Level", names()), Some("log.level"));
        assert_eq!(nearest("sampling.strategies", names()), None);
    }
}
