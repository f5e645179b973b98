//! Pages that read or change data: explain, segments, flush. Requests of this machine flow in
//! (see `local`), text or JSON flows out. The work runs on blocking threads, one of a kind at a
//! time, so that a curious operator costs the store little.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use spanlake::{Store, Tenancy};
use tokio::sync::Semaphore;

use super::ask::Ask;
use super::{Admin, local, parameter};
use crate::eyes::segments;
use crate::life::state::Phase;

/// Why there is no view for DuckDB.
pub(crate) const NOTHING_SEALED: &str = "nothing is sealed yet, so there is no file to look at: \
                                         `spanlake flush` first";
/// How long a page waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// One of each at a time.
#[derive(Debug, Clone)]
pub struct Turns {
    explain: Arc<Semaphore>,
    flush: Arc<Semaphore>,
    segments: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let one = || Arc::new(Semaphore::new(1));
        Self { explain: one(), flush: one(), segments: one() }
    }
}

/// The pages, behind their guard.
pub(super) fn router() -> Router<Arc<Admin>> {
    Router::new()
        .route("/explain", post(explain))
        .route("/segments", get(list))
        .route("/flush", post(flush))
        .route_layer(middleware::from_fn(local::only))
}

async fn explain(Shared(admin): Shared<Arc<Admin>>, uri: Uri, body: Bytes) -> Response {
    let query = match Ask::read(&body) {
        Ok(query) => query,
        Err(fault) => return told(StatusCode::BAD_REQUEST, &format!("not a search: {fault}")),
    };
    let as_json = parameter(&uri, "format") == Some("json");
    let answer = work(&admin, &admin.turns.explain, move |store| {
        let explanation = store.view().explain(&Tenancy::default(), &query)?;
        Ok(match as_json {
            true => format!("{:#}\n", json!(explanation)),
            false => explanation.to_string(),
        })
    });
    answer.await.map_or_else(|refusal| refusal, |text| typed(text, as_json))
}

async fn list(Shared(admin): Shared<Arc<Admin>>, uri: Uri) -> Response {
    match parameter(&uri, "format") {
        None | Some("json") => {}
        Some("duckdb") => return duckdb(&admin).await,
        Some(other) => {
            let fault = format!("format is json or duckdb, not {other:?}");
            return told(StatusCode::BAD_REQUEST, &fault);
        }
    }
    let answer = work(&admin, &admin.turns.segments, |store| {
        Ok(format!("{:#}\n", segments::json(segments::rows(&store.segments()))))
    });
    answer.await.map_or_else(|refusal| refusal, |text| typed(text, true))
}

async fn duckdb(admin: &Admin) -> Response {
    let directory = admin.data_dir.clone();
    let answer = work(admin, &admin.turns.segments, move |store| {
        Ok(store.duckdb_view(&Tenancy::default(), &directory)?.unwrap_or_default())
    });
    match answer.await {
        Ok(sql) if sql.is_empty() => told(StatusCode::CONFLICT, NOTHING_SEALED),
        Ok(sql) => typed(sql, false),
        Err(refusal) => refusal,
    }
}

async fn flush(Shared(admin): Shared<Arc<Admin>>, uri: Uri) -> Response {
    let wait = match parameter(&uri, "wait") {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            return told(StatusCode::BAD_REQUEST, &format!("wait is true or false, not {other:?}"));
        }
    };
    let answer = work(&admin, &admin.turns.flush, move |store| match wait {
        true => store.settle().map(|()| "sealed; no background work is due\n".to_owned()),
        false => store.flush().map(|()| "sealed\n".to_owned()),
    });
    answer.await.map_or_else(|refusal| refusal, |text| typed(text, false))
}

/// Runs `work` when it is its turn, while the store serves.
async fn work(
    admin: &Admin,
    turn: &Arc<Semaphore>,
    work: impl FnOnce(&Store) -> spanlake::Result<String> + Send + 'static,
) -> Result<String, Response> {
    let not_ready = || told(StatusCode::SERVICE_UNAVAILABLE, "not ready: see /readyz");
    if admin.state.now().phase != Phase::Serving {
        return Err(not_ready());
    }
    let Some(store) = admin.store.get().cloned() else { return Err(not_ready()) };
    let Ok(Ok(turn)) = tokio::time::timeout(PATIENCE, Arc::clone(turn).acquire_owned()).await
    else {
        return Err(told(
            StatusCode::SERVICE_UNAVAILABLE,
            "another such request is being worked on: ask again",
        ));
    };
    let task = tokio::task::spawn_blocking(move || {
        // Held by the thread: who hangs up does not end the work.
        let _turn = turn;
        work(&store)
    });
    match task.await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(told(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())),
        Err(error) => Err(told(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())),
    }
}

fn told(status: StatusCode, what: &str) -> Response {
    (status, format!("{what}\n")).into_response()
}

fn typed(text: String, as_json: bool) -> Response {
    let kind = if as_json { "application/json" } else { "text/plain; charset=utf-8" };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
