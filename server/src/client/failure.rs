//! What went wrong, said to a person, with the exit code a script sees.
//!
//! Errors of the engine, of gRPC and of our own flow in, one kind flows out.

use std::fmt;

use spanlake::ErrorKind;

use crate::exit::{self, Exit};

/// A command's error: a sentence that says what to do, and its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// The command ran and failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: exit::FAILED, message: message.into() }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: exit::USAGE, message: message.into() }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<crate::life::fault::Fault> for Failure {
    fn from(fault: crate::life::fault::Fault) -> Self {
        Self { exit: fault.exit, message: fault.message }
    }
}

impl From<spanlake::Error> for Failure {
    fn from(error: spanlake::Error) -> Self {
        match error.kind() {
            ErrorKind::Locked => Self {
                exit: exit::LOCKED,
                message: format!(
                    "{error}; or ask the server that has it, with --server URL instead of --data-dir"
                ),
            },
            ErrorKind::Format | ErrorKind::Corrupted => {
                Self { exit: exit::FORMAT, message: error.to_string() }
            }
            _ => Self::failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_errors_keep_their_exit_codes() {
        let of = |kind| Failure::from(spanlake::Error::new(kind, "because")).exit();
        assert_eq!(of(ErrorKind::Locked), exit::LOCKED);
        assert_eq!(of(ErrorKind::Format), exit::FORMAT);
        assert_eq!(of(ErrorKind::Corrupted), exit::FORMAT);
        assert_eq!(of(ErrorKind::Io), exit::FAILED);
    }

    #[test]
    fn a_locked_directory_points_to_its_server() {
        let failure = Failure::from(spanlake::Error::new(ErrorKind::Locked, "held by pid 7"));
        assert_eq!(
            failure.message(),
            "held by pid 7; or ask the server that has it, with --server URL instead of --data-dir"
        );
    }
}
