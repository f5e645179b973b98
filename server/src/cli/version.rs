//! `spanlake version`: what this binary is, and which files it reads and writes.

use std::process::ExitCode;

use super::say;

/// The version in Cargo.toml.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The git revision the binary was built from, or `unknown`.
pub const REVISION: &str = env!("SPANLAKE_REVISION");

/// Format of the segments this build writes; a label of `build_info` too.
pub const SEGMENT_FORMAT: u32 = 0;

/// What lies on disk: name, versions read, version written.
const FORMATS: &[(&str, &str, u32)] = &[
    ("directory", "1", 1),
    ("catalog", "1", 1),
    ("wal", "1", 1),
    ("segment", "0", SEGMENT_FORMAT),
];

/// `spanlake version`.
#[derive(Debug, clap::Args)]
pub struct VersionArgs {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &VersionArgs) -> ExitCode {
    say::out(&if args.json { as_json() } else { as_text() })
}

fn as_text() -> String {
    let mut out = format!("spanlake {VERSION} (revision {REVISION})\n");
    for (name, read, written) in FORMATS {
        out.push_str(&format!("{name:<10} format: reads {read}, writes {written}\n"));
    }
    out
}

fn as_json() -> String {
    let formats: serde_json::Map<_, _> = FORMATS
        .iter()
        .map(|(name, read, written)| {
            (
                (*name).to_owned(),
                serde_json::json!({"reads": [read], "writes": written.to_string()}),
            )
        })
        .collect();
    let all = serde_json::json!({"version": VERSION, "revision": REVISION, "formats": formats});
    format!("{all:#}\n")
}
