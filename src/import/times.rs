//! Times as exports write them.

use chrono::{DateTime, NaiveDateTime};
use serde_json::Value as Json;

/// Epoch milliseconds of a time: a number of seconds, milliseconds, microseconds or nanoseconds since
/// the epoch, which its size tells apart, or a text with a date and a time. A text without an offset is
/// in UTC.
pub fn millis(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => of_number(number.as_f64()?),
        Json::String(text) => {
            let text = text.trim();
            match text.parse::<f64>() {
                Ok(number) => of_number(number),
                Err(_) => of_text(text),
            }
        }
        _ => None,
    }
}

/// Seconds are below 1e11 until the year 5138; milliseconds, microseconds and nanoseconds since 1973
/// are above 1e11, 1e14 and 1e17.
fn of_number(number: f64) -> Option<f64> {
    let scale = match number.abs() {
        size if !size.is_finite() => return None,
        size if size < 1e11 => 1e3,
        size if size < 1e14 => 1.0,
        size if size < 1e17 => 1e-3,
        _ => 1e-6,
    };
    Some(number * scale)
}

fn of_text(text: &str) -> Option<f64> {
    const WITH_OFFSET: [&str; 3] =
        ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z"];
    const PLAIN: [&str; 4] =
        ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y/%m/%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let micros = DateTime::parse_from_rfc3339(text)
        .ok()
        .or_else(|| WITH_OFFSET.iter().find_map(|it| DateTime::parse_from_str(text, it).ok()))
        .map(|time| time.timestamp_micros())
        .or_else(|| {
            let text = text.strip_suffix(" UTC").unwrap_or(text);
            let time = PLAIN.iter().find_map(|it| NaiveDateTime::parse_from_str(text, it).ok());
            time.map(|time| time.and_utc().timestamp_micros())
        })?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds are below 2^53 until the year 2255"
    )]
    let millis = micros as f64 / 1e3;
    Some(millis)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_of_every_unit_and_form_are_the_same_moment() {
        for time in [
            json!(1_733_999_400),
            json!(1_733_999_400.0),
            json!(1_733_999_400_000_i64),
            json!(1_733_999_400_000_000_i64),
            json!("1733999400000000000"),
            json!("2024-12-12T10:30:00Z"),
            json!("2024-12-12T11:30:00+01:00"),
            json!("2024-12-12T10:30:00.000000"),
            json!("2024-12-12 10:30:00"),
            json!("2024-12-12 10:30:00+00"),
            json!("2024-12-12 10:30:00.000 UTC"),
        ] {
            assert_eq!(millis(&time), Some(1_733_999_400_000.0), "{time}");
        }
        for none in
            [json!("soon"), json!(null), json!(true), json!(""), json!("2024-13-01 10:00:00")]
        {
            assert_eq!(millis(&none), None, "{none}");
        }
    }
}
