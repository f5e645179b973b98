//! What a Unix disk offers and no more: [`Disk`], the calls that [`super::DiskFiles`] is made of.
//! A write is durable only after its file was synced, a name only after its directory was; until
//! then a power cut may keep any part of it. Tests stand a disk here that keeps exactly that.

use std::fmt;
use std::io;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For reading; it must be there.
    Read,
    /// For reading and writing, made where it is missing.
    Write,
    /// For writing, new; [`io::ErrorKind::AlreadyExists`] where it is there.
    Fresh,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// Names and files below a root. Paths are relative to it, `/`-separated; the root is `""`.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;

    /// Opens a file.
    ///
    /// # Errors
    /// The system's.
    fn open(&self, path: &str, access: Access) -> io::Result<Self::File>;

    /// What stands under a name, `None` where nothing does.
    ///
    /// # Errors
    /// The system's.
    fn kind(&self, path: &str) -> io::Result<Option<Kind>>;

    /// Makes a directory below one that is there.
    ///
    /// # Errors
    /// The system's, [`io::ErrorKind::AlreadyExists`] where the name is taken.
    fn make_directory(&self, path: &str) -> io::Result<()>;

    /// The names in a directory, in no order.
    ///
    /// # Errors
    /// The system's.
    fn read_directory(&self, path: &str) -> io::Result<Vec<(String, Kind)>>;

    /// Gives a file a second name.
    ///
    /// # Errors
    /// The system's, [`io::ErrorKind::AlreadyExists`] where the name is taken.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a name away; the file goes with its last name and its last handle.
    ///
    /// # Errors
    /// The system's.
    fn unlink(&self, path: &str) -> io::Result<()>;

    /// Makes the names in a directory durable, and the lack of those that were taken away.
    ///
    /// # Errors
    /// The system's.
    fn sync_directory(&self, path: &str) -> io::Result<()>;

    /// Bytes free for us, and the size of the volume.
    ///
    /// # Errors
    /// The system's.
    fn free_space(&self) -> io::Result<(u64, u64)>;
}

/// An open file of a [`Disk`].
#[expect(clippy::len_without_is_empty, reason = "nobody asks whether a file is empty")]
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// Its length in bytes.
    ///
    /// # Errors
    /// The system's.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// The system's, [`io::ErrorKind::UnexpectedEof`] past the end.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// The system's; how much was written is then unknown.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts or stretches the file.
    ///
    /// # Errors
    /// The system's.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Makes contents and length durable (`fdatasync`); the name is its directory's.
    ///
    /// # Errors
    /// The system's. Earlier writes may be lost then, and a later success does not bring them
    /// back.
    fn sync(&self) -> io::Result<()>;
}
