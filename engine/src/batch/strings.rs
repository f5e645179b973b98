//! Byte strings in one allocation, numbered in the order they came. Bytes in, numbers out, and
//! back. Equal strings usually share a number (they are *interned*); where nearly every string
//! differs the arena stops looking and only appends, since a table of near-unique values costs
//! more than it saves. Never holds a reference to what it copied from.

use std::sync::OnceLock;

use hashbrown::HashTable;
use twox_hash::XxHash3_64;

/// Strings after which an arena asks whether looking them up pays.
const PROBATION: usize = 4096;

/// An arena of byte strings.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    bytes: Vec<u8>,
    /// Behind each string's last byte.
    ends: Vec<usize>,
    /// Hash of each string while strings are looked up.
    hashes: Vec<u32>,
    table: HashTable<u32>,
    lookups: usize,
    /// The string met last: spans that follow each other mostly repeat it.
    last: u32,
    appends_only: bool,
    /// All strings by hash, built when a string is first asked for in an arena that only appends.
    late: OnceLock<HashTable<u32>>,
}

fn hash(bytes: &[u8]) -> u32 {
    XxHash3_64::oneshot(bytes) as u32
}

/// The table takes its control bits from the top and its place from the bottom.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Strings {
    /// An arena that never looks up what it is given: for strings known to be distinct, or not
    /// worth comparing.
    pub(crate) fn appending() -> Self {
        Self { appends_only: true, ..Self::default() }
    }

    /// Strings that lie one behind the other in `bytes`; `ends` is where each ends. Equal ones
    /// may have several numbers.
    pub(crate) fn of_parts(bytes: Vec<u8>, ends: Vec<usize>) -> Self {
        Self { bytes, ends, appends_only: true, ..Self::default() }
    }

    /// The number of `string`, which is added where it is new.
    pub(crate) fn intern(&mut self, string: &[u8]) -> u32 {
        if !self.ends.is_empty() && self.get(self.last) == string {
            self.lookups += 1;
            return self.last;
        }
        if self.appends_only {
            return self.append(string);
        }
        self.lookups += 1;
        let hash = hash(string);
        let (bytes, ends) = (&self.bytes, &self.ends);
        if let Some(&found) = self.table.find(spread(hash), |&n| at(bytes, ends, n) == string) {
            self.last = found;
            return found;
        }
        let number = self.append(string);
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.table.insert_unique(spread(hash), number, |&n| {
            spread(hashes.get(n as usize).copied().unwrap_or_default())
        });
        if self.ends.len() == PROBATION && self.ends.len() * 10 > self.lookups * 3 {
            self.append_only();
        }
        number
    }

    /// Adds `string` without looking whether it is there; from now on the arena only appends.
    pub(crate) fn push(&mut self, string: &[u8]) -> u32 {
        if !self.appends_only {
            self.append_only();
        }
        self.append(string)
    }

    fn append_only(&mut self) {
        self.appends_only = true;
        (self.table, self.hashes) = (HashTable::new(), Vec::new());
    }

    fn append(&mut self, string: &[u8]) -> u32 {
        debug_assert!(self.late.get().is_none(), "strings are added before they are asked for");
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
        self.last = number;
        number
    }

    /// String number `number`; empty where there is none.
    pub(crate) fn get(&self, number: u32) -> &[u8] {
        at(&self.bytes, &self.ends, number)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// True where equal strings may have several numbers.
    pub(crate) fn may_repeat(&self) -> bool {
        self.appends_only
    }

    /// All, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len() as u32).map(|number| self.get(number))
    }

    /// Every number of `string`.
    pub(crate) fn find(&self, string: &[u8]) -> Vec<u32> {
        let hash = spread(hash(string));
        let same = |n: &&u32| self.get(**n) == string;
        let table = if self.appends_only { self.late_table() } else { &self.table };
        table.iter_hash(hash).filter(same).copied().collect()
    }

    fn late_table(&self) -> &HashTable<u32> {
        self.late.get_or_init(|| {
            let hashes: Vec<u32> = self.iter().map(hash).collect();
            let mut table = HashTable::with_capacity(hashes.len());
            for (number, &hash) in hashes.iter().enumerate() {
                table.insert_unique(spread(hash), number as u32, |&n| {
                    spread(hashes.get(n as usize).copied().unwrap_or_default())
                });
            }
            table
        })
    }

    /// What it holds in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + (self.hashes.capacity() + self.table.capacity()) * size_of::<u32>()
            + self.late.get().map_or(0, |table| table.capacity() * size_of::<u32>())
    }
}

fn at<'a>(bytes: &'a [u8], ends: &[usize], number: u32) -> &'a [u8] {
    let number = number as usize;
    let Some(&end) = ends.get(number) else { return b"" };
    let start = number.checked_sub(1).and_then(|n| ends.get(n)).copied().unwrap_or(0);
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_share_a_number() {
        let mut strings = Strings::default();
        let numbers: Vec<u32> =
            ["a", "", "bc", "a", "bc", "", "d"].map(|s| strings.intern(s.as_bytes())).to_vec();
        assert_eq!(numbers, [0, 1, 2, 0, 2, 1, 3]);
        assert_eq!(strings.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"bc", b"d"]);
        assert_eq!((strings.find(b"bc"), strings.find(b"x")), (vec![2], vec![]));
        assert_eq!(strings.get(9), b"");
    }

    #[test]
    fn near_unique_strings_are_only_appended() {
        let mut strings = Strings::default();
        for n in 0..5000u32 {
            strings.intern(&n.to_le_bytes());
        }
        assert!(strings.may_repeat());
        let again = strings.intern(&7u32.to_le_bytes());
        assert_eq!(again, 5000);
        assert_eq!(strings.find(&7u32.to_le_bytes()).len(), 2);
        let mut few = Strings::default();
        for n in 0..50_000u32 {
            few.intern(&(n % 5000).to_le_bytes());
        }
        assert!(few.len() == 5000 || few.may_repeat());
    }
}
