//! The real world: the operating system's files and clocks. The only module that touches the
//! file system or asks the time.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::{Clock, Files, LogFile, NewFile, ReadFile};

/// Where drafts live until they are published.
const DRAFTS: &str = "tmp";

/// A directory of the operating system.
#[derive(Debug)]
pub struct OsFiles {
    root: PathBuf,
    drafts: Arc<AtomicU64>,
}

impl OsFiles {
    /// The directory `root`, which must exist.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), drafts: Arc::default() }
    }

    /// Creates the directories above `path` and makes each new name durable.
    fn make_parents(&self, path: &Path) -> io::Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        if parent.is_dir() {
            return Ok(());
        }
        self.make_parents(parent)?;
        match fs::create_dir(parent) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        sync_directory(parent.parent().unwrap_or(&self.root))
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl Files for OsFiles {
    fn create(&self, path: &str) -> io::Result<Box<dyn NewFile>> {
        let target = self.root.join(path);
        if target.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{path} exists")));
        }
        self.make_parents(&target)?;
        let draft = self.root.join(DRAFTS).join(format!(
            "{}-{}.draft",
            std::process::id(),
            self.drafts.fetch_add(1, Ordering::Relaxed)
        ));
        self.make_parents(&draft)?;
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&draft)?;
        Ok(Box::new(OsDraft { file, draft, target, published: false }))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn ReadFile>> {
        let file = File::open(self.root.join(path))?;
        let length = file.metadata()?.len();
        Ok(Arc::new(OsReadFile { file, length }))
    }

    fn open_log(&self, path: &str) -> io::Result<Box<dyn LogFile>> {
        let path = self.root.join(path);
        let fresh = !path.exists();
        if fresh {
            self.make_parents(&path)?;
        }
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        if fresh {
            file.sync_all()?;
            sync_directory(path.parent().unwrap_or(&self.root))?;
        }
        Ok(Box::new(OsLogFile { file }))
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut open = vec![self.root.join(directory)];
        while let Some(directory) = open.pop() {
            let entries = match fs::read_dir(&directory) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                } else if let Some(name) = path.strip_prefix(&self.root).ok().and_then(Path::to_str)
                {
                    found.push(name.to_owned());
                }
            }
        }
        found.sort();
        Ok(found)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.root.join(path);
        match fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
            Ok(()) => sync_directory(path.parent().unwrap_or(&self.root)),
        }
    }

    fn free_space(&self) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok((stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize))
    }
}

#[derive(Debug)]
struct OsDraft {
    file: File,
    draft: PathBuf,
    target: PathBuf,
    published: bool,
}

impl NewFile for OsDraft {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::Write::write_all(&mut self.file, bytes)
    }

    fn publish(mut self: Box<Self>) -> io::Result<()> {
        self.file.sync_all()?;
        // A hard link refuses a taken name, where a rename would replace it.
        fs::hard_link(&self.draft, &self.target)?;
        self.published = true;
        fs::remove_file(&self.draft)?;
        sync_directory(self.target.parent().unwrap_or(Path::new(".")))
    }
}

impl Drop for OsDraft {
    fn drop(&mut self) {
        if !self.published {
            // A draft that stays behind is removed at the next start.
            drop(fs::remove_file(&self.draft));
        }
    }
}

#[derive(Debug)]
struct OsReadFile {
    file: File,
    length: u64,
}

impl ReadFile for OsReadFile {
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
struct OsLogFile {
    file: File,
}

impl LogFile for OsLogFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
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
        self.file.sync_data()
    }
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
