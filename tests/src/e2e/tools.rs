//! What lies around: folders of the repository, tools on the PATH, data sets beside it. Says what
//! is missing, and decides whether a missing thing fails a test.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Result;

/// Something a test wants and this machine has not.
#[derive(Debug)]
pub struct Missing {
    what: String,
    because: String,
    /// CI brings it: there its absence is an error.
    required: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} because {}", self.what, self.because)
    }
}

/// The tools, if all of them are on the PATH.
///
/// # Errors
/// The first that is not.
pub fn need(what: &str, tools: &[&str]) -> std::result::Result<(), Missing> {
    for tool in tools {
        let version = if *tool == "go" { "version" } else { "--version" };
        let ran = Command::new(tool).arg(version).output();
        if !ran.is_ok_and(|out| out.status.success()) {
            let because = format!("`{tool}` is not on the PATH");
            return Err(Missing { what: what.to_owned(), because, required: true });
        }
    }
    Ok(())
}

/// A data set of `../shared/data`, where present.
///
/// # Errors
/// Where it is not.
pub fn data_set(name: &str) -> std::result::Result<PathBuf, Missing> {
    let folder = std::env::var_os("SPANLAKE_TEST_DATA")
        .map_or_else(|| repository().join("../shared/data"), PathBuf::from);
    let file = folder.join(format!("{name}.otlp.zst"));
    if file.is_file() {
        return Ok(file);
    }
    let because = format!("{} is not there", file.display());
    Err(Missing { what: format!("data set {name}"), because, required: false })
}

/// Tells that a test did not run, on stderr; with `CI=true` a missing tool is an error. Data sets
/// lie beside the project and may be absent anywhere.
///
/// # Errors
/// With `CI=true`, where a tool is missing.
pub fn skipped(missing: &Missing) -> Result<()> {
    if missing.required && std::env::var("CI").is_ok_and(|v| v == "true") {
        return Err(format!("CI=true allows no skipped test: {missing}").into());
    }
    // Straight to stderr: the test harness hides what passing tests print.
    writeln!(std::io::stderr(), "SKIPPED: {missing}")?;
    Ok(())
}

/// Tells something worth knowing; the harness shows it where a test fails or with `--nocapture`.
#[expect(clippy::print_stdout, reason = "println is what the test harness captures")]
pub fn say(text: impl fmt::Display) {
    println!("{text}");
}

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// `tests/.work`: built tools and installed packages, kept between runs and never committed.
///
/// # Errors
/// Where it cannot be made.
pub fn work_dir() -> Result<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(".work");
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Holds a named lock while `work` runs, so that parallel test binaries build a thing once.
///
/// # Errors
/// Those of `work`.
pub(super) fn locked<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let lock = File::create(work_dir()?.join(format!("{name}.lock")))?;
    lock.lock()?;
    work()
}

/// Runs a command to its end; its output is the error where it fails.
///
/// # Errors
/// Where it cannot run or says no.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let out = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let text =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    if out.status.success() {
        return Ok(text);
    }
    Err(format!("{command:?} ended with {}:\n{text}", out.status).into())
}

/// Runs a program with arguments to its end.
///
/// # Errors
/// Where it cannot run or says no; with its words.
pub fn run_program(program: &Path, args: &[&std::ffi::OsStr]) -> Result<()> {
    run(Command::new(program).args(args)).map(drop)
}

/// A folder of `tests/.work` that `fill` fills once; again only when one of the lock files is
/// newer than it.
///
/// # Errors
/// Those of `fill`.
pub fn install(
    name: &str,
    locks: &[PathBuf],
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let dir = work_dir()?.join("sdk").join(name);
    locked(name, || {
        let done = dir.join(".installed");
        let installed = done.metadata().and_then(|m| m.modified()).ok();
        let mut fresh = installed.is_some();
        for lock in locks {
            fresh &= installed >= Some(lock.metadata()?.modified()?);
        }
        if fresh {
            return Ok(());
        }
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        std::fs::create_dir_all(&dir)?;
        fill(&dir)?;
        Ok(std::fs::write(done, "")?)
    })?;
    Ok(dir)
}
