//! The reading commands: ask, draw, leave with an exit code.
//!
//! Flags flow in, text goes to standard output, an [`ExitCode`] flows out. Each command runs on a
//! small runtime of its own; a reader that closes the pipe (`| head`) is no error.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use spanlake::TraceQuery;

use super::services::{Operations, Sample};
use super::text::{clean_lines, harmless_json};
use super::waterfall::{ROWS_DEFAULT, Scope};
use super::{
    ExplainArgs, FlushArgs, Look, SegmentsArgs, ServicesArgs, TraceArgs, TracesArgs, json,
    waterfall,
};
use crate::client::{Failure, Source};
use crate::exit;

/// Spans the figures of `services` read at most: one trace of 100,000 spans must not stall them.
pub(crate) const SAMPLE_SPANS_MAX: usize = 100_000;

/// Runs `spanlake services`.
pub fn services(args: ServicesArgs) -> ExitCode {
    run(async move {
        let mut source = args.place.open().await?;
        let names = source.services().await?;
        let mut operations = Operations::new();
        if args.operations {
            for name in &names {
                let list = source.operations(name).await?;
                let list = list.into_iter().map(|o| (o.name, o.kind.word())).collect();
                operations.insert(name.clone(), list);
            }
        }
        let sample = sample(&mut source, args.sample as usize).await?;
        if args.json {
            return print_json(&super::services::json(&names, &sample, &operations));
        }
        print(&super::services::draw(&names, &sample, &operations, Look::of_stdout()))
    })
}

/// The newest `limit` traces, counted.
///
/// # Errors
/// The source's.
pub(crate) async fn sample(source: &mut Source, limit: usize) -> Result<Sample, Failure> {
    if limit == 0 {
        return Ok(Sample::of(&[], true));
    }
    let query = TraceQuery { limit, ..TraceQuery::default() };
    let found = source.find_traces(&query, SAMPLE_SPANS_MAX).await?;
    Ok(Sample::of(&found.traces, found.complete))
}

/// Runs `spanlake traces`.
pub fn traces(args: TracesArgs) -> ExitCode {
    let query = match args.search.query(now()) {
        Ok(query) => query,
        Err(wrong) => return complain(&Failure::usage(wrong)),
    };
    run(async move {
        let summaries = args.place.open().await?.summaries(&query).await?;
        if args.json {
            return print_json(&super::traces::json(&summaries));
        }
        print(&super::traces::draw(&summaries, query.limit, Look::of_stdout()))
    })
}

/// Runs `spanlake trace`.
pub fn trace(args: TraceArgs) -> ExitCode {
    run(async move {
        let mut source = args.place.open().await?;
        let Some(trace) = source.trace(args.id).await? else {
            return Err(Failure::failed(format!("no trace {} {}", args.id, source.name())));
        };
        if args.json {
            let mut out = BufWriter::new(io::stdout().lock());
            return written(json::write(&trace, &mut out).and_then(|()| out.flush()));
        }
        let rows = if args.all { usize::MAX } else { ROWS_DEFAULT };
        let scope = Scope { rows, attributes: args.attributes };
        print(&waterfall::draw(&trace, scope, Look::of_stdout()))
    })
}

/// Runs `spanlake explain`.
pub fn explain(args: ExplainArgs) -> ExitCode {
    let query = match args.search.query(now()) {
        Ok(query) => query,
        Err(wrong) => return complain(&Failure::usage(wrong)),
    };
    run(async move {
        let told = args.place.open()?.explain(&query, args.json).await?;
        match args.json {
            true => print(&harmless_json(&told)),
            false => print(&harmless(&told)),
        }
    })
}

/// Runs `spanlake segments`.
pub fn segments(args: SegmentsArgs) -> ExitCode {
    run(async move {
        let steward = args.place.open()?;
        if args.duckdb {
            // As it is: the engine writes what a terminal would act on as numbers.
            return print(&steward.duckdb().await?);
        }
        let rows = steward.segments().await?;
        if args.json {
            return print_json(&super::segments::json(rows));
        }
        print(&super::segments::draw(&rows, Look::of_stdout()))
    })
}

/// Runs `spanlake flush`.
pub fn flush(args: FlushArgs) -> ExitCode {
    run(async move {
        let told = args.place.open()?.flush(args.wait).await?;
        print(&harmless(&told))
    })
}

/// A text of several lines as a terminal may have it.
fn harmless(text: &str) -> String {
    clean_lines(text).into_iter().map(|line| line + "\n").collect()
}

/// Nanoseconds since 1970 by this machine's clock.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn run(work: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => Err(Failure::failed(format!("cannot start a runtime: {error}"))),
    };
    match done {
        Ok(()) => exit::DONE.into(),
        Err(failure) => complain(&failure),
    }
}

/// Tells standard error and gives the exit code.
pub(crate) fn complain(failure: &Failure) -> ExitCode {
    // Nothing is left to tell where even the message cannot be written.
    let _ = writeln!(io::stderr(), "error: {}", super::text::clean(failure.message()));
    failure.exit().into()
}

fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{}\n", harmless_json(&format!("{value:#}"))))
}

/// Writes to standard output.
///
/// # Errors
/// [`Failure`] where it cannot be written; not where its reader has left.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::failed(format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}
