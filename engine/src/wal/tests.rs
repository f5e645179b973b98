//! The log against crashes: torn tails, damage in the middle, recycled files.

use std::sync::{Arc, Mutex};

use super::frame::Frame;
use super::recover::{Mode, Recovered, recover};
use super::writer::{Entry, LogWriter};
use crate::events::{Event, Observer};
use crate::tenancy::Tenancy;
use crate::world::{Dice, Files, OsFiles};

#[derive(Debug, Default)]
struct Ear(Mutex<Vec<(u64, u64)>>);

impl Observer for Ear {
    fn observe(&self, event: &Event) {
        if let Event::LogDamaged { missing, .. } = event {
            self.0.lock().unwrap().push(*missing);
        }
    }
}

struct Log {
    directory: tempfile::TempDir,
    files: Arc<dyn Files>,
}

impl Log {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = Arc::new(OsFiles::new(directory.path()));
        Self { directory, files }
    }

    #[expect(clippy::type_complexity, reason = "three plain lists, named by the line above")]
    /// Recovers; returns sequences and payloads read, and what was reported missing.
    fn recover(&self, log_start: u64) -> (Recovered, Vec<(u64, Vec<u8>)>, Vec<(u64, u64)>) {
        let (ear, mut seen) = (Ear::default(), Vec::new());
        let mut visit = |frame: Frame| {
            seen.push((frame.head.sequence, frame.payload.to_vec()));
            Ok(())
        };
        let recovered = recover(&*self.files, &ear, Mode::Repair, log_start, &mut visit).unwrap();
        (recovered, seen, ear.0.into_inner().unwrap())
    }

    fn writer(&self, seed: u64) -> LogWriter {
        let (recovered, ..) = self.recover(0);
        LogWriter::new(Arc::clone(&self.files), Dice::new(seed), recovered, 0)
    }

    fn path(&self, slot: u32) -> std::path::PathBuf {
        self.directory.path().join(super::file_name(slot))
    }
}

/// Commits groups of payloads, one sync each.
fn commit(writer: &mut LogWriter, groups: &[&[&str]]) {
    for group in groups {
        let tenancy = Tenancy::default();
        let entries: Vec<_> = group
            .iter()
            .map(|p| Entry { tenancy: &tenancy, dropped: &[], payload: p.as_bytes() })
            .collect();
        writer.commit(1, &entries).unwrap();
    }
}

fn frames(all: &[&str]) -> Vec<(u64, Vec<u8>)> {
    (1..).zip(all.iter().map(|p| p.as_bytes().to_vec())).collect()
}

#[test]
fn what_was_committed_comes_back_in_order() {
    let log = Log::new();
    commit(&mut log.writer(1), &[&["a", "b"], &["c"]]);
    commit(&mut log.writer(2), &[&["d"]]);
    let (_, seen, missing) = log.recover(0);
    assert_eq!(seen, frames(&["a", "b", "c", "d"]));
    assert_eq!(missing, []);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_never_comes_back() {
    let whole = {
        let log = Log::new();
        commit(&mut log.writer(1), &[&["first"], &["second, torn"]]);
        std::fs::read(log.path(0)).unwrap()
    };
    let second = whole.len() - 72;
    for cut in second..whole.len() - 4 {
        let log = Log::new();
        drop(log.files.open_log(&super::file_name(0)).unwrap());
        std::fs::write(log.path(0), &whole[..cut]).unwrap();
        let mut writer = log.writer(3);
        commit(&mut writer, &[&["third"]]);
        let (_, seen, missing) = log.recover(0);
        assert_eq!(seen, frames(&["first", "third"]), "cut at {cut}");
        assert_eq!(missing, []);
    }
}

#[test]
fn unsynced_frames_behind_a_torn_one_are_dropped() {
    // One group of three; the disk wrote the first and the third, not the second.
    let log = Log::new();
    commit(&mut log.writer(1), &[&["a"], &["b", "c", "d"]]);
    let mut bytes = std::fs::read(log.path(0)).unwrap();
    let frame = 64;
    let start = super::file::FRAMES_AT + 2 * frame;
    bytes[start..start + frame].fill(0);
    std::fs::write(log.path(0), &bytes).unwrap();
    let (_, seen, missing) = log.recover(0);
    assert_eq!(seen, frames(&["a", "b"]));
    assert_eq!(missing, [], "never acknowledged, hence not missed");
}

#[test]
fn damage_below_an_acknowledged_frame_is_named_and_the_rest_is_read() {
    let log = Log::new();
    commit(&mut log.writer(1), &[&["a"], &["b"], &["c"]]);
    let mut bytes = std::fs::read(log.path(0)).unwrap();
    let second = super::file::FRAMES_AT + 64;
    bytes[second + 45] ^= 0x10;
    std::fs::write(log.path(0), &bytes).unwrap();
    let (recovered, seen, missing) = log.recover(0);
    assert_eq!(seen, [(1, b"a".to_vec()), (3, b"c".to_vec())]);
    assert_eq!(missing, [(2, 2)]);
    assert_eq!(recovered.last_sequence, 3);
    assert_eq!(log.files.list("quarantine").unwrap().len(), 1);
    // Where the catalog knows it sealed, nobody misses it.
    let (_, _, missing) = log.recover(3);
    assert_eq!(missing, []);
}

#[test]
fn frames_of_a_recycled_files_earlier_life_are_dead() {
    let log = Log::new();
    let mut writer = log.writer(1);
    commit(&mut writer, &[&["old one"], &["old two"], &["old three"]]);
    writer.trim(4);
    commit(&mut writer, &[&["new"]]);
    assert_eq!(log.files.list("wal").unwrap().len(), 1, "the file was recycled");
    let (_, seen, missing) = log.recover(4);
    assert_eq!(seen, [(4, b"new".to_vec())]);
    assert_eq!(missing, []);
}

#[test]
fn a_lost_file_is_missed() {
    let log = Log::new();
    commit(&mut log.writer(1), &[&["a"]]);
    commit(&mut log.writer(2), &[&["b"]]);
    commit(&mut log.writer(3), &[&["c"]]);
    std::fs::remove_file(log.path(1)).unwrap();
    let (_, seen, missing) = log.recover(0);
    assert_eq!(seen, [(1, b"a".to_vec()), (3, b"c".to_vec())]);
    assert_eq!(missing, [(2, 2)]);
}
