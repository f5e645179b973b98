//! Any backend through a real Jaeger: spans go into its OTLP receiver, questions to its query API,
//! so that two backends stand side by side behind the same door. CPU and memory are those of the
//! Jaeger and of what stands behind it, each told apart.

pub(crate) mod api;
mod instance;

use spanlake_benches::Result;
use spanlake_benches::model::Model;

use crate::arguments::{Arguments, Backend};
use crate::calls::Client;
use crate::disk::Disk;
use crate::ingest::{self, Ingest};
use crate::process::Process;
use crate::queries::{Asked, Asker};
use crate::questions::{Audience, kinds};
use crate::server::Server;
use instance::Jaeger;

/// What a backend behind a Jaeger came to.
#[derive(Debug)]
pub(crate) struct Through {
    pub(crate) backend: Backend,
    pub(crate) ingest: Ingest,
    pub(crate) processes: Vec<Share>,
    pub(crate) disk: Disk,
    pub(crate) queries: Vec<Asked>,
}

/// A process's part.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) name: &'static str,
    /// CPU seconds of the ingest.
    pub(crate) cpu: f64,
    pub(crate) rss_max: u64,
}

/// Measures the backends one after the other.
pub(crate) async fn run(model: &Model, arguments: &Arguments) -> Result<Vec<Through>> {
    let mut all = Vec::new();
    for backend in &arguments.through_jaeger {
        crate::say(&format!("through Jaeger: {backend:?}"));
        all.push(through(*backend, model, arguments).await?);
    }
    Ok(all)
}

async fn through(backend: Backend, model: &Model, arguments: &Arguments) -> Result<Through> {
    let spanlake = match backend {
        Backend::Spanlake => Some(Server::start(arguments)?),
        Backend::Badger => None,
    };
    let jaeger = match &spanlake {
        Some(server) => Jaeger::before_spanlake(server.grpc(), arguments)?,
        None => Jaeger::with_badger(arguments)?,
    };
    let mut processes = vec![("jaeger", jaeger.process())];
    processes.extend(spanlake.as_ref().map(|server| ("spanlake", server.process())));
    let pids: Vec<Process> = processes.iter().map(|(_, process)| *process).collect();
    let before: Vec<f64> = pids.iter().map(|pid| pid.cpu()).collect::<Result<_>>()?;
    let scale = model.scale();
    let mut ingest = ingest::run_until_idle(jaeger.otlp(), &pids, scale, arguments).await?;
    if let Some(server) = &spanlake {
        server.flush().await?;
    }
    let after: Vec<f64> = pids.iter().map(|pid| pid.cpu()).collect::<Result<_>>()?;
    let spent: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    ingest.cpu_done = spent.iter().sum();
    let disk = match &spanlake {
        Some(server) => Disk::of_spanlake(server.data_dir())?,
        None => Disk::of(&jaeger.data_dir())?,
    };
    let queries = ask(&jaeger, pids, model, arguments).await?;
    let share = |((name, process), cpu): ((&'static str, Process), f64)| {
        Ok(Share { name, cpu, rss_max: process.rss_max()? })
    };
    let processes = processes.into_iter().zip(spent).map(share).collect::<Result<_>>()?;
    Ok(Through { backend, ingest, processes, disk, queries })
}

async fn ask(
    jaeger: &Jaeger,
    processes: Vec<Process>,
    model: &Model,
    arguments: &Arguments,
) -> Result<Vec<Asked>> {
    crate::say("asking");
    let service = api::QueryService::connect(jaeger.query_grpc(), jaeger.query_http()).await?;
    let mut asker = Asker {
        client: Client::Jaeger(service),
        processes,
        model,
        is_strict: false,
        pages: arguments.pages,
    };
    asker.all(&kinds(model, arguments, Audience::Jaeger)).await
}
