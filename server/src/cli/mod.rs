//! The command line: one verb, its flags, an exit code.
//!
//! Arguments flow in, an [`ExitCode`] flows out; every verb is a `run(args)` function in its own
//! file or room, and this file is the one place that lists them. Nothing here panics on input,
//! and a wrong word is answered with the right one.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod exit;

/// `spanlake` as clap sees it.
#[derive(Debug, Parser)]
#[command(name = "spanlake", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Every verb. To add one: a variant, and a line in [`dispatch`].
#[derive(Debug, Subcommand)]
enum Command {
    /// Print the version, the revision and the formats this build reads and writes
    Version,
}

/// Parses the process's arguments and runs the verb they name.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => dispatch(cli.command),
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { exit::DONE };
            // Nothing is left to tell where even the message cannot be written.
            let _ = error.print();
            code.into()
        }
    }
}

fn dispatch(command: Command) -> ExitCode {
    match command {
        Command::Version => exit::DONE.into(),
    }
}
