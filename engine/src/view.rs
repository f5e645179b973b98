//! The view: head and catalog at one moment, one `Arc`. Truth changes only by publishing a new
//! one in one swap, so a span is in exactly one place for each reader, and what a reader holds
//! stays readable: a dropped segment's file goes when its last reader does.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::batch::{Batch, Projection};
use crate::catalog::edit::SegmentEntry;
use crate::catalog::state::CatalogState;
use crate::error::{Error, Result};
use crate::head::Head;
use crate::query::names::Names;
use crate::query::places::{Shelf, Stored};
use crate::segment::{BLOCK_ROWS, DictionaryCache, Segment};
use crate::span::SpanId;
use crate::tenancy::Tenancy;
use crate::world::Files;

/// An open segment of the catalog.
#[derive(Debug)]
pub(crate) struct LiveSegment {
    pub(crate) segment: Segment,
    pub(crate) entry: SegmentEntry,
    files: Arc<dyn Files>,
    doomed: AtomicBool,
}

impl LiveSegment {
    /// Opens the segment of a catalog entry.
    ///
    /// # Errors
    /// `Corrupted`, `Format` or `Io`, naming the file.
    pub(crate) fn open(
        files: &Arc<dyn Files>,
        entry: SegmentEntry,
        cache: &Arc<DictionaryCache>,
    ) -> Result<Arc<Self>> {
        let file = files.open(&entry.name).map_err(|e| Error::io("opening", &entry.name, e))?;
        if file.len() != entry.facts.bytes {
            return Err(Error::corrupted(format!(
                "{} has {} bytes, the catalog says {}; restore it from a snapshot",
                entry.name,
                file.len(),
                entry.facts.bytes
            )));
        }
        let segment = Segment::open(file, &entry.name, cache)?;
        let (files, doomed) = (Arc::clone(files), AtomicBool::new(false));
        Ok(Arc::new(Self { segment, entry, files, doomed }))
    }

    /// Gives whole those rows of `range` whose start and span id are `wanted`, and perhaps some
    /// between them, block by block: a large trace needs little memory, and a block is decoded
    /// twice at most.
    ///
    /// # Errors
    /// Corrupted, Io.
    pub(crate) fn pick(
        &self,
        range: Range<u32>,
        wanted: &dyn Fn(u64, SpanId) -> bool,
        take: &mut dyn FnMut(&Batch),
    ) -> Result<()> {
        let keys = Projection { span_id: true, ..Projection::default() };
        for from in range.clone().step_by(BLOCK_ROWS) {
            let block = from..range.end.min(from.saturating_add(BLOCK_ROWS as u32));
            let batch = self.segment.read(block, &keys)?;
            let is_wanted = |(&start, &span): (&u64, &SpanId)| wanted(start, span);
            let mut hits = batch.start.iter().zip(&batch.span_id).map(is_wanted);
            let Some(first) = hits.clone().position(|hit| hit) else { continue };
            let last = hits.rposition(|hit| hit).unwrap_or(first);
            let stretch = from + first as u32..from + last as u32 + 1;
            take(&self.segment.read(stretch, &Projection::all())?);
        }
        Ok(())
    }

    /// The catalog no longer knows it: its file is removed with the last reader.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }
}

impl Drop for LiveSegment {
    fn drop(&mut self) {
        if *self.doomed.get_mut() {
            // A file that stays behind is in no catalog; the next start removes it.
            drop(self.files.remove(&self.entry.name));
        }
    }
}

/// The catalog's part of a view: its state with the segments open.
#[derive(Debug)]
pub(crate) struct CatalogView {
    pub(crate) state: Arc<CatalogState>,
    segments: BTreeMap<Tenancy, Vec<Arc<LiveSegment>>>,
    /// The same, as questions see them.
    shelves: BTreeMap<Tenancy, Shelf>,
    names: Mutex<BTreeMap<Tenancy, Arc<Names>>>,
}

impl CatalogView {
    pub(crate) fn new(state: Arc<CatalogState>, open: Vec<Arc<LiveSegment>>) -> Self {
        let (segments, shelves, names) = Default::default();
        let none = Self { state: Arc::clone(&state), segments, shelves, names };
        none.with(state, open)
    }

    /// The next state, which has these segments more.
    pub(crate) fn with(&self, state: Arc<CatalogState>, more: Vec<Arc<LiveSegment>>) -> Self {
        let (mut segments, mut shelves) = (self.segments.clone(), self.shelves.clone());
        let mut by_tenancy: BTreeMap<Tenancy, Vec<_>> = BTreeMap::new();
        for segment in more {
            by_tenancy.entry(segment.entry.tenancy.clone()).or_default().push(segment);
        }
        for (tenancy, more) in by_tenancy {
            let shelf = shelves.entry(tenancy.clone()).or_default();
            *shelf = shelf.with(more.iter().map(|live| Arc::clone(live) as Arc<dyn Stored>));
            segments.entry(tenancy).or_default().extend(more);
        }
        Self { state, segments, shelves, names: Mutex::default() }
    }

    pub(crate) fn segments(&self, tenancy: &Tenancy) -> &[Arc<LiveSegment>] {
        self.segments.get(tenancy).map(Vec::as_slice).unwrap_or_default()
    }

    /// The tenancy's segments as questions see them.
    pub(crate) fn shelf(&self, tenancy: &Tenancy) -> Shelf {
        self.shelves.get(tenancy).cloned().unwrap_or_default()
    }

    /// What shelves hold in memory beside the segments.
    pub(crate) fn shelves_bytes(&self) -> usize {
        self.shelves.values().map(Shelf::memory_bytes).sum()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<LiveSegment>> {
        self.segments.values().flatten()
    }

    /// Names in the tenancy's segments, gathered at first use of this catalog version.
    pub(crate) fn names(&self, tenancy: &Tenancy) -> Arc<Names> {
        let known = |names: &BTreeMap<Tenancy, Arc<Names>>| names.get(tenancy).cloned();
        if let Some(names) = known(&self.names.lock().unwrap_or_else(PoisonError::into_inner)) {
            return names;
        }
        let operations = self.segments(tenancy).iter().flat_map(|s| s.segment.operations());
        let gathered = Arc::new(Names::gather(operations));
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(names.entry(tenancy.clone()).or_insert(gathered))
    }
}

/// One consistent state.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) head: Head,
    pub(crate) catalog: Arc<CatalogView>,
    /// Highest sequence published.
    pub(crate) sequence: u64,
}

/// Where the current state is published. Readers take a clone; writers are serialised by a lock
/// that is never held across I/O.
#[derive(Debug)]
pub(crate) struct Views {
    writers: Mutex<()>,
    current: RwLock<Arc<State>>,
}

impl Views {
    pub(crate) fn new(state: State) -> Self {
        Self { writers: Mutex::new(()), current: RwLock::new(Arc::new(state)) }
    }

    pub(crate) fn current(&self) -> Arc<State> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Publishes `change` of the current state; the only place where truth changes.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut State)) -> Arc<State> {
        let _serialised: MutexGuard<'_, ()> =
            self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = State::clone(&self.current());
        change(&mut next);
        let next = Arc::new(next);
        let swapped = Arc::clone(&next);
        let old = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, swapped)
        };
        // What the old state was the last to hold (chunks, files) goes outside the readers' lock.
        drop(old);
        next
    }
}
