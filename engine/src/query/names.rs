//! Services and operations: distinct names, from segments and from the head.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::request::Operation;

/// Operations by service; the empty service is left out, as in Jaeger's memory store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(BTreeMap<Arc<str>, BTreeSet<Operation>>);

impl Names {
    pub(crate) fn gather<'a>(all: impl Iterator<Item = &'a (Arc<str>, Operation)>) -> Self {
        let mut names = Self::default();
        all.for_each(|(service, operation)| names.add(service, operation));
        names
    }

    pub(crate) fn add(&mut self, service: &Arc<str>, operation: &Operation) {
        if service.is_empty() {
            return;
        }
        match self.0.get_mut(service) {
            Some(operations) if operations.contains(operation) => {}
            Some(operations) => drop(operations.insert(operation.clone())),
            None => drop(self.0.insert(Arc::clone(service), BTreeSet::from([operation.clone()]))),
        }
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    pub(crate) fn operations(&self, service: &str) -> impl Iterator<Item = &Operation> {
        self.0.get(service).into_iter().flatten()
    }
}
