//! Where reading commands get their data: a running server, or a data directory nobody serves.
//!
//! An address or a directory flows in, a [`Source`] flows out that answers the engine's questions
//! with the engine's answers, whichever it is. Errors say what to do next and carry the exit code.
//! Nothing here draws, and nothing here writes spans.

mod address;
mod admin;
mod assemble;
mod embedded;
mod failure;
mod remote;

use std::path::PathBuf;

use clap::Args;
use spanlake::{Operation, TraceId, TraceQuery, TraceSummary};

use crate::eyes::Trace;
pub use address::Address;
pub use admin::AdminPlace;
pub use assemble::Found;
pub use embedded::Embedded;
pub use failure::Failure;
pub use remote::Remote;

/// Which server or directory to read. Neither flag: the server on this machine.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// Ask this server (its gRPC port) [default: http://127.0.0.1:17271]
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    server: Option<Address>,
    /// Read this directory, where no server runs on it
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    /// This server.
    pub fn server(address: Address) -> Self {
        Self { server: Some(address), data_dir: None }
    }

    /// Connects, or opens the directory.
    ///
    /// # Errors
    /// No server there, or a directory that is missing, locked or damaged.
    pub async fn open(&self) -> Result<Source, Failure> {
        match &self.data_dir {
            Some(directory) => Ok(Source::Embedded(Embedded::open(directory)?)),
            None => {
                let address = self.server.clone().unwrap_or_default();
                Ok(Source::Remote(Remote::connect(address).await?))
            }
        }
    }
}

/// An open place.
#[derive(Debug)]
pub enum Source {
    /// A server that speaks Jaeger's storage API v2.
    Remote(Remote),
    /// A directory opened in this process.
    Embedded(Embedded),
}

impl Source {
    /// "at http://…" or "in DIR", for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Remote(remote) => format!("at {}", remote.address()),
            Self::Embedded(embedded) => format!("in {}", embedded.path().display()),
        }
    }

    /// Names of services, sorted.
    ///
    /// # Errors
    /// The server's or the store's.
    pub async fn services(&mut self) -> Result<Vec<String>, Failure> {
        let mut names = match self {
            Self::Remote(remote) => remote.services().await?,
            Self::Embedded(embedded) => embedded.services()?,
        };
        names.sort_unstable();
        Ok(names)
    }

    /// Operations of a service, sorted.
    ///
    /// # Errors
    /// The server's or the store's.
    pub async fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Failure> {
        let mut operations = match self {
            Self::Remote(remote) => remote.operations(service).await?,
            Self::Embedded(embedded) => embedded.operations(service)?,
        };
        operations.sort_unstable();
        Ok(operations)
    }

    /// The newest traces that match, one summary each, in the search's order.
    ///
    /// # Errors
    /// The server's or the store's.
    pub async fn summaries(&mut self, query: &TraceQuery) -> Result<Vec<TraceSummary>, Failure> {
        match self {
            Self::Remote(remote) => remote.summaries(query).await,
            Self::Embedded(embedded) => embedded.summaries(query),
        }
    }

    /// One whole trace; `None` where it is unknown.
    ///
    /// # Errors
    /// The server's or the store's.
    pub async fn trace(&mut self, id: TraceId) -> Result<Option<Trace>, Failure> {
        match self {
            Self::Remote(remote) => remote.trace(id).await,
            Self::Embedded(embedded) => embedded.trace(id),
        }
    }

    /// The newest traces that match, whole, in the search's order; reading ends with the trace
    /// that passes `spans_max` spans, and the answer says so.
    ///
    /// # Errors
    /// The server's or the store's.
    pub async fn find_traces(
        &mut self,
        query: &TraceQuery,
        spans_max: usize,
    ) -> Result<Found, Failure> {
        match self {
            Self::Remote(remote) => remote.find_traces(query, spans_max).await,
            Self::Embedded(embedded) => embedded.find_traces(query, spans_max),
        }
    }
}
