//! How much memory this process may have: the cgroup's limit (v2 and v1) or RAM, whichever is
//! less. Reads `/sys/fs/cgroup` and `/proc` below a root that tests replace; a file that is not
//! there only means that nothing limits.

use std::path::{Path, PathBuf};

use crate::config::MemoryLimit;
use crate::service::Limits;

/// What `memory.limit` comes to on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes the process may use.
    pub limit: u64,
    /// Bytes of them the engine's heads, queues and builders may use.
    pub engine: u64,
    /// Head bytes at which the engine seals.
    pub seal: u64,
    /// Bytes of Exports between their door and their verdict.
    pub exports: u64,
}

/// Splits `limit` into its uses.
///
/// Half goes to the engine's heads and queues, an eighth to Exports under way; the rest is for
/// answers, for caches and for the allocator's slack. A head is sealed at a quarter of the
/// engine's share at the latest, so that one being sealed and one being filled fit.
pub fn budget(limit: MemoryLimit) -> Budget {
    let limit = match limit {
        MemoryLimit::Bytes(bytes) => bytes,
        MemoryLimit::Percent(percent) => available(Path::new("/")) / 100 * u64::from(percent),
    };
    let engine = limit / 2;
    let seal = spanlake::Options::default().seal_bytes.min(engine / 4);
    let exports = (limit / 8).min(Limits::default().export_bytes as u64);
    Budget { limit, engine, seal, exports }
}

/// Bytes this process may use as the system sees it.
fn available(root: &Path) -> u64 {
    // 1 GiB where not even /proc is there: small enough to be safe, large enough to work.
    let ram = ram(root).unwrap_or(1 << 30);
    cgroup_limit(root).map_or(ram, |limit| limit.min(ram))
}

fn ram(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The least limit on the way from this process's group up to the root of its hierarchy.
fn cgroup_limit(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    groups.lines().filter_map(|line| hierarchy_limit(root, line)).min()
}

/// The limit that one line of `/proc/self/cgroup` (`id:controllers:path`) leads to.
fn hierarchy_limit(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let (mount, file) = if controllers.is_empty() {
        (root.join("sys/fs/cgroup"), "memory.max")
    } else if controllers.split(',').any(|name| name == "memory") {
        (root.join("sys/fs/cgroup/memory"), "memory.limit_in_bytes")
    } else {
        return None;
    };
    let relative: PathBuf = Path::new(path)
        .components()
        .filter(|part| matches!(part, std::path::Component::Normal(_)))
        .collect();
    // Inside a container the path may be the host's and not exist below our mount; its root then
    // is our own group, and it is always among the ancestors.
    relative.ancestors().filter_map(|dir| read_limit(&mount.join(dir).join(file))).min()
}

fn read_limit(file: &Path) -> Option<u64> {
    // `max` (v2) does not parse; v1's "no limit" is a huge number, which the minimum with RAM drops.
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().expect("has a parent")).expect("is made");
            std::fs::write(path, text).expect("is written");
        }
        root
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n");

    #[test]
    fn the_least_limit_counts() {
        const MIB: u64 = 1 << 20;
        for (what, files, expected) in [
            ("no cgroup", vec![MEMINFO], 16 * MIB),
            (
                "v2 without a limit",
                vec![
                    MEMINFO,
                    ("proc/self/cgroup", "0::/a/b\n"),
                    ("sys/fs/cgroup/a/b/memory.max", "max\n"),
                ],
                16 * MIB,
            ),
            (
                "v2, limited above",
                vec![
                    MEMINFO,
                    ("proc/self/cgroup", "0::/a/b\n"),
                    ("sys/fs/cgroup/a/memory.max", "4194304\n"),
                    ("sys/fs/cgroup/a/b/memory.max", "8388608\n"),
                ],
                4 * MIB,
            ),
            (
                "v2 in a container: the path is the host's",
                vec![
                    MEMINFO,
                    ("proc/self/cgroup", "0::/../kubepods/pod1\n"),
                    ("sys/fs/cgroup/memory.max", "2097152\n"),
                ],
                2 * MIB,
            ),
            (
                "v1",
                vec![
                    MEMINFO,
                    ("proc/self/cgroup", "5:cpu:/x\n4:memory:/docker/9\n0::/\n"),
                    ("sys/fs/cgroup/memory/docker/9/memory.limit_in_bytes", "1048576\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ],
                MIB,
            ),
            (
                "v1 without a limit",
                vec![
                    MEMINFO,
                    ("proc/self/cgroup", "4:memory:/\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ],
                16 * MIB,
            ),
        ] {
            assert_eq!(available(machine(&files).path()), expected, "{what}");
        }
    }

    #[test]
    fn a_small_budget_seals_small_heads() {
        let small = budget(MemoryLimit::Bytes(64 << 20));
        let expected =
            Budget { limit: 64 << 20, engine: 32 << 20, seal: 8 << 20, exports: 8 << 20 };
        assert_eq!(small, expected);
        let large = budget(MemoryLimit::Bytes(64 << 30));
        assert_eq!(large.seal, spanlake::Options::default().seal_bytes);
        assert_eq!(large.exports, Limits::default().export_bytes as u64);
    }
}
