//! The one start-up line, and the warnings that belong beside it.

use std::path::Path;

use super::memory::Budget;
use super::ports::Addresses;
use super::volume::Volume;
use crate::config::{Config, Retention};
use crate::version::{REVISION, VERSION};

/// Tells what started, where, and within which limits.
pub(super) fn announce(config: &Config, budget: Budget, addresses: &Addresses, volume: &Volume) {
    let absolute = std::path::absolute(&config.data_dir);
    let data_dir = absolute.as_deref().unwrap_or(&config.data_dir);
    let fsync = match &volume.fsync {
        Ok(took) => format!("{:.2} ms", took.as_secs_f64() * 1e3),
        Err(_) => "unknown".to_owned(),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    tracing::info!(
        version = VERSION,
        revision = REVISION,
        config = %config.settings.file.as_deref().unwrap_or(Path::new("none")).display(),
        data_dir = %data_dir.display(),
        file_system = volume.file_system,
        free = volume.free.map_or_else(|| "unknown".to_owned(), bytes),
        fsync,
        memory_limit = bytes(budget.limit),
        threads,
        retention = retention(&config.retention),
        grpc = shown(&addresses.grpc),
        otlp_grpc = shown(&addresses.otlp_grpc),
        otlp_http = shown(&addresses.otlp_http),
        admin = shown(&addresses.admin),
        "spanlake started"
    );
    for warning in volume.warnings() {
        tracing::warn!("{warning}");
    }
}

fn shown(addresses: &[std::net::SocketAddr]) -> String {
    if addresses.is_empty() {
        return "off".to_owned();
    }
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The limits, and the truth about them.
fn retention(retention: &Retention) -> String {
    let mut limits = Vec::new();
    if let Some(time) = retention.time {
        limits.push(format!("time {}", duration(time)));
    }
    if let Some(limit) = retention.max_bytes {
        limits.push(format!("max_bytes {}", bytes(limit)));
    }
    if let Some(percent) = retention.max_disk_percent {
        limits.push(format!("max_disk_percent {percent}"));
    }
    if limits.is_empty() {
        return "keep all".to_owned();
    }
    format!("{} (not enforced in this version: everything is kept)", limits.join(", "))
}

fn duration(time: std::time::Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        s if s > 0 && s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s > 0 && s % 3_600 == 0 => format!("{}h", s / 3_600),
        _ => format!("{time:?}"),
    }
}

/// Bytes as people read them.
fn bytes(count: u64) -> String {
    for (unit, scale) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
    {
        if count >= scale {
            let tenths = u128::from(count) * 10 / u128::from(scale);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn retention_is_shown_with_the_truth_about_it() {
        let keep = Retention { time: None, max_bytes: None, max_disk_percent: None };
        assert_eq!(retention(&keep), "keep all");
        let week = Retention {
            time: Some(Duration::from_secs(7 * 86_400)),
            max_bytes: Some(10 << 30),
            max_disk_percent: Some(80),
        };
        assert_eq!(
            retention(&week),
            "time 7d, max_bytes 10.0 GiB, max_disk_percent 80 \
             (not enforced in this version: everything is kept)"
        );
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
        assert_eq!(duration(Duration::from_secs(72 * 3600)), "3d");
        assert_eq!(duration(Duration::from_secs(5 * 3600)), "5h");
        assert_eq!(duration(Duration::from_millis(1500)), "1.5s");
        assert_eq!(shown(&[]), "off");
    }
}
