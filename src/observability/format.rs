//! How values are written for people.

use f0_learning_core::estimate::{Interval, Measured};
use f0_learning_core::observation::MAX_DURATION_MS;

/// What is not known.
pub const UNKNOWN: &str = "unknown";

/// An interval without any value: what was observed changed so much that no value explains all of it.
pub const NOTHING_FITS: &str = "no value fits";

/// A value of nothing, such as the mean of no observations.
pub const NONE: &str = "–";

/// How long ago a time was: `3 min ago`; `in 3 min` where it is still to come.
pub fn ago(ms: i64, now: i64) -> String {
    match now.saturating_sub(ms) {
        -999..=999 => "now".to_owned(),
        passed @ 1_000.. => format!("{} ago", duration(passed)),
        left => format!("in {}", duration(left.saturating_neg())),
    }
}

/// Epoch milliseconds as a time in UTC, and how long ago it was: `2026-11-28 12:01 (3 min ago)`.
pub fn time_ago(ms: i64, now: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(ms)
        .map_or_else(|| format!("{ms} ms"), |moment| moment.format("%Y-%m-%d %H:%M").to_string());
    format!("{time} ({})", ago(ms, now))
}

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

/// A number of hours: `12 min`, `3.5 h`, `2.1 days`.
pub fn hours(hours: f64) -> String {
    match hours {
        _ if hours < 1.0 / 60.0 => "less than a minute".to_owned(),
        _ if hours < 2.0 => format!("{:.0} min", hours * 60.0),
        _ if hours < 48.0 => format!("{hours:.1} h"),
        _ => format!("{:.1} days", hours / 24.0),
    }
}

/// `0.637–0.691`.
pub fn interval(Interval { low, high }: Interval, digits: usize) -> String {
    if low > high {
        return NOTHING_FITS.to_owned();
    }
    format!("{low:.digits$}–{high:.digits$}")
}

/// `0.664 (0.637–0.691)`.
pub fn measured(Measured { estimate, low, high }: Measured, digits: usize) -> String {
    format!("{estimate:.digits$} ({})", interval(Interval { low, high }, digits))
}

/// The interval of a difference, with signs: `-0.001 to +0.025`, because a dash before a minus
/// sign is hard to read.
pub fn signed_interval(low: f64, high: f64, digits: usize) -> String {
    if low > high {
        return NOTHING_FITS.to_owned();
    }
    format!("{low:+.digits$} to {high:+.digits$}")
}

/// A difference and its interval: `+0.012 (-0.001 to +0.025)`.
pub fn difference(Measured { estimate, low, high }: Measured, digits: usize) -> String {
    format!("{estimate:+.digits$} ({})", signed_interval(low, high, digits))
}

/// A range of durations in milliseconds. An end that no duration can have is not known.
pub fn durations(interval: Interval) -> String {
    match interval.high <= MAX_DURATION_MS {
        true => self::interval(interval, 0),
        false => format!("{:.0}–{UNKNOWN}", interval.low),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_says_how_long_ago_it_was() {
        let now = 1_780_000_000_000;
        assert_eq!(time_ago(now - 180_000, now), "2026-05-28 20:23 (3 min ago)");
        assert_eq!(ago(now, now), "now");
        assert_eq!(ago(now + 7_200_000, now), "in 2 h");
        assert_eq!(ago(i64::MIN, now), "106751991167 days ago");
    }

    #[test]
    fn hours_are_written_in_a_fitting_unit() {
        assert_eq!(
            [0.001, 0.2, 3.46, 50.0].map(hours),
            ["less than a minute", "12 min", "3.5 h", "2.1 days"]
        );
    }

    #[test]
    fn an_interval_whose_ends_contradict_each_other_is_not_written_as_a_range() {
        let measured = Measured { estimate: 0.0564, low: 0.0556, high: 0.0546 };
        assert_eq!(difference(measured, 4), "+0.0564 (no value fits)");
        assert_eq!(self::measured(measured, 4), "0.0564 (no value fits)");
    }

    #[test]
    fn an_end_that_no_duration_can_have_is_unknown() {
        let range = |high| durations(Interval { low: 1_250.0, high });
        assert_eq!(range(1_300.4), "1250–1300");
        assert_eq!(range(f64::from(1 << 30)), "1250–unknown");
        assert_eq!(range(f64::INFINITY), "1250–unknown");
    }
}
