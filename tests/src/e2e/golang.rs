//! Go programs of the tests, built once into `tests/.work/bin`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::Result;
use super::tools::{locked, run, work_dir};

/// Builds a package of a Go module under `tests/`; a binary newer than every file of the module
/// is taken as it is.
///
/// # Errors
/// Where Go refuses.
pub fn go_build(module: &str, package: &str, name: &str) -> Result<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(module);
    let out = work_dir()?.join("bin").join(name);
    locked(name, || {
        let built = out.metadata().and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        if newest(&dir)? < built {
            return Ok(());
        }
        run(Command::new("go").current_dir(&dir).args(["build", "-o"]).arg(&out).arg(package))?;
        Ok(())
    })?;
    Ok(out)
}

fn newest(dir: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if ["go", "mod", "sum"].contains(&kind) {
            newest = newest.max(path.metadata()?.modified()?);
        }
    }
    Ok(newest)
}

/// The wire oracle of `tests/oracle`.
///
/// # Errors
/// Where Go refuses.
pub fn oracle_binary() -> Result<PathBuf> {
    go_build("oracle", ".", "oracle")
}
