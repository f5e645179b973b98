//! The command line.

use std::path::PathBuf;

/// Loads a Spanlake server and measures it.
#[derive(Debug, clap::Parser)]
#[command(name = "spanlake-load", version)]
pub(crate) struct Arguments {
    /// The server's binary; it runs on free ports over a temporary directory
    #[arg(long, value_name = "PATH", default_value = "target/release/spanlake")]
    pub(crate) spanlake: PathBuf,
    /// Where to make the data directory, kept afterwards [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A server that runs already: its storage port; needs --admin, --pid and --data-dir
    #[arg(long, value_name = "URL", requires_all = ["admin", "pid", "data_dir"])]
    pub(crate) server: Option<String>,
    /// That server's admin port
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) admin: Option<String>,
    /// That server's process
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// A recorded set, NAME.otlp.zst [default: a synthetic one]
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// Seed of the synthetic set and of the choice of questions
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Spans to send, rounded up to whole copies of the set
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) spans: u64,
    /// Hours over which the copies are spread
    #[arg(long, value_name = "HOURS", default_value_t = 24.0)]
    pub(crate) window_hours: f64,
    /// Clients that send at the same time
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) clients: usize,
    /// Spans of a batch, at least
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) batch: u64,
    /// Spans to send per second [default: as fast as they are taken]
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<u64>,
    /// Units of 1,000 that arrive 5 minutes late
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) late: u64,
    /// Units of 1,000 that arrive 30 hours late
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) very_late: u64,
    /// Batches of 1,000 that are sent twice
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) repeats: u64,
    /// Questions of each kind
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) queries: usize,
    /// Print JSON in place of the table
    #[arg(long)]
    pub(crate) json: bool,
    /// Leave the server running and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
    /// Further arguments for `spanlake serve`
    #[arg(last = true, value_name = "SERVE ARGUMENTS")]
    pub(crate) serve: Vec<String>,
}
