//! Logs: where they go and what they look like. Standard error, text on a terminal and JSON
//! elsewhere, our own lines at the configured level and the libraries' only when they warn.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Config, LogFormat};

/// Starts logging as `config` says. A second call in one process (tests, `demo`) changes nothing.
pub fn init(config: &Config) {
    let level = config.log_level.parse().unwrap_or(Level::INFO);
    // Below debug, a library's chatter about every frame hides what matters.
    let libraries = if level >= Level::TRACE { level } else { Level::WARN.min(level) };
    let filter = Targets::new().with_default(libraries).with_target("spanlake", level);
    let registry = tracing_subscriber::registry().with(filter);
    let started = if as_json(config.log_format, std::io::stderr().is_terminal()) {
        let lines = tracing_subscriber::fmt::layer().json().flatten_event(true);
        registry.with(lines.with_writer(std::io::stderr)).try_init()
    } else {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let lines = tracing_subscriber::fmt::layer().with_target(false).with_ansi(colour);
        registry.with(lines.with_writer(std::io::stderr)).try_init()
    };
    // Someone else's subscriber stays in place; there is nothing to do about it.
    let _ = started;
}

fn as_json(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_is_text_for_people_and_json_for_machines() {
        assert!(as_json(LogFormat::Auto, false) && !as_json(LogFormat::Auto, true));
        assert!(as_json(LogFormat::Json, true) && !as_json(LogFormat::Text, false));
    }
}
