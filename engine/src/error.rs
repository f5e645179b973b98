//! Errors, sorted by what the caller should do next. Every error names the thing at fault (file,
//! tenant, trace, byte) and its message tells the user what to do. Nothing here knows a protocol:
//! the server maps [`ErrorKind`] to gRPC codes and HTTP statuses in one table.

use std::fmt;
use std::sync::Arc;

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong; sending it again unchanged fails again.
    Invalid,
    /// The request makes sense and is not served; it will fail again with this version.
    Unimplemented,
    /// A named limit is reached (memory, disk); retry after [`Error::retry_after_millis`].
    Exhausted,
    /// A transient fault or a shutdown; retry with backoff.
    Unavailable,
    /// Stored bytes are damaged; the file is named.
    Corrupted,
    /// A file or directory is of a newer format, or of one this build no longer reads.
    Format,
    /// Another process holds the data directory.
    Locked,
    /// The caller cancelled, or its deadline passed.
    Cancelled,
    /// An I/O fault outside the log (permission, missing directory); the path is named.
    Io,
    /// A bug of ours; please report it.
    Internal,
}

/// An engine error: a kind, a message for people, and the cause where there is one.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after_millis: Option<u64>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a message for people.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after_millis: None, source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// The same error with a hint when to retry.
    #[must_use]
    pub fn retry_after(mut self, millis: u64) -> Self {
        self.retry_after_millis = Some(millis);
        self
    }

    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without its cause.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Milliseconds after which a retry makes sense, for [`ErrorKind::Exhausted`] and
    /// [`ErrorKind::Unavailable`].
    pub fn retry_after_millis(&self) -> Option<u64> {
        self.retry_after_millis
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn corrupted(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupted, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// An I/O fault at `path` while doing `what`.
    pub(crate) fn io(what: &str, path: &str, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{what} {path}: {source}")).with_source(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
