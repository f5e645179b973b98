//! The configuration's flags, made from the table of keys: `--config FILE`, `--set KEY=VALUE`, one
//! `--dotted.key VALUE` per key, and the short aliases. Verbs that need a configuration flatten
//! [`SettingArgs`] into their own arguments.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, StringValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::keys::{ENV_FILE, KEYS, Key, Kind};
use crate::config::{Config, Flag, Problems, Sources};

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct SettingArgs {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Every key that was set.
    pub flags: Vec<Flag>,
}

impl SettingArgs {
    /// Settles the configuration from these flags, the process's environment and the file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self) -> Result<Config, Problems> {
        Config::load(&Sources {
            file: self.file.clone(),
            flags: self.flags.clone(),
            environment: std::env::vars_os().collect(),
        })
    }
}

const HEADING: &str = "Configuration";

impl Args for SettingArgs {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(PathBufValueParser::new())
            .help(format!("Configuration file, YAML [env: {ENV_FILE}]"));
        let set = Arg::new("set")
            .long("set")
            .value_name("KEY=VALUE")
            .value_parser(StringValueParser::new())
            .action(ArgAction::Append)
            .help("Set any key, as --KEY VALUE does");
        let command = command.next_help_heading(HEADING).arg(file).arg(set);
        KEYS.iter().fold(command, |command, key| command.arg(argument(key)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn argument(key: &'static Key) -> Arg {
    let default = if key.default.is_empty() { "none" } else { key.default };
    let mut arg = Arg::new(key.name)
        .long(key.name)
        .value_name(key.kind.placeholder())
        .value_parser(StringValueParser::new())
        .allow_hyphen_values(false)
        .help(format!("{} [default: {default}] [env: {}]", key.doc, key.env()));
    if let Some(alias) = key.alias {
        arg = arg.visible_alias(alias);
    }
    if key.kind == Kind::Bool {
        arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
    }
    arg
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Vec::new();
        for key in KEYS {
            if let Some(text) = matches.get_one::<String>(key.name) {
                let (name, text) = (key.name.to_owned(), text.clone());
                flags.push(Flag { name, text, written: format!("--{}", key.name) });
            }
        }
        for pair in matches.get_many::<String>("set").into_iter().flatten() {
            let Some((name, text)) = pair.split_once('=') else {
                return Err(clap::Error::raw(
                    clap::error::ErrorKind::ValueValidation,
                    format!("--set {pair}: write --set KEY=VALUE, such as --set log.level=debug\n"),
                ));
            };
            let (name, text) = (name.trim().to_owned(), text.to_owned());
            flags.push(Flag { name, text, written: format!("--set {pair}") });
        }
        Ok(Self { file: matches.get_one::<PathBuf>("config").cloned(), flags })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Probe {
        #[command(flatten)]
        settings: SettingArgs,
    }

    fn flags(args: &[&str]) -> Vec<(String, String)> {
        let args = std::iter::once("probe").chain(args.iter().copied());
        let probe = Probe::try_parse_from(args).expect("parses");
        probe.settings.flags.into_iter().map(|flag| (flag.name, flag.text)).collect()
    }

    #[test]
    fn every_key_has_a_flag_and_some_a_short_one() {
        for (args, name, text) in [
            (&["--otlp.grpc.endpoint", ":5"][..], "otlp.grpc.endpoint", ":5"),
            (&["--otlp.grpc.endpoint=off"], "otlp.grpc.endpoint", "off"),
            (&["--data-dir", "/lake"], "storage.data_dir", "/lake"),
            (&["--storage.data_dir", "/lake"], "storage.data_dir", "/lake"),
            (&["--allow-purge"], "admin.allow_purge", "true"),
            (&["--admin.allow_purge=false"], "admin.allow_purge", "false"),
            (&["--set", "log.level=debug"], "log.level", "debug"),
            (&["--set", "grpc.endpoint="], "grpc.endpoint", ""),
        ] {
            assert_eq!(flags(args), vec![(name.to_owned(), text.to_owned())], "{args:?}");
        }
        let args: Vec<String> = KEYS.iter().map(|key| format!("--{}=1", key.name)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        assert_eq!(flags(&args).len(), KEYS.len());
    }

    #[test]
    fn a_set_without_a_value_is_a_usage_error() {
        let error = Probe::try_parse_from(["probe", "--set", "log.level"]).expect_err("is refused");
        assert!(error.to_string().contains("KEY=VALUE"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn an_unknown_flag_is_answered_with_the_near_one() {
        let error =
            Probe::try_parse_from(["probe", "--otlp.grpc.endpont", ":1"]).expect_err("is refused");
        assert!(error.to_string().contains("--otlp.grpc.endpoint"), "{error}");
    }
}
