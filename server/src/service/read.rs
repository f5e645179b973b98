//! Questions through the waist: the engine's reads run on blocking threads, as many at a time as
//! the limits say. A stream is pulled: the next piece is read only when the client has room for
//! it, so that a client which stops reading holds memory for one piece and no thread.

use std::sync::Arc;

use spanlake::{Cancel, TraceChunk, TraceStream, View};
use tokio::sync::mpsc;

use super::{Question, Service};
use crate::status::Refusal;

/// Bytes of one piece of an answer: well below the 4 MiB a Go client takes by default.
const CHUNK_BYTES: usize = 1 << 20;

impl Service {
    /// A question begins; its metrics end when the [`Question`] is dropped.
    pub fn question(&self, operation: &'static str) -> Question {
        Question::new(Arc::clone(&self.meter), operation)
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

    /// Streams the pieces of `traces`. The receiver's end ends the read.
    pub fn stream(
        self: &Arc<Self>,
        question: Question,
        traces: TraceStream,
    ) -> mpsc::Receiver<Result<TraceChunk, Refusal>> {
        // One piece waits in the channel while the client takes the one before it.
        let (sender, receiver) = mpsc::channel(1);
        let service = Arc::clone(self);
        tokio::spawn(async move { service.pump(question, traces, sender).await });
        receiver
    }

    async fn pump(
        &self,
        question: Question,
        mut traces: TraceStream,
        sender: mpsc::Sender<Result<TraceChunk, Refusal>>,
    ) {
        loop {
            // Room first, work second: no thread waits for a client.
            let Ok(room) = sender.reserve().await else { return };
            let pulled = self.blocking(move || {
                let chunk = traces.next_chunk(CHUNK_BYTES);
                (traces, chunk)
            });
            let pulled = tokio::select! {
                // Returning drops the question, whose switch ends the read on its thread.
                () = sender.closed() => return,
                pulled = pulled => pulled,
            };
            match pulled {
                Ok((rest, Ok(Some(chunk)))) => {
                    traces = rest;
                    question.returned(chunk.spans);
                    room.send(Ok(chunk));
                }
                Ok((_, Ok(None))) => return question.answered(),
                Ok((_, Err(error))) => return room.send(Err(error.into())),
                Err(refusal) => return room.send(Err(refusal)),
            }
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
