//! Services and operations: distinct names, from segments and from the head.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::head::Chunk;
use crate::query::request::Operation;
use crate::span::SpanKind;

/// Operations by service; the empty service is left out, as in Jaeger's memory store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(BTreeMap<Arc<str>, BTreeSet<Operation>>);

impl Names {
    pub(crate) fn gather<'a>(all: impl Iterator<Item = &'a (Arc<str>, Operation)>) -> Self {
        let mut names = Self::default();
        all.for_each(|(service, operation)| names.add(service, operation));
        names
    }

    fn add(&mut self, service: &Arc<str>, operation: &Operation) {
        if service.is_empty() {
            return;
        }
        match self.0.get_mut(service) {
            Some(operations) if operations.contains(operation) => {}
            Some(operations) => drop(operations.insert(operation.clone())),
            None => drop(self.0.insert(Arc::clone(service), BTreeSet::from([operation.clone()]))),
        }
    }

    /// Services of these and of the chunks, sorted.
    pub(crate) fn services(&self, chunks: &[Arc<Chunk>]) -> Vec<String> {
        let mut all: BTreeSet<&str> = self.0.keys().map(|name| &**name).collect();
        for chunk in chunks {
            // Sorted by service, so that most are one look at the one before.
            let mut last = "";
            for (service, _) in chunk.operations() {
                if **service != *last {
                    last = service;
                    all.insert(service);
                }
            }
        }
        all.into_iter().map(str::to_owned).collect()
    }

    /// Operations of a service, of these and of the chunks, sorted; `kind` `None` = all.
    pub(crate) fn operations(
        &self,
        chunks: &[Arc<Chunk>],
        service: &str,
        kind: Option<SpanKind>,
    ) -> Vec<Operation> {
        if service.is_empty() {
            return Vec::new();
        }
        let wanted = |operation: &&Operation| kind.is_none_or(|kind| operation.kind == kind);
        let mut all: BTreeSet<&Operation> =
            self.0.get(service).into_iter().flatten().filter(wanted).collect();
        let least = Operation { name: String::new(), kind: SpanKind::Unspecified };
        let from: (Arc<str>, Operation) = (Arc::from(service), least);
        for chunk in chunks {
            let there = chunk.operations().range(&from..).take_while(|(s, _)| **s == *service);
            all.extend(there.map(|(_, operation)| operation).filter(wanted));
        }
        all.into_iter().cloned().collect()
    }
}
