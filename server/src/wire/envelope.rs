//! What surrounds the messages: when answers are compressed, and what an Export's sender hears
//! when its message never reached the door.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower_service::Service as Tower;

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

/// Around the Export service: an oversize message is refused by tonic with OUT_OF_RANGE, which
/// OTLP senders retry for ever. RESOURCE_EXHAUSTED without a time is what they take for final,
/// and it is counted.
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

impl<S, B, A> Tower<Request<B>> for Envelope<S>
where
    S: Tower<Request<B>, Response = Response<A>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<A>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.inner.call(request);
        let service = Arc::clone(&self.service);
        Box::pin(async move {
            let mut response = answer.await?;
            let status = Status::from_header_map(response.headers());
            if let Some(status) = status.filter(|status| status.code() == Code::OutOfRange) {
                let refusal =
                    Refusal::new(Code::ResourceExhausted, status.message()).reason(TOO_LARGE);
                service.count_refused("grpc", &refusal, b"");
                let code = HeaderValue::from(Code::ResourceExhausted as i32);
                response.headers_mut().insert("grpc-status", code);
            }
            Ok(response)
        })
    }
}
