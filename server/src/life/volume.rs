//! What the data directory lies on: file system type, free space, and how long a small write
//! takes to reach the disk. Measures once at start; the figures go to the start-up line and to
//! warnings, never into decisions.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// The volume of a data directory.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Type of its file system, for instance `ext4`.
    pub file_system: String,
    /// Bytes free for this user.
    pub free: Option<u64>,
    /// Median time of a small write with its sync; the error where it failed.
    pub fsync: Result<Duration, String>,
}

/// A sync slower than this deserves a warning: every acknowledgement waits for one.
const FSYNC_SLOW: Duration = Duration::from_millis(20);
const PROBES: usize = 5;

impl Volume {
    /// Looks at the volume of `data_dir`, which must be open and ours.
    pub fn measure(data_dir: &Path) -> Self {
        Self {
            file_system: file_system(data_dir),
            free: free(data_dir),
            fsync: fsync(&data_dir.join("tmp")).map_err(|error| error.to_string()),
        }
    }

    /// What an operator should know about this volume, as sentences.
    pub fn warnings(&self) -> Vec<String> {
        let mut found = Vec::new();
        match self.file_system.as_str() {
            "tmpfs" | "ramfs" => found.push(
                "the data directory is in memory: everything in it is lost at the next reboot"
                    .to_owned(),
            ),
            "overlayfs" => found.push(
                "the data directory is on a container's own layer: it is lost with the container; \
                 mount a volume"
                    .to_owned(),
            ),
            "nfs" | "cifs" | "smb2" => found.push(format!(
                "the data directory is on {}: locks and syncs over a network are slow and not \
                 always honest; use a local disk",
                self.file_system
            )),
            _ => {}
        }
        match &self.fsync {
            Ok(took) if *took > FSYNC_SLOW => found.push(format!(
                "a sync takes {:.1} ms on this volume: every acknowledged batch waits for one",
                took.as_secs_f64() * 1e3
            )),
            Ok(_) => {}
            Err(error) => found.push(format!("the sync probe failed: {error}")),
        }
        found
    }
}

#[cfg(target_os = "linux")]
fn file_system(path: &Path) -> String {
    let Ok(stat) = rustix::fs::statfs(path) else { return "unknown".to_owned() };
    // The field's type differs between architectures; magic numbers are 32 bits.
    let magic = (stat.f_type as u64) & 0xffff_ffff;
    let name = match magic {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        0x0102_1994 => "tmpfs",
        0x8584_58f6 => "ramfs",
        0x794c_7630 => "overlayfs",
        0x6969 => "nfs",
        0xff53_4d42 => "cifs",
        0xfe53_4d42 => "smb2",
        0x6573_5546 => "fuse",
        0x0102_1997 => "9p",
        0x00c3_6400 => "ceph",
        0xca45_1a4e => "bcachefs",
        _ => return format!("{magic:#x}"),
    };
    name.to_owned()
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &Path) -> String {
    "unknown".to_owned()
}

/// Bytes free for this user on the volume of `path`.
pub fn free(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

/// Median of a few small appends with their syncs, in a file of our own below `dir`.
fn fsync(dir: &Path) -> io::Result<Duration> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join(format!("fsync-probe-{}", std::process::id()));
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    let result = probe(file);
    std::fs::remove_file(&path)?;
    result
}

fn probe(mut file: File) -> io::Result<Duration> {
    let block = [0u8; 4096];
    let mut took = [Duration::ZERO; PROBES];
    for slot in &mut took {
        let start = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        *slot = start.elapsed();
    }
    took.sort_unstable();
    Ok(took[PROBES / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_measured_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let volume = Volume::measure(dir.path());
        assert!(volume.free.is_some_and(|free| free > 0), "{volume:?}");
        assert!(volume.fsync.as_ref().is_ok_and(|took| *took > Duration::ZERO), "{volume:?}");
        let left = std::fs::read_dir(dir.path().join("tmp")).expect("is there").count();
        assert_eq!(left, 0);
    }

    #[test]
    fn only_what_is_dangerous_warns() {
        let volume = |file_system: &str, millis| Volume {
            file_system: file_system.to_owned(),
            free: None,
            fsync: Ok(Duration::from_millis(millis)),
        };
        assert_eq!(volume("ext4", 2).warnings().len(), 0);
        assert_eq!(volume("ext4", 21).warnings().len(), 1);
        for file_system in ["tmpfs", "overlayfs", "nfs"] {
            assert_eq!(volume(file_system, 2).warnings().len(), 1, "{file_system}");
        }
        let failed = Volume { fsync: Err("read-only".to_owned()), ..volume("xfs", 0) };
        assert!(failed.warnings()[0].contains("read-only"));
    }
}
