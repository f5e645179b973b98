//! Questions through the waist: the engine's reads run on blocking threads, as many at a time as
//! the limits say. A stream is pulled: the next piece is read only when the client has room for
//! it, so that a client which stops reading holds memory for one piece and no thread.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use spanlake::{Cancel, TraceChunk, TraceStream, View};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};

use super::{PATIENCE, Question, Service};
use crate::status::Refusal;

/// Bytes of one piece of an answer: well below the 4 MiB a Go client takes by default.
const CHUNK_BYTES: usize = 1 << 20;

/// Pieces of an answer; an error is the last of them.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<TraceChunk, Refusal>> + Send>>;

/// How a stream ended: nothing, or the error that follows its last piece. It has a way of its
/// own because a stalled client leaves no room for it among the pieces.
struct Fate(Option<oneshot::Receiver<Refusal>>);

impl Stream for Fate {
    type Item = Result<TraceChunk, Refusal>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(fate) = &mut self.0 else { return Poll::Ready(None) };
        let fault = ready!(Pin::new(fate).poll(context)).ok();
        self.0 = None;
        Poll::Ready(fault.map(Err))
    }
}

impl Service {
    /// A question begins; its metrics end when the [`Question`] is dropped.
    pub fn question(&self, operation: &'static str) -> Question {
        Question::new(Arc::clone(&self.meter), Arc::clone(&self.slow), operation)
    }

    /// Asks the newest view on a blocking thread. Dropping the future throws the cancel switch,
    /// since the question is dropped with it.
    ///
    /// # Errors
    /// The engine's.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: &Question,
        read: impl FnOnce(&View, Cancel) -> spanlake::Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = self.store.clone();
        let cancel = question.cancel();
        self.blocking(move || read(&store.view(), cancel)).await?.map_err(Refusal::from)
    }

    /// Asks for traces and streams their pieces. Dropping the stream ends the read.
    ///
    /// # Errors
    /// The engine's, and pressure; later ones come as the stream's last item.
    pub async fn stream(
        self: &Arc<Self>,
        question: Question,
        read: impl FnOnce(&View, Cancel) -> spanlake::Result<TraceStream> + Send + 'static,
    ) -> Result<Chunks, Refusal> {
        let slot = self.stream_slot().await?;
        let traces = self.ask(&question, read).await?;
        // One piece waits in the channel while the client takes the one before it.
        let (sender, pieces) = mpsc::channel(1);
        let (fault, fate) = oneshot::channel();
        let service = Arc::clone(self);
        tokio::spawn(async move {
            match service.pump(&question, traces, sender).await {
                Ok(true) => question.answered(),
                Ok(false) => {}
                Err(refusal) => drop(fault.send(refusal)),
            }
            drop(slot);
        });
        Ok(Box::pin(ReceiverStream::new(pieces).map(Ok).chain(Fate(Some(fate)))))
    }

    /// Moves pieces until the end (true) or until the client is gone (false).
    async fn pump(
        &self,
        question: &Question,
        mut traces: TraceStream,
        sender: mpsc::Sender<TraceChunk>,
    ) -> Result<bool, Refusal> {
        let mut last = None;
        loop {
            // Room first, work second: no thread waits for a client.
            let began = Instant::now();
            let room = tokio::time::timeout(self.limits.stall, sender.reserve()).await;
            question.waited_for_client(began.elapsed());
            let room = match room {
                Ok(Ok(room)) => room,
                Ok(Err(_)) => return Ok(false),
                Err(_) => return Err(self.stalled()),
            };
            let pulled = self.blocking(move || {
                let chunk = traces.next_chunk(CHUNK_BYTES);
                (traces, chunk)
            });
            let (rest, chunk) = tokio::select! {
                // Returning drops the question, whose switch ends the read on its thread.
                () = sender.closed() => return Ok(false),
                pulled = pulled => pulled?,
            };
            let Some(chunk) = chunk? else { return Ok(true) };
            traces = rest;
            question.found(usize::from(last.replace(chunk.trace_id) != Some(chunk.trace_id)));
            question.returned(chunk.spans);
            room.send(chunk);
        }
    }

    fn stalled(&self) -> Refusal {
        Refusal::exhausted(format!(
            "the client took nothing for {:?}, and the read it holds open pins data: read faster \
             or ask for less",
            self.limits.stall
        ))
    }

    async fn stream_slot(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let slots = Arc::clone(&self.stream_slots);
        match tokio::time::timeout(PATIENCE, slots.acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(Refusal::exhausted(format!(
                "{} answers are being streamed, which is the limit; ask again",
                self.limits.streams
            ))),
        }
    }

    /// Runs engine code on a blocking thread, when one of the limited slots is free.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let slot = Arc::clone(&self.read_slots)
            .acquire_owned()
            .await
            .map_err(|_| Refusal::unavailable("the server is shutting down"))?;
        let task = tokio::task::spawn_blocking(move || {
            // Held by the thread, not by the future: a cancelled read keeps its slot until it
            // has really stopped.
            let _slot = slot;
            work()
        });
        task.await.map_err(|e| Refusal::internal(format!("the read ended in a bug: {e}")))
    }
}
