//! The data directory as the operating system sees it: made where it is missing, locked by the
//! kernel while it is open, so that no lock is ever stale after a kill.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::events::{Deaf, Event, Observer};
use crate::world::{Clock, OsFiles, SystemClock, World};

const LOCK_FILE: &str = "LOCK";

/// Holds the directory; dropping it releases it.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Makes, locks and opens the directory.
pub(super) fn open(
    path: &Path,
    lock_timeout: u64,
    observer: &dyn Observer,
) -> Result<(World, Lock)> {
    fs::create_dir_all(path).map_err(|e| unusable(path, "creating", e))?;
    let clock = SystemClock::new();
    let lock = lock(path, &clock, lock_timeout, observer)?;
    let seed = clock.now() ^ u64::from(std::process::id()).rotate_left(32);
    Ok((World { files: Arc::new(OsFiles::new(path)), clock: Arc::new(clock), seed }, lock))
}

/// Locks and opens a directory that must be there.
pub(super) fn open_existing(path: &Path) -> Result<(World, Lock)> {
    if !path.is_dir() {
        return Err(Error::new(
            ErrorKind::Io,
            format!("{} is no directory: name a data directory", path.display()),
        ));
    }
    open(path, 0, &Deaf)
}

fn lock(path: &Path, clock: &dyn Clock, timeout: u64, observer: &dyn Observer) -> Result<Lock> {
    let name = path.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&name)
        .map_err(|e| unusable(path, "opening the lock of", e))?;
    let began = clock.monotonic();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if clock.monotonic() - began < timeout => {
                if !std::mem::replace(&mut told, true) {
                    observer.observe(&Event::Waiting { holder: holder(&mut file), timeout });
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(TryLockError::WouldBlock) => return Err(held(path, &mut file)),
            Err(TryLockError::Error(e)) => return Err(unusable(path, "locking", e)),
        }
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let text = format!("host {host} pid {} since {}\n", std::process::id(), timestamp(clock.now()));
    // On a full disk the kernel's lock holds without the words.
    drop(
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes())),
    );
    Ok(Lock { _file: file })
}

/// Seconds since 1970 with their unit: the reader may have no clock at hand, `date -d @N` does.
fn timestamp(now: u64) -> String {
    format!("@{}", now / 1_000_000_000)
}

/// Who says that he holds it.
fn holder(file: &mut File) -> String {
    let mut words = String::new();
    let known = file.rewind().and_then(|()| file.take(512).read_to_string(&mut words));
    match known {
        Ok(_) if !words.trim().is_empty() => words.trim().to_owned(),
        _ => "an unknown process".to_owned(),
    }
}

fn held(path: &Path, file: &mut File) -> Error {
    Error::new(
        ErrorKind::Locked,
        format!(
            "the data directory {} is in use by {}; stop that process or choose another \
             --data-dir",
            path.display(),
            holder(file)
        ),
    )
}

/// An I/O fault on the directory itself. The embedder knows its surroundings (flags, users) and
/// says what mends it.
fn unusable(path: &Path, what: &str, error: std::io::Error) -> Error {
    Error::io(&format!("{what} the data directory"), &path.display().to_string(), error)
}
