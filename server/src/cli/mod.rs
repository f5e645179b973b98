//! The command line: one verb, its flags, an exit code.
//!
//! Arguments flow in, an [`ExitCode`] flows out; every verb is a `run(args)` function in its own
//! file or room, and this file is the one place that lists them. Nothing here panics on input,
//! and a wrong word is answered with the right one.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Parser, Subcommand};

use crate::version::VERSION;
use crate::{demo, exit, eyes};

pub mod say;
pub mod settings;

mod config;
mod serve;
mod verify;
mod version;

/// Spanlake stores traces: OTLP and Jaeger in, Jaeger's queries out, one process, one directory.
#[derive(Debug, Parser)]
#[command(name = "spanlake", version = VERSION)]
#[command(after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  spanlake serve                                  store traces in ./spanlake-data
  spanlake serve --data-dir /data --listen_host 0.0.0.0
  spanlake serve --config spanlake.yaml --set retention.time=72h
  spanlake demo                                   a server with a small shop, drawn here
  spanlake traces --service checkout --status error --min-duration 1s --since 2h
  spanlake trace 5b8efff798038103d269b633813fc60c
  spanlake config print                           every key, its value and who set it

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 directory locked, 4 format or corruption";

/// Every verb. To add one: a variant, and a line in [`dispatch`].
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: OTLP and Jaeger's storage API, on one data directory
    Serve(serve::ServeArgs),
    /// Start a server with a small living shop, and draw what it stores
    Demo(demo::DemoArgs),
    /// List services with the figures of the newest traces
    Services(eyes::ServicesArgs),
    /// Search traces, newest first
    Traces(eyes::TracesArgs),
    /// Draw one trace as a waterfall
    Trace(eyes::TraceArgs),
    /// Run a search and tell how it was answered and what that cost
    Explain(eyes::ExplainArgs),
    /// List the segments: spans, bytes and times of each file
    Segments(eyes::SegmentsArgs),
    /// Seal what is in memory into segments now
    Flush(eyes::FlushArgs),
    /// Check or print the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Read every byte of a data directory at rest and say what is damaged (exit code 4)
    Verify(verify::VerifyArgs),
    /// Print the version, the revision and the formats this build reads and writes
    Version(version::VersionArgs),
}

/// Parses the process's arguments and runs the verb they name.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => dispatch(cli.command),
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { exit::DONE };
            // Nothing is left to tell where even the message cannot be written.
            let _ = error.print();
            if let Some(verb) = reserved(&error) {
                say::err(&format!("\n`{verb}` is a verb of a later version; this is {VERSION}."));
            }
            code.into()
        }
    }
}

/// Verbs whose names are promised and whose code is not written.
const RESERVED: &[&str] = &[
    "stats",
    "retention",
    "delete",
    "hold",
    "compact",
    "snapshot",
    "restore",
    "export",
    "import",
    "repair",
    "sql",
    "support-bundle",
];

/// The verb that was asked for, where it is one of a later version.
fn reserved(error: &clap::Error) -> Option<&'static str> {
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(verb)) => RESERVED.iter().find(|held| *held == verb).copied(),
        _ => None,
    }
}

fn dispatch(command: Command) -> ExitCode {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(args),
        Command::Services(args) => eyes::services(args),
        Command::Traces(args) => eyes::traces(args),
        Command::Trace(args) => eyes::trace(args),
        Command::Explain(args) => eyes::explain(args),
        Command::Segments(args) => eyes::segments(args),
        Command::Flush(args) => eyes::flush(args),
        Command::Config(command) => config::run(command),
        Command::Verify(args) => verify::run(&args),
        Command::Version(args) => version::run(&args),
    }
}
