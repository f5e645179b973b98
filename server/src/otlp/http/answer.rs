//! OTLP/HTTP's answers: `ExportTraceServiceResponse`, or `google.rpc.Status` for a refusal, each
//! in the form of the request.

use ::http::{HeaderValue, StatusCode, header};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use prost::Message as _;
use serde_json::json;
use spanlake::Ingested;

use super::{Form, HttpRefusal};
use crate::otlp::answer::answer;

/// The answer to an Export that was stored.
pub(super) fn ok(form: Form, ingested: &Ingested) -> Response {
    let answer = answer(ingested);
    let body = match (form, answer.partial_success.as_ref()) {
        (Form::Protobuf, _) => answer.encode_to_vec(),
        (Form::Json, None) => b"{}".to_vec(),
        // 64-bit integers are text in protobuf's JSON.
        (Form::Json, Some(partial)) => json!({"partialSuccess": {
            "rejectedSpans": partial.rejected_spans.to_string(),
            "errorMessage": partial.error_message,
        }})
        .to_string()
        .into_bytes(),
    };
    response(StatusCode::OK, form, body.into())
}

/// The answer to an Export that was not.
pub(super) fn refused(form: Form, refusal: &HttpRefusal) -> Response {
    let HttpRefusal { status, refusal } = refusal;
    let body = match form {
        Form::Protobuf => refusal.encode(),
        Form::Json => {
            json!({"code": refusal.code as i32, "message": refusal.message}).to_string().into()
        }
    };
    let mut response = response(*status, form, body);
    if let Some(seconds) = refusal.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if *status == StatusCode::PAYLOAD_TOO_LARGE {
        // Its rest is unread: the connection cannot be used again.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn response(status: StatusCode, form: Form, body: Bytes) -> Response {
    let media = match form {
        Form::Protobuf => "application/x-protobuf",
        Form::Json => "application/json",
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
