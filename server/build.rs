//! Notes the git revision the binary is built from, so that `spanlake version` and `build_info`
//! can name it. Reads `.git` itself: a build needs no git program, and works outside a checkout
//! (the revision is then `unknown`). `SPANLAKE_BUILD_REVISION` overrides it for packagers.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=SPANLAKE_BUILD_REVISION");
    println!("cargo::rerun-if-changed=build.rs");
    let revision = std::env::var("SPANLAKE_BUILD_REVISION")
        .ok()
        .filter(|revision| !revision.is_empty())
        .or_else(from_git)
        .unwrap_or_else(|| "unknown".to_owned());
    println!(
        "cargo::rustc-env=SPANLAKE_REVISION={}",
        revision.chars().take(12).collect::<String>()
    );
}

/// The commit that HEAD names, following one symbolic reference.
fn from_git() -> Option<String> {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let entry = here.ancestors().map(|dir| dir.join(".git")).find(|path| path.exists())?;
    let git = git_dir(&entry)?;
    let head_file = git.join("HEAD");
    println!("cargo::rerun-if-changed={}", head_file.display());
    let head = std::fs::read_to_string(&head_file).ok()?;
    let Some(reference) = head.trim().strip_prefix("ref: ") else {
        return Some(head.trim().to_owned());
    };
    // In a worktree the branches lie in the main checkout's directory, named by `commondir`.
    let common = match std::fs::read_to_string(git.join("commondir")) {
        Ok(relative) => git.join(relative.trim()),
        Err(_) => git.clone(),
    };
    let loose = common.join(reference);
    if let Ok(revision) = std::fs::read_to_string(&loose) {
        println!("cargo::rerun-if-changed={}", loose.display());
        return Some(revision.trim().to_owned());
    }
    let packed = std::fs::read_to_string(common.join("packed-refs")).ok()?;
    packed.lines().find_map(|line| {
        let (revision, name) = line.split_once(' ')?;
        (name == reference).then(|| revision.to_owned())
    })
}

/// `.git` is a directory, or in a worktree a file that names one.
fn git_dir(entry: &Path) -> Option<PathBuf> {
    if entry.is_dir() {
        return Some(entry.to_owned());
    }
    let text = std::fs::read_to_string(entry).ok()?;
    let target = text.trim().strip_prefix("gitdir: ")?;
    Some(entry.parent()?.join(target))
}
