//! The admin port: health, readiness, metrics, and the verbs of an administrator on this machine
//! (`verbs`, behind the guard `local`). Listens before recovery and until the very end, so that an
//! operator can always ask. Small requests flow in, text flows out; nothing here blocks an async
//! thread, and no span is removed unless that was allowed at start.

mod ask;
mod local;
mod verbs;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use spanlake::{Stats, Store};

use crate::life::state::{Phase, State};
use crate::life::watchdog::Pulse;
use crate::telemetry::Metrics;
pub(crate) use ask::Ask;
pub(crate) use verbs::NOTHING_SEALED;
pub use verbs::Turns;

/// How long a scrape waits for the engine's figures before it answers with the last ones.
const STATS_PATIENCE: Duration = Duration::from_secs(2);

/// What the pages look at.
#[derive(Debug)]
pub struct Admin {
    /// Phase and condition.
    pub state: Arc<State>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The watchdog's last sign of life.
    pub pulse: Arc<Pulse>,
    /// The store, once it is open.
    pub store: OnceLock<Store>,
    /// The data directory, absolute.
    pub data_dir: PathBuf,
    /// Whether `POST /purge` is served.
    pub allow_purge: bool,
    /// Who may work on a verb now.
    pub turns: Turns,
}

/// The admin port's pages.
pub fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/purge", post(purge).get(purge_by_get))
        .merge(verbs::router())
        .fallback(nothing_here)
        .with_state(admin)
}

const INDEX: &str = "\
spanlake admin
  GET  /healthz              200 unless the engine is stuck
  GET  /readyz               200 while spans are served; 503 while recovering or draining
  GET  /readyz?check=write   503 too where the store cannot write
  GET  /metrics              Prometheus
  POST /purge                removes every span; only with --allow-purge

on this machine only (127.0.0.1, ::1):
  POST /explain              how a search is answered; its JSON is the body, ?format=json
  GET  /segments             the segments, JSON; ?format=duckdb = SQL of a view over them
  POST /flush                seals every head; ?wait=true returns when no background work is due
";

async fn index() -> &'static str {
    INDEX
}

async fn nothing_here() -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, format!("nothing here\n\n{INDEX}"))
}

async fn healthz(Shared(admin): Shared<Arc<Admin>>) -> (StatusCode, String) {
    match admin.pulse.stuck_for() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(age) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("stuck: the engine has not answered for {} s\n", age.as_secs()),
        ),
    }
}

async fn readyz(Shared(admin): Shared<Arc<Admin>>, uri: Uri) -> (StatusCode, String) {
    const NOT_READY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    let now = admin.state.now();
    match now.phase {
        Phase::Recovering => (NOT_READY, recovering(admin.state.progress())),
        Phase::Draining => (NOT_READY, "draining: the server is shutting down\n".to_owned()),
        Phase::Serving => match parameter(&uri, "check") {
            None | Some("write") if now.writable => (StatusCode::OK, "ready\n".to_owned()),
            None => (StatusCode::OK, "ready to read; the log cannot be written\n".to_owned()),
            Some("write") => {
                (NOT_READY, "not writable: the log cannot be written; reads go on\n".to_owned())
            }
            Some(other) => {
                let body = format!("unknown check `{other}`; the one there is: check=write\n");
                (StatusCode::BAD_REQUEST, body)
            }
        },
    }
}

/// The value of `name=` in the query, if there is one; ours need no decoding.
fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(held, _)| *held == name).map(|(_, v)| v)
}

fn recovering((done, total): (u64, u64)) -> String {
    // Before the engine has sized its log, and for one that is empty, there is no percentage.
    match (u128::from(done) * 100).checked_div(u128::from(total)) {
        Some(percent) => format!("recovering: {done} of {total} bytes of the log ({percent} %)\n"),
        None => "recovering: opening the data directory\n".to_owned(),
    }
}

async fn metrics(Shared(admin): Shared<Arc<Admin>>) -> Response {
    if let Some(stats) = fresh_stats(&admin).await {
        admin.metrics.set_stats(&stats);
    }
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, text)], admin.metrics.encode()).into_response()
}

async fn fresh_stats(admin: &Admin) -> Option<Stats> {
    // A stuck engine must not collect one blocked thread per scrape.
    if admin.pulse.stuck_for().is_some() {
        return None;
    }
    let store = admin.store.get()?.clone();
    let asked = tokio::task::spawn_blocking(move || store.stats());
    tokio::time::timeout(STATS_PATIENCE, asked).await.ok()?.ok()
}

async fn purge(Shared(admin): Shared<Arc<Admin>>) -> (StatusCode, String) {
    if !admin.allow_purge {
        let body = "purge is off: it removes every span; start with --allow-purge to serve it\n";
        return (StatusCode::FORBIDDEN, body.to_owned());
    }
    if admin.state.now().phase != Phase::Serving {
        let body = "not ready: ask again when /readyz answers 200\n";
        return (StatusCode::SERVICE_UNAVAILABLE, body.to_owned());
    }
    let Some(store) = admin.store.get().cloned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned());
    };
    tracing::warn!("purging every span, as asked on the admin port");
    match tokio::task::spawn_blocking(move || store.purge()).await {
        Ok(Ok(())) => (StatusCode::OK, "purged\n".to_owned()),
        Ok(Err(error)) => failed(&error.to_string()),
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(error: &str) -> (StatusCode, String) {
    tracing::error!(error, "the purge failed");
    (StatusCode::INTERNAL_SERVER_ERROR, format!("the purge failed: {error}\n"))
}

async fn purge_by_get() -> (StatusCode, &'static str) {
    (StatusCode::METHOD_NOT_ALLOWED, "purge removes every span: use POST\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(allow_purge: bool) -> Arc<Admin> {
        Arc::new(Admin {
            state: Arc::default(),
            metrics: Arc::default(),
            pulse: Arc::default(),
            store: OnceLock::new(),
            data_dir: PathBuf::new(),
            allow_purge,
            turns: Turns::default(),
        })
    }

    async fn ready(admin: &Arc<Admin>, check: Option<&str>) -> (u16, String) {
        let query = check.map(|check| format!("?a=b&check={check}")).unwrap_or_default();
        let uri = format!("/readyz{query}").parse().expect("is a URI");
        let (status, body) = readyz(Shared(Arc::clone(admin)), uri).await;
        (status.as_u16(), body)
    }

    #[tokio::test]
    async fn readiness_follows_the_phase_and_writes_only_where_asked() {
        let admin = admin(false);
        assert_eq!(ready(&admin, None).await.0, 503);
        admin.state.set_progress(30, 120);
        assert!(ready(&admin, None).await.1.contains("30 of 120 bytes of the log (25 %)"));
        admin.state.enter(Phase::Serving);
        assert_eq!(ready(&admin, None).await, (200, "ready\n".to_owned()));
        assert_eq!(ready(&admin, Some("write")).await.0, 200);
        assert_eq!(ready(&admin, Some("luck")).await.0, 400);
        admin.state.set_writable(false);
        assert_eq!(ready(&admin, None).await.0, 200);
        assert_eq!(ready(&admin, Some("write")).await.0, 503);
        admin.state.enter(Phase::Draining);
        let (status, body) = ready(&admin, None).await;
        assert_eq!(status, 503);
        assert!(body.contains("draining"), "{body}");
    }

    #[tokio::test]
    async fn a_process_that_is_not_stuck_is_healthy_also_while_it_recovers() {
        assert_eq!(healthz(Shared(admin(false))).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn purge_is_forbidden_unless_allowed_and_waits_for_readiness() {
        let (status, body) = purge(Shared(admin(false))).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(body.contains("--allow-purge"), "{body}");
        let (status, _) = purge(Shared(admin(true))).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn metrics_answer_before_the_store_is_open() {
        let response = metrics(Shared(admin(false))).await;
        assert_eq!(response.status(), StatusCode::OK);
    }
}
