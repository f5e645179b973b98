//! What the figures were measured on.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use spanlake_benches::Result;

const FSYNCS: usize = 50;

/// A machine in one line.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) model: String,
    pub(crate) kernel: String,
    pub(crate) memory_gib: f64,
    /// Median of appending 4 KiB and fdatasync beside the data directory, ms.
    pub(crate) fsync_ms: f64,
    /// Load average over the last minute, before anything was sent.
    pub(crate) load: f64,
}

impl Machine {
    /// `data_dir` is where the data will lie, or none for a temporary directory.
    pub(crate) fn read(data_dir: &Option<PathBuf>) -> Result<Self> {
        let beside = data_dir.as_deref().and_then(Path::parent).filter(|dir| dir.is_dir());
        let dir = beside.map_or_else(std::env::temp_dir, Path::to_owned);
        let first = |path: &str, key: &str| -> String {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
            line.split_once(':').map_or("", |(_, value)| value).trim().to_owned()
        };
        let memory = first("/proc/meminfo", "MemTotal");
        let memory: f64 = memory.trim_end_matches(" kB").parse().unwrap_or(0.0);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            model: first("/proc/cpuinfo", "model name"),
            kernel: kernel.trim().to_owned(),
            memory_gib: memory / 1024.0 / 1024.0,
            fsync_ms: fsync(&dir)?,
            load: load.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0),
        })
    }
}

fn fsync(dir: &Path) -> Result<f64> {
    let path = dir.join(format!("spanlake-load-fsync-{}", std::process::id()));
    let mut file = File::create(&path)?;
    let mut took = Vec::with_capacity(FSYNCS);
    for _ in 0..FSYNCS {
        let began = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_file(&path)?;
    took.sort_by(f64::total_cmp);
    Ok(took[FSYNCS / 2])
}
