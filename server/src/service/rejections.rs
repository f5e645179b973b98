//! The log line for bad spans: names service and cause, never a value, and speaks at most once
//! in ten seconds for each reason, telling how many it kept to itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use spanlake::Rejection;

/// Silence between two lines of one reason.
const SILENCE: Duration = Duration::from_secs(10);

/// When each reason was last logged, and what was not logged since.
#[derive(Debug, Default)]
pub(super) struct Rejections(Mutex<HashMap<&'static str, Spoken>>);

#[derive(Debug)]
struct Spoken {
    at: Instant,
    unsaid: u64,
}

impl Rejections {
    /// Logs the rejection or remembers that it did not.
    pub(super) fn log(&self, rejection: &Rejection, now: Instant) {
        let Some(unsaid) = self.turn(rejection, now) else { return };
        tracing::warn!(
            target: "spanlake::ingest",
            reason = rejection.reason,
            service = %rejection.service.escape_debug().take(128).collect::<String>(),
            spans = rejection.count,
            not_logged_before = unsaid,
            "spans rejected: {}",
            rejection.detail,
        );
    }

    /// Spans left unsaid so far, if it is time to speak again.
    fn turn(&self, rejection: &Rejection, now: Instant) -> Option<u64> {
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(spoken) = reasons.get_mut(rejection.reason) else {
            reasons.insert(rejection.reason, Spoken { at: now, unsaid: 0 });
            return Some(0);
        };
        if now.duration_since(spoken.at) < SILENCE {
            spoken.unsaid = spoken.unsaid.saturating_add(rejection.count);
            return None;
        }
        spoken.at = now;
        Some(std::mem::take(&mut spoken.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_speaks_once_in_ten_seconds_and_tells_what_it_kept() {
        let rejections = Rejections::default();
        let rejection = |reason, count| Rejection {
            reason,
            count,
            detail: String::new(),
            service: String::new(),
        };
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(rejections.turn(&rejection("trace_id_length", 3), start), Some(0));
        assert_eq!(rejections.turn(&rejection("trace_id_length", 4), after(1)), None);
        assert_eq!(rejections.turn(&rejection("span_id_zero", 1), after(1)), Some(0));
        assert_eq!(rejections.turn(&rejection("trace_id_length", 5), after(9)), None);
        assert_eq!(rejections.turn(&rejection("trace_id_length", 1), after(10)), Some(9));
        assert_eq!(rejections.turn(&rejection("trace_id_length", 1), after(20)), Some(0));
    }
}
