//! `spanlake version`: what this binary is, and which files it reads and writes.

use std::process::ExitCode;

use spanlake::formats;

use super::say;
use crate::version::{REVISION, VERSION};

/// What lies on disk: name and version, the one written and the only one read so far.
const FORMATS: &[(&str, u32)] = &[
    ("directory", formats::DIRECTORY),
    ("catalog", formats::CATALOG),
    ("wal", formats::LOG),
    ("segment", formats::SEGMENT),
];

/// `spanlake version`.
#[derive(Debug, clap::Args)]
pub(super) struct VersionArgs {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(args: &VersionArgs) -> ExitCode {
    say::out(&if args.json { as_json() } else { as_text() })
}

fn as_text() -> String {
    let mut out = format!("spanlake {VERSION} (revision {REVISION})\n");
    for (name, version) in FORMATS {
        out.push_str(&format!("{name:<10} format: reads {version}, writes {version}\n"));
    }
    out
}

fn as_json() -> String {
    let formats: serde_json::Map<_, _> = FORMATS
        .iter()
        .map(|(name, version)| {
            ((*name).to_owned(), serde_json::json!({"reads": [version], "writes": version}))
        })
        .collect();
    let all = serde_json::json!({"version": VERSION, "revision": REVISION, "formats": formats});
    format!("{all:#}\n")
}
