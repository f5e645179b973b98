//! The walk: one pass over a request that validates every byte, decides what is admitted and
//! puts it into the columns of a batch. Raw bytes and an interner in, a batch and refusals out.
//! What is appended to the log has passed the walk, so a replay decides nothing: it walks again
//! with the list of spans that admission dropped. A bad span never refuses its batch; only bytes
//! that do not decode do.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::attributes::service_name;
use super::canonical::canonical;
use super::schema::{RESOURCE_CONTEXT, SCOPE_CONTEXT, SPAN};
use super::shred::{Shredded, shred, shred_canonical};
use super::wire::Fields;
use crate::batch::{Batch, Fixed};
use crate::error::{Error, Result};
use crate::limits::{INGEST_CELLS_MAX, INGEST_SPANS_MAX};
use crate::span::{ResourceContext, ScopeContext, SpanId, TraceId};

/// Why one span is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Refusal {
    TraceIdLength,
    TraceIdZero,
    SpanIdLength,
    SpanIdZero,
    ParentSpanIdLength,
    LinkIdLength,
}

impl Refusal {
    /// The stable word of metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::TraceIdLength => "trace_id_length",
            Self::TraceIdZero => "trace_id_zero",
            Self::SpanIdLength => "span_id_length",
            Self::SpanIdZero => "span_id_zero",
            Self::ParentSpanIdLength => "parent_span_id_length",
            Self::LinkIdLength => "link_id_length",
        }
    }

    /// A sentence for people.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::TraceIdLength => "a trace id must have 16 bytes",
            Self::TraceIdZero => "a trace id must not be all zeros",
            Self::SpanIdLength => "a span id must have 8 bytes",
            Self::SpanIdZero => "a span id must not be all zeros",
            Self::ParentSpanIdLength => "a parent span id must be empty or have 8 bytes",
            Self::LinkIdLength => "a link must name a trace id of 16 and a span id of 8 bytes",
        }
    }
}

/// A span that admission dropped.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// Its position among all spans of the request.
    pub(crate) ordinal: u32,
    pub(crate) reason: Refusal,
    pub(crate) service: Arc<str>,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Admitted spans in the request's order, `sequence` 0.
    pub(crate) batch: Batch,
    pub(crate) refused: Vec<Refused>,
}

/// Resource and scope contexts seen lately, so that equal ones are one allocation.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    resources: Mutex<HashMap<Bytes, Arc<ResourceContext>>>,
    scopes: Mutex<HashMap<Bytes, Arc<ScopeContext>>>,
}

/// Contexts an interner keeps of each kind before it starts afresh.
const INTERNED_MAX: usize = 16_384;

impl Interner {
    pub(crate) fn resource(&self, bytes: Cow<'_, [u8]>) -> Arc<ResourceContext> {
        intern(&self.resources, &bytes, |bytes| ResourceContext {
            service: String::from_utf8_lossy(service_name(&bytes)).into(),
            bytes,
        })
    }

    pub(crate) fn scope(&self, bytes: Cow<'_, [u8]>) -> Arc<ScopeContext> {
        intern(&self.scopes, &bytes, |bytes| ScopeContext { bytes })
    }
}

fn intern<T>(
    table: &Mutex<HashMap<Bytes, Arc<T>>>,
    bytes: &[u8],
    make: impl FnOnce(Bytes) -> T,
) -> Arc<T> {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = table.get(bytes) {
        return Arc::clone(found);
    }
    if table.len() >= INTERNED_MAX {
        table.clear();
    }
    // A copy, so that a small context does not keep its request of megabytes alive.
    let bytes = Bytes::copy_from_slice(bytes);
    let made = Arc::new(make(bytes.clone()));
    table.insert(bytes, Arc::clone(&made));
    made
}

/// Walks a request and decides what to admit.
///
/// # Errors
/// `Invalid` where the bytes do not decode as `ExportTraceServiceRequest`, or hold more spans or
/// attributes than one Export may.
pub(crate) fn admit(request: &[u8], interner: &Interner) -> Result<Walked> {
    Walk { interner, dropped: None, ordinal: 0, out: Walked::default() }.run(request)
}

/// Walks a logged request again, without the spans that admission had dropped.
///
/// # Errors
/// `Invalid` where the bytes do not decode, which a logged request does not do.
pub(crate) fn replay(request: &[u8], dropped: &[u32], interner: &Interner) -> Result<Batch> {
    let walk = Walk { interner, dropped: Some(dropped), ordinal: 0, out: Walked::default() };
    Ok(walk.run(request)?.batch)
}

struct Walk<'a> {
    interner: &'a Interner,
    /// `None` where this walk decides admission.
    dropped: Option<&'a [u32]>,
    ordinal: u32,
    out: Walked,
}

/// Where a span stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    service: &'a Arc<str>,
    resource: u32,
    scope: u32,
}

impl Walk<'_> {
    fn run(mut self, request: &[u8]) -> Result<Walked> {
        for field in Fields::new(request) {
            let field = field?;
            if field.number == 1 {
                self.resource_spans(field.bytes("ExportTraceServiceRequest")?)?;
            }
        }
        Ok(self.out)
    }

    fn resource_spans(&mut self, message: &[u8]) -> Result<()> {
        let context = context_of(message)?;
        let context = self.interner.resource(canonical(&context, &RESOURCE_CONTEXT)?);
        let resource = self.out.batch.add_resource(&context);
        for field in Fields::new(message) {
            let field = field?;
            if field.number == 2 {
                self.scope_spans(field.bytes("ResourceSpans")?, &context.service, resource)?;
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, message: &[u8], service: &Arc<str>, resource: u32) -> Result<()> {
        let context = context_of(message)?;
        let context = self.interner.scope(canonical(&context, &SCOPE_CONTEXT)?);
        let scope = self.out.batch.add_scope(&context);
        for field in Fields::new(message) {
            let field = field?;
            if field.number == 2 {
                self.span(field.bytes("ScopeSpans")?, Place { service, resource, scope })?;
            }
        }
        Ok(())
    }

    fn span(&mut self, message: &[u8], place: Place<'_>) -> Result<()> {
        let ordinal = self.ordinal;
        if ordinal >= INGEST_SPANS_MAX {
            return Err(Error::invalid(format!(
                "an Export of more than {INGEST_SPANS_MAX} spans; send smaller batches"
            )));
        }
        self.ordinal = ordinal + 1;
        let dropped = self.dropped.is_some_and(|list| list.binary_search(&ordinal).is_ok());
        let batch = &mut self.out.batch;
        let admitted = match shred(message, batch)? {
            Some(plain) => close(batch, &plain, None, place, dropped),
            None => {
                batch.abandon_row();
                let whole = canonical(message, &SPAN)?;
                let (odd, raw) = shred_canonical(&whole, batch)?;
                let raw = raw.then(|| Bytes::copy_from_slice(&whole));
                close(batch, &odd, raw, place, dropped)
            }
        };
        if let Err(reason) = admitted {
            batch.abandon_row();
            if !dropped {
                let service = Arc::clone(place.service);
                self.out.refused.push(Refused { ordinal, reason, service });
            }
        }
        if self.out.batch.all_cells() > INGEST_CELLS_MAX {
            return Err(Error::invalid(format!(
                "an Export of more than {INGEST_CELLS_MAX} attributes; send smaller batches"
            )));
        }
        Ok(())
    }
}

/// Closes the open row, or says why the span is refused; leaves it open then, and also where the
/// span was dropped by an earlier walk.
fn close(
    batch: &mut Batch,
    span: &Shredded<'_>,
    raw: Option<Bytes>,
    place: Place<'_>,
    dropped: bool,
) -> Result<(), Refusal> {
    let trace_id: [u8; 16] = span.trace_id.try_into().map_err(|_| Refusal::TraceIdLength)?;
    let span_id: [u8; 8] = span.span_id.try_into().map_err(|_| Refusal::SpanIdLength)?;
    if trace_id == [0; 16] {
        return Err(Refusal::TraceIdZero);
    }
    if span_id == [0; 8] {
        return Err(Refusal::SpanIdZero);
    }
    let parent: [u8; 8] = match span.parent {
        [] => [0; 8],
        id => id.try_into().map_err(|_| Refusal::ParentSpanIdLength)?,
    };
    // A reader in Go refuses a whole stream over one id of another length.
    if !span.links_are_good {
        return Err(Refusal::LinkIdLength);
    }
    if dropped {
        batch.abandon_row();
        return Ok(());
    }
    let fixed = Fixed {
        trace_id: TraceId(trace_id),
        span_id: SpanId(span_id),
        parent: SpanId(parent),
        start: span.start,
        end: span.end,
        kind: span.kind,
        status: span.status,
        name: span.name,
        resource: place.resource,
        scope: place.scope,
        sequence: 0,
    };
    batch.close_row(&fixed, raw);
    Ok(())
}

/// All fields of a `ResourceSpans` or `ScopeSpans` but its children (field 2), concatenated.
pub(crate) fn context_of(message: &[u8]) -> Result<Cow<'_, [u8]>> {
    let mut context = Cow::Borrowed(&message[..0]);
    for field in Fields::new(message) {
        let field = field?;
        if field.number == 2 {
            continue;
        }
        match &mut context {
            Cow::Borrowed([]) => context = Cow::Borrowed(field.raw),
            grown => grown.to_mut().extend_from_slice(field.raw),
        }
    }
    Ok(context)
}

#[cfg(test)]
mod tests;
