//! The embedded catalog on disk: `catalog/<version>.jsonl`, one line a record,
//! `<crc32c of the JSON, 8 hex digits> <JSON>`. The first line is a checkpoint (the whole state),
//! each further line one edit; a commit is one appended, synced line. When the edits outgrow the
//! checkpoint a new file is published and the old one removed. A tired person can read it with
//! `less`. A torn last line was never committed and is cut; damage anywhere else is an error. A
//! last line that is whole may have been read from the kernel's memory alone: it is written again
//! and synced before it is trusted.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::edit::{Change, Edit};
use super::epoch::Epoch;
use super::state::CatalogState;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::CATALOG;
use crate::limits::CATALOG_EDIT_BYTES;
use crate::world::{Files, LogFile, is_full};

const DIRECTORY: &str = "catalog";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    catalog_format: u32,
    state: CatalogState,
}

/// Reads the newest catalog without changing anything; `None` where there is none. The flag says
/// whether a torn last line, never committed, stands at its end.
///
/// # Errors
/// `Corrupted` for damage, `Format` for records of a newer build, `Io`.
pub(crate) fn inspect(files: &dyn Files) -> Result<Option<(CatalogState, bool)>> {
    let names = files.list(DIRECTORY).map_err(|e| Error::io("listing", DIRECTORY, e))?;
    let Some(name) = names.into_iter().rfind(|n| n.ends_with(".jsonl")) else { return Ok(None) };
    let read = || {
        let file = files.open(&name)?;
        file.read_many(std::slice::from_ref(&(0..file.len())))
    };
    let bytes = read().map_err(|e| Error::io("reading", &name, e))?;
    let bytes = bytes.first().cloned().unwrap_or_default();
    let loaded = parse(&bytes, &name)?;
    Ok(Some((loaded.state, loaded.good < bytes.len())))
}

/// The catalog's only writer.
pub(crate) struct CatalogStore {
    files: Arc<dyn Files>,
    epoch: Epoch,
    state: Arc<CatalogState>,
    name: String,
    log: Box<dyn LogFile>,
    length: u64,
    checkpoint_length: u64,
    /// Bytes of edits before a new checkpoint is worth writing.
    edit_bytes: u64,
    /// Set while a commit is under way: left early, what the next start reads is unknown and
    /// nothing more is committed.
    armed: bool,
}

fn file_name(version: u64) -> String {
    format!("{DIRECTORY}/{version:020}.jsonl")
}

fn line(record: &impl Serialize) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(record)
        .map_err(|e| Error::internal("a catalog record has no JSON form").with_source(e))?;
    let mut out = format!("{:08x} ", crc32c::crc32c(&json)).into_bytes();
    out.extend_from_slice(&json);
    out.push(b'\n');
    Ok(out)
}

/// The JSON of a line whose checksum holds.
fn intact(line: &[u8]) -> Option<&[u8]> {
    let (crc, json) = (line.get(..8)?, line.get(9..)?);
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    (line.get(8) == Some(&b' ') && crc32c::crc32c(json) == crc).then_some(json)
}

/// A record of an intact line; what this build does not know was written by a newer one.
fn record<T: DeserializeOwned>(json: &[u8], file: &str, number: usize) -> Result<T> {
    serde_json::from_slice(json).map_err(|e| {
        Error::new(
            ErrorKind::Format,
            format!(
                "{file} line {number} was written by a newer spanlake ({e}); this build reads \
                 catalog format {CATALOG}: run the newer build"
            ),
        )
        .with_source(e)
    })
}

impl CatalogStore {
    /// Claims the next epoch, then loads the catalog, or creates it with `fresh` where there is
    /// none.
    ///
    /// # Errors
    /// `Corrupted` for damage, `Format` for records of a newer build, `Locked`, `Io`.
    pub(crate) fn open(
        files: Arc<dyn Files>,
        fresh: impl FnOnce() -> CatalogState,
    ) -> Result<Self> {
        // What is damaged or of a newer build is refused before anything is changed.
        inspect(&*files)?;
        // Before the load that counts: whoever had it commits nothing that we do not load.
        let epoch = Epoch::claim(&files)?;
        let names = files.list(DIRECTORY).map_err(|e| Error::io("listing", DIRECTORY, e))?;
        let mut names: Vec<_> = names.into_iter().filter(|n| n.ends_with(".jsonl")).collect();
        let Some(newest) = names.pop() else {
            return Self::create(files, epoch, fresh());
        };
        let store = Self::load(files, epoch, newest)?;
        // Older files are left behind by a crash between publishing a checkpoint and removing
        // what it replaced.
        for old in names {
            store.files.remove(&old).map_err(|e| Error::io("removing", &old, e))?;
        }
        Ok(store)
    }

    fn create(files: Arc<dyn Files>, epoch: Epoch, state: CatalogState) -> Result<Self> {
        let (name, length) = write_checkpoint(&*files, &state)?;
        let log = open_log(&*files, &name)?;
        let state = Arc::new(state);
        Ok(Self {
            files,
            epoch,
            state,
            name,
            log,
            length,
            checkpoint_length: length,
            edit_bytes: CATALOG_EDIT_BYTES,
            armed: false,
        })
    }

    fn load(files: Arc<dyn Files>, epoch: Epoch, name: String) -> Result<Self> {
        let io = |what: &str, e| Error::io(what, &name, e);
        let mut log = open_log(&*files, &name)?;
        let length = log.len().map_err(|e| io("measuring", e))?;
        let bytes = log
            .read_at(0, usize::try_from(length).unwrap_or(usize::MAX))
            .map_err(|e| io("reading", e))?;
        let loaded = parse(&bytes, &name)?;
        if loaded.good < bytes.len() {
            log.truncate(loaded.good as u64).map_err(|e| io("cutting the torn end of", e))?;
        }
        // A checkpoint was durable before it had its name; an edit is what a dead process may
        // have written and not synced.
        if let Some(edit) = bytes.get(loaded.last..loaded.good).filter(|_| loaded.last > 0) {
            log.write_at(loaded.last as u64, edit).map_err(|e| io("writing again", e))?;
        }
        log.sync().map_err(|e| io("syncing", e))?;
        Ok(Self {
            files,
            epoch,
            state: Arc::new(loaded.state),
            length: loaded.good as u64,
            checkpoint_length: loaded.checkpoint as u64,
            name,
            log,
            edit_bytes: CATALOG_EDIT_BYTES,
            armed: false,
        })
    }

    /// The same with checkpoints after so many bytes of edits.
    pub(crate) fn with_edit_bytes(self, edit_bytes: u64) -> Self {
        Self { edit_bytes, ..self }
    }

    /// The current state.
    pub(crate) fn state(&self) -> &Arc<CatalogState> {
        &self.state
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.length
    }

    /// True once nothing more can be committed: the file's tail is unknown.
    pub(crate) fn is_lost(&self) -> bool {
        self.armed
    }

    /// # Errors
    /// `Locked` where another process has taken over; `Io`.
    pub(crate) fn check_epoch(&self) -> Result<()> {
        self.epoch.check()
    }

    /// Commits changes made from version `expected`: durable when it returns.
    ///
    /// # Errors
    /// `Internal` on a version conflict or an edit that does not fit, `Locked` where another
    /// process has taken over, `Io` where the disk is full: nothing happened then. `Io` with
    /// [`CatalogStore::is_lost`] when the edit could not be made durable: the store must be
    /// reopened.
    pub(crate) fn commit(
        &mut self,
        expected: u64,
        at: u64,
        changes: Vec<Change>,
    ) -> Result<Arc<CatalogState>> {
        self.check()?;
        self.check_epoch()?;
        let edit = Edit { version: expected + 1, at, changes };
        let next = Arc::new(self.state.apply(&edit)?);
        let line = line(&edit)?;
        self.armed = true;
        if let Err(error) = self.log.write_at(self.length, &line) {
            // A full disk takes no more, but it lets go of what it took.
            if is_full(&error) {
                let undone = self.log.truncate(self.length).and_then(|()| self.log.sync());
                self.armed = undone.is_err();
            }
            return Err(Error::io("writing the catalog", &self.name, error));
        }
        self.log.sync().map_err(|e| Error::io("writing the catalog", &self.name, e))?;
        self.armed = false;
        self.length += line.len() as u64;
        self.state = Arc::clone(&next);
        if self.length - self.checkpoint_length > self.edit_bytes.max(self.checkpoint_length) {
            self.checkpoint();
        }
        Ok(next)
    }

    /// Whether anything can be committed.
    ///
    /// # Errors
    /// `Unavailable` once what the next start reads is unknown.
    pub(crate) fn check(&self) -> Result<()> {
        match self.armed {
            false => Ok(()),
            true => Err(Error::new(
                ErrorKind::Unavailable,
                format!("{} could not be written earlier; restart to recover", self.name),
            )),
        }
    }

    /// Moves to a new file that begins with the present state. The edits are durable already, so
    /// a failure here loses nothing; it is tried again at a later commit. But what was begun must
    /// be gone: a start reads the newest file alone, and would miss what the old one gets.
    fn checkpoint(&mut self) {
        let moved = write_checkpoint(&*self.files, &self.state)
            .and_then(|(name, length)| Ok((open_log(&*self.files, &name)?, name, length)));
        match moved {
            Ok((log, name, length)) => {
                let old = std::mem::replace(&mut self.name, name);
                self.log = log;
                (self.length, self.checkpoint_length) = (length, length);
                // One that stays behind is removed at the next start.
                drop(self.files.remove(&old));
            }
            Err(_) => {
                let begun = file_name(self.state.version);
                self.armed = self.files.remove(&begun).is_err();
            }
        }
    }
}

fn open_log(files: &dyn Files, name: &str) -> Result<Box<dyn LogFile>> {
    files.open_log(name).map_err(|e| Error::io("opening", name, e))
}

fn write_checkpoint(files: &dyn Files, state: &CatalogState) -> Result<(String, u64)> {
    let name = file_name(state.version);
    let line = line(&Checkpoint { catalog_format: CATALOG, state: state.clone() })?;
    let write = || {
        let mut file = files.create(&name)?;
        file.append(&line)?;
        file.publish()
    };
    write().map_err(|e| Error::io("writing", &name, e))?;
    Ok((name, line.len() as u64))
}

/// True for a last line whose write was cut short: its end is missing, or sectors of it, which
/// read as zeros. Any other that does not verify was whole once, and trusted.
fn is_torn(line: &[u8]) -> bool {
    let zeros = line.iter().filter(|&&byte| byte == 0).count();
    // One zero alone may be a flipped bit, but not where a sector's last byte begins the line.
    !line.ends_with(b"\n") || line.first() == Some(&0) || zeros > 1
}

struct Loaded {
    state: CatalogState,
    /// Where the last good line begins.
    last: usize,
    /// Bytes up to its end.
    good: usize,
    /// Bytes of the first line.
    checkpoint: usize,
}

fn parse(bytes: &[u8], name: &str) -> Result<Loaded> {
    let damaged = |number: usize| {
        Error::corrupted(format!(
            "{name} line {number} is damaged (its checksum does not hold); restore the data \
             directory from a snapshot, or move {name} aside to keep what the log holds"
        ))
    };
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
    let mut loaded: Option<Loaded> = None;
    for (index, raw) in lines.iter().enumerate() {
        let number = index + 1;
        let json = raw.strip_suffix(b"\n").and_then(intact);
        let Some(json) = json else {
            match loaded {
                // The last line was being written when the lights went out.
                Some(loaded) if number == lines.len() && is_torn(raw) => return Ok(loaded),
                _ => return Err(damaged(number)),
            }
        };
        loaded = Some(match loaded {
            None => {
                let checkpoint: Checkpoint = record(json, name, number)?;
                if checkpoint.catalog_format != CATALOG {
                    return Err(Error::new(
                        ErrorKind::Format,
                        format!(
                            "{name} has catalog format {}, this build reads {CATALOG}: run a newer \
                             spanlake",
                            checkpoint.catalog_format
                        ),
                    ));
                }
                Loaded { state: checkpoint.state, last: 0, good: raw.len(), checkpoint: raw.len() }
            }
            Some(loaded) => {
                let edit: Edit = record(json, name, number)?;
                let state = loaded.state.apply(&edit).map_err(|_| damaged(number))?;
                Loaded { state, last: loaded.good, good: loaded.good + raw.len(), ..loaded }
            }
        });
    }
    loaded.ok_or_else(|| damaged(1))
}
