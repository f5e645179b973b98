//! The bytes of Exports under way, from their first byte at the door to their verdict: counted
//! while they arrive, so that many slow uploads meet a limit and not the kernel's killer. A body
//! that finds no room waits, which its sender feels as a full window, and is then sent away.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::PATIENCE;
use crate::status::Refusal;

/// The budget is dealt out in pieces of this size, since a semaphore deals in 32 bits.
const PIECE: usize = 1024;

/// What all Exports under way may hold together.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    pieces: u32,
    free: Arc<Semaphore>,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        let pieces = pieces(bytes).max(1);
        Arc::new(Self { bytes, pieces, free: Arc::new(Semaphore::new(pieces as usize)) })
    }

    /// Returns when nobody holds any of it.
    pub(super) async fn all_free(&self) {
        // The semaphore is never closed.
        let _ = self.free.acquire_many(self.pieces).await;
    }

    fn refusal(&self) -> Refusal {
        Refusal::exhausted(format!(
            "Exports under way hold their limit of {} bytes; send the batch again",
            self.bytes
        ))
    }
}

/// What one Export holds; its drop gives it back.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Share {
    pub(super) fn of(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), held: Mutex::new(None) }
    }

    /// A share of a budget that nobody else knows.
    #[cfg(test)]
    pub(crate) fn of_its_own(bytes: usize) -> Self {
        Self::of(&Budget::new(bytes))
    }

    /// Another share of the same budget, which holds `bytes`.
    #[cfg(test)]
    pub(crate) fn beside(&self, bytes: usize) -> Self {
        let other = Self::of(&self.budget);
        other.cover_now(bytes).unwrap();
        other
    }

    /// Grows to `bytes`, waiting for room, but not for long.
    ///
    /// # Errors
    /// There is no room; with a time to come back.
    pub async fn cover(&self, bytes: usize) -> Result<(), Refusal> {
        let missing = self.missing(bytes);
        if missing == 0 {
            return Ok(());
        }
        let free = Arc::clone(&self.budget.free);
        match tokio::time::timeout(PATIENCE, free.acquire_many_owned(missing)).await {
            Ok(Ok(more)) => {
                self.keep(more);
                Ok(())
            }
            _ => Err(self.budget.refusal()),
        }
    }

    /// Grows to `bytes` at once.
    ///
    /// # Errors
    /// There is no room; with a time to come back.
    pub fn cover_now(&self, bytes: usize) -> Result<(), Refusal> {
        let missing = self.missing(bytes);
        if missing == 0 {
            return Ok(());
        }
        let more = Arc::clone(&self.budget.free).try_acquire_many_owned(missing);
        more.map(|more| self.keep(more)).map_err(|_| self.budget.refusal())
    }

    /// Pieces that are missing. An Export larger than the whole budget takes all of it and then
    /// passes: it would never fit otherwise.
    fn missing(&self, bytes: usize) -> u32 {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref().map_or(0, |permit| permit.num_permits());
        let wanted = pieces(bytes).min(self.budget.pieces);
        wanted.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX))
    }

    fn keep(&self, more: OwnedSemaphorePermit) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.as_mut() {
            Some(permit) => permit.merge(more),
            None => *held = Some(more),
        }
    }
}

fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_share_grows_to_what_it_covers_and_gives_it_back() {
        let budget = Budget::new(10 * PIECE);
        let first = Share::of(&budget);
        first.cover(1).await.unwrap();
        first.cover(PIECE).await.unwrap();
        assert_eq!(budget.free.available_permits(), 9);
        first.cover_now(4 * PIECE + 1).unwrap();
        assert_eq!(budget.free.available_permits(), 5);
        first.cover(2 * PIECE).await.unwrap();
        assert_eq!(budget.free.available_permits(), 5, "never shrinks");

        let second = Share::of(&budget);
        let refusal = second.cover_now(6 * PIECE).unwrap_err();
        assert!(refusal.retry_after.is_some() && refusal.message.contains("10240"));
        let refusal = second.cover(6 * PIECE).await.unwrap_err();
        assert_eq!(refusal.code, tonic::Code::ResourceExhausted);
        drop(first);
        second.cover(1000 * PIECE).await.unwrap();
        assert_eq!(budget.free.available_permits(), 0, "larger than all of it takes all of it");
        drop(second);
        budget.all_free().await;
    }

    #[tokio::test]
    async fn who_waits_gets_what_another_gives_back() {
        let budget = Budget::new(PIECE);
        let first = Share::of(&budget);
        first.cover(PIECE).await.unwrap();
        let second = Share::of(&budget);
        let waiting = tokio::spawn(async move { second.cover(PIECE).await });
        tokio::task::yield_now().await;
        drop(first);
        waiting.await.unwrap().unwrap();
    }
}
