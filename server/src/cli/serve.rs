//! `spanlake serve`.

use std::process::ExitCode;

use super::settings::SettingArgs;
use super::{config, exit};

/// `spanlake serve`.
#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

/// Runs the verb.
pub(super) fn run(args: &ServeArgs) -> ExitCode {
    match args.settings.load() {
        Ok(_) => exit::FAILED.into(),
        Err(problems) => config::refuse(&problems),
    }
}
