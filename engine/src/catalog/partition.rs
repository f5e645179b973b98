//! Partitions: windows of start time. A pure function of a span's start and a width that the
//! catalog fixes at creation; never of configuration or clock.

use serde::{Deserialize, Serialize};

/// Width for new stores: six hours. Narrow enough that retention by days unlinks whole files,
/// wide enough that ten days are forty partitions.
pub(crate) const WIDTH_DEFAULT: u64 = 6 * 3600 * 1_000_000_000;

/// The number of a window: `start / width`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Partition(pub(crate) u64);

impl Partition {
    /// The partition of a span that starts at `start` (ns since 1970).
    pub(crate) fn of(start: u64, width: u64) -> Self {
        Self(start / width.max(1))
    }

    /// Directory name: the window's beginning in UTC, `2026-11-21T06`.
    pub(crate) fn label(self, width: u64) -> String {
        let seconds = self.0.saturating_mul(width) / 1_000_000_000;
        let (year, month, day) = civil(seconds / 86_400);
        format!("{year:04}-{month:02}-{day:02}T{:02}", seconds / 3600 % 24)
    }
}

/// Days since 1970 to a date (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_the_window() {
        let label = |start: u64| Partition::of(start, WIDTH_DEFAULT).label(WIDTH_DEFAULT);
        assert_eq!(label(0), "1970-01-01T00");
        assert_eq!(label(1_795_242_000_000_000_000), "2026-11-21T06");
        assert_eq!(label(951_782_399_999_999_999), "2000-02-28T18");
        assert_eq!(label(951_782_400_000_000_000), "2000-02-29T00");
        assert_eq!(label(u64::MAX), "2554-07-21T18");
    }
}
