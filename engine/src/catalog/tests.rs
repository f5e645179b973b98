//! The catalog on disk: commits, torn ends, damage, newer builds.

use std::sync::Arc;

use super::edit::{Change, SegmentEntry};
use super::partition::{Partition, WIDTH_DEFAULT};
use super::state::CatalogState;
use super::store::CatalogStore;
use crate::error::{ErrorKind, Result};
use crate::segment::Facts;
use crate::tenancy::Tenancy;
use crate::world::{Files, OsFiles};

fn open(directory: &std::path::Path) -> Result<CatalogStore> {
    let files: Arc<dyn Files> = Arc::new(OsFiles::new(directory));
    CatalogStore::open(files, || CatalogState::new("w00000001".into(), WIDTH_DEFAULT))
}

fn add(state: &CatalogState, number: u64) -> Change {
    let (tenancy, partition) = (Tenancy::default(), Some(Partition(79_800)));
    let name = state.segment_name(&tenancy, partition, number);
    let facts = Facts {
        format: 0,
        spans: number,
        traces: 1,
        bytes: 2,
        start_min: 3,
        start_max: u64::MAX,
        end_max: 5,
        sequence_min: 6,
        sequence_max: 7,
    };
    Change::AddSegment { segment: SegmentEntry { name, tenancy, partition, facts } }
}

fn commit(store: &mut CatalogStore, changes: Vec<Change>) -> Result<Arc<CatalogState>> {
    store.commit(store.state().version, 0, changes)
}

fn add_first(store: &mut CatalogStore) -> Result<Arc<CatalogState>> {
    let change = add(store.state(), 1);
    commit(store, vec![change])
}

fn only_file(directory: &std::path::Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(directory.join("catalog")).unwrap().map(|f| f.unwrap().path());
    let mut files: Vec<_> = files.filter(|f| f.extension() == Some("jsonl".as_ref())).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn commits_survive_and_checkpoints_keep_the_file_small() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).unwrap();
    let mut last = Arc::clone(store.state());
    for number in 1..2000 {
        let mut changes = vec![add(&last, number)];
        if number > 10 {
            let old = last.segments.keys().next().unwrap().clone();
            changes.push(Change::DropSegment { name: old });
        }
        last = commit(&mut store, changes).unwrap();
    }
    assert!(store.bytes() < 200_000, "{}", store.bytes());
    drop(store);
    only_file(directory.path());
    let store = open(directory.path()).unwrap();
    assert_eq!(**store.state(), *last);
    assert_eq!(last.next_segment, 2000);
}

#[test]
fn a_torn_last_line_was_never_committed() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).unwrap();
    let first = add_first(&mut store).unwrap();
    let kept = store.bytes() as usize;
    commit(&mut store, vec![add(&first, 2)]).unwrap();
    drop(store);
    let path = only_file(directory.path());
    let whole = std::fs::read(&path).unwrap();
    for cut in kept..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let mut store = open(directory.path()).unwrap();
        assert_eq!(**store.state(), *first, "cut at {cut}");
        commit(&mut store, vec![add(&first, 3)]).unwrap();
        drop(store);
        let again = open(directory.path()).unwrap();
        assert_eq!(again.state().segments.len(), 2);
    }
}

/// The last line was committed and its bits have rotted: the log may be gone on its word.
#[test]
fn a_damaged_last_line_is_no_torn_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).unwrap();
    add_first(&mut store).unwrap();
    let last = store.bytes() as usize;
    drop(store);
    let path = only_file(directory.path());
    let whole = std::fs::read(&path).unwrap();
    let start = whole.iter().position(|&b| b == b'\n').unwrap() + 1;
    for bit in start * 8..(last - 1) * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &bytes).unwrap();
        match open(directory.path()) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupted, "bit {bit}: {error}"),
            // A checksum's digit in upper case is the same digit.
            Ok(store) => assert_eq!(store.state().version, 1, "bit {bit}"),
        }
    }
    // A sector that a power cut lost reads as zeros, whatever of the line stands behind it.
    for (from, to) in [(start, start + 1), (start, last - 5), (start + 7, last - 1)] {
        let mut bytes = whole.clone();
        bytes[from..to].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(open(directory.path()).unwrap().state().version, 0, "{from}..{to}");
    }
}

#[test]
fn damage_in_the_middle_is_an_error_that_names_the_line() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).unwrap();
    let first = add_first(&mut store).unwrap();
    commit(&mut store, vec![add(&first, 2)]).unwrap();
    drop(store);
    let path = only_file(directory.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let second_line = bytes.iter().position(|&b| b == b'\n').unwrap() + 1;
    bytes[second_line + 20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = open(directory.path()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    assert!(error.message().contains("line 2"), "{error}");
}

#[test]
fn an_edit_of_a_newer_build_is_refused_not_skipped() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let path = only_file(directory.path());
    let json = br#"{"version":1,"at":0,"changes":[{"kind":"tombstone","trace":"00"}]}"#;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(format!("{:08x} ", crc32c::crc32c(json)).as_bytes());
    bytes.extend_from_slice(json);
    bytes.push(b'\n');
    std::fs::write(&path, &bytes).unwrap();
    let error = open(directory.path()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Format, "{error}");
    assert!(error.message().contains("newer spanlake"), "{error}");
}

#[test]
fn a_commit_from_an_old_version_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).unwrap();
    let old = store.state().version;
    let state = add_first(&mut store).unwrap();
    assert!(store.commit(old, 0, vec![add(&state, 2)]).is_err());
    assert_eq!(**store.state(), *state);
}

#[test]
fn a_later_epoch_ends_an_earlier_one_and_leaves_one_mark() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = open(directory.path()).unwrap();
    add_first(&mut first).unwrap();
    let mut second = open(directory.path()).unwrap();
    let error = add_first(&mut first).unwrap_err();
    assert_eq!(error.kind(), crate::error::ErrorKind::Locked, "{error}");
    assert!(!first.is_lost(), "nothing was written");
    let change = add(second.state(), 2);
    commit(&mut second, vec![change]).unwrap();
    let marks = std::fs::read_dir(directory.path().join("catalog")).unwrap().flatten();
    let marks = marks.filter(|f| f.path().extension() == Some("epoch".as_ref()));
    assert_eq!(marks.count(), 1);
}
