//! The doors: which services stand behind which port, and how a port is served and closed. A
//! service and reserved ports flow in, one task per port flows out; each ends by itself once it
//! is told to close and its last request is answered.

use std::time::Duration;

use axum::Router;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::Server;

use super::listen::{Listeners, Peer};

/// Told once: close.
pub(super) type Closing = watch::Receiver<bool>;

/// A silent peer is asked for a sign of life this often, so that a half-open connection of a
/// vanished sender does not stay for ever.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Bytes one stream and one connection may have under way: a default Jaeger batch (5 MB) must not
/// wait for a round trip every 64 KiB.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Serves gRPC until it is told to close: GOAWAY, then the last answers.
pub(super) fn serve_grpc(listeners: Listeners, routes: Routes, closing: Closing) -> JoinHandle<()> {
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_routes(routes)
        .serve_with_incoming_shutdown(listeners.incoming(), told(closing));
    tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "a gRPC port stopped serving");
        }
    })
}

/// Serves HTTP until it is told to close; handlers can ask who the [`Peer`] is.
pub(super) fn serve_http(listeners: Listeners, router: Router, closing: Closing) -> JoinHandle<()> {
    tokio::spawn(async move {
        let service = router.into_make_service_with_connect_info::<Peer>();
        let server = axum::serve(listeners, service).with_graceful_shutdown(told(closing));
        if let Err(error) = server.await {
            tracing::error!(%error, "an HTTP port stopped serving");
        }
    })
}

async fn told(mut closing: Closing) {
    // A sender that is gone means the same as one that told.
    let _: Result<_, _> = closing.wait_for(|close| *close).await;
}
