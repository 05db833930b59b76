//! Methods of lists, sets, maps, the difference of maps, and paths.

use std::collections::BTreeSet;

use super::Computed;
use super::text::count;
use crate::rules::value::{Facts, Map, Path, Value, contains, equal};

fn holds(all: &[Value], wanted: &Value) -> bool {
    contains(all, wanted) == Some(true)
}

/// `hasAll`, `hasAny` and `hasOnly` of lists and sets.
fn has(all: &[Value], name: &str, other: &[Value]) -> Option<Value> {
    Some(Value::Bool(match name {
        "hasAll" => other.iter().all(|value| holds(all, value)),
        "hasAny" => other.iter().any(|value| holds(all, value)),
        "hasOnly" => all.iter().all(|value| holds(other, value)),
        _ => return None,
    }))
}

/// `hasAny` and `hasAll` of an unknown list, of which some elements are known.
pub fn has_unknown(facts: &Facts, name: &str, wanted: &[Value]) -> Value {
    let known = |value: &Value| holds(&facts.contains, value);
    // Without a known element, it may be no list.
    let proven = match name {
        "hasAny" => wanted.iter().any(known),
        _ => !facts.contains.is_empty() && wanted.iter().all(known),
    };
    if proven { Value::Bool(true) } else { Value::unknown() }
}

pub fn list(all: &[Value], name: &str, arguments: &[Value]) -> Result<Option<Value>, String> {
    Ok(match (name, arguments) {
        ("size", []) => Some(count(all.len())),
        ("concat", [Value::List(other)]) => {
            Some(Value::list(all.iter().chain(other.iter()).cloned()))
        }
        ("removeAll", [Value::List(other)]) => {
            Some(Value::list(all.iter().filter(|value| !holds(other, value)).cloned()))
        }
        ("toSet", []) => Some(Value::set(all.iter().cloned())),
        ("join", [Value::String(separator)]) => {
            let mut texts = Vec::with_capacity(all.len());
            for value in all {
                texts.push(match value {
                    Value::String(text) => text.to_string(),
                    Value::Null
                    | Value::Bool(_)
                    | Value::Int(_)
                    | Value::Float(_)
                    | Value::Path(_) => value.to_string(),
                    other => return Err(format!("cannot join a value of type {}", other.kind())),
                });
            }
            Some(Value::text(&texts.join(separator)))
        }
        (_, [Value::List(other) | Value::Set(other)]) => has(all, name, other),
        _ => None,
    })
}

pub fn set(all: &[Value], name: &str, arguments: &[Value]) -> Result<Option<Value>, String> {
    let kept = |wanted: bool, other: &[Value]| {
        Value::set(all.iter().filter(|value| holds(other, value) == wanted).cloned())
    };
    Ok(match (name, arguments) {
        ("size", []) => Some(count(all.len())),
        ("difference", [Value::Set(other)]) => Some(kept(false, other)),
        ("intersection", [Value::Set(other)]) => Some(kept(true, other)),
        ("union", [Value::Set(other)]) => Some(Value::set(all.iter().chain(other.iter()).cloned())),
        (_, [Value::List(other) | Value::Set(other)]) => has(all, name, other),
        _ => None,
    })
}

pub fn map(map: &Map, name: &str, arguments: &[Value]) -> Option<Value> {
    Some(match (name, arguments) {
        ("size", []) => count(map.fields.len()),
        ("keys", []) => Value::list(map.fields.keys().map(|key| Value::text(key))),
        ("values", []) => Value::list(map.fields.values().cloned()),
        ("diff", [Value::Map(other)]) => {
            Value::MapDiff(std::sync::Arc::new((map.clone(), (**other).clone())))
        }
        _ => return None,
    })
}

/// `map.get(key, default)`, where the key may be a list of keys for nested maps.
pub fn get(map: &Map, key: &Value, default: &Value) -> Computed {
    let keys = match key {
        Value::String(_) => std::slice::from_ref(key),
        Value::List(keys) if !keys.is_empty() => keys,
        Value::Unknown(_) => return Ok(Value::unknown()),
        other => return Err(format!("`get` expected a string or a list, got {}", other.kind())),
    };
    let mut found = Value::Map(map.clone().into());
    for key in keys {
        let Value::String(key) = key else {
            return Err(format!("`get` expected keys that are strings, got {}", key.kind()));
        };
        found = match &found {
            Value::Unknown(_) => return Ok(Value::unknown()),
            Value::Map(map) => match map.get(key) {
                Some(value) => value,
                None => return Ok(default.clone()),
            },
            _ => return Ok(default.clone()),
        };
    }
    Ok(found)
}

/// The keys in which `now` differs from `before`.
pub fn diff(now: &Map, before: &Map, name: &str, arguments: &[Value]) -> Option<Value> {
    if !arguments.is_empty() {
        return None;
    }
    let keys: BTreeSet<&String> = now.fields.keys().chain(before.fields.keys()).collect();
    let wanted = |key: &str| match (now.fields.get(key), before.fields.get(key)) {
        (Some(_), None) => ["addedKeys", "affectedKeys"].contains(&name),
        (None, Some(_)) => ["removedKeys", "affectedKeys"].contains(&name),
        (Some(a), Some(b)) if equal(a, b) == Some(true) => name == "unchangedKeys",
        _ => ["changedKeys", "affectedKeys"].contains(&name),
    };
    let names = ["addedKeys", "affectedKeys", "changedKeys", "removedKeys", "unchangedKeys"];
    names
        .contains(&name)
        .then(|| Value::set(keys.into_iter().filter(|key| wanted(key)).map(|key| Value::text(key))))
}

/// Replaces the segments `$(name)` of a path by values.
pub fn bind(path: &Path, values: &Map) -> Computed {
    let mut segments = Vec::with_capacity(path.segments.len());
    for segment in &path.segments {
        let name = segment.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')'));
        match name.map(|name| (name, values.fields.get(name))) {
            None => segments.push(segment.clone()),
            Some((_, Some(Value::String(text)))) => segments.push(text.to_string()),
            Some((_, Some(Value::Path(inner)))) => segments.extend(inner.segments.iter().cloned()),
            Some((name, _)) => return Err(format!("`bind` has no value for {name}")),
        }
    }
    Ok(Value::path(segments))
}
