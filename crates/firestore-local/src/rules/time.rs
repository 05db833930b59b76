//! The calendar: dates of timestamps in UTC.

pub const SECOND: i128 = 1_000_000_000;
pub const MILLISECOND: i128 = 1_000_000;
pub const DAY: i128 = 86_400 * SECOND;

/// The times that a timestamp may hold: the years 1 to 9999.
const FIRST: i128 = -62_135_596_800 * SECOND;
const LAST: i128 = 253_402_300_800 * SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

pub fn is_in_range(nanos: i128) -> bool {
    (FIRST..LAST).contains(&nanos)
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

pub fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, in the proleptic Gregorian calendar. Years are counted from March, so
/// that the leap day is the last of its year.
pub fn days_of(date: Date) -> i64 {
    let year = if date.month <= 2 { date.year - 1 } else { date.year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = (date.month + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + date.day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date of a day since 1970-01-01.
pub fn date_of(days: i64) -> Date {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    Date { year: era * 400 + year_of_era + year, month, day }
}

/// Midnight of a date; `None` if the date does not exist.
pub fn midnight(date: Date) -> Option<i128> {
    let valid = (1..=9_999).contains(&date.year)
        && (1..=12).contains(&date.month)
        && (1..=days_in(date.year, date.month)).contains(&date.day);
    valid.then(|| i128::from(days_of(date)) * DAY)
}

/// Parses times such as `2024-02-29T12:30:00.5Z` and dates such as `2024-02-29`.
pub fn parse_rfc3339(text: &str) -> Option<i128> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (time, fraction) = match time.strip_suffix('Z')?.split_once('.') {
        Some((time, fraction)) => (time, fraction),
        None => (time.strip_suffix('Z')?, ""),
    };
    let mut parts = time.splitn(3, ':').map(|part| part.parse::<u8>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if hours > 23 || minutes > 59 || seconds > 59 || fraction.len() > 9 {
        return None;
    }
    let nanos: i128 = format!("{fraction:0<9}").parse().ok()?;
    let seconds = i128::from(hours) * 3_600 + i128::from(minutes) * 60 + i128::from(seconds);
    Some(midnight(Date { year, month, day })? + seconds * SECOND + nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_many_years_survives_a_round_trip() {
        let mut previous = None;
        for days in days_of(Date { year: 1, month: 1, day: 1 })..=days_of(Date {
            year: 2_500,
            month: 12,
            day: 31,
        }) {
            let date = date_of(days);
            assert_eq!(days_of(date), days, "{date:?}");
            assert!(previous.is_none_or(|before| before != date));
            previous = Some(date);
        }
    }

    #[test]
    fn known_times_are_parsed() {
        assert_eq!(parse_rfc3339("1970-01-02"), Some(DAY));
        assert_eq!(parse_rfc3339("1970-01-01T00:00:01.5Z"), Some(SECOND + SECOND / 2));
        assert_eq!(parse_rfc3339("2024-02-29T00:00:00Z"), Some(1_709_164_800 * SECOND));
        for wrong in ["", "2023-02-29", "2024-13-01", "2024-01-01T24:00:00Z", "2024-01-01T00:00:00"]
        {
            assert_eq!(parse_rfc3339(wrong), None, "{wrong}");
        }
    }
}
