//! A server from its first port to its last. [`Opening::bind`] takes the ports and opens the
//! admin door; [`Opening::open`] recovers the store and opens the others; [`Server::stop`] closes
//! them in the order that loses nothing. `serve` and `demo` both live through these three.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use spanlake::Store;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::fault::Fault;
use super::listen::{Listeners, Refused, Reserved};
use super::memory::{self, Budget};
use super::ports::{self, Addresses, Ports, Taken};
use super::state::{Condition, Phase, State};
use super::volume::Volume;
use super::watchdog::{self, Pulse};
use super::{announce, doors};
use crate::admin::{self, Admin};
use crate::config::Config;
use crate::otlp;
use crate::service::{Limits, Service};
use crate::telemetry::{Ear, Metrics};
use crate::wire::{self, Health};

/// What every stage shares.
#[derive(Debug)]
struct Common {
    config: Config,
    budget: Budget,
    addresses: Addresses,
    admin: Arc<Admin>,
    /// Tells all doors but admin's to close.
    closing: watch::Sender<bool>,
    /// Tells the admin door to close, last of all.
    closing_admin: watch::Sender<bool>,
    admin_door: Option<JoinHandle<()>>,
}

/// Ports are ours, the admin door is open, the store is not.
#[derive(Debug)]
pub struct Opening {
    common: Common,
    ports: Ports,
}

/// A server that serves.
#[derive(Debug)]
pub struct Server {
    common: Common,
    service: Arc<Service>,
    doors: Vec<JoinHandle<()>>,
}

impl Opening {
    /// Takes every port and opens the admin door.
    ///
    /// # Errors
    /// A port that must be had and cannot.
    pub async fn bind(config: Config, taken: Taken) -> Result<Self, Fault> {
        let mut ports = Ports::reserve(&config, taken).await?;
        let addresses = ports.addresses();
        let budget = memory::budget(config.memory_limit);
        let metrics = Arc::new(Metrics::new());
        metrics.set_memory_limit(budget.limit);
        let admin = Arc::new(Admin {
            state: Arc::new(State::default()),
            metrics,
            pulse: Arc::new(Pulse::default()),
            store: OnceLock::new(),
            data_dir: absolute(&config.data_dir)?,
            allow_purge: config.allow_purge,
            turns: admin::Turns::default(),
        });
        let (closing, closing_admin) = (watch::Sender::new(false), watch::Sender::new(false));
        let admin_door = match ports.admin.take() {
            Some(port) => {
                let listeners = port.listen().map_err(|refused| Fault::port(&refused))?;
                let pages = admin::router(Arc::clone(&admin));
                Some(doors::serve_http(listeners, pages, closing_admin.subscribe()))
            }
            None => None,
        };
        let common =
            Common { config, budget, addresses, admin, closing, closing_admin, admin_door };
        Ok(Self { common, ports })
    }

    /// Recovers the store and opens every door. Dropped half-way it leaves the data directory as
    /// a crash would, which recovery is made for.
    ///
    /// # Errors
    /// The store's, with the exit code that fits.
    pub async fn open(mut self) -> Result<Server, Fault> {
        let store = self.open_store().await?;
        let common = &mut self.common;
        let data_dir = common.config.data_dir.clone();
        let measured = tokio::task::spawn_blocking(move || Volume::measure(&data_dir)).await;
        let volume = measured.map_err(|error| Fault::failed(error.to_string()))?;
        let limits = Limits {
            export_bytes: usize::try_from(common.budget.exports).unwrap_or(usize::MAX),
            slow_query: common.config.slow_query,
            ..Limits::default()
        };
        let meter = Arc::clone(&common.admin.metrics);
        let service = Arc::new(Service::new(store, meter, limits));
        let health = Health::new();
        // Before the first listener opens, so that no probe ever meets an unknown name.
        health.serving(common.admin.state.now().writable).await;
        let doors = common.open_doors(self.ports, &service, &health)?;
        common.admin.state.enter(Phase::Serving);
        tokio::spawn(keep_in_step(common.admin.state.watch(), health));
        announce::announce(&common.config, common.budget, &common.addresses, &volume);
        Ok(Server { common: self.common, service, doors })
    }

    /// On a thread of its own: nothing async may wait for the disk, and a stop must not wait for
    /// recovery.
    async fn open_store(&self) -> Result<Store, Fault> {
        let Common { config, budget, admin, .. } = &self.common;
        let ear = Ear::new(Arc::clone(&admin.metrics), Arc::clone(&admin.state));
        let options = spanlake::Options {
            memory_limit: budget.engine,
            seal_bytes: budget.seal,
            lock_timeout: u64::try_from(config.lock_timeout.as_nanos()).unwrap_or(u64::MAX),
            observer: Arc::new(ear),
            ..spanlake::Options::default()
        };
        let (sender, opened) = oneshot::channel();
        let data_dir = config.data_dir.clone();
        let open = move || {
            // Nobody waits any more where a stop came first.
            let _ = sender.send(Store::open(data_dir, options));
        };
        let thread = std::thread::Builder::new().name("spanlake-open".to_owned());
        thread.spawn(open).map_err(|error| Fault::failed(format!("no thread: {error}")))?;
        let store = match opened.await {
            Ok(Ok(store)) => store,
            Ok(Err(error)) => return Err(Fault::open(&config.data_dir, &error)),
            Err(_) => return Err(Fault::failed("opening the data directory ended in a bug")),
        };
        let _ = admin.store.set(store.clone());
        let (state, metrics) = (Arc::downgrade(&admin.state), Arc::downgrade(&admin.metrics));
        watchdog::watch(store.clone(), Arc::clone(&admin.pulse), state, metrics)
            .map_err(|error| Fault::failed(format!("no thread: {error}")))?;
        Ok(store)
    }
}

impl Common {
    /// Opens every door but admin's, each a task.
    fn open_doors(
        &mut self,
        ports: Ports,
        service: &Arc<Service>,
        health: &Health,
    ) -> Result<Vec<JoinHandle<()>>, Fault> {
        let mut doors = Vec::new();
        if let Some(port) = ports.grpc {
            let listeners = port.listen().map_err(|refused| Fault::port(&refused))?;
            let routes = wire::storage_routes(service, health)
                .map_err(|error| Fault::failed(format!("the built-in protos: {error}")))?;
            doors.push(doors::serve_grpc(listeners, routes, self.closing.subscribe()));
        }
        match self.listen_otlp(ports.otlp_grpc, self.config.otlp_grpc.explicit)? {
            Some(listeners) => {
                let routes = wire::otlp_routes(service, health);
                doors.push(doors::serve_grpc(listeners, routes, self.closing.subscribe()));
            }
            None => self.addresses.otlp_grpc.clear(),
        }
        match self.listen_otlp(ports.otlp_http, self.config.otlp_http.explicit)? {
            Some(listeners) => {
                let router = otlp::http_router(Arc::clone(service));
                doors.push(doors::serve_http(listeners, router, self.closing.subscribe()));
            }
            None => self.addresses.otlp_http.clear(),
        }
        Ok(doors)
    }

    /// Opens a reserved OTLP port; a default one that someone took meanwhile is given up.
    fn listen_otlp(
        &self,
        port: Option<Reserved>,
        explicit: bool,
    ) -> Result<Option<Listeners>, Fault> {
        match port.map(Reserved::listen).transpose() {
            Ok(listeners) => Ok(listeners),
            Err(refused @ Refused { taken: true, .. }) if !explicit => {
                ports::warn_given_up(&refused, &self.config);
                Ok(None)
            }
            Err(refused) => Err(Fault::port(&refused)),
        }
    }
}

impl Server {
    /// Where its doors are.
    pub fn addresses(&self) -> &Addresses {
        &self.common.addresses
    }

    /// Waits until the store cannot write any more, where `storage.on_fsync_error` makes that the
    /// end of the process.
    pub async fn broken(&self) -> Fault {
        if !self.common.config.exit_on_fsync_error {
            std::future::pending::<()>().await;
        }
        self.common.admin.state.failed().await;
        Fault::failed(
            "the log or the catalog could not be written and storage.on_fsync_error is exit; what \
             was acknowledged is recovered at the next start",
        )
    }

    /// Closes everything within `shutdown.timeout`: not ready, GOAWAY, last answers, heads sealed
    /// as far as time allows. What is not sealed stays in the log.
    ///
    /// # Errors
    /// The store's last seal; the log still holds what it would have sealed.
    pub async fn stop(self) -> Result<(), Fault> {
        let Self { common, service, doors } = self;
        let started = Instant::now();
        let timeout = common.config.shutdown_timeout;
        common.admin.state.enter(Phase::Draining);
        tracing::info!(timeout_ms = timeout.as_millis(), "stopping: not ready any more");
        service.drain();
        common.closing.send_replace(true);
        // Half of the time for the last answers, so that a client that does not read leaves the
        // other half for the seal.
        if tokio::time::timeout(timeout / 2, all(doors)).await.is_err() {
            tracing::warn!("some clients did not finish reading in time and are cut off");
        }
        let left = timeout.saturating_sub(started.elapsed());
        let store = service.store().clone();
        let closed = tokio::task::spawn_blocking(move || store.close(left)).await;
        common.admin.pulse.stop();
        common.closing_admin.send_replace(true);
        if let Some(door) = common.admin_door {
            // A scraper that keeps its connection busy must not keep us.
            let _ = tokio::time::timeout(Duration::from_millis(500), door).await;
        }
        report(closed, started.elapsed())
    }
}

/// Where the data directory is for others on this machine.
fn absolute(data_dir: &Path) -> Result<PathBuf, Fault> {
    std::path::absolute(data_dir)
        .map_err(|error| Fault::failed(format!("{}: {error}", data_dir.display())))
}

/// Tells gRPC health every change of the condition, until the server is gone.
async fn keep_in_step(mut condition: watch::Receiver<Condition>, health: Health) {
    loop {
        let now = *condition.borrow_and_update();
        match now.phase {
            Phase::Recovering => health.recovering().await,
            Phase::Serving => health.serving(now.writable).await,
            Phase::Draining => health.draining().await,
        }
        if condition.changed().await.is_err() {
            return;
        }
    }
}

async fn all(doors: Vec<JoinHandle<()>>) {
    for door in doors {
        // A door that ended in a panic is closed too.
        let _ = door.await;
    }
}

fn report(
    closed: Result<spanlake::Result<bool>, tokio::task::JoinError>,
    took: Duration,
) -> Result<(), Fault> {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match closed {
        Ok(Ok(true)) => tracing::info!(took_ms, "stopped; everything is sealed"),
        Ok(Ok(false)) => {
            tracing::info!(took_ms, "stopped; what is not sealed waits in the log");
        }
        Ok(Err(error)) => return Err(Fault::failed(format!("the last seal failed: {error}"))),
        Err(error) => return Err(Fault::failed(format!("the store's close failed: {error}"))),
    }
    Ok(())
}
