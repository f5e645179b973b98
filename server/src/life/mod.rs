//! The life of the process: start, recover, serve, drain, stop.
//!
//! A valid configuration flows in; ports, a store and the doors between them come to be, in the
//! order that lets an operator see each step, and go again in the order that loses nothing. No
//! request is handled in here, and nothing here knows a protocol's messages.

pub mod fault;
pub mod listen;
pub mod memory;
pub mod ports;
pub mod server;
pub mod signals;
pub mod state;
pub mod volume;
pub mod watchdog;

mod announce;
mod doors;
mod holder;

use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};

use crate::config::Config;
use crate::exit;
use fault::Fault;
use ports::Taken;
use server::Opening;
use signals::Stop;

/// Runs a server until a signal ends it.
pub fn serve(config: Config) -> ExitCode {
    crate::telemetry::log::init(&config);
    for warning in &config.settings.warnings {
        tracing::warn!("{warning}");
    }
    allow_more_files();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(fault) => return leave(&fault),
    };
    let result = runtime.block_on(live(config));
    // A recovery or a read that still runs must not hold the process: what it did is as safe as
    // after a crash.
    runtime.shutdown_background();
    match result {
        Ok(()) => exit::DONE.into(),
        Err(fault) => leave(&fault),
    }
}

/// A runtime as large as the CPU quota. Blocking threads carry reads and walks, which are CPU
/// work or bounded by slots, so more than a few per CPU only cost memory.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> Result<Runtime, Fault> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Builder::new_multi_thread()
        .worker_threads(cpus)
        .max_blocking_threads(cpus * 8 + 32)
        .thread_name("spanlake-async")
        .enable_all()
        .build()
        .map_err(|error| Fault::failed(format!("cannot start threads: {error}")))
}

/// Raises the number of files this process may open as far as it is allowed to: each segment and
/// each connection is one, and the usual 1,024 is meant for programs that use select.
fn allow_more_files() {
    let files = rustix::process::Resource::Nofile;
    let mut limit = rustix::process::getrlimit(files);
    limit.current = limit.maximum;
    // Without it the old limit holds, which is visible as process_max_fds.
    let _ = rustix::process::setrlimit(files, limit);
}

async fn live(config: Config) -> Result<(), Fault> {
    let mut stop = Stop::listen()
        .map_err(|error| Fault::failed(format!("cannot listen for signals: {error}")))?;
    let opening = Opening::bind(config, Taken::Refuse).await?;
    let server = tokio::select! {
        biased;
        () = stop.asked() => {
            tracing::info!("stopped during recovery; the log keeps everything");
            return Ok(());
        }
        opened = opening.open() => opened?,
    };
    tokio::select! {
        () = stop.asked() => server.stop().await,
        fault = server.broken() => {
            // Nothing more can be sealed; what is acknowledged waits in the log.
            drop(server.stop().await);
            Err(fault)
        }
    }
}

fn leave(fault: &Fault) -> ExitCode {
    tracing::error!("{fault}");
    fault.exit.into()
}
