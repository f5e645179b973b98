//! `spanlake-load`: sends honest copies of a data set to a Spanlake server over real OTLP gRPC,
//! asks it over the real storage API, checks every answer exactly, and prints one table. The same
//! through a real Jaeger, with Badger beside. Exit code 1 where an answer of Spanlake's was wrong
//! or a span was refused.

mod arguments;
mod calls;
mod check;
mod data;
mod disk;
mod ingest;
mod jaeger;
mod live;
mod machine;
mod process;
mod queries;
mod questions;
mod report;
mod server;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use spanlake_benches::Result;
use spanlake_benches::model::Model;

use arguments::{Arguments, Place};
use data::Known;
use disk::Disk;
use queries::Asker;
use questions::{Audience, kinds};
use report::{Direct, Measured, Report};
use server::Server;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Measures and reports; true where nothing was wrong.
fn run(arguments: &Arguments) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let against = arguments.against.as_deref().map(report::Earlier::read).transpose()?;
    say("reading the data");
    let mut known = data::known(arguments)?;
    let model = Model::of(known.scale.clone())?;
    let machine = machine::Machine::read(&arguments.data_dir)?;
    let measured = if arguments.through_jaeger.is_empty() {
        Measured::Direct(Box::new(runtime.block_on(direct(&model, &mut known, arguments))?))
    } else {
        Measured::ThroughJaeger(runtime.block_on(jaeger::run(&model, arguments))?)
    };
    let report = Report { machine, scale: known.scale, measured, against };
    let json = report.json();
    if let Some(path) = &arguments.save {
        std::fs::write(path, format!("{json}\n"))?;
    }
    let text = if arguments.json { json } else { report.table() };
    // A closed pipe is the reader's wish.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
    Ok(report.is_right())
}

async fn direct(model: &Model, known: &mut Known, arguments: &Arguments) -> Result<Direct> {
    let scale = known.scale.clone();
    let mut server = Server::start(arguments)?;
    let mut awake = None;
    let mut ingest = None;
    if !arguments.ask_only {
        say(&format!("sending {} spans ({} copies)", scale.spans(), scale.copies()));
        let (done, sender) = ingest::run(&server, &scale, arguments).await?;
        ingest = Some(done);
        if arguments.data_dir.is_some() {
            data::remember(server.data_dir(), known, arguments)?;
        }
        if arguments.place != Place::Segments {
            awake = Some(sender.keep_awake().await?);
        }
    }
    if arguments.ask_only && arguments.place == Place::Segments {
        server.flush().await?;
    }
    let disk = Disk::of_spanlake(server.data_dir())?;
    let head = (server.head_spans()?, disk.segments);
    check_place(arguments.place, head)?;
    let ingest_rss = server.process().rss_max()?;
    say("asking");
    let audience = if known.later > 0 { Audience::Filling } else { Audience::Resting };
    let kinds = kinds(model, arguments, audience);
    let spans = if known.later > 0 { disk.rows } else { scale.spans() };
    let mut queries = Asker::of(&server, model, arguments).await?.all(&kinds).await?;
    check_place(
        arguments.place,
        (server.head_spans()?, Disk::of_spanlake(server.data_dir())?.segments),
    )?;
    drop(awake);
    let rss = server.process().rss_max()?;
    let live = match arguments.live {
        None => None,
        Some(seconds) => {
            say("asking while more spans flow in");
            let later = live::later(&scale, known.later, arguments);
            let live = live::run(&server, model, &later, seconds, arguments).await?;
            known.later += live::begun(&scale, &live);
            if arguments.data_dir.is_some() {
                data::remember(server.data_dir(), known, arguments)?;
            }
            Some(live)
        }
    };
    if arguments.cold > 0 {
        say("asking cold");
        queries::cold(&mut server, model, &kinds, arguments, &mut queries).await?;
    }
    server.stop(arguments.keep)?;
    let (place, head_spans) = (arguments.place, head.0);
    Ok(Direct { place, head_spans, spans, ingest, disk, ingest_rss, rss, queries, live })
}

/// Spans in heads and number of segments must be what was wished.
fn check_place(place: Place, (head_spans, segments): (f64, u64)) -> Result<()> {
    let is_there = match place {
        Place::Head => head_spans > 0.0 && segments == 0,
        Place::Segments => head_spans == 0.0,
        Place::Both => head_spans > 0.0 && segments > 0,
    };
    if is_there {
        return Ok(());
    }
    Err(format!(
        "the spans are not where they were to be ({place:?}): {head_spans} in heads, {segments} \
         segments; a head seals by itself when it is large: send fewer spans"
    )
    .into())
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "spanlake-load: {text}");
}
