//! Small file systems of our own, in a mount namespace that dies with its holder: for disks that
//! are full or read-only. Sizes and flags flow in, a place to run servers in flows out; where
//! mounting is not permitted, nothing does.
#![expect(clippy::expect_used, reason = "a test helper that fails must fail loudly")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A tmpfs that only processes started through [`Room::enter`] see.
#[derive(Debug)]
pub struct Room {
    holder: Child,
    directory: tempfile::TempDir,
}

impl Room {
    /// A tmpfs of this size; `None` where mounting is not permitted or the tools are missing.
    pub fn new(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let script = "mount -t tmpfs -o size=\"$1\" tmpfs \"$0\" && echo mounted && exec sleep 600";
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script])
            .arg(directory.path())
            .arg(size)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut word = String::new();
        let said =
            holder.stdout.take().and_then(|out| BufReader::new(out).read_line(&mut word).ok());
        let room = Self { holder, directory };
        (said.is_some() && word.trim() == "mounted" && room.run(&["true"])).then_some(room)
    }

    /// Where the file system is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A directory on it.
    pub fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The words before a command that run it in here.
    pub fn enter(&self) -> Vec<String> {
        let pid = self.holder.id().to_string();
        ["nsenter", "--target", &pid, "--mount", "--"].map(str::to_owned).to_vec()
    }

    /// Runs a command in here; true where it succeeds.
    pub fn run(&self, command: &[&str]) -> bool {
        let enter = self.enter();
        let mut process = Command::new(&enter[0]);
        process.args(&enter[1..]).args(command).stdin(Stdio::null());
        process.stdout(Stdio::null()).stderr(Stdio::null());
        process.status().is_ok_and(|status| status.success())
    }

    /// Changes the mount's options, for instance `ro` or `size=64m`.
    ///
    /// # Panics
    /// Where that fails.
    pub fn remount(&self, options: &str) {
        let place = self.path().to_str().expect("a UTF-8 path");
        let options = format!("remount,{options}");
        assert!(self.run(&["mount", "-o", &options, place]), "mount -o {options} {place}");
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // It may be gone already; the mount goes with it.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
