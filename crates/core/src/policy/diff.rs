//! The differences between the params of two versions, leaf by leaf.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Params;

/// One leaf that was added, removed or changed. The path has dots, in the form that `--set` takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParamChange {
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

impl ParamChange {
    /// The change of a number; `None` unless both sides are numbers.
    pub fn delta(&self) -> Option<f64> {
        Some(self.to.as_ref()?.as_f64()? - self.from.as_ref()?.as_f64()?)
    }
}

impl fmt::Display for ParamChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{} {from} → {to}", self.path),
            (None, Some(to)) => write!(f, "{} added: {to}", self.path),
            (Some(from), None) => write!(f, "{} removed: {from}", self.path),
            (None, None) => f.write_str(&self.path),
        }
    }
}

/// The leaves that differ, sorted by path. Numbers are compared by value: `1` and `1.0` are equal,
/// because languages differ in how they write whole numbers.
pub fn diff(from: &Params, to: &Params) -> Vec<ParamChange> {
    let mut changes = Vec::new();
    compare("", &from.0, &to.0, &mut changes);
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}

fn compare(
    prefix: &str,
    from: &Map<String, Value>,
    to: &Map<String, Value>,
    changes: &mut Vec<ParamChange>,
) {
    let added = to.keys().filter(|key| !from.contains_key(*key));
    for key in from.keys().chain(added) {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (from.get(key), to.get(key)) {
            (Some(Value::Object(from)), Some(Value::Object(to))) => {
                compare(&path, from, to, changes);
            }
            (from, to) if same(from, to) => {}
            (from, to) => {
                changes.push(ParamChange { path, from: from.cloned(), to: to.cloned() });
            }
        }
    }
}

fn same(from: Option<&Value>, to: Option<&Value>) -> bool {
    match (from, to) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => a == b || a.as_f64() == b.as_f64(),
        (from, to) => from == to,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn params(value: Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn each_change_names_its_path() {
        let from = params(json!({"modelWeights": {"a": 0.5, "b": 0.5}, "old": 1, "same": [1]}));
        let to = params(json!({"modelWeights": {"a": 0.25, "b": 0.75}, "new": "x", "same": [1]}));
        let shown: Vec<_> = diff(&from, &to).iter().map(ToString::to_string).collect();
        let expected = [
            "modelWeights.a 0.5 → 0.25",
            "modelWeights.b 0.5 → 0.75",
            "new added: \"x\"",
            "old removed: 1",
        ];
        assert_eq!(shown, expected);
        assert_eq!(diff(&from, &to)[0].delta(), Some(-0.25));
    }

    #[test]
    fn a_whole_number_equals_its_floating_point_form() {
        assert_eq!(diff(&params(json!({"x": 1})), &params(json!({"x": 1.0}))), []);
    }

    proptest! {
        #[test]
        fn params_differ_exactly_when_they_are_not_equal(a in 0..5_i32, b in 0..5_i32) {
            let (from, to) = (params(json!({"x": {"y": a}})), params(json!({"x": {"y": b}})));
            prop_assert_eq!(diff(&from, &to).is_empty(), a == b);
            prop_assert_eq!(diff(&from, &from), []);
        }
    }
}
