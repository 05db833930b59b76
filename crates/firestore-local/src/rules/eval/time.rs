//! Methods of timestamps, durations and coordinates.

use crate::rules::time::{DAY, MILLISECOND, SECOND, date_of, days_of};
use crate::rules::value::Value;

fn int(number: i128) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

pub fn timestamp(nanos: i128, name: &str, arguments: &[Value]) -> Option<Value> {
    if !arguments.is_empty() {
        return None;
    }
    let days = nanos.div_euclid(DAY);
    let time = nanos.rem_euclid(DAY);
    let day_number = i64::try_from(days).unwrap_or(0);
    let date = date_of(day_number);
    Some(match name {
        "date" => Value::Timestamp(days * DAY),
        "year" => Value::Int(date.year),
        "month" => Value::Int(date.month),
        "day" => Value::Int(date.day),
        // 1970-01-01 was a Thursday; Monday is 1.
        "dayOfWeek" => Value::Int((day_number + 3).rem_euclid(7) + 1),
        "dayOfYear" => {
            let first = crate::rules::time::Date { month: 1, day: 1, ..date };
            Value::Int(day_number - days_of(first) + 1)
        }
        "hours" => int(time / (3_600 * SECOND)),
        "minutes" => int(time / (60 * SECOND) % 60),
        "seconds" => int(time / SECOND % 60),
        "nanos" => int(time % SECOND),
        "time" => Value::Duration(time),
        "toMillis" => int(nanos.div_euclid(MILLISECOND)),
        _ => return None,
    })
}

pub fn duration(nanos: i128, name: &str, arguments: &[Value]) -> Option<Value> {
    if !arguments.is_empty() {
        return None;
    }
    Some(match name {
        "seconds" => int(nanos / SECOND),
        "nanos" => int(nanos % SECOND),
        _ => return None,
    })
}

/// The mean radius of the earth in meters.
const EARTH: f64 = 6_371_010.0;

pub fn latlng(latitude: f64, longitude: f64, name: &str, arguments: &[Value]) -> Option<Value> {
    Some(Value::Float(match (name, arguments) {
        ("latitude", []) => latitude,
        ("longitude", []) => longitude,
        ("distance", [Value::LatLng(to_latitude, to_longitude)]) => {
            // The haversine formula.
            let (a, b) = (latitude.to_radians(), to_latitude.to_radians());
            let across = (to_longitude - longitude).to_radians();
            let half = |angle: f64| (angle / 2.0).sin().powi(2);
            let chord = half(b - a) + a.cos() * b.cos() * half(across);
            2.0 * EARTH * chord.sqrt().min(1.0).asin()
        }
        _ => return None,
    }))
}
