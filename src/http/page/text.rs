//! How values are written on a page.

use std::fmt::Write as _;
use std::time::Duration;

use maud::{Markup, html};

use crate::observability::{format, printable};
use f0_learning_core::estimate::Measured;

pub use crate::observability::format::{UNKNOWN, measured};
pub use f0_learning_core::plural::count;

/// A text from the store, with the characters that would change how the rest of the page is read as
/// visible escapes. The templates escape HTML.
pub fn shown(text: &str) -> String {
    printable::line(text).into_owned()
}

/// A part of a path or of a query, percent-encoded.
pub fn part(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn moment(ms: i64, format: &str) -> Option<String> {
    Some(chrono::DateTime::from_timestamp_millis(ms)?.format(format).to_string())
}

/// Epoch milliseconds as a time in UTC, for people and for programs.
pub fn time(ms: i64) -> Markup {
    let machine = moment(ms, "%Y-%m-%dT%H:%M:%SZ");
    html! { time datetime=[machine] { (format::time(ms)) } }
}

/// The time of day, or the day for a range of more than a day.
pub fn tick(ms: i64, days: bool) -> String {
    moment(ms, if days { "%d %b" } else { "%H:%M" }).unwrap_or_default()
}

/// A coordinate of a drawing, with a digit after the point.
pub fn at(value: f64) -> String {
    format!("{value:.1}")
}

/// A part of a range of time; both are far below 2^53.
pub fn part_of(part: i64, whole: i64) -> f64 {
    let seconds = |ms: i64| Duration::from_millis(ms.unsigned_abs()).as_secs_f64();
    seconds(part.max(0)) / seconds(whole.max(1))
}

/// A duration in its largest fitting unit; `0 s` below a second, and where another clock is ahead.
pub fn duration(ms: i64) -> String {
    if ms < 1_000 { "0 s".to_owned() } else { format::duration(ms) }
}

/// Up to three decimals.
pub fn figure(value: f64) -> String {
    format!("{value:.3}")
}

pub fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// A gain with the bounds that the data allow.
pub fn gain(expected: f64, bounds: Option<(f64, f64)>) -> String {
    match bounds {
        // An interval that holds at every time is empty where what it measures has changed.
        Some((low, high)) if low > high => {
            format!("{expected:+.3}, with bounds that exclude each other")
        }
        Some((low, high)) => format::difference(Measured { estimate: expected, low, high }, 3),
        None => format!("{expected:+.3}, not proven"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_the_reading_of_a_page_is_visible() {
        assert_eq!(shown("router-core ä 漢"), "router-core ä 漢");
        assert_eq!(shown("a\u{202e}b\u{200b}c\u{1b}[2K\n"), "a\\u{202e}b\\u{200b}c\\u{1b}[2K\\n");
        assert_eq!(shown("\u{e0041}\u{feff}"), "\\u{e0041}\\u{feff}");
    }

    #[test]
    fn a_part_of_a_path_cannot_leave_it() {
        assert_eq!(part("../a?b#c d\"é"), "..%2Fa%3Fb%23c%20d%22%C3%A9");
    }

    #[test]
    fn times_and_durations_are_written_in_utc_and_in_a_fitting_unit() {
        let written = time(1_780_000_000_000).into_string();
        assert_eq!(written, "<time datetime=\"2026-05-28T20:26:40Z\">2026-05-28 20:26:40</time>");
        assert_eq!(duration(-5), "0 s");
        assert_eq!([duration(119_000), duration(7_200_000)], ["119 s", "2 h"]);
        assert_eq!(gain(0.02, Some((-0.01, 0.05))), "+0.020 (-0.010 to +0.050)");
        assert_eq!(gain(0.02, Some((0.03, 0.01))), "+0.020, with bounds that exclude each other");
    }
}
