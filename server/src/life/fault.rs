//! Why the process cannot start or stop as it should: a message for people and the exit code for
//! scripts. The one place where the engine's error kinds become exit codes.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use spanlake::ErrorKind;

use super::listen::Refused;
use crate::exit::{self, Exit};

/// A start or stop that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What scripts see.
    pub exit: Exit,
    /// What people see.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    /// A fault of the surroundings, exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: exit::FAILED, message: message.into() }
    }

    /// A port that cannot be had.
    pub(super) fn port(refused: &Refused) -> Self {
        let hint = if refused.taken {
            format!("; stop it, or set {} to another port or to off", refused.key)
        } else {
            String::new()
        };
        Self::failed(format!("{}{hint}", refused.message))
    }

    /// The engine does not open `data_dir`.
    pub fn open(data_dir: &Path, error: &spanlake::Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::Locked => exit::LOCKED,
            ErrorKind::Format | ErrorKind::Corrupted => exit::FORMAT,
            _ => exit::FAILED,
        };
        let shown = data_dir.display();
        let message = match hint(data_dir, system_cause(error)) {
            Some(hint) => format!("{error}. {hint}"),
            None => error.to_string(),
        };
        Self { exit, message: format!("cannot open data directory {shown}: {message}") }
    }
}

/// The operating system's error at the bottom of `error`, if there is one.
fn system_cause(error: &spanlake::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if let Some(system) = at.downcast_ref::<io::Error>() {
            return Some(system.kind());
        }
        cause = at.source();
    }
    None
}

/// What mends it, where that is known.
fn hint(data_dir: &Path, cause: Option<io::ErrorKind>) -> Option<String> {
    match cause? {
        io::ErrorKind::PermissionDenied => Some(permission_hint(data_dir)),
        io::ErrorKind::ReadOnlyFilesystem => Some(
            "The file system is read-only: mount a writable volume and name it with --data-dir"
                .to_owned(),
        ),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("The volume is full: free some space or enlarge it".to_owned())
        }
        _ => None,
    }
}

fn permission_hint(data_dir: &Path) -> String {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let at = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let Some((there, owner, mode)) = nearest_existing(&at) else {
        return format!("This process runs as uid {uid}");
    };
    let command = if there == at {
        format!("chown -R {uid}:{gid} {}", at.display())
    } else {
        format!("install -d -o {uid} -g {gid} {}", at.display())
    };
    format!(
        "This process runs as uid {uid}, {} belongs to uid {owner} (mode {:o}); as root: {command}",
        there.display(),
        mode & 0o7777
    )
}

/// The nearest path above `path` (or itself) that exists, with its owner and mode.
fn nearest_existing(path: &Path) -> Option<(PathBuf, u32, u32)> {
    path.ancestors().find_map(|at| {
        let meta = std::fs::metadata(at).ok()?;
        Some((at.to_owned(), meta.uid(), meta.mode()))
    })
}

#[cfg(test)]
mod tests {
    use spanlake::Error;

    use super::*;

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        for (kind, code) in [
            (ErrorKind::Locked, 3),
            (ErrorKind::Format, 4),
            (ErrorKind::Corrupted, 4),
            (ErrorKind::Io, 1),
            (ErrorKind::Unavailable, 1),
        ] {
            let fault = Fault::open(Path::new("/lake"), &Error::new(kind, "why"));
            assert_eq!(fault.exit.code(), code, "{kind:?}");
            assert_eq!(fault.message, "cannot open data directory /lake: why");
        }
    }

    #[test]
    fn a_permission_error_names_uid_owner_and_command() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cause = io::Error::from(io::ErrorKind::PermissionDenied);
        let words = "opening LOCK: Permission denied";
        let error = Error::new(ErrorKind::Io, words).with_source(cause);
        let here = Fault::open(dir.path(), &error).message;
        let uid = rustix::process::geteuid().as_raw();
        assert!(here.contains(&format!("runs as uid {uid}, ")), "{here}");
        assert!(here.contains(&format!("{} belongs to uid {uid}", dir.path().display())), "{here}");
        assert!(here.contains(words) && here.contains("chown -R"), "{here}");
        let below = Fault::open(&dir.path().join("a/b"), &error).message;
        assert!(below.contains("install -d"), "{below}");
    }

    #[test]
    fn a_full_or_read_only_volume_is_named() {
        for (kind, word) in [
            (io::ErrorKind::ReadOnlyFilesystem, "read-only"),
            (io::ErrorKind::StorageFull, "volume is full"),
        ] {
            let error = Error::new(ErrorKind::Io, "x").with_source(io::Error::from(kind));
            let message = Fault::open(Path::new("/lake"), &error).message;
            assert!(message.contains(word), "{message}");
        }
    }
}
