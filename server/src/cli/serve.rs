//! `spanlake serve`.

use std::process::ExitCode;

use super::config;
use super::settings::SettingArgs;

/// `spanlake serve`.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

/// Runs the verb.
pub(super) fn run(args: &ServeArgs) -> ExitCode {
    match args.settings.load() {
        Ok(config) => crate::life::serve(config),
        Err(problems) => config::refuse(&problems),
    }
}
