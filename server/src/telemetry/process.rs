//! The standard `process_*` metrics, read from the system at each scrape.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use super::book::{Amount, Book, Number, number};

/// Figures of this process.
#[derive(Debug)]
pub(super) struct Process {
    cpu: Amount,
    resident: Number,
    open_files: Number,
    max_files: Number,
}

impl Process {
    pub(super) fn new(book: &mut Book) -> Self {
        let cpu = book.amount("process_cpu_seconds", "User and system CPU time of this process");
        let resident = book.gauge("process_resident_memory_bytes", "Resident memory");
        let open_files = book.gauge("process_open_fds", "Open file descriptors");
        let max_files = book.gauge("process_max_fds", "Most file descriptors it may open");
        let started = book.gauge("process_start_time_seconds", "When it started, Unix time");
        started.set(unix_now());
        Self { cpu, resident, open_files, max_files }
    }

    /// Reads the system's figures.
    pub(super) fn refresh(&self) {
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let spent = std::time::Duration::try_from(spent).unwrap_or_default().as_secs_f64();
        // Positive floats order as their bits do, so a scrape that was overtaken takes no time back.
        self.cpu.inner().fetch_max(spent.to_bits(), Relaxed);
        if let Some(bytes) = resident_bytes() {
            self.resident.set(number(bytes));
        }
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the directory being read.
            self.open_files.set(number((entries.count() as u64).saturating_sub(1)));
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        self.max_files.set(limit.map_or(f64::INFINITY, number));
    }
}

fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Unix time of this moment, in seconds.
fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
