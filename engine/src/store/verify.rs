//! Verifying a data directory at rest: every checksum, every segment against the catalog, every
//! frame of the log. Changes nothing; needs the directory's lock, so no server may run on it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::directory;
use crate::catalog::store::inspect;
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Event, Observer};
use crate::segment::DictionaryCache;
use crate::view::LiveSegment;
use crate::wal::recover::{Mode, recover};

/// Decoded dictionaries kept while one segment is read.
const CACHE_BYTES: usize = 16 << 20;

/// Something wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the data directory.
    pub file: String,
    /// What is wrong and what is lost.
    pub problem: String,
}

/// What a verification read and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Segments read.
    pub segments: u64,
    /// Spans in them.
    pub spans: u64,
    /// Log frames read.
    pub frames: u64,
    /// What is wrong; empty where all is sound.
    pub findings: Vec<Finding>,
}

/// Turns log damage into findings.
#[derive(Debug, Default)]
struct Listener(Mutex<Vec<Finding>>);

impl Observer for Listener {
    fn observe(&self, event: &Event) {
        if let Event::LogDamaged { file, offset, missing: (first, last), .. } = event {
            let problem = format!(
                "acknowledged frames {first} to {last} cannot be read at byte {offset}; their \
                 spans are lost unless a snapshot has them"
            );
            let finding = Finding { file: file.clone(), problem };
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(finding);
        }
    }
}

/// Checks everything in the data directory at `path`.
///
/// # Errors
/// [`Locked`](ErrorKind::Locked) while a process has it open, [`Format`](ErrorKind::Format) for
/// one of a newer build, [`Io`](ErrorKind::Io); damage is no error but a finding.
pub fn verify(path: impl AsRef<Path>) -> Result<VerifyReport> {
    let path = path.as_ref();
    let (world, _lock) = directory::open_existing(path)?;
    let files = &world.files;
    if files.open("FORMAT").is_err() {
        return Err(Error::new(
            ErrorKind::Format,
            format!("{} has no FORMAT file: it is no spanlake data directory", path.display()),
        ));
    }
    super::open::check_format(&**files)?;
    let mut report = VerifyReport::default();
    let state = match inspect(&**files) {
        Ok(found) => found.map(|(state, _)| state),
        Err(error) if error.kind() == ErrorKind::Corrupted => {
            let problem = error.to_string();
            report.findings.push(Finding { file: "catalog".into(), problem });
            None
        }
        Err(error) => return Err(error),
    };
    let cache = Arc::new(DictionaryCache::new(CACHE_BYTES));
    for entry in state.iter().flat_map(|s| s.segments.values()) {
        let checked =
            LiveSegment::open(files, entry.clone(), &cache).and_then(|s| s.segment.verify());
        match checked {
            Ok(()) => {
                report.segments += 1;
                report.spans += entry.facts.spans;
            }
            Err(error) => report.findings.push(Finding {
                file: entry.name.clone(),
                problem: format!("{error}; its {} spans are at stake", entry.facts.spans),
            }),
        }
    }
    let log_start = state.map_or(0, |s| s.own().log_start);
    let listener = Listener::default();
    let mut frames = 0;
    let mut visit = |_| {
        frames += 1;
        Ok(())
    };
    recover(&**files, &listener, Mode::Inspect, log_start, &mut visit)?;
    report.frames = frames;
    let damaged = listener.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    report.findings.extend(damaged);
    Ok(report)
}
