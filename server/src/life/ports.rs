//! All ports of the server: which are ours, which had to be given up, and what that means. A
//! default OTLP port that is taken costs a warning, since OTLP is served on the storage port
//! too; every other port that is taken ends the start.

use std::net::SocketAddr;

use super::fault::Fault;
use super::listen::{self, Refused, Reserved};
use crate::config::{Config, Endpoint};

/// What to do about a port that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// As the surface says: refuse to start, or warn for a default OTLP port.
    Refuse,
    /// Take any free port instead (`spanlake demo`).
    UseFree,
}

/// Ports that are ours and do not accept yet.
#[derive(Debug, Default)]
pub struct Ports {
    /// Storage API and OTLP gRPC.
    pub grpc: Option<Reserved>,
    /// OTLP gRPC.
    pub otlp_grpc: Option<Reserved>,
    /// OTLP HTTP.
    pub otlp_http: Option<Reserved>,
    /// Admin HTTP.
    pub admin: Option<Reserved>,
}

/// Where each door listens; empty where it is disabled or was given up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Storage API and OTLP gRPC.
    pub grpc: Vec<SocketAddr>,
    /// OTLP gRPC.
    pub otlp_grpc: Vec<SocketAddr>,
    /// OTLP HTTP.
    pub otlp_http: Vec<SocketAddr>,
    /// Admin HTTP.
    pub admin: Vec<SocketAddr>,
}

impl Ports {
    /// Binds every configured endpoint.
    ///
    /// # Errors
    /// A port that must be had and cannot.
    pub async fn reserve(config: &Config, taken: Taken) -> Result<Self, Fault> {
        Ok(Self {
            admin: required(&config.admin, taken).await?,
            grpc: required(&config.grpc, taken).await?,
            otlp_grpc: optional(&config.otlp_grpc, taken, config).await?,
            otlp_http: optional(&config.otlp_http, taken, config).await?,
        })
    }

    /// Where they will listen.
    pub fn addresses(&self) -> Addresses {
        let of = |port: &Option<Reserved>| -> Vec<SocketAddr> {
            port.as_ref().map(|port| port.addresses().to_vec()).unwrap_or_default()
        };
        Addresses {
            grpc: of(&self.grpc),
            otlp_grpc: of(&self.otlp_grpc),
            otlp_http: of(&self.otlp_http),
            admin: of(&self.admin),
        }
    }
}

async fn required(endpoint: &Endpoint, taken: Taken) -> Result<Option<Reserved>, Fault> {
    match listen::reserve(endpoint).await {
        Ok(reserved) => Ok(reserved),
        Err(refused) if refused.taken && taken == Taken::UseFree => any_free(endpoint).await,
        Err(refused) => Err(Fault::port(&refused)),
    }
}

async fn optional(
    endpoint: &Endpoint,
    taken: Taken,
    config: &Config,
) -> Result<Option<Reserved>, Fault> {
    match listen::reserve(endpoint).await {
        Err(refused) if refused.taken && taken == Taken::Refuse && !endpoint.explicit => {
            warn_given_up(&refused, config);
            Ok(None)
        }
        Ok(reserved) => Ok(reserved),
        Err(refused) if refused.taken && taken == Taken::UseFree => any_free(endpoint).await,
        Err(refused) => Err(Fault::port(&refused)),
    }
}

async fn any_free(endpoint: &Endpoint) -> Result<Option<Reserved>, Fault> {
    let mut free = endpoint.clone();
    if let Some((_, port)) = &mut free.address {
        *port = 0;
    }
    listen::reserve(&free).await.map_err(|refused| Fault::port(&refused))
}

/// Tells that a default OTLP port is someone else's, and where OTLP is served instead.
pub(super) fn warn_given_up(refused: &Refused, config: &Config) {
    let instead = match &config.grpc.address {
        Some((host, port)) => format!("OTLP is served on {host}:{port} all the same"),
        None => "grpc.endpoint is off too, so nothing serves it".to_owned(),
    };
    tracing::warn!(
        "{}; {instead}. Set {key} to another port, or to off to silence this",
        refused.message,
        key = refused.key
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(admin: u16, grpc: u16, otlp: u16) -> Config {
        let mut config = Config::defaults();
        let at = |port| Some(("127.0.0.1".to_owned(), port));
        config.admin.address = at(admin);
        config.grpc.address = at(grpc);
        config.otlp_grpc.address = at(otlp);
        config.otlp_http.address = None;
        config
    }

    fn busy() -> (std::net::TcpListener, u16) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("has an address").port();
        (listener, port)
    }

    #[tokio::test]
    async fn a_taken_default_otlp_port_is_given_up_and_a_chosen_one_is_an_error() {
        let (_other, port) = busy();
        let mut config = config(0, 0, port);
        let ports = Ports::reserve(&config, Taken::Refuse).await.expect("starts");
        assert!(ports.otlp_grpc.is_none() && ports.grpc.is_some());
        config.otlp_grpc.explicit = true;
        let fault = Ports::reserve(&config, Taken::Refuse).await.expect_err("is refused");
        assert_eq!(fault.exit.code(), 1);
        assert!(fault.message.contains("otlp.grpc.endpoint"), "{fault}");
    }

    #[tokio::test]
    async fn storage_and_admin_ports_must_be_had() {
        let (_other, port) = busy();
        for config in [config(port, 0, 0), config(0, port, 0)] {
            assert!(Ports::reserve(&config, Taken::Refuse).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_demo_takes_what_is_free() {
        let (_other, port) = busy();
        let ports =
            Ports::reserve(&config(port, port, port), Taken::UseFree).await.expect("starts");
        let addresses = ports.addresses();
        for door in [&addresses.admin, &addresses.grpc, &addresses.otlp_grpc] {
            assert!(door.len() == 1 && door[0].port() != port, "{addresses:?}");
        }
        assert!(addresses.otlp_http.is_empty());
    }
}
