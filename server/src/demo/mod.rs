//! `spanlake demo`: a server, a living shop that sends to it, and what a person wants to see.
//!
//! Flags flow in; a real server starts on a directory of its own, [`shop`]'s traces go through the
//! real OTLP port, come back through the real gRPC API and are drawn by the reading commands' own
//! renderers. With `--jaeger` a real Jaeger stands in front. Nothing here reaches past the doors:
//! what the demo shows, any client would see.

pub mod shop;

mod jaeger;
mod screen;
mod traffic;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use spanlake::{AttributeEquals, TraceQuery, TraceSummary};

use crate::client::{Address, Failure, Place, Source};
use crate::config::{Config, Flag, Sources};
use crate::eyes::{self, Look};
use crate::life::ports::{Addresses, Taken};
use crate::life::server::Opening;
use crate::life::signals::Stop;
use jaeger::Jaeger;
use screen::Doors;
use traffic::Traffic;

/// Traces in the list.
const NEWEST: usize = 10;
/// Newest traces behind the services' figures.
const SAMPLE: usize = 500;

/// `spanlake demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Directory for the demo's data; delete it when you are done
    #[arg(long, value_name = "DIR", default_value = "./spanlake-demo")]
    data_dir: PathBuf,
    /// Run a real Jaeger v2 in front: `jaeger` on the PATH, or built with Go (minutes, once)
    #[arg(long)]
    jaeger: bool,
    /// Leave after drawing
    #[arg(long)]
    once: bool,
    /// Seed of the shop's chance
    #[arg(long, value_name = "NUMBER", default_value_t = 42)]
    seed: u64,
}

/// Runs the demo until it is stopped.
pub fn run(args: DemoArgs) -> ExitCode {
    let config = match config(&args) {
        Ok(config) => config,
        Err(failure) => return eyes::complain(&failure),
    };
    crate::telemetry::log::init(&config);
    let runtime = match crate::life::runtime() {
        Ok(runtime) => runtime,
        Err(fault) => return eyes::complain(&fault.into()),
    };
    let done = runtime.block_on(live(&args, config));
    // A build of Jaeger that still runs must not hold the process.
    runtime.shutdown_background();
    match done {
        Ok(()) => crate::exit::DONE.into(),
        Err(failure) => eyes::complain(&failure),
    }
}

/// The defaults on a directory of its own; neither environment nor file, so that a demo on a
/// production machine stays a demo.
fn config(args: &DemoArgs) -> Result<Config, Failure> {
    let flag = |name: &str, text: &str| Flag {
        name: name.to_owned(),
        text: text.to_owned(),
        written: "spanlake demo".to_owned(),
    };
    let mut flags =
        vec![flag("storage.data_dir", &args.data_dir.to_string_lossy()), flag("log.level", "warn")];
    if args.jaeger {
        // OTLP's usual ports are Jaeger's where there is one.
        flags.extend(["otlp.grpc.endpoint", "otlp.http.endpoint"].map(|key| flag(key, "off")));
    }
    Config::load(&Sources { file: None, flags, environment: Vec::new() })
        .map_err(|problems| Failure::usage(problems.to_string()))
}

async fn live(args: &DemoArgs, config: Config) -> Result<(), Failure> {
    let mut stop = Stop::listen()
        .map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
    let server = Opening::bind(config, Taken::UseFree).await?.open().await?;
    let addresses = server.addresses().clone();
    let shown = tokio::select! {
        biased;
        _ = stop.asked() => Ok(()),
        shown = show(args, &addresses) => shown,
    };
    if !args.once {
        eyes::print("\nstopping; the traces stay in the data directory\n")?;
    }
    let stopped = server.stop().await;
    shown?;
    Ok(stopped?)
}

async fn show(args: &DemoArgs, addresses: &Addresses) -> Result<(), Failure> {
    let look = Look::of_stdout();
    let doors = Doors::of(addresses)
        .ok_or_else(|| Failure::failed("the server has no gRPC port to show anything through"))?;
    eyes::print(&screen::opening(&args.data_dir, &doors, look))?;
    let mut traffic = Traffic::to(&Address::local(doors.otlp_grpc), args.seed).await?;
    let wrote = traffic.last_hour().await?;
    eyes::print(&screen::wrote(&wrote, look))?;
    let failed = draw(&doors, look).await?;
    let jaeger = if args.jaeger {
        let jaeger = Jaeger::start(&args.data_dir, doors.storage).await?;
        let read = jaeger.read_back(&failed).await?;
        eyes::print(&screen::jaeger(&jaeger, &read, look))?;
        traffic = traffic.move_to(&Address::local(jaeger.ports.otlp_grpc)).await?;
        Some(jaeger)
    } else {
        None
    };
    if args.once {
        return Ok(());
    }
    eyes::print(&screen::next(&doors, &failed, jaeger.is_some(), look))?;
    traffic.go_on().await
}

/// Reads everything back and draws it; gives the id of the trace that was drawn.
async fn draw(doors: &Doors, look: Look) -> Result<String, Failure> {
    let mut source = Place::server(Address::local(doors.storage)).open().await?;
    let names = source.services().await?;
    let sample = eyes::sample(&mut source, SAMPLE).await?;
    eyes::print(&screen::section("Services", look))?;
    eyes::print(&eyes::services::draw(&names, &sample, &Default::default(), look))?;
    let newest = source.summaries(&TraceQuery { limit: NEWEST, ..TraceQuery::default() }).await?;
    eyes::print(&screen::section("Newest traces", look))?;
    eyes::print(&eyes::traces::draw(&newest, NEWEST, look))?;
    let failed = failed_checkout(&mut source).await?;
    eyes::print(&screen::section("A checkout that failed", look))?;
    let scope = eyes::waterfall::Scope { rows: eyes::waterfall::ROWS_DEFAULT, attributes: false };
    let Some(trace) = source.trace(failed.trace_id).await? else {
        return Err(Failure::failed(format!(
            "trace {} was found and is not there",
            failed.trace_id
        )));
    };
    eyes::print(&eyes::waterfall::draw(&trace, scope, look))?;
    Ok(failed.trace_id.to_string())
}

/// The most telling of the newest failures: a purchase, with as many failed spans as possible.
async fn failed_checkout(source: &mut Source) -> Result<TraceSummary, Failure> {
    let error = AttributeEquals { key: "error".into(), value: "true".into() };
    let query = TraceQuery {
        service: Some("payment".into()),
        attributes: vec![error],
        limit: 20,
        ..TraceQuery::default()
    };
    let found = source.summaries(&query).await?;
    let telling = found.into_iter().max_by_key(|s| (s.error_span_count, s.min_start));
    telling.ok_or_else(|| Failure::failed("the shop had no failed payment in the last hour"))
}
