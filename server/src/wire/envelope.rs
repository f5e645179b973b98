//! What surrounds the messages: when answers are compressed, what Exports hold while they
//! arrive, and what a sender hears when its message never reached the door.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower_service::Service as Tower;

use super::metered::Metered;
use crate::otlp::Reached;
use crate::service::Service;
use crate::status::{Refusal, TOO_LARGE};

/// Compresses the answer if and only if the request was, with the same method: Go clients name
/// gzip as acceptable whatever their configuration says, and on one machine it only costs time.
pub(super) fn answer_in_kind(
    mut request: tonic::Request<()>,
) -> Result<tonic::Request<()>, Status> {
    let metadata = request.metadata_mut();
    metadata.remove("grpc-accept-encoding");
    if let Some(encoding) = metadata.get("grpc-encoding").cloned() {
        metadata.insert("grpc-accept-encoding", encoding);
    }
    Ok(request)
}

/// Around the Export service: counts bytes while they arrive, and refusals that tonic gives
/// before the door is reached. An oversize message is refused by tonic with OUT_OF_RANGE, which
/// OTLP senders retry for ever; RESOURCE_EXHAUSTED without a time is what they take for final.
#[derive(Debug, Clone)]
pub(super) struct Envelope<S> {
    inner: S,
    service: Arc<Service>,
}

impl<S> Envelope<S> {
    pub(super) fn new(inner: S, service: Arc<Service>) -> Self {
        Self { inner, service }
    }
}

impl<S: NamedService> NamedService for Envelope<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, A> Tower<Request<Body>> for Envelope<S>
where
    S: Tower<Request<Body>, Response = Response<A>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<A>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = Arc::clone(&self.service);
        let share = service.share();
        let mut request = request.map(|body| Body::new(Metered::new(body, Arc::clone(&share))));
        request.extensions_mut().insert(share);
        let reached = Reached::default();
        request.extensions_mut().insert(reached.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            let status = Status::from_header_map(response.headers());
            if let Some(status) = status.filter(|_| !reached.yet()) {
                settle(&service, &status, response.headers_mut());
            }
            Ok(response)
        })
    }
}

/// Counts an Export that was refused before its door.
fn settle(service: &Service, status: &Status, headers: &mut HeaderMap) {
    if status.code() == Code::Ok {
        return;
    }
    let mut refusal = Refusal::new(status.code(), status.message());
    // Pressure has a time to come back among its details, size has none.
    let oversize = status.code() == Code::ResourceExhausted && status.details().is_empty();
    if status.code() == Code::OutOfRange || oversize {
        refusal = Refusal::new(Code::ResourceExhausted, status.message()).reason(TOO_LARGE);
        let code = HeaderValue::from(Code::ResourceExhausted as i32);
        headers.insert("grpc-status", code);
    }
    service.count_refused("grpc", &refusal, b"");
}
