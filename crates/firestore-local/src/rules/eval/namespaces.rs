//! The functions of the namespaces `duration`, `hashing`, `latlng`, `math` and `timestamp`.

use super::Computed;
use super::call::whole;
use crate::rules::hash;
use crate::rules::time::{DAY, Date, MILLISECOND, SECOND, is_in_range, midnight};
use crate::rules::value::Value;

/// Each function with the number of its arguments.
pub const NAMESPACES: [(&str, &str, usize); 18] = [
    ("duration", "abs", 1),
    ("duration", "time", 4),
    ("duration", "value", 2),
    ("hashing", "crc32", 1),
    ("hashing", "crc32c", 1),
    ("hashing", "md5", 1),
    ("hashing", "sha256", 1),
    ("latlng", "value", 2),
    ("math", "abs", 1),
    ("math", "ceil", 1),
    ("math", "floor", 1),
    ("math", "isInfinite", 1),
    ("math", "isNaN", 1),
    ("math", "pow", 2),
    ("math", "round", 1),
    ("math", "sqrt", 1),
    ("timestamp", "date", 3),
    ("timestamp", "value", 1),
];

pub fn is_namespace(name: &str) -> bool {
    NAMESPACES.iter().any(|(space, _, _)| *space == name)
}

pub fn call(space: &str, name: &str, arguments: &[Value]) -> Computed {
    if !arguments.iter().all(Value::is_known) {
        return Ok(Value::unknown());
    }
    let found = match space {
        "duration" => duration(name, arguments)?,
        "hashing" => hashing(name, arguments),
        "latlng" => latlng(name, arguments)?,
        "math" => math(name, arguments)?,
        _ => timestamp(name, arguments)?,
    };
    found.ok_or_else(|| {
        let kinds: Vec<&str> = arguments.iter().map(Value::kind).collect();
        format!("function {space}.{name}({}) does not exist", kinds.join(", "))
    })
}

fn duration(name: &str, arguments: &[Value]) -> Result<Option<Value>, String> {
    let nanos = match (name, arguments) {
        ("abs", [Value::Duration(nanos)]) => nanos.abs(),
        (
            "time",
            [Value::Int(hours), Value::Int(minutes), Value::Int(seconds), Value::Int(nanos)],
        ) => {
            let seconds =
                i128::from(*hours) * 3_600 + i128::from(*minutes) * 60 + i128::from(*seconds);
            seconds * SECOND + i128::from(*nanos)
        }
        ("value", [Value::Int(magnitude), Value::String(unit)]) => {
            let unit = match &**unit {
                "w" => 7 * DAY,
                "d" => DAY,
                "h" => 3_600 * SECOND,
                "m" => 60 * SECOND,
                "s" => SECOND,
                "ms" => MILLISECOND,
                "ns" => 1,
                other => {
                    return Err(format!("expected a unit w, d, h, m, s, ms or ns, got {other:?}"));
                }
            };
            i128::from(*magnitude) * unit
        }
        _ => return Ok(None),
    };
    Ok(Some(Value::Duration(nanos)))
}

fn hashing(name: &str, arguments: &[Value]) -> Option<Value> {
    let data = match arguments {
        [Value::String(text)] => text.as_bytes(),
        [Value::Bytes(data)] => data,
        _ => return None,
    };
    let hashed = match name {
        "crc32" => hash::crc32(data),
        "crc32c" => hash::crc32c(data),
        "md5" => hash::md5(data),
        _ => hash::sha256(data),
    };
    Some(Value::Bytes(hashed.into()))
}

fn latlng(name: &str, arguments: &[Value]) -> Result<Option<Value>, String> {
    let [latitude, longitude] = arguments else { return Ok(None) };
    match (name, latitude.as_float(), longitude.as_float()) {
        ("value", Some(latitude), Some(longitude)) => {
            if (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude) {
                Ok(Some(Value::LatLng(latitude, longitude)))
            } else {
                Err(format!("{latitude}, {longitude} is outside of -90..90, -180..180"))
            }
        }
        _ => Ok(None),
    }
}

fn math(name: &str, arguments: &[Value]) -> Result<Option<Value>, String> {
    if let ("pow", [base, exponent]) = (name, arguments) {
        return Ok(match (base.as_float(), exponent.as_float()) {
            (Some(base), Some(exponent)) => Some(Value::Float(base.powf(exponent))),
            _ => None,
        });
    }
    let [argument] = arguments else { return Ok(None) };
    let Some(number) = argument.as_float() else { return Ok(None) };
    Ok(Some(match (name, argument) {
        ("abs", Value::Int(whole)) => Value::Int(
            whole.checked_abs().ok_or_else(|| format!("-{whole} is too large for an integer"))?,
        ),
        ("abs", _) => Value::Float(number.abs()),
        ("ceil" | "floor" | "round", Value::Int(_)) => argument.clone(),
        ("ceil", _) => whole(number.ceil())?,
        ("floor", _) => whole(number.floor())?,
        // Halves are rounded up, also below zero.
        ("round", _) => whole((number + 0.5).floor())?,
        ("isInfinite", _) => Value::Bool(number.is_infinite()),
        ("isNaN", _) => Value::Bool(number.is_nan()),
        ("sqrt", _) => Value::Float(number.sqrt()),
        _ => return Ok(None),
    }))
}

fn timestamp(name: &str, arguments: &[Value]) -> Result<Option<Value>, String> {
    let nanos = match (name, arguments) {
        ("date", [Value::Int(year), Value::Int(month), Value::Int(day)]) => {
            let date = Date { year: *year, month: *month, day: *day };
            midnight(date).ok_or_else(|| format!("the date {year}-{month}-{day} does not exist"))?
        }
        ("value", [Value::Int(millis)]) => i128::from(*millis) * MILLISECOND,
        _ => return Ok(None),
    };
    if is_in_range(nanos) {
        Ok(Some(Value::Timestamp(nanos)))
    } else {
        Err("a timestamp is outside of the years 1 to 9999".to_owned())
    }
}
