//! Who calls whom: cross-service calls, one per child span. The caller of a span is the CLIENT
//! span that shares its id when the span itself is SERVER (Zipkin's shared spans), else the span
//! of the same trace that its parent id names; where that id is shared by several, the one in the
//! span's own service, else the SERVER side, else the least by (start, span bytes, service). A
//! parent that is not there draws no edge. A trace's rows in, its calls out; the answer does not
//! depend on the order of the rows.

use std::cmp::Ordering;
use std::collections::HashMap;

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
    /// Of ids that several members share, by the first's place in `by_id`. Each is looked at once,
    /// however many children name it: ids are the sender's choice.
    twins: HashMap<usize, Twins>,
    calls: Vec<Call>,
}

/// Members that share an id.
#[derive(Debug)]
struct Twins {
    /// The service of the least CLIENT.
    client: Result<Option<u32>, Unknown>,
    /// The service of the least SERVER, or else of the least.
    other: Result<Option<u32>, Unknown>,
    /// Theirs, sorted.
    services: Vec<u32>,
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
        self.twins.clear();
        self.by_id.clear();
        self.by_id.extend(members.iter().map(|member| member.id).zip(0u32..));
        self.by_id.sort_unstable();
        for child in members {
            let Some(caller) = self.caller(child, members, services)? else { continue };
            if caller != child.service {
                let call = Call { start: child.start, caller, called: child.service };
                self.calls.push(call);
            }
        }
        Ok(&self.calls)
    }

    /// The service that called a span.
    fn caller(
        &mut self,
        child: &Member<'_>,
        members: &[Member<'_>],
        services: &Services,
    ) -> Result<Option<u32>, Unknown> {
        if child.kind == SpanKind::Server
            && let Some(Named::Twins(twins)) = self.named(child.id, members, services)
            && let Some(client) = twins.client?
        {
            return Ok(Some(client));
        }
        if child.parent == SpanId::default() {
            return Ok(None);
        }
        match self.named(child.parent, members, services) {
            None => Ok(None),
            Some(Named::One(service)) => Ok(Some(service)),
            Some(Named::Twins(twins)) if twins.services.binary_search(&child.service).is_ok() => {
                Ok(Some(child.service))
            }
            Some(Named::Twins(twins)) => twins.other,
        }
    }

    fn named(
        &mut self,
        id: SpanId,
        members: &[Member<'_>],
        services: &Services,
    ) -> Option<Named<'_>> {
        let from = self.by_id.partition_point(|(other, _)| *other < id);
        let rest = self.by_id.get(from..).unwrap_or_default();
        let mut group = rest.iter().take_while(|(other, _)| *other == id);
        let first = members.get(group.next()?.1 as usize)?;
        if group.next().is_none() {
            return Some(Named::One(first.service));
        }
        let all = rest.iter().take_while(|(other, _)| *other == id);
        let all = all.filter_map(|(_, at)| members.get(*at as usize));
        Some(Named::Twins(self.twins.entry(from).or_insert_with(|| Twins::of(all, services))))
    }
}

/// Who has an id.
enum Named<'a> {
    /// One of this service.
    One(u32),
    Twins(&'a Twins),
}

impl Twins {
    fn of<'a>(all: impl Iterator<Item = &'a Member<'a>> + Clone, services: &Services) -> Self {
        let of_kind = |kind| all.clone().filter(move |member| member.kind == kind);
        let client = least(of_kind(SpanKind::Client), services);
        let other = match least(of_kind(SpanKind::Server), services) {
            Ok(None) => least(all.clone(), services),
            server => server,
        };
        let mut theirs: Vec<u32> = all.map(|member| member.service).collect();
        theirs.sort_unstable();
        theirs.dedup();
        Self { client, other, services: theirs }
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
    let keyed = ties.into_iter().map(|tie| (tie.bytes(), services.name(tie.service), tie.service));
    Ok(keyed.min().map(|(.., service)| service))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One Export may hold this; looked at once for each child it would be billions of steps.
    #[test]
    fn an_id_that_thousands_share_is_looked_at_once() {
        let (mut batch, mut services) = (Batch::default(), Services::default());
        let names: Vec<std::sync::Arc<str>> = ["a", "b", "c"].map(std::sync::Arc::from).into();
        let numbers: Vec<u32> = names.iter().map(|name| services.number(name)).collect();
        let count = 30_000;
        batch.span_id = vec![SpanId([7; 8]); count];
        batch.span_id.resize(2 * count, SpanId([9; 8]));
        batch.parent = vec![SpanId::default(); count];
        batch.parent.resize(2 * count, SpanId([7; 8]));
        batch.start = vec![5; 2 * count];
        batch.kind = vec![SpanKind::Server.number().into(); 2 * count];
        let member = |row: usize| {
            let service = if row < count { numbers[row % 2] } else { numbers[2] };
            Member::new(&batch, row, service, false)
        };
        let members: Vec<Member<'_>> = (0..2 * count).map(member).collect();
        let mut rule = Rule::default();
        assert_eq!(rule.calls(&members, &services), Err(Unknown), "equal starts of two services");
        let alike: Vec<Member<'_>> =
            members.iter().map(|m| Member { service: m.service.max(numbers[1]), ..*m }).collect();
        let calls = rule.calls(&alike, &services).unwrap();
        assert_eq!(calls.len(), count);
        assert!(calls.iter().all(|c| (c.caller, c.called) == (numbers[1], numbers[2])));
    }
}
