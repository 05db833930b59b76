//! Lengths of time in milliseconds, the unit of every time in this crate.

/// One minute.
pub const MINUTE_MS: i64 = 60_000;
/// One hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// One day of 24 hours.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A time in epoch milliseconds as `2026-11-28 14:05 UTC`.
pub(crate) fn utc(ms: i64) -> String {
    let minutes = ms.div_euclid(MINUTE_MS);
    let (days, minute) = (minutes.div_euclid(24 * 60), minutes.rem_euclid(24 * 60));
    // The civil date of a day number, counted from 1 March of the year 0 in eras of 400 years
    // (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_as_its_date_and_minute() {
        for (ms, shown) in [
            (0, "1970-01-01 00:00 UTC"),
            (-1, "1969-12-31 23:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00 UTC"),
            (1_780_000_000_000, "2026-05-28 20:26 UTC"),
        ] {
            assert_eq!(utc(ms), shown);
        }
    }
}
