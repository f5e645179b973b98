//! The engine's files on a Unix disk: which calls, in which order, make what [`Files`] promises
//! out of what a [`Disk`] gives. Generic over the disk, so that the same calls in the same order
//! stand a simulated power cut.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::disk::{Access, Disk, DiskFile, Kind};
use super::{Files, LogFile, NewFile, ReadFile};

/// Where drafts live until they are published.
const DRAFTS: &str = "tmp";

/// Files on a disk.
#[derive(Debug)]
pub struct DiskFiles<D> {
    disk: Arc<D>,
    drafts: AtomicU64,
    /// Directories and logs whose names are durable for certain. One that is there already may
    /// have been made by a process that died before it synced, so each is synced once.
    durable: Mutex<BTreeSet<String>>,
}

impl<D: Disk> DiskFiles<D> {
    /// The files of this disk, whose root must exist.
    pub fn over(disk: D) -> Self {
        Self { disk: Arc::new(disk), drafts: AtomicU64::new(0), durable: Mutex::default() }
    }

    /// Makes the directories above `path`, each with a durable name.
    fn make_parents(&self, path: &str) -> io::Result<()> {
        let parent = parent(path);
        if parent.is_empty() || self.durable().contains(parent) {
            return Ok(());
        }
        self.make_parents(parent)?;
        match self.disk.make_directory(parent) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        self.make_durable(parent)
    }

    /// A new draft and its name. A start removes old ones; what is there nevertheless is of a
    /// process that does not know of us, on another host of a network volume.
    fn draft(&self) -> io::Result<(String, D::File)> {
        loop {
            let number = self.drafts.fetch_add(1, Ordering::Relaxed);
            let draft = format!("{DRAFTS}/{number}.draft");
            self.make_parents(&draft)?;
            match self.disk.open(&draft, Access::Fresh) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                opened => return Ok((draft, opened?)),
            }
        }
    }

    /// Makes a name durable.
    fn make_durable(&self, path: &str) -> io::Result<()> {
        self.disk.sync_directory(parent(path))?;
        self.durable().insert(path.to_owned());
        Ok(())
    }

    fn durable(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The directory a path lies in; the root is `""`.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl<D: Disk> Files for DiskFiles<D> {
    fn create(&self, path: &str) -> io::Result<Box<dyn NewFile>> {
        if self.disk.kind(path)?.is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{path} exists")));
        }
        self.make_parents(path)?;
        let (draft, file) = self.draft()?;
        let (disk, target) = (Arc::clone(&self.disk), path.to_owned());
        Ok(Box::new(Draft { disk, file, length: 0, draft, target }))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn ReadFile>> {
        let file = self.disk.open(path, Access::Read)?;
        let length = file.len()?;
        Ok(Arc::new(Published { file, length }))
    }

    fn open_log(&self, path: &str) -> io::Result<Box<dyn LogFile>> {
        self.make_parents(path)?;
        let file = self.disk.open(path, Access::Write)?;
        if !self.durable().contains(path) {
            self.make_durable(path)?;
        }
        Ok(Box::new(Log { file }))
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut open = vec![directory.trim_end_matches('/').to_owned()];
        while let Some(directory) = open.pop() {
            let entries = match self.disk.read_directory(&directory) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            for (name, kind) in entries {
                let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
                match kind {
                    Kind::Directory => open.push(path),
                    Kind::File => found.push(path),
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.durable().remove(path);
        match self.disk.unlink(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        // Also where it is gone already: it may not be gone durably.
        match self.disk.sync_directory(parent(path)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            synced => synced,
        }
    }

    fn free_space(&self) -> io::Result<(u64, u64)> {
        self.disk.free_space()
    }
}

#[derive(Debug)]
struct Draft<D: Disk> {
    disk: Arc<D>,
    file: D::File,
    length: u64,
    draft: String,
    target: String,
}

impl<D: Disk> NewFile for Draft<D> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn publish(self: Box<Self>) -> io::Result<()> {
        self.file.sync()?;
        // A hard link refuses a taken name, where a rename would replace it.
        self.disk.link(&self.draft, &self.target)?;
        let synced = self.disk.sync_directory(parent(&self.target));
        if synced.is_err() {
            // Not published, so it should not be there; where this fails too, the caller knows
            // that the name may be.
            drop(self.disk.unlink(&self.target));
        }
        synced
    }
}

impl<D: Disk> Drop for Draft<D> {
    fn drop(&mut self) {
        // A draft that stays behind is removed at the next start.
        drop(self.disk.unlink(&self.draft));
    }
}

#[derive(Debug)]
struct Published<F> {
    file: F,
    length: u64,
}

impl<F: DiskFile> ReadFile for Published<F> {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_many(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        ranges
            .iter()
            .map(|range| {
                let length =
                    range.end.checked_sub(range.start).filter(|_| range.end <= self.length);
                let Some(length) = length.and_then(|n| usize::try_from(n).ok()) else {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("range {range:?} of a file of {} bytes", self.length),
                    ));
                };
                let mut buffer = vec![0; length];
                self.file.read_exact_at(&mut buffer, range.start)?;
                Ok(Bytes::from(buffer))
            })
            .collect()
    }
}

#[derive(Debug)]
struct Log<F> {
    file: F,
}

impl<F: DiskFile> LogFile for Log<F> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let available = self.len()?.saturating_sub(offset);
        let length = length.min(usize::try_from(available).unwrap_or(usize::MAX));
        let mut buffer = vec![0; length];
        self.file.read_exact_at(&mut buffer, offset)?;
        Ok(buffer)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}
