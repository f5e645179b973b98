//! A data directory opened in this process, where no server runs on it.
//!
//! Paths and questions flow in, the store's answers flow out. It never creates a directory: a
//! mistyped path must not look like an empty store.

use std::path::{Path, PathBuf};

use spanlake::{
    Cancel, Explanation, Operation, Options, SegmentInfo, Store, Tenancy, TraceId, TraceQuery,
    TraceStream, TraceSummary,
};

use super::assemble::{Assembler, Found};
use super::failure::Failure;
use crate::eyes::Trace;

/// Bytes pulled at a time.
const CHUNK: usize = 1 << 20;

/// An open directory.
#[derive(Debug)]
pub struct Embedded {
    store: Store,
    path: PathBuf,
    tenancy: Tenancy,
}

impl Embedded {
    /// Opens an existing data directory.
    ///
    /// # Errors
    /// Where there is none, or the engine cannot open it.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        // The file every data directory has (surface.md, Files).
        if !path.join("FORMAT").is_file() {
            return Err(Failure::failed(format!(
                "no Spanlake data in {}; `spanlake serve --data-dir {}` would create it",
                path.display(),
                path.display()
            )));
        }
        let store = Store::open(path, Options::default())?;
        Ok(Self { store, path: path.to_owned(), tenancy: Tenancy::default() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn services(&self) -> Result<Vec<String>, Failure> {
        Ok(self.store.view().services(&self.tenancy)?)
    }

    pub(super) fn operations(&self, service: &str) -> Result<Vec<Operation>, Failure> {
        Ok(self.store.view().operations(&self.tenancy, service, None)?)
    }

    pub(super) fn summaries(&self, query: &TraceQuery) -> Result<Vec<TraceSummary>, Failure> {
        Ok(self.store.view().find_summaries(&self.tenancy, query, &Cancel::new())?)
    }

    pub(super) fn explain(&self, query: &TraceQuery) -> Result<Explanation, Failure> {
        Ok(self.store.view().explain(&self.tenancy, query)?)
    }

    pub(super) fn segments(&self) -> Vec<SegmentInfo> {
        self.store.segments()
    }

    pub(super) fn duckdb(&self) -> Result<Option<String>, Failure> {
        let directory = std::path::absolute(&self.path)
            .map_err(|e| Failure::failed(format!("{}: {e}", self.path.display())))?;
        Ok(self.store.duckdb_view(&self.tenancy, &directory)?)
    }

    pub(super) fn settle(&self) -> Result<(), Failure> {
        Ok(self.store.settle()?)
    }

    pub(super) fn trace(&self, id: TraceId) -> Result<Option<Trace>, Failure> {
        let stream = self.store.view().get_traces(&self.tenancy, vec![id], Cancel::new());
        Ok(pull(stream, usize::MAX)?.traces.pop())
    }

    pub(super) fn find_traces(
        &self,
        query: &TraceQuery,
        spans_max: usize,
    ) -> Result<Found, Failure> {
        pull(self.store.view().find_traces(&self.tenancy, query, &Cancel::new())?, spans_max)
    }
}

fn pull(mut stream: TraceStream, spans_max: usize) -> Result<Found, Failure> {
    let mut site = Assembler::new(spans_max);
    while let Some(chunk) = stream.next_chunk(CHUNK)? {
        if !site.take(chunk.otlp)? {
            break;
        }
    }
    Ok(site.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_path_is_no_empty_store() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("nothing");
        let failure = Embedded::open(&missing).unwrap_err();
        assert!(failure.message().starts_with("no Spanlake data in "), "{failure}");
        assert!(!missing.exists());
    }
}
