//! The command line.

use std::path::PathBuf;

/// Loads a trace store and measures it, answers checked exactly.
#[derive(Debug, clap::Parser)]
#[command(name = "spanlake-load", version)]
pub(crate) struct Arguments {
    /// The server's binary; it runs on free ports over a temporary directory
    #[arg(long, value_name = "PATH", default_value = "target/release/spanlake")]
    pub(crate) spanlake: PathBuf,
    /// Where to make the data directory, kept afterwards [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Send nothing: ask about what an earlier run with this --data-dir has sent
    #[arg(long, requires = "data_dir", conflicts_with_all = ["server", "through_jaeger"])]
    pub(crate) ask_only: bool,
    /// A server that runs already: its storage port; needs --admin, --pid and --data-dir
    #[arg(long, value_name = "URL", requires_all = ["admin", "pid", "data_dir"])]
    pub(crate) server: Option<String>,
    /// That server's admin port
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) admin: Option<String>,
    /// That server's process
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// `clickhouse` (made: the shape Jaeger's ClickHouse storage was measured with), or a recorded
    /// set: a file, or its NAME in $SPANLAKE_TEST_DATA or beside the project
    #[arg(long, value_name = "NAME|FILE", default_value = "clickhouse", alias = "data")]
    pub(crate) set: String,
    /// Seed of the made set and of the choice of questions
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Spans to send, rounded up to whole copies of the set
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) spans: u64,
    /// Hours over which the copies are spread
    #[arg(long, value_name = "HOURS", default_value_t = 240.0)]
    pub(crate) window_hours: f64,
    /// Clients that send at the same time
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) clients: usize,
    /// Spans of a batch, at least
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) batch: u64,
    /// Spans to send per second: of everything, or with --live of what is sent while questions
    /// are asked [default: as fast as they are taken; with --live 50000]
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<u64>,
    /// After the load, go on sending at --rate for so long, with all questions asked meanwhile
    #[arg(long, value_name = "SECONDS", conflicts_with = "through_jaeger")]
    pub(crate) live: Option<u64>,
    /// Units of 1,000 that arrive 1 to 10 minutes late
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) late: u64,
    /// Units of 1,000 that arrive 1 to 3 days late
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) very_late: u64,
    /// Batches of 1,000 that are sent twice
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) repeats: u64,
    /// Where the spans lie while questions are asked
    #[arg(long, value_enum, default_value_t = Place::Segments)]
    pub(crate) place: Place,
    /// Flush after each of N equal shares of the data, so that it lies in at least N segments
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) segments: u64,
    /// Questions of each kind
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) queries: usize,
    /// Cold questions of each kind: before each, the server is restarted and its files are
    /// dropped from the page cache
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with_all = ["server", "through_jaeger", "live"])]
    pub(crate) cold: usize,
    /// Pages of 20 that a paging walk takes
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) pages: usize,
    /// Only questions whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Drive backends through a real Jaeger, one after the other: OTLP in, its query API out
    #[arg(long, value_enum, value_name = "BACKEND,…", value_delimiter = ',', num_args = 0..,
          require_equals = true, default_missing_value = "badger,spanlake",
          conflicts_with_all = ["server"])]
    pub(crate) through_jaeger: Vec<Backend>,
    /// The Jaeger [default: built from tests/jaeger into tests/.work/bin, once]
    #[arg(long, value_name = "PATH", env = "JAEGER_BIN")]
    pub(crate) jaeger: Option<PathBuf>,
    /// Let Badger sync its writes, which Jaeger does not by default
    #[arg(long)]
    pub(crate) badger_sync: bool,
    /// Print JSON in place of the table
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the JSON also to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Print each p50 as a multiple of that of an earlier run, saved with --save
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Leave the server running and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
    /// Further arguments for `spanlake serve`
    #[arg(last = true, value_name = "SERVE ARGUMENTS")]
    pub(crate) serve: Vec<String>,
}

/// Where the spans lie while questions are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Place {
    /// All in the head: nothing is flushed; it fails where the server sealed something by itself.
    Head,
    /// All in segments.
    Segments,
    /// The older half in segments, the newer in the head.
    Both,
}

/// What stands behind a Jaeger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Backend {
    Badger,
    Spanlake,
}
