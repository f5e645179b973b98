//! Who calls whom: cross-service calls, one per child span. The caller of a span is the CLIENT
//! span that shares its id when the span itself is SERVER (Zipkin's shared spans), else the span
//! of the same trace that its parent id names; where that id is shared by several, the one in the
//! span's own service, else the SERVER side, else the least by (start, span bytes, service). A
//! parent that is not there draws no edge. A trace's rows in, its calls out; the answer does not
//! depend on the order of the rows.

use std::cmp::Ordering;

use super::Services;
use crate::batch::Batch;
use crate::span::{SpanId, SpanKind};

/// A span as the rule sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    id: SpanId,
    parent: SpanId,
    start: u64,
    kind: SpanKind,
    service: u32,
    batch: &'a Batch,
    row: usize,
    /// The batch has all of the span.
    whole: bool,
}

impl<'a> Member<'a> {
    /// `whole` where the batch is not partial.
    pub(crate) fn new(batch: &'a Batch, row: usize, service: u32, whole: bool) -> Self {
        Self {
            id: batch.span_id.get(row).copied().unwrap_or_default(),
            parent: batch.parent.get(row).copied().unwrap_or_default(),
            start: batch.start.get(row).copied().unwrap_or_default(),
            kind: SpanKind::from_number(batch.kind.get(row).copied().unwrap_or_default()),
            service,
            batch,
            row,
            whole,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.batch.write_span(self.row, &mut out);
        out
    }
}

/// A call from one service to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    /// The called span's start.
    pub(crate) start: u64,
    pub(crate) caller: u32,
    pub(crate) called: u32,
}

/// Spans must be compared whose bytes are not at hand: the trace's rows must be read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unknown;

/// The rule, with room to work in.
#[derive(Debug, Default)]
pub(crate) struct Rule {
    /// The trace's members by span id.
    by_id: Vec<(SpanId, u32)>,
    calls: Vec<Call>,
}

impl Rule {
    /// The calls of a whole trace.
    ///
    /// # Errors
    /// [`Unknown`] where it takes more of the spans than is there.
    pub(crate) fn calls(
        &mut self,
        members: &[Member<'_>],
        services: &Services,
    ) -> Result<&[Call], Unknown> {
        self.calls.clear();
        self.by_id.clear();
        self.by_id.extend(members.iter().map(|member| member.id).zip(0u32..));
        self.by_id.sort_unstable();
        let group = |id: SpanId| {
            let from = self.by_id.partition_point(|(other, _)| *other < id);
            let rest = self.by_id.get(from..).unwrap_or_default().iter();
            rest.take_while(move |(other, _)| *other == id)
                .filter_map(|(_, at)| members.get(*at as usize))
        };
        for child in members {
            let Some(caller) = caller(child, &group, services)? else { continue };
            if caller != child.service {
                let call = Call { start: child.start, caller, called: child.service };
                self.calls.push(call);
            }
        }
        Ok(&self.calls)
    }
}

/// The service that called a span.
fn caller<'a, Group: Iterator<Item = &'a Member<'a>> + Clone>(
    child: &Member<'_>,
    group: &impl Fn(SpanId) -> Group,
    services: &Services,
) -> Result<Option<u32>, Unknown> {
    if child.kind == SpanKind::Server {
        let clients = group(child.id).filter(|twin| twin.kind == SpanKind::Client);
        if let Some(service) = least(clients, services)? {
            return Ok(Some(service));
        }
    }
    if child.parent == SpanId::default() {
        return Ok(None);
    }
    let mut named = group(child.parent);
    let Some(first) = named.next() else { return Ok(None) };
    if named.next().is_none() {
        return Ok(Some(first.service));
    }
    let named = group(child.parent);
    if named.clone().any(|member| member.service == child.service) {
        return Ok(Some(child.service));
    }
    match least(named.clone().filter(|member| member.kind == SpanKind::Server), services)? {
        None => least(named, services),
        server => Ok(server),
    }
}

/// The service of the first by (start, span bytes, service).
fn least<'a>(
    members: impl Iterator<Item = &'a Member<'a>>,
    services: &Services,
) -> Result<Option<u32>, Unknown> {
    let mut first: Option<&Member<'_>> = None;
    let mut ties = Vec::new();
    for member in members {
        match first.map_or(Ordering::Less, |first| member.start.cmp(&first.start)) {
            Ordering::Greater => {}
            Ordering::Less => {
                first = Some(member);
                ties.clear();
            }
            Ordering::Equal => ties.push(member),
        }
    }
    let Some(first) = first else { return Ok(None) };
    if ties.iter().all(|tie| tie.service == first.service) {
        return Ok(Some(first.service));
    }
    ties.push(first);
    if ties.iter().any(|tie| !tie.whole) {
        return Err(Unknown);
    }
    let key = |tie: &&Member<'_>| (tie.bytes(), services.name(tie.service));
    Ok(ties.into_iter().min_by(|a, b| key(a).cmp(&key(b))).map(|tie| tie.service))
}
