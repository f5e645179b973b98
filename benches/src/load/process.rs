//! What the system tells of a process: CPU time and memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use spanlake_benches::Result;

const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// A process under load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// CPU seconds of all its threads, user and system, since it started.
    pub(crate) fn cpu(self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0))
            .map_err(|e| format!("the server is gone: {e}"))?;
        // The second field is the name in parentheses, which may hold anything.
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = after_name.split(' ').collect();
        let ticks = |index: usize| fields.get(index).unwrap_or(&"").parse::<u64>();
        let ticks = ticks(11)? + ticks(12)?;
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// The most memory it had resident since it started or was told to forget, bytes.
    pub(crate) fn rss_max(self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// Lets [`Process::rss_max`] begin again.
    pub(crate) fn forget_rss_max(self) -> Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.0), "5")?)
    }

    fn status(self, field: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib: u64 = line.unwrap_or("").trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }
}

/// CPU seconds of several processes.
pub(crate) fn cpu_of(processes: &[Process]) -> Result<f64> {
    processes.iter().map(|process| process.cpu()).sum()
}

/// Looks at a process's memory ten times a second until it is asked what it saw.
#[derive(Debug)]
pub(crate) struct Sampler {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u64>>,
}

impl Sampler {
    pub(crate) fn start(process: Process) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                seen.extend(process.status("VmRSS:"));
                std::thread::sleep(SAMPLE_EVERY);
            }
            seen
        });
        Self { end, thread }
    }

    /// The median of what was resident, bytes.
    pub(crate) fn median(self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        let mut seen = self.thread.join().unwrap_or_default();
        seen.sort_unstable();
        seen.get(seen.len() / 2).copied().unwrap_or(0)
    }
}
