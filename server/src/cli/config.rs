//! `spanlake config check|print`: is this configuration valid, and what does it come to?

use std::process::ExitCode;

use clap::Subcommand;

use super::say;
use super::settings::SettingArgs;
use crate::config::{Problems, print_json, print_text};
use crate::exit;

/// `spanlake config`.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the configuration: exit code 0 where it is valid, 2 where it is not
    Check(CheckArgs),
    /// Print every key with its value and who set it; secrets are hidden
    Print(PrintArgs),
}

/// `spanlake config check`.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

/// `spanlake config print`.
#[derive(Debug, clap::Args)]
pub(super) struct PrintArgs {
    /// Print an array of JSON objects
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

/// Runs the verb.
pub(super) fn run(command: ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Check(args) => match args.settings.load() {
            Ok(config) => {
                for warning in &config.settings.warnings {
                    say::err(&format!("warning: {warning}"));
                }
                let from = config.settings.file.as_deref();
                let from = from.map_or_else(|| "no file".to_owned(), |f| f.display().to_string());
                say::out(&format!("the configuration is valid ({from})\n"))
            }
            Err(problems) => refuse(&problems),
        },
        ConfigCommand::Print(args) => match args.settings.load() {
            Ok(config) if args.json => say::out(&print_json(&config.settings)),
            Ok(config) => say::out(&print_text(&config.settings)),
            Err(problems) => refuse(&problems),
        },
    }
}

/// Tells what is wrong with a configuration, in a way that looks like an answer, not a crash.
pub(super) fn refuse(problems: &Problems) -> ExitCode {
    say::err("spanlake: the configuration is not valid");
    for problem in &problems.0 {
        say::err(&format!("  {problem}"));
    }
    exit::USAGE.into()
}
