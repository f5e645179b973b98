//! The writer's epoch: who may write this data directory. Each open claims the next number by
//! making a file of that name, which only one can; from then on every commit of an earlier epoch
//! is refused. The kernel's lock keeps two processes of one host apart; this is for two hosts on
//! one network volume, where that lock may not reach.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::world::Files;

const DIRECTORY: &str = "catalog";
const SUFFIX: &str = ".epoch";

/// A claimed epoch.
#[derive(Debug)]
pub(crate) struct Epoch {
    files: Arc<dyn Files>,
    number: u64,
}

impl Epoch {
    /// Claims the next epoch; the one before it may write no more.
    ///
    /// # Errors
    /// `Locked` where another process claimed it at the same moment; `Io`.
    pub(crate) fn claim(files: &Arc<dyn Files>) -> Result<Self> {
        let known = claimed(&**files)?;
        let number = known.last().map_or(1, |(number, _)| number.saturating_add(1));
        let name = format!("{DIRECTORY}/{number:020}{SUFFIX}");
        // Empty: its name says all, and needs no room on a full disk.
        let claim = || files.create(&name)?.publish();
        claim().map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => foreign(number),
            _ => Error::io("claiming", &name, e),
        })?;
        // Those that stay are of no importance.
        known.iter().for_each(|(_, old)| drop(files.remove(old)));
        Ok(Self { files: Arc::clone(files), number })
    }

    /// # Errors
    /// `Locked` where a later epoch was claimed; `Io`.
    pub(crate) fn check(&self) -> Result<()> {
        match claimed(&*self.files)?.last() {
            Some((number, _)) if *number > self.number => Err(foreign(*number)),
            _ => Ok(()),
        }
    }
}

/// All that were claimed and not removed, ascending.
fn claimed(files: &dyn Files) -> Result<Vec<(u64, String)>> {
    let names = files.list(DIRECTORY).map_err(|e| Error::io("listing", DIRECTORY, e))?;
    let number = |name: &str| name.strip_prefix("catalog/")?.strip_suffix(SUFFIX)?.parse().ok();
    Ok(names.into_iter().filter_map(|name| Some((number(&name)?, name))).collect())
}

fn foreign(number: u64) -> Error {
    Error::new(
        ErrorKind::Locked,
        format!(
            "another spanlake has taken over this data directory ({DIRECTORY}/{number:020}{SUFFIX}): \
             only one may write it; stop one of the two, perhaps on another host"
        ),
    )
}
