//! `spanlake-load`: sends honest copies of a data set to a Spanlake server over real OTLP gRPC,
//! waits until everything is sealed, asks it over the real storage API, checks every answer
//! exactly, and prints one table. Exit code 1 where an answer was wrong or a span was refused.

mod arguments;
mod calls;
mod check;
mod ingest;
mod machine;
mod queries;
mod report;
mod server;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser as _;
use spanlake_benches::model::Model;
use spanlake_benches::scale::Scale;
use spanlake_benches::{Result, set::Set, synthetic};

use arguments::Arguments;
use report::Report;
use server::Server;

/// Traces of the synthetic set: about as many spans as the recorded one.
const SYNTHETIC_TRACES: usize = 6_400;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    match run(&arguments) {
        Ok(report) => {
            let text = if arguments.json { report.json() } else { report.table() };
            // A closed pipe is the reader's wish.
            let _ = writeln!(out, "{text}");
            if report.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "spanlake-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    say("reading the data");
    let scale = scaled(arguments)?;
    let model = Model::of(scale.clone())?;
    let server = Server::start(arguments)?;
    let machine = machine::Machine::read(server.data_dir())?;
    say(&format!("sending {} spans ({} copies)", scale.spans(), scale.copies()));
    let ingest = runtime.block_on(ingest::run(&server, &scale, arguments))?;
    let disk = server.disk()?;
    let ingest_rss = server.rss_max()?;
    say("asking");
    let queries = runtime.block_on(queries::run(&server, &model, arguments))?;
    let rss = server.rss_max()?;
    server.stop(arguments.keep)?;
    let set = Arc::clone(scale.set());
    Ok(Report { machine, set, scale, ingest, disk, ingest_rss, rss, queries })
}

fn scaled(arguments: &Arguments) -> Result<Scale> {
    let set = match &arguments.data {
        Some(path) => Set::load(path)?,
        None => synthetic::set(SYNTHETIC_TRACES, arguments.seed)?,
    };
    let set = Arc::new(set);
    // A minute ago, so that no clock finds the newest spans in the future.
    let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64 - 60_000_000_000;
    let window = (arguments.window_hours * 3600.0 * 1e9) as u64;
    let copies = arguments.spans.div_ceil(set.spans()).max(1);
    Ok(Scale::new(set, arguments.spans, window / copies, end))
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "spanlake-load: {text}");
}
