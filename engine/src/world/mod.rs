//! The one door to the world: files, clock and seed. Everything the engine reads, writes or asks
//! of the machine goes through [`World`], so that tests can tear writes, fail syncs, fill the
//! disk and turn the clock, and so that an object store can stand behind [`Files`] later. Paths
//! are relative to the data directory, `/`-separated. A published name is never renamed,
//! and its contents never change but for two kinds of file opened with [`Files::open_log`]: log
//! files, overwritten in place by the log, and the catalog's one file, appended to by the catalog.

mod directory;
mod disk;
mod os;

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

pub use directory::DiskFiles;
pub use disk::{Access, Disk, DiskFile, Kind};
pub use os::{OsDisk, OsFiles, SystemClock};

/// Files below the data directory.
pub trait Files: fmt::Debug + Send + Sync + 'static {
    /// Starts a new file. Nothing is visible under `path` before
    /// [`NewFile::publish`]; dropping the draft leaves nothing.
    ///
    /// # Errors
    /// The system's, for instance a full disk.
    fn create(&self, path: &str) -> io::Result<Box<dyn NewFile>>;

    /// Opens a published file for reading; it stays readable while the handle lives.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is none.
    fn open(&self, path: &str) -> io::Result<Arc<dyn ReadFile>>;

    /// Opens a log file for reading and writing in place, creating it (durably, name included)
    /// where it does not exist.
    ///
    /// # Errors
    /// The system's.
    fn open_log(&self, path: &str) -> io::Result<Box<dyn LogFile>>;

    /// All files below a directory, as paths, sorted; empty where there is no such directory.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;

    /// Removes a file, durably; succeeds where it is already gone.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Bytes free for us on the volume, and its size.
    ///
    /// # Errors
    /// The system's.
    fn free_space(&self) -> io::Result<(u64, u64)>;
}

/// A file being written, front to back.
pub trait NewFile: fmt::Debug + Send {
    /// Appends; all or nothing for the caller, who drops the draft after an error.
    ///
    /// # Errors
    /// The system's.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes contents and name durable; from here on the file never changes. Fails with
    /// [`io::ErrorKind::AlreadyExists`] where the name is taken.
    ///
    /// # Errors
    /// The system's. The name may stand there then.
    fn publish(self: Box<Self>) -> io::Result<()>;
}

/// An immutable file.
pub trait ReadFile: fmt::Debug + Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// True where it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These ranges, in this order; a range past the end is an error.
    ///
    /// # Errors
    /// The system's, [`io::ErrorKind::UnexpectedEof`] past the end.
    fn read_many(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>>;
}

/// A log file: written in place, recycled, never published.
#[expect(clippy::len_without_is_empty, reason = "nobody asks whether a log file is empty")]
pub trait LogFile: fmt::Debug + Send {
    /// Its length in bytes.
    ///
    /// # Errors
    /// The system's.
    fn len(&self) -> io::Result<u64>;

    /// Reads up to `length` bytes from `offset`; fewer at the end.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// The system's; how much was written is then unknown.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to `length`.
    ///
    /// # Errors
    /// The system's.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Makes every earlier write durable (`fdatasync`).
    ///
    /// # Errors
    /// The system's. After an error nothing may be assumed about earlier writes: never retry.
    fn sync(&mut self) -> io::Result<()>;
}

/// True for the errors of a volume or quota that has no room left; freeing some mends them.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Nanoseconds since 1970, as the wall shows it.
    fn now(&self) -> u64;

    /// Nanoseconds that only ever grow.
    fn monotonic(&self) -> u64;
}

/// Files, clock and seed, handed to [`crate::Store::open_in`].
#[derive(Debug, Clone)]
pub struct World {
    /// The data directory.
    pub files: Arc<dyn Files>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where salts and writer ids come from; the same seed gives the same choices.
    pub seed: u64,
}

/// A small seeded generator (SplitMix64, Steele et al. 2014): salts need to differ, not to be
/// secret.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
