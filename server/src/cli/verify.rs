//! `spanlake verify DIR`: reads every byte of a data directory at rest and says what is wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use spanlake::VerifyReport;

use super::say;
use crate::exit;
use crate::life::fault::Fault;

/// `spanlake verify`.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// Data directory that no server has open
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the verb: exit code 0 where all is sound, 4 where something is damaged.
pub(super) fn run(args: &VerifyArgs) -> ExitCode {
    let report = match spanlake::verify(&args.dir) {
        Ok(report) => report,
        Err(error) => {
            let fault = Fault::open(&args.dir, &error);
            say::err(&format!("spanlake: {fault}"));
            return fault.exit.into();
        }
    };
    let told = say::out(&if args.json { as_json(&report) } else { as_text(&report) });
    if report.findings.is_empty() { told } else { exit::FORMAT.into() }
}

fn as_text(report: &VerifyReport) -> String {
    let VerifyReport { segments, spans, frames, findings, .. } = report;
    let mut out: String =
        findings.iter().map(|found| format!("{}: {}\n", found.file, found.problem)).collect();
    out.push_str(&format!("read {segments} segments with {spans} spans, {frames} log frames: "));
    out.push_str(&match findings.len() {
        0 => "all sound\n".to_owned(),
        1 => "1 problem\n".to_owned(),
        many => format!("{many} problems\n"),
    });
    out
}

fn as_json(report: &VerifyReport) -> String {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|found| json!({"file": found.file, "problem": found.problem}))
        .collect();
    let all = json!({
        "segments": report.segments,
        "spans": report.spans,
        "frames": report.frames,
        "findings": findings,
    });
    format!("{all:#}\n")
}
