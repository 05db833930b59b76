//! Operators on values.

use std::cmp::Ordering;

use super::Computed;
use crate::rules::syntax::ast::Binary;
use crate::rules::time::is_in_range;
use crate::rules::value::{Comparison, Value, contains, equal, order};

fn decided(outcome: Option<bool>) -> Value {
    outcome.map_or_else(Value::unknown, Value::Bool)
}

pub fn binary(operator: Binary, a: &Value, b: &Value) -> Computed {
    match operator {
        Binary::Equal => Ok(decided(equal(a, b))),
        Binary::NotEqual => Ok(decided(equal(a, b).map(|same| !same))),
        Binary::Less => compare(Comparison::Less, a, b),
        Binary::LessOrEqual => compare(Comparison::LessOrEqual, a, b),
        Binary::Greater => compare(Comparison::Greater, a, b),
        Binary::GreaterOrEqual => compare(Comparison::GreaterOrEqual, a, b),
        Binary::In => is_in(a, b),
        Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Modulo => {
            arithmetic(operator, a, b)
        }
    }
}

fn compare(wanted: Comparison, a: &Value, b: &Value) -> Computed {
    use Comparison::{Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    match (a, b) {
        (Value::Unknown(facts), other) => return Ok(decided(facts.decide(wanted, other))),
        (other, Value::Unknown(facts)) => {
            let mirrored = match wanted {
                Less => Greater,
                LessOrEqual => GreaterOrEqual,
                Greater => Less,
                GreaterOrEqual => LessOrEqual,
                NotEqual => NotEqual,
            };
            return Ok(decided(facts.decide(mirrored, other)));
        }
        _ => {}
    }
    let numbers = a.as_float().is_some() && b.as_float().is_some();
    let Some(order) = order(a, b) else {
        if numbers {
            // A comparison with NaN.
            return Ok(Value::Bool(false));
        }
        return Err(format!("cannot compare {} with {}", a.kind(), b.kind()));
    };
    Ok(Value::Bool(match wanted {
        Less => order.is_lt(),
        LessOrEqual => order.is_le(),
        Greater => order.is_gt(),
        GreaterOrEqual => order.is_ge(),
        NotEqual => order != Ordering::Equal,
    }))
}

fn is_in(wanted: &Value, all: &Value) -> Computed {
    Ok(match all {
        Value::List(all) | Value::Set(all) => decided(contains(all, wanted)),
        Value::Map(map) => match wanted {
            Value::String(key) => decided(map.has(key)),
            Value::Unknown(_) => Value::unknown(),
            other => return Err(format!("`in` a map expected a string, got {}", other.kind())),
        },
        Value::Unknown(facts) => match contains(&facts.contains, wanted) {
            Some(true) => Value::Bool(true),
            _ => Value::unknown(),
        },
        other => return Err(format!("`in` expected a list, set or map, got {}", other.kind())),
    })
}

fn arithmetic(operator: Binary, a: &Value, b: &Value) -> Computed {
    let (name, symbol) = match operator {
        Binary::Add => ("add", '+'),
        Binary::Subtract => ("subtract", '-'),
        Binary::Multiply => ("multiply", '*'),
        Binary::Divide => ("divide", '/'),
        _ => ("take the remainder of", '%'),
    };
    match (a, b) {
        (Value::Unknown(_), _) | (_, Value::Unknown(_)) => return Ok(Value::unknown()),
        (Value::String(a), Value::String(b)) if symbol == '+' => {
            return Ok(Value::text(&format!("{a}{b}")));
        }
        (Value::Int(a), Value::Int(b)) => {
            let result = match symbol {
                '+' => a.checked_add(*b),
                '-' => a.checked_sub(*b),
                '*' => a.checked_mul(*b),
                '/' => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            return result
                .map(Value::Int)
                .ok_or_else(|| format!("cannot {name} {a} and {b}: no such integer"));
        }
        _ => {}
    }
    if let (Some(a), Some(b)) = (a.as_float(), b.as_float()) {
        return Ok(Value::Float(match symbol {
            '+' => a + b,
            '-' => a - b,
            '*' => a * b,
            '/' => a / b,
            _ => a % b,
        }));
    }
    let nanos = match (a, symbol, b) {
        (Value::Timestamp(a), '-', Value::Timestamp(b)) => return Ok(Value::Duration(a - b)),
        (Value::Duration(a), '+', Value::Duration(b)) => return Ok(Value::Duration(a + b)),
        (Value::Duration(a), '-', Value::Duration(b)) => return Ok(Value::Duration(a - b)),
        (Value::Timestamp(a), '+', Value::Duration(b))
        | (Value::Duration(a), '+', Value::Timestamp(b)) => a + b,
        (Value::Timestamp(a), '-', Value::Duration(b)) => a - b,
        _ => return Err(format!("cannot {name} {} and {}", a.kind(), b.kind())),
    };
    if is_in_range(nanos) {
        Ok(Value::Timestamp(nanos))
    } else {
        Err("a timestamp is outside of the years 1 to 9999".to_owned())
    }
}

pub fn negate(value: &Value) -> Computed {
    match value {
        Value::Int(whole) => {
            whole.checked_neg().map(Value::Int).ok_or_else(|| format!("cannot negate {whole}"))
        }
        Value::Float(number) => Ok(Value::Float(-number)),
        Value::Duration(nanos) => Ok(Value::Duration(-nanos)),
        Value::Unknown(_) => Ok(Value::unknown()),
        other => Err(format!("`-` expected a number, got {}", other.kind())),
    }
}

fn position(index: i64, length: usize) -> Result<usize, String> {
    usize::try_from(index)
        .ok()
        .filter(|index| *index <= length)
        .ok_or_else(|| format!("index {index} is outside of 0 to {length}"))
}

pub fn index(on: &Value, index: &Value) -> Computed {
    let missing = |number: &i64| format!("element {number} does not exist");
    match (on, index) {
        (Value::Unknown(_), _) | (_, Value::Unknown(_)) => Ok(Value::unknown()),
        (Value::Map(_), Value::String(key)) => super::member(on, key),
        (Value::List(all), Value::Int(number)) => {
            all.get(position(*number, all.len())?).cloned().ok_or_else(|| missing(number))
        }
        (Value::String(text), Value::Int(number)) => {
            let symbol = text.chars().nth(position(*number, text.len())?);
            symbol.map(|symbol| Value::text(&symbol.to_string())).ok_or_else(|| missing(number))
        }
        (Value::Path(path), Value::Int(number)) => {
            let segment = path.segments.get(position(*number, path.segments.len())?);
            segment.map(|segment| Value::text(segment)).ok_or_else(|| missing(number))
        }
        (on, index) => Err(format!("cannot index {} with {}", on.kind(), index.kind())),
    }
}

pub fn range(on: &Value, from: &Value, until: &Value) -> Computed {
    let (from, until) = match (on, from, until) {
        (Value::Unknown(_), _, _) | (_, Value::Unknown(_), _) | (_, _, Value::Unknown(_)) => {
            return Ok(Value::unknown());
        }
        (_, Value::Int(from), Value::Int(until)) => (*from, *until),
        _ => return Err("a range expected integers".to_owned()),
    };
    if from > until {
        return Err(format!("a range ends before it begins: {from}:{until}"));
    }
    match on {
        Value::List(all) => {
            let (from, until) = (position(from, all.len())?, position(until, all.len())?);
            Ok(Value::List(all[from..until].into()))
        }
        Value::String(text) => {
            let symbols: Vec<char> = text.chars().collect();
            let (from, until) = (position(from, symbols.len())?, position(until, symbols.len())?);
            Ok(Value::text(&symbols[from..until].iter().collect::<String>()))
        }
        other => Err(format!("cannot take a range of {}", other.kind())),
    }
}
