//! OTLP over HTTP: `POST /v1/traces` as protobuf or JSON, plain, gzip or zstd. Bodies are bounded
//! before and after decompression, JSON becomes protobuf here, and answers come in the encoding
//! of the request, errors as `google.rpc.Status` (OTLP specification, "OTLP/HTTP").

mod answer;
mod body;

use std::sync::Arc;

use ::http::{HeaderMap, StatusCode, header};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;

use self::answer::{ok, refused};
use self::body::{Encoding, receive, unpack};
use super::json::to_protobuf;
use crate::service::{EXPORT_BYTES_MAX, Service, Share, tenancy};
use crate::status::Refusal;

const TRANSPORT: &str = "http";

/// What the body holds; answers come in the same form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

/// A refusal with its HTTP status, where that says more than the refusal's code can (413, 415).
#[derive(Debug)]
struct HttpRefusal {
    status: StatusCode,
    refusal: Refusal,
}

impl From<Refusal> for HttpRefusal {
    fn from(refusal: Refusal) -> Self {
        Self { status: refusal.http(), refusal }
    }
}

impl HttpRefusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, refusal: Refusal::invalid(message) }
    }
}

/// The routes of the OTLP/HTTP port.
pub fn http_router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/traces", post(export))
        // Bodies are bounded by `receive`, which knows OTLP's answer to a large one.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(service)
}

async fn export(State(service): State<Arc<Service>>, headers: HeaderMap, body: Body) -> Response {
    let form = match form_of(&headers) {
        Ok(form) => form,
        Err(refusal) => {
            service.count_refused(TRANSPORT, &refusal.refusal, b"");
            return refused(Form::Json, &refusal);
        }
    };
    match handle(&service, &headers, form, body).await {
        Ok(response) => response,
        Err(refusal) => refused(form, &refusal),
    }
}

async fn handle(
    service: &Service,
    headers: &HeaderMap,
    form: Form,
    body: Body,
) -> Result<Response, HttpRefusal> {
    let tenancy = tenancy(headers);
    let share = service.share();
    let otlp = async {
        let encoding = Encoding::of(headers)?;
        let body = receive(headers, body, &share).await?;
        unpacked(encoding, form, body, Arc::clone(&share)).await
    };
    // Read before any refusal: a client that still writes would see a broken connection instead.
    let otlp = otlp.await.inspect_err(|refusal| {
        service.count_refused(TRANSPORT, &refusal.refusal, b"");
    })?;
    let tenancy =
        tenancy.inspect_err(|refusal| service.count_refused(TRANSPORT, refusal, &otlp))?;
    let ingested = service.export(TRANSPORT, tenancy, otlp, share).await?;
    Ok(ok(form, &ingested))
}

/// Undoes compression and JSON, both of which cost time that no async thread has.
async fn unpacked(
    encoding: Encoding,
    form: Form,
    body: Bytes,
    share: Arc<Share>,
) -> Result<Bytes, HttpRefusal> {
    if encoding == Encoding::Plain && form == Form::Protobuf {
        return Ok(body);
    }
    let work = tokio::task::spawn_blocking(move || {
        let body = unpack(encoding, body, EXPORT_BYTES_MAX, &share)?;
        if form == Form::Protobuf {
            return Ok(body);
        }
        // Protobuf is hardly ever larger than the JSON that says it.
        share.cover_now(body.len() * 2)?;
        Ok(to_protobuf(&body)?.into())
    });
    work.await.map_err(|e| Refusal::internal(format!("the body ended in a bug: {e}")))?
}

fn form_of(headers: &HeaderMap) -> Result<Form, HttpRefusal> {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = named.unwrap_or("").split(';').next().unwrap_or("").trim();
    if media.eq_ignore_ascii_case("application/x-protobuf") {
        return Ok(Form::Protobuf);
    }
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(Form::Json);
    }
    Err(HttpRefusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!(
            "content type {media:?} is not served: send application/x-protobuf or application/json"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_read_without_case_and_parameters() {
        let form = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            form_of(&headers)
        };
        assert_eq!(form("application/x-protobuf").unwrap(), Form::Protobuf);
        assert_eq!(form("Application/JSON; charset=utf-8").unwrap(), Form::Json);
        assert_eq!(form("text/plain").unwrap_err().status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(form_of(&HeaderMap::new()).is_err());
    }
}
