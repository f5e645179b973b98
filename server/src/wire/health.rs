//! `grpc.health.v1`: one state for all gRPC listeners, by service, so that a store which can be
//! read but not written says exactly that.

use spanlake_proto::name::{CAPABILITIES, DEPENDENCY_READER, TRACE_READER, TRACE_SERVICE};
use tonic_health::ServingStatus::{self, NotServing, Serving};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// What answers questions; `""` is the server as a whole and what probes ask for.
const READERS: [&str; 4] = ["", TRACE_READER, DEPENDENCY_READER, CAPABILITIES];

/// The handle by which the life cycle tells how it stands. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Health(HealthReporter);

impl Health {
    /// A state in which nothing serves yet. [`Health::recovering`] must have run before the
    /// first listener opens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Known services, none of them serving.
    pub async fn recovering(&self) {
        self.set(NotServing, NotServing).await;
    }

    /// Questions are answered; Exports are if `writable`.
    pub async fn serving(&self, writable: bool) {
        self.set(Serving, if writable { Serving } else { NotServing }).await;
    }

    /// The server is leaving.
    pub async fn draining(&self) {
        self.set(NotServing, NotServing).await;
    }

    async fn set(&self, reads: ServingStatus, writes: ServingStatus) {
        for name in READERS {
            self.0.set_service_status(name, reads).await;
        }
        self.0.set_service_status(TRACE_SERVICE, writes).await;
    }

    pub(super) fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.0.clone()))
    }
}
