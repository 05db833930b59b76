//! Lengths of time in milliseconds, the unit of every time in this crate, and times as text.

use std::fmt;

/// One minute.
pub const MINUTE_MS: i64 = 60_000;
/// One hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// One day of 24 hours.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A time in epoch milliseconds, written as `2026-05-28 20:26 UTC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc(pub i64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0.div_euclid(DAY_MS), self.0.rem_euclid(DAY_MS));
        // Years begin in March, so that the leap day is the last of a year; eras have 400 years.
        let days = days + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let date = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + i64::from(month <= 2);
        let (hour, minute) = (rest / HOUR_MS, rest % HOUR_MS / MINUTE_MS);
        write!(f, "{year:04}-{month:02}-{date:02} {hour:02}:{minute:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc() {
        assert_eq!(Utc(0).to_string(), "1970-01-01 00:00 UTC");
        assert_eq!(Utc(951_782_400_000).to_string(), "2000-02-29 00:00 UTC");
        assert_eq!(Utc(1_780_000_000_000).to_string(), "2026-05-28 20:26 UTC");
        assert_eq!(Utc(-60_000).to_string(), "1969-12-31 23:59 UTC");
    }
}
