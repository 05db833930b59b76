//! How values are written for people.

use f0_learning_core::estimate::{Interval, Measured};

/// What is not known.
pub const UNKNOWN: &str = "unknown";

/// Epoch milliseconds as a time in UTC.
pub fn time(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms)
        .map_or_else(|| format!("{ms} ms"), |moment| moment.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// A duration in its largest fitting unit.
pub fn duration(ms: i64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `0.637–0.691`.
pub fn interval(Interval { low, high }: Interval, digits: usize) -> String {
    format!("{low:.digits$}–{high:.digits$}")
}

/// `0.664 (0.637–0.691)`.
pub fn measured(Measured { estimate, low, high }: Measured, digits: usize) -> String {
    format!("{estimate:.digits$} ({})", interval(Interval { low, high }, digits))
}

/// The interval of a difference, with signs: `-0.001 to +0.025`, because a dash before a minus
/// sign is hard to read.
pub fn signed_interval(low: f64, high: f64, digits: usize) -> String {
    format!("{low:+.digits$} to {high:+.digits$}")
}

/// A difference and its interval: `+0.012 (-0.001 to +0.025)`.
pub fn difference(Measured { estimate, low, high }: Measured, digits: usize) -> String {
    format!("{estimate:+.digits$} ({})", signed_interval(low, high, digits))
}
