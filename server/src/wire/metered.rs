//! A request body whose bytes are counted against the Exports' budget while they arrive: gRPC
//! gathers a whole message before its handler sees it, so this is the only place where a limit
//! holds in time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;

use crate::service::Share;
use crate::status::Refusal;

/// Longest time for one message to arrive.
const BODY_TIME: Duration = Duration::from_secs(60);

type Room = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// The body, its share and the piece that waits for room.
pub(super) struct Metered {
    body: Body,
    share: Arc<Share>,
    received: usize,
    waiting: Option<(Frame<Bytes>, Room)>,
    deadline: Pin<Box<Sleep>>,
}

impl Metered {
    pub(super) fn new(body: Body, share: Arc<Share>) -> Self {
        let deadline = Box::pin(tokio::time::sleep(BODY_TIME));
        Self { body, share, received: 0, waiting: None, deadline }
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.deadline.as_mut().poll(context).is_ready() {
            let message = format!("the message did not arrive within {} s", BODY_TIME.as_secs());
            return Poll::Ready(Some(Err(Status::deadline_exceeded(message))));
        }
        let this = &mut *self;
        let (frame, mut room) = match this.waiting.take() {
            Some(waiting) => waiting,
            None => {
                let frame = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                    Some(Ok(frame)) => frame,
                    end => return Poll::Ready(end),
                };
                this.received += frame.data_ref().map_or(0, Bytes::len);
                if this.share.cover_now(this.received).is_ok() {
                    return Poll::Ready(Some(Ok(frame)));
                }
                let (share, received) = (Arc::clone(&this.share), this.received);
                let room: Room = Box::pin(async move { share.cover(received).await });
                (frame, room)
            }
        };
        match room.as_mut().poll(context) {
            Poll::Ready(Ok(())) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Err(refusal)) => Poll::Ready(Some(Err(refusal.into()))),
            Poll::Pending => {
                this.waiting = Some((frame, room));
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let Some((frame, _)) = &self.waiting else { return self.body.size_hint() };
        let held = frame.data_ref().map_or(0, Bytes::len) as u64;
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(held));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}
