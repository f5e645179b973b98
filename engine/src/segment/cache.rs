//! Decoded dictionaries of segments, kept within a budget of bytes: a point read that finds its
//! dictionaries here decodes only the pages of its rows. Shared by all segments of a store; the
//! least lately used goes first. Holds what segments give it and nothing else; no I/O.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::Strings;

/// A dictionary: strings or numbers.
#[derive(Debug, Clone)]
pub(super) enum Dictionary {
    Text(Arc<Strings>),
    Numbers(Arc<Vec<u64>>),
}

/// Segment, row group, leaf.
pub(super) type Key = (u64, u32, u32);

/// The cache.
#[derive(Debug)]
pub(crate) struct DictionaryCache {
    budget: usize,
    instances: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    /// By the time of last use.
    used: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    dictionary: Dictionary,
    bytes: usize,
    used: u64,
}

impl DictionaryCache {
    /// A cache that holds up to `budget` bytes.
    pub(crate) fn new(budget: usize) -> Self {
        Self { budget, instances: AtomicU64::new(0), state: Mutex::default() }
    }

    /// A number for an open segment.
    pub(super) fn instance(&self) -> u64 {
        self.instances.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn get(&self, key: &Key) -> Option<Dictionary> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        let entry = state.entries.get_mut(key)?;
        state.clock += 1;
        state.used.remove(&std::mem::replace(&mut entry.used, state.clock));
        state.used.insert(state.clock, *key);
        Some(entry.dictionary.clone())
    }

    /// Keeps a dictionary where it is not larger than the whole budget.
    pub(super) fn put(&self, key: Key, dictionary: Dictionary) {
        let bytes = dictionary.bytes();
        if bytes > self.budget {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.remove(&key);
        state.clock += 1;
        let used = state.clock;
        state.used.insert(used, key);
        state.entries.insert(key, Entry { dictionary, bytes, used });
        state.bytes += bytes;
        while state.bytes > self.budget {
            let Some((_, oldest)) = state.used.pop_first() else { break };
            state.remove(&oldest);
        }
    }

    /// Forgets a segment.
    pub(super) fn forget(&self, instance: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = (instance, 0, 0)..=(instance, u32::MAX, u32::MAX);
        let keys: Vec<Key> = state.entries.range(of_it).map(|(key, _)| *key).collect();
        keys.iter().for_each(|key| state.remove(key));
    }

    /// What it holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

impl State {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.used.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

impl Dictionary {
    fn bytes(&self) -> usize {
        // A hash table may be built on strings later.
        let held = match self {
            Self::Text(strings) => strings.memory_bytes() + strings.len() * 8,
            Self::Numbers(numbers) => numbers.capacity() * 8,
        };
        held + size_of::<Entry>() + 2 * size_of::<Key>() + 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Dictionary {
        Dictionary::Numbers(Arc::new(vec![0; count]))
    }

    #[test]
    fn the_least_lately_used_goes_first() {
        let one = numbers(1000).bytes();
        let cache = DictionaryCache::new(3 * one);
        for leaf in 0..3 {
            cache.put((1, 0, leaf), numbers(1000));
        }
        assert!(cache.get(&(1, 0, 0)).is_some());
        cache.put((1, 0, 3), numbers(1000));
        assert!(cache.get(&(1, 0, 1)).is_none());
        assert!(cache.get(&(1, 0, 0)).is_some() && cache.get(&(1, 0, 3)).is_some());
        assert_eq!(cache.memory_bytes(), 3 * one);
        cache.put((1, 0, 9), numbers(9000));
        assert!(cache.get(&(1, 0, 9)).is_none(), "it is larger than the budget");
        assert_eq!(cache.memory_bytes(), 3 * one);
    }

    #[test]
    fn a_segment_is_forgotten_whole() {
        let cache = DictionaryCache::new(1 << 20);
        let (a, b) = (cache.instance(), cache.instance());
        cache.put((a, 0, 1), numbers(10));
        cache.put((a, 7, 0), numbers(10));
        cache.put((b, 0, 1), numbers(10));
        cache.forget(a);
        assert!(cache.get(&(a, 0, 1)).is_none() && cache.get(&(a, 7, 0)).is_none());
        assert!(cache.get(&(b, 0, 1)).is_some());
        cache.forget(b);
        assert_eq!(cache.memory_bytes(), 0);
    }
}
