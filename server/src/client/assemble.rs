//! Pieces of a stream, put together to whole traces.
//!
//! Encoded `TracesData` messages flow in, in the stream's order (jaeger-contract §1.4: one trace a
//! message, a trace's messages consecutive), whole traces flow out.

use prost::Message;
use prost::bytes::Bytes;

use super::Failure;
use crate::eyes::{Trace, TraceBuilder, TracesData, trace_id_of};

/// Traces found.
#[derive(Debug)]
pub struct Found {
    /// Whole, in the search's order.
    pub traces: Vec<Trace>,
    /// False where reading stopped at the span budget.
    pub complete: bool,
}

/// The building site.
#[derive(Debug)]
pub(super) struct Assembler {
    done: Vec<Trace>,
    open: Option<TraceBuilder>,
    done_spans: usize,
    spans_max: usize,
    complete: bool,
}

impl Assembler {
    pub(super) fn new(spans_max: usize) -> Self {
        Self { done: Vec::new(), open: None, done_spans: 0, spans_max, complete: true }
    }

    /// Takes a piece; false = no more is wanted. The trace that passes the budget stays whole.
    pub(super) fn take(&mut self, piece: Bytes) -> Result<bool, Failure> {
        let piece = TracesData::decode(piece)
            .map_err(|e| Failure::failed(format!("the answer is not OTLP: {e}")))?;
        let Some(id) = trace_id_of(&piece) else {
            return Ok(true);
        };
        if self.open.as_ref().is_none_or(|open| open.id() != id) {
            self.close();
            if self.done_spans >= self.spans_max {
                self.complete = false;
                return Ok(false);
            }
        }
        self.open.get_or_insert_with(|| TraceBuilder::new(id)).add(piece);
        Ok(true)
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.done_spans += open.spans();
            self.done.push(open.build());
        }
    }

    pub(super) fn finish(mut self) -> Found {
        self.close();
        Found { traces: self.done, complete: self.complete }
    }
}

#[cfg(test)]
mod tests {
    use spanlake_proto::otlp::trace::{ResourceSpans, ScopeSpans, Span, TracesData};

    use super::*;

    fn piece(trace: u8, spans: usize) -> Bytes {
        let span = Span { trace_id: vec![trace; 16], span_id: vec![1; 8], ..Default::default() };
        let scope_spans = vec![ScopeSpans { spans: vec![span; spans], ..Default::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..Default::default() }];
        TracesData { resource_spans }.encode_to_vec().into()
    }

    #[test]
    fn neighbours_become_one_trace() {
        let mut site = Assembler::new(usize::MAX);
        for (trace, spans) in [(1, 2), (1, 3), (2, 1), (0, 0)] {
            assert_eq!(site.take(piece(trace, spans)), Ok(true));
        }
        let found = site.finish();
        let sizes: Vec<_> = found.traces.iter().map(|t| (t.id.0[0], t.spans.len())).collect();
        assert_eq!(sizes, [(1, 5), (2, 1)]);
        assert!(found.complete);
    }

    #[test]
    fn the_budget_ends_between_traces() {
        let mut site = Assembler::new(3);
        assert_eq!(site.take(piece(1, 2)), Ok(true));
        assert_eq!(site.take(piece(2, 2)), Ok(true));
        assert_eq!(site.take(piece(2, 2)), Ok(true));
        assert_eq!(site.take(piece(3, 1)), Ok(false));
        let found = site.finish();
        assert_eq!(found.traces.iter().map(|t| t.spans.len()).collect::<Vec<_>>(), [2, 4]);
        assert!(!found.complete);
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(Assembler::new(1).take(Bytes::from_static(b"\xff\xff")).is_err());
    }
}
