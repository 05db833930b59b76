//! Assignments to the fields of a document.

use serde_json::{Map, Value};

/// Puts a value at a path of names with dots between them; null removes the field. Names may contain dots
/// themselves: the longest existing name is used. Maps on the way are made where there are none. Whether
/// the document may have such a field is checked afterwards, by the rules that it is read by.
pub fn put(map: &mut Map<String, Value>, path: &str, value: Value) {
    let splits = path.match_indices('.').map(|(at, _)| (&path[..at], &path[at + 1..]));
    let splits: Vec<_> = splits.collect();
    if !map.contains_key(path) && !splits.is_empty() {
        let known = splits.iter().rfind(|(name, _)| map.get(*name).is_some_and(Value::is_object));
        let (name, rest) = *known.unwrap_or(&splits[0]);
        let below = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(below) = below {
            return put(below, rest, value);
        }
    }
    match value {
        Value::Null => drop(map.remove(path)),
        value => drop(map.insert(path.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn after(path: &str, value: Value) -> Value {
        let Value::Object(mut map) = json!({
            "version": "1.0.0",
            "guard": { "alpha": 0.05 },
            "policies": { "router.core": { "stepBound": 0.1 } },
        }) else {
            unreachable!("an object")
        };
        put(&mut map, path, value);
        Value::Object(map)
    }

    #[test]
    fn a_field_is_changed_added_or_removed_at_its_path() {
        assert_eq!(after("guard.alpha", json!(0.01))["guard"]["alpha"], 0.01);
        assert_eq!(
            after("guard.maxDays", json!(7))["guard"],
            json!({ "alpha": 0.05, "maxDays": 7 })
        );
        assert_eq!(after("guard.alpha", Value::Null)["guard"], json!({}));
        let found = after("policies.router.core.stepBound", json!(0.2));
        assert_eq!(found["policies"], json!({ "router.core": { "stepBound": 0.2 } }));
        let found = after("policies.new.component", json!("new:{arm}"));
        assert_eq!(found["policies"]["new"], json!({ "component": "new:{arm}" }));
    }

    #[test]
    fn a_path_through_a_value_replaces_nothing_of_it() {
        assert_eq!(after("version.major", json!(1))["version"], "1.0.0");
    }
}
