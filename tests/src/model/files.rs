//! A data directory in memory that can go wrong: writes without sync may be lost or torn at a
//! crash, syncs may fail, the disk may be full or read-only. It flows into the engine through
//! `spanlake::world::Files`; crash images flow out. Being memory, it also makes the property
//! tests quick.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use spanlake::world::{Clock, Files, LogFile, NewFile, ReadFile, World};

use super::dice::Dice;

/// One change to a log file that no sync has covered yet.
#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                let end = *offset as usize + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset as usize..end].copy_from_slice(data);
            }
            Self::Truncate(length) => bytes.resize(*length as usize, 0),
        }
    }
}

/// A log file; its handles outlive its name.
type Inode = Arc<Mutex<Log>>;

/// A log: what the disk surely holds, what it may hold, and what readers see.
#[derive(Debug, Clone, Default)]
struct Log {
    durable: Vec<u8>,
    pending: Vec<Change>,
    seen: Vec<u8>,
}

/// What goes wrong from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every log sync fails with EIO.
    SyncFails,
    /// Every log write fails with EIO.
    WriteFails,
    /// Everything that needs space fails with ENOSPC.
    DiskFull,
    /// Every change fails with EROFS.
    ReadOnly,
    /// Reading a published file fails with EIO.
    ReadFails,
    /// No file can be made, so no seal succeeds; the log goes on.
    CreateFails,
}

#[derive(Debug, Default)]
struct Disk {
    published: BTreeMap<String, Bytes>,
    logs: BTreeMap<String, Inode>,
    faults: Vec<Fault>,
    /// Bytes of the volume, and of what others keep on it; without end where there is none.
    volume: Option<(u64, u64)>,
    /// Takes a crash image when so many changes have been made.
    crash_at: Option<u64>,
    image: Option<Image>,
}

/// A disk at one moment, and what the test's counters said then.
#[derive(Debug)]
struct Image {
    published: BTreeMap<String, Bytes>,
    logs: BTreeMap<String, Log>,
    acked: u64,
    submitted: u64,
}

/// The directory; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemFiles {
    disk: Arc<Mutex<Disk>>,
    changes: Arc<AtomicU64>,
    /// Batches acknowledged so far; the test counts.
    pub acked: Arc<AtomicU64>,
    /// Batches handed in so far; the test counts.
    pub submitted: Arc<AtomicU64>,
}

fn open(inode: &Inode) -> MutexGuard<'_, Log> {
    inode.lock().unwrap_or_else(PoisonError::into_inner)
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

impl MemFiles {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// A world on this directory, with the machine's clocks.
    pub fn world(&self, seed: u64) -> World {
        let clock: Arc<dyn Clock> = Arc::new(spanlake::world::SystemClock::new());
        World { files: Arc::new(self.clone()), clock, seed }
    }

    /// Starts a fault.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }

    /// Changes made so far.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Asks for a crash image after `n` more changes.
    pub fn crash_after(&self, n: u64) {
        self.lock().crash_at = Some(self.changes() + n);
    }

    /// The crash image, if its moment has come: what a machine that lost power then might find,
    /// with the batches acknowledged and submitted by then.
    pub fn crash_image(&self, dice: &mut Dice) -> Option<(MemFiles, u64, u64)> {
        let image = self.lock().image.take()?;
        let (acked, submitted) = (image.acked, image.submitted);
        Some((after_power_loss(image, dice), acked, submitted))
    }

    /// The directory after a loss of power at this moment.
    pub fn crash_now(&self, dice: &mut Dice) -> MemFiles {
        let image = self.image(&self.lock());
        after_power_loss(image, dice)
    }

    /// The directory after the process, but not the machine, died at this moment.
    pub fn killed_now(&self) -> MemFiles {
        let mut image = self.image(&self.lock());
        for log in image.logs.values_mut() {
            log.durable.clone_from(&log.seen);
            log.pending.clear();
        }
        restored(image)
    }

    /// Names of all files.
    pub fn names(&self) -> Vec<String> {
        let disk = self.lock();
        disk.published.keys().chain(disk.logs.keys()).cloned().collect()
    }

    /// Changes a file's bytes, as a vandal or a bad disk would.
    pub fn spoil(&self, path: &str, spoil: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.lock();
        if let Some(inode) = disk.logs.get(path) {
            let mut log = open(inode);
            spoil(&mut log.seen);
            log.durable = log.seen.clone();
            log.pending.clear();
        } else if let Some(bytes) = disk.published.get_mut(path) {
            let mut changed = bytes.to_vec();
            spoil(&mut changed);
            *bytes = changed.into();
        }
    }

    /// The length of a file.
    pub fn size(&self, path: &str) -> usize {
        let disk = self.lock();
        let log = disk.logs.get(path).map(|inode| open(inode).seen.len());
        log.or_else(|| disk.published.get(path).map(Bytes::len)).unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn image(&self, disk: &Disk) -> Image {
        Image {
            published: disk.published.clone(),
            logs: disk.logs.iter().map(|(name, log)| (name.clone(), open(log).clone())).collect(),
            acked: self.acked.load(Ordering::SeqCst),
            submitted: self.submitted.load(Ordering::SeqCst),
        }
    }

    /// Gives the volume an end: its size, and what others keep on it.
    pub fn set_volume(&self, size: u64, others: u64) {
        self.lock().volume = Some((size, others));
    }

    /// Counts a change **before** it happens and takes the crash image when it is due.
    fn change(&self, disk: &mut Disk, needs: Fault) -> io::Result<()> {
        let n = self.changes.fetch_add(1, Ordering::SeqCst);
        if disk.crash_at.is_some_and(|at| n >= at) {
            disk.crash_at = None;
            disk.image = Some(self.image(disk));
        }
        for fault in &disk.faults {
            match fault {
                Fault::ReadOnly => return Err(errno(EROFS)),
                Fault::DiskFull if needs == Fault::DiskFull || needs == Fault::WriteFails => {
                    return Err(errno(ENOSPC));
                }
                fault if *fault == needs => return Err(errno(EIO)),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Disk {
    /// Bytes free and in all.
    fn room(&self) -> (u64, u64) {
        let Some((size, others)) = self.volume else { return (1 << 40, 1 << 41) };
        let published: u64 = self.published.values().map(|bytes| bytes.len() as u64).sum();
        let logs: u64 = self.logs.values().map(|log| open(log).seen.len() as u64).sum();
        (size.saturating_sub(others + published + logs), size)
    }

    fn needs_room(&self, bytes: usize) -> io::Result<()> {
        if bytes as u64 <= self.room().0 { Ok(()) } else { Err(errno(ENOSPC)) }
    }
}

/// Each change no sync covered may be there, gone, or (a write) half there.
fn after_power_loss(mut image: Image, dice: &mut Dice) -> MemFiles {
    for log in image.logs.values_mut() {
        for change in std::mem::take(&mut log.pending) {
            match (dice.below(3), change) {
                (0, _) => {}
                (1, Change::Write(offset, data)) if !data.is_empty() => {
                    let from = dice.below(data.len());
                    let to = dice.between(from, data.len());
                    let torn = Change::Write(offset + from as u64, data[from..to].to_vec());
                    torn.apply(&mut log.durable);
                }
                (_, change) => change.apply(&mut log.durable),
            }
        }
        log.seen.clone_from(&log.durable);
    }
    restored(image)
}

fn restored(image: Image) -> MemFiles {
    let logs = image.logs.into_iter().map(|(name, mut log)| {
        log.seen.clone_from(&log.durable);
        log.pending.clear();
        (name, Arc::new(Mutex::new(log)))
    });
    let logs = logs.collect();
    let disk = Disk { published: image.published, logs, ..Disk::default() };
    MemFiles { disk: Arc::new(Mutex::new(disk)), ..MemFiles::default() }
}

impl Files for MemFiles {
    fn create(&self, path: &str) -> io::Result<Box<dyn NewFile>> {
        let mut disk = self.lock();
        self.change(&mut disk, Fault::DiskFull)?;
        if disk.faults.contains(&Fault::CreateFails) {
            return Err(errno(EIO));
        }
        if disk.published.contains_key(path) || disk.logs.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Box::new(Draft { files: self.clone(), path: path.to_owned(), bytes: Vec::new() }))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn ReadFile>> {
        let disk = self.lock();
        if let Some(bytes) = disk.published.get(path) {
            return Ok(Arc::new(Reader { files: self.clone(), bytes: bytes.clone() }));
        }
        match disk.logs.get(path) {
            Some(log) => {
                let bytes = open(log).seen.clone().into();
                Ok(Arc::new(Reader { files: self.clone(), bytes }))
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn open_log(&self, path: &str) -> io::Result<Box<dyn LogFile>> {
        let mut disk = self.lock();
        if let Some(inode) = disk.logs.get(path) {
            return Ok(Box::new(LogHandle { files: self.clone(), inode: inode.clone() }));
        }
        self.change(&mut disk, Fault::DiskFull)?;
        // A published file that is opened as a log (the catalog's) goes on from its bytes.
        let bytes = disk.published.remove(path).map(|b| b.to_vec()).unwrap_or_default();
        let log = Log { durable: bytes.clone(), pending: Vec::new(), seen: bytes };
        let inode = Arc::new(Mutex::new(log));
        disk.logs.insert(path.to_owned(), inode.clone());
        Ok(Box::new(LogHandle { files: self.clone(), inode }))
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let disk = self.lock();
        let directory = directory.trim_end_matches('/');
        let below = |name: &&String| {
            directory.is_empty()
                || name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
        };
        let mut names: Vec<String> =
            disk.published.keys().chain(disk.logs.keys()).filter(below).cloned().collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut disk = self.lock();
        // Removing needs no space; only a read-only disk refuses it.
        self.change(&mut disk, Fault::ReadOnly)?;
        disk.published.remove(path);
        disk.logs.remove(path);
        Ok(())
    }

    fn free_space(&self) -> io::Result<(u64, u64)> {
        Ok(self.lock().room())
    }
}

#[derive(Debug)]
struct Draft {
    files: MemFiles,
    path: String,
    bytes: Vec<u8>,
}

impl NewFile for Draft {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.files.lock();
        self.files.change(&mut disk, Fault::DiskFull)?;
        disk.needs_room(self.bytes.len() + bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn publish(self: Box<Self>) -> io::Result<()> {
        let mut disk = self.files.lock();
        self.files.change(&mut disk, Fault::DiskFull)?;
        if disk.published.contains_key(&self.path) || disk.logs.contains_key(&self.path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.published.insert(self.path.clone(), Bytes::from(self.bytes.clone()));
        Ok(())
    }
}

#[derive(Debug)]
struct Reader {
    files: MemFiles,
    bytes: Bytes,
}

impl ReadFile for Reader {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_many(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        if self.files.lock().faults.contains(&Fault::ReadFails) {
            return Err(errno(EIO));
        }
        let read = |range: &Range<u64>| {
            let range = range.start as usize..range.end as usize;
            let inside = range.start <= range.end && range.end <= self.bytes.len();
            inside.then(|| self.bytes.slice(range)).ok_or(io::ErrorKind::UnexpectedEof.into())
        };
        ranges.iter().map(read).collect()
    }
}

#[derive(Debug)]
struct LogHandle {
    files: MemFiles,
    inode: Inode,
}

impl LogHandle {
    fn apply(&mut self, change: Change) -> io::Result<()> {
        // The disk stays locked, so that no crash image is taken in between.
        let mut disk = self.files.lock();
        // Cutting a file needs no space.
        let needs = match change {
            Change::Write(..) => Fault::WriteFails,
            Change::Truncate(_) => Fault::SyncFails,
        };
        self.files.change(&mut disk, needs)?;
        if let Change::Write(offset, data) = &change {
            let length = open(&self.inode).seen.len();
            disk.needs_room((*offset as usize + data.len()).saturating_sub(length))?;
        }
        let mut log = open(&self.inode);
        change.apply(&mut log.seen);
        log.pending.push(change);
        Ok(())
    }
}

impl LogFile for LogHandle {
    fn len(&self) -> io::Result<u64> {
        Ok(open(&self.inode).seen.len() as u64)
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let log = open(&self.inode);
        let from = (offset as usize).min(log.seen.len());
        let to = from.saturating_add(length).min(log.seen.len());
        Ok(log.seen[from..to].to_vec())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.apply(Change::Write(offset, bytes.to_vec()))
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.apply(Change::Truncate(length))
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.files.lock();
        self.files.change(&mut disk, Fault::SyncFails)?;
        let mut log = open(&self.inode);
        for change in std::mem::take(&mut log.pending) {
            change.apply(&mut log.durable);
        }
        Ok(())
    }
}
