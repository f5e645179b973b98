//! Listeners: from a configured endpoint to sockets that accept.
//!
//! A port is taken in two steps. [`reserve`] binds without listening, so that a conflict is known
//! before recovery while clients are still refused at once; [`Reserved::listen`] opens the door.
//! `localhost` means 127.0.0.1 and ::1, and a machine without IPv6 is no error.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_stream::Stream;

use super::holder;
use crate::config::Endpoint;
use crate::telemetry::RateLimit;

/// Connections the kernel may hold before they are accepted.
const BACKLOG: u32 = 1024;
/// Pause after a failed accept (no file descriptors left): the condition passes or it does not.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

static ACCEPT_FAILURES: RateLimit = RateLimit::new(Duration::from_secs(10));

/// Why an endpoint cannot be listened on.
#[derive(Debug)]
pub struct Refused {
    /// The key that names the endpoint.
    pub key: &'static str,
    /// Whether someone else has the port.
    pub taken: bool,
    /// For people.
    pub message: String,
}

/// A port that is ours but does not accept yet.
#[derive(Debug)]
pub struct Reserved {
    key: &'static str,
    sockets: Vec<TcpSocket>,
    addresses: Vec<SocketAddr>,
}

/// Sockets that accept; one endpoint can have two (IPv4 and IPv6).
#[derive(Debug, Clone)]
pub struct Listeners {
    sockets: Arc<Vec<TcpListener>>,
    /// Where they listen.
    pub addresses: Vec<SocketAddr>,
}

/// Binds the endpoint; `None` where it is disabled.
///
/// # Errors
/// The port is taken, or the address is not this machine's.
pub async fn reserve(endpoint: &Endpoint) -> Result<Option<Reserved>, Refused> {
    let Some((host, port)) = &endpoint.address else { return Ok(None) };
    let candidates = resolve(host, *port).await.map_err(|error| Refused {
        key: endpoint.key,
        taken: false,
        message: format!("{}: cannot resolve host `{host}`: {error}", endpoint.key),
    })?;
    let mut reserved = Reserved { key: endpoint.key, sockets: vec![], addresses: vec![] };
    for mut address in candidates {
        // Port 0: the second family follows the port that the first one got.
        if let (0, Some(first)) = (address.port(), reserved.addresses.first()) {
            address.set_port(first.port());
        }
        match bind(address) {
            Ok((socket, bound)) => {
                reserved.sockets.push(socket);
                reserved.addresses.push(bound);
            }
            // A machine without IPv6 still has a localhost.
            Err(error) if !reserved.sockets.is_empty() && lacks_family(&error) => {}
            Err(error) => return Err(refused(endpoint.key, address, &error)),
        }
    }
    Ok(Some(reserved))
}

impl Reserved {
    /// Where it will listen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Starts to accept.
    ///
    /// # Errors
    /// Someone else began to listen there since the port was reserved.
    pub fn listen(self) -> Result<Listeners, Refused> {
        let mut sockets = Vec::new();
        for (socket, address) in self.sockets.into_iter().zip(&self.addresses) {
            match socket.listen(BACKLOG) {
                Ok(listener) => sockets.push(listener),
                Err(error) => return Err(refused(self.key, *address, &error)),
            }
        }
        Ok(Listeners { sockets: Arc::new(sockets), addresses: self.addresses })
    }
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host == "localhost" {
        let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
        return Ok(vec![SocketAddr::new(v4, port), SocketAddr::new(v6, port)]);
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    }
    Ok(found)
}

fn bind(address: SocketAddr) -> io::Result<(TcpSocket, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the kernel to forget the last process's connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let bound = socket.local_addr()?;
    Ok((socket, bound))
}

fn lacks_family(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(number, Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
}

fn refused(key: &'static str, address: SocketAddr, error: &io::Error) -> Refused {
    let taken = error.kind() == io::ErrorKind::AddrInUse;
    let message = if taken {
        let holder =
            holder::of_port(address.port()).unwrap_or_else(|| "another process".to_owned());
        format!("{key}: {address} is taken by {holder}")
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        format!("{key}: {address}: {error}; ports below 1024 need CAP_NET_BIND_SERVICE")
    } else {
        format!("{key}: cannot listen on {address}: {error}")
    };
    Refused { key, taken, message }
}

impl Listeners {
    /// Waits for the next connection; never fails, a refused accept is tried again.
    async fn next_connection(&self) -> (TcpStream, SocketAddr) {
        loop {
            let accepted = std::future::poll_fn(|context| self.poll_connection(context)).await;
            match accepted {
                Ok((stream, peer)) => {
                    // Small answers must not wait for the peer's delayed acknowledgement.
                    let _ = stream.set_nodelay(true);
                    return (stream, peer);
                }
                Err(error) if is_peers_fault(&error) => {}
                Err(error) => {
                    if let Some(suppressed) = ACCEPT_FAILURES.pass() {
                        tracing::warn!(%error, suppressed, "cannot accept a connection");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn poll_connection(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        for socket in self.sockets.iter() {
            if let Poll::Ready(accepted) = socket.poll_accept(context) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }

    /// The connections as the stream that tonic serves from.
    pub fn incoming(self) -> Incoming {
        Incoming { listeners: self, accepting: None }
    }
}

fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

impl axum::serve::Listener for Listeners {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        self.next_connection().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.addresses.first().copied().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, Listeners>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listeners>) -> Self {
        Self(*stream.remote_addr())
    }
}

type Accepting = Pin<Box<dyn Future<Output = TcpStream> + Send>>;

/// Endless stream of connections.
pub struct Incoming {
    listeners: Listeners,
    accepting: Option<Accepting>,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("addresses", &self.listeners.addresses).finish()
    }
}

impl Stream for Incoming {
    type Item = Result<TcpStream, io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let listeners = self.listeners.clone();
        let accepting = self
            .accepting
            .get_or_insert_with(|| Box::pin(async move { listeners.next_connection().await.0 }));
        let stream = std::task::ready!(accepting.as_mut().poll(context));
        self.accepting = None;
        Poll::Ready(Some(Ok(stream)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn endpoint(host: &str, port: u16) -> Endpoint {
        let address = Some((host.to_owned(), port));
        Endpoint { key: "otlp.grpc.endpoint", address, explicit: false }
    }

    #[tokio::test]
    async fn localhost_is_both_families_on_one_port() {
        let reserved = reserve(&endpoint("localhost", 0)).await.expect("binds").expect("is on");
        let addresses = reserved.addresses().to_vec();
        assert!(addresses[0].ip().is_loopback() && addresses[0].is_ipv4());
        assert!(addresses.iter().all(|address| address.port() == addresses[0].port()));
        let mut listeners = reserved.listen().expect("listens");
        for address in addresses {
            let client = tokio::spawn(TcpStream::connect(address));
            let (mut stream, _) = axum::serve::Listener::accept(&mut listeners).await;
            stream.shutdown().await.expect("closes");
            client.await.expect("runs").expect("connects");
        }
    }

    #[tokio::test]
    async fn a_reserved_port_refuses_until_it_listens() {
        let reserved = reserve(&endpoint("127.0.0.1", 0)).await.expect("binds").expect("is on");
        let address = reserved.addresses()[0];
        assert!(TcpStream::connect(address).await.is_err());
        let _listeners = reserved.listen().expect("listens");
        assert!(TcpStream::connect(address).await.is_ok());
    }

    #[tokio::test]
    async fn a_taken_port_names_its_holder() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = other.local_addr().expect("has an address").port();
        let refused = reserve(&endpoint("127.0.0.1", port)).await.expect_err("is taken");
        assert!(refused.taken);
        assert!(refused.message.contains("another endpoint of this"), "{}", refused.message);
        assert!(refused.message.contains("otlp.grpc.endpoint"), "{}", refused.message);
    }

    #[tokio::test]
    async fn a_disabled_endpoint_is_nothing() {
        let off = Endpoint { key: "admin.endpoint", address: None, explicit: true };
        assert!(reserve(&off).await.expect("is fine").is_none());
    }
}
