//! Exit codes, the part of the command line that scripts read. They are API and never change.

use std::process::ExitCode;

/// A process exit code of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(u8);

/// All went as asked.
pub const DONE: Exit = Exit(0);
/// The command ran and failed.
pub const FAILED: Exit = Exit(1);
/// The command line or the configuration is wrong.
pub const USAGE: Exit = Exit(2);
/// Another process holds the data directory.
pub const LOCKED: Exit = Exit(3);
/// The data is of a format this build does not read, or damaged.
pub const FORMAT: Exit = Exit(4);

impl Exit {
    /// The number the system sees.
    pub fn code(self) -> u8 {
        self.0
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.0)
    }
}
