//! The walk: one pass over a request that validates every byte, decides what is admitted and
//! cuts it into rows. Raw bytes and an interner in, rows and refusals out. What is appended to
//! the log has passed the walk, so a replay decides nothing: it walks again with the list of
//! spans that admission dropped. A bad span never refuses its batch; only bytes that do not
//! decode do.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::canonical::canonical;
use super::schema::{RESOURCE_CONTEXT, SCOPE_CONTEXT, SPAN};
use super::walk::{Interner, Refusal, Refused, context_of};
use super::wire::{Fields, Value};
use crate::error::{Error, Result};
use crate::limits::INGEST_SPANS_MAX;
use crate::span::{ResourceContext, ScopeContext, SpanId, SpanRow, TraceId};

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Admitted spans in the request's order, `sequence` 0.
    pub(crate) rows: Vec<SpanRow>,
    pub(crate) refused: Vec<Refused>,
    /// Bytes of spans that were rewritten and live beside the request's own.
    pub(crate) rewritten_bytes: usize,
}

/// Walks a request and decides what to admit.
///
/// # Errors
/// `Invalid` where the bytes do not decode as `ExportTraceServiceRequest`.
pub(crate) fn admit(request: &Bytes, interner: &Interner) -> Result<Walked> {
    Walk { request, interner, dropped: None, ordinal: 0, out: Walked::default() }.run()
}

/// Walks a logged request again, without the spans that admission had dropped.
///
/// # Errors
/// `Invalid` where the bytes do not decode, which a logged request does not do.
pub(crate) fn replay(
    request: &Bytes,
    dropped: &[u32],
    interner: &Interner,
) -> Result<Vec<SpanRow>> {
    let walk =
        Walk { request, interner, dropped: Some(dropped), ordinal: 0, out: Walked::default() };
    Ok(walk.run()?.rows)
}

struct Walk<'a> {
    request: &'a Bytes,
    interner: &'a Interner,
    /// `None` where this walk decides admission.
    dropped: Option<&'a [u32]>,
    ordinal: u32,
    out: Walked,
}

impl Walk<'_> {
    fn run(mut self) -> Result<Walked> {
        for field in Fields::new(self.request) {
            let field = field?;
            if field.number == 1 {
                self.resource_spans(field.bytes("ExportTraceServiceRequest")?)?;
            }
        }
        Ok(self.out)
    }

    fn resource_spans(&mut self, message: &[u8]) -> Result<()> {
        let context = context_of(message)?;
        let resource = self.interner.resource(canonical(&context, &RESOURCE_CONTEXT)?);
        for field in Fields::new(message) {
            let field = field?;
            if field.number == 2 {
                self.scope_spans(field.bytes("ResourceSpans")?, &resource)?;
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, message: &[u8], resource: &Arc<ResourceContext>) -> Result<()> {
        let context = context_of(message)?;
        let scope = self.interner.scope(canonical(&context, &SCOPE_CONTEXT)?);
        for field in Fields::new(message) {
            let field = field?;
            if field.number == 2 {
                self.span(field.bytes("ScopeSpans")?, resource, &scope)?;
            }
        }
        Ok(())
    }

    fn span(
        &mut self,
        message: &[u8],
        resource: &Arc<ResourceContext>,
        scope: &Arc<ScopeContext>,
    ) -> Result<()> {
        let span = match canonical(message, &SPAN)? {
            Cow::Borrowed(bytes) => self.request.slice_ref(bytes),
            Cow::Owned(bytes) => {
                self.out.rewritten_bytes += bytes.len();
                Bytes::from(bytes)
            }
        };
        let ordinal = self.ordinal;
        if ordinal >= INGEST_SPANS_MAX {
            return Err(Error::invalid(format!(
                "an Export of more than {INGEST_SPANS_MAX} spans; send smaller batches"
            )));
        }
        self.ordinal = ordinal + 1;
        if self.dropped.is_some_and(|dropped| dropped.binary_search(&ordinal).is_ok()) {
            return Ok(());
        }
        match row_of(span, resource, scope) {
            Ok(row) => self.out.rows.push(row),
            Err(reason) => {
                let service = Arc::clone(&resource.service);
                self.out.refused.push(Refused { ordinal, reason, service });
            }
        }
        Ok(())
    }
}

/// Reads the fixed fields of a canonical span.
fn row_of(
    span: Bytes,
    resource: &Arc<ResourceContext>,
    scope: &Arc<ScopeContext>,
) -> Result<SpanRow, Refusal> {
    let mut trace_id: &[u8] = b"";
    let mut span_id: &[u8] = b"";
    let mut parent: &[u8] = b"";
    let mut name: &[u8] = b"";
    let (mut kind, mut status, mut start, mut end) = (0, 0, 0, 0);
    let mut links_good = true;
    for field in Fields::new(&span).map_while(|f| f.ok()) {
        match (field.number, field.value) {
            (1, Value::Bytes(v)) => trace_id = v,
            (2, Value::Bytes(v)) => span_id = v,
            (4, Value::Bytes(v)) => parent = v,
            (5, Value::Bytes(v)) => name = v,
            (6, Value::Varint(v)) => kind = v as i32,
            (7, Value::Fixed64(v)) => start = v,
            (8, Value::Fixed64(v)) => end = v,
            (13, Value::Bytes(v)) => links_good &= link_ids_are_good(v),
            (15, Value::Bytes(v)) => status = status_code(v),
            _ => {}
        }
    }
    let trace_id: [u8; 16] = trace_id.try_into().map_err(|_| Refusal::TraceIdLength)?;
    let span_id: [u8; 8] = span_id.try_into().map_err(|_| Refusal::SpanIdLength)?;
    if trace_id == [0; 16] {
        return Err(Refusal::TraceIdZero);
    }
    if span_id == [0; 8] {
        return Err(Refusal::SpanIdZero);
    }
    let parent = match parent.len() {
        0 => None,
        8 => parent.try_into().ok().filter(|id| *id != [0; 8]).map(SpanId),
        _ => return Err(Refusal::ParentSpanIdLength),
    };
    // A reader in Go refuses a whole stream over one id of another length.
    if !links_good {
        return Err(Refusal::LinkIdLength);
    }
    let name = span.slice_ref(name);
    Ok(SpanRow {
        trace_id: TraceId(trace_id),
        span_id: SpanId(span_id),
        parent,
        start,
        end,
        kind,
        status,
        name,
        resource: Arc::clone(resource),
        scope: Arc::clone(scope),
        span,
        sequence: 0,
    })
}

fn link_ids_are_good(link: &[u8]) -> bool {
    Fields::new(link).map_while(|f| f.ok()).all(|field| match (field.number, field.value) {
        (1, Value::Bytes(v)) => matches!(v.len(), 0 | 16),
        (2, Value::Bytes(v)) => matches!(v.len(), 0 | 8),
        _ => true,
    })
}

fn status_code(status: &[u8]) -> i32 {
    Fields::new(status).map_while(|f| f.ok()).fold(0, |code, field| match field {
        f if f.number == 3 => match f.value {
            Value::Varint(v) => v as i32,
            _ => code,
        },
        _ => code,
    })
}
