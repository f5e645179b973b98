//! The Go oracle as a process: arguments flow in, its verdict flows out. What it checks is
//! written in `tests/oracle`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Result;
use super::golang::oracle_binary;
use super::tools::{run, say};

/// The oracle, built.
#[derive(Debug, Clone)]
pub struct Oracle {
    binary: PathBuf,
}

impl Oracle {
    /// Builds it.
    ///
    /// # Errors
    /// Where Go refuses.
    pub fn build() -> Result<Self> {
        Ok(Self { binary: oracle_binary()? })
    }

    /// It looks for Jaeger's definitions with its own go.mod, so it runs in its folder.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle")).args(args);
        command
    }

    /// Runs it to its end; what it says is the error where a check fails.
    ///
    /// # Errors
    /// Where a check fails.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let said = run(&mut self.command(args))?;
        say(&said);
        Ok(said)
    }

    /// Starts it beside the test, its words into `log`.
    ///
    /// # Errors
    /// Where it cannot start.
    pub fn spawn(&self, args: &[&str], log: &Path) -> Result<Child> {
        let log = File::create(log)?;
        let again = log.try_clone()?;
        Ok(self
            .command(args)
            .stdin(Stdio::null())
            .stdout(Stdio::from(log))
            .stderr(Stdio::from(again))
            .spawn()?)
    }
}
