//! Editing params by hand: assignments to paths, and the checks that params must pass before they
//! are written.

use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;

use super::{MODEL_WEIGHTS, Params, ParamsError};
use crate::names::{NameError, check_field_name};

/// Every component reads the params repeatedly. This is far more than a component needs, and well
/// below Firestore's limit of 1 MiB for a document.
pub const MAX_PARAMS_BYTES: usize = 256 << 10;
/// Firestore allows maps and arrays up to 20 levels deep; `params` itself is the first.
pub const MAX_PARAMS_DEPTH: usize = 19;

/// Why edited params cannot be written.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum EditError {
    #[error("invalid assignment {0:?}: expected PATH=VALUE, as in modelWeights.gpt-5=0.5")]
    NoAssignment(String),
    #[error(
        "cannot set {rest:?} in {path:?}: params has no such map; use --params FILE to replace all params"
    )]
    NoParent { path: String, rest: String },
    #[error("{path} is {found}, must be {expected} as it is in {reference}")]
    Type { path: String, found: &'static str, expected: &'static str, reference: String },
    #[error("cannot remove the arm {arm:?}: modelWeights has only {}", known.join(", "))]
    UnknownArm { arm: String, known: Vec<String> },
    #[error(
        "without {}, modelWeights add up to {sum:.6}, must be 1: set the remaining weights as well, for \
         example in proportion: {}", removed.join(", "), Assignments(example)
    )]
    RemovedArm { removed: Vec<String>, sum: f64, example: Vec<(String, f64)> },
    #[error("modelWeights is missing, and {reference} routes by it")]
    WeightsDropped { reference: String },
    #[error("nothing would change")]
    NoChange,
    #[error(transparent)]
    Params(#[from] ParamsError),
    #[error("the params take {bytes} bytes as JSON, must be at most {MAX_PARAMS_BYTES}")]
    TooLarge { bytes: usize },
    #[error("the params nest deeper than {MAX_PARAMS_DEPTH} levels")]
    TooDeep,
    #[error("{path} is an array that contains an array, which Firestore cannot store")]
    NestedArray { path: String },
    #[error(
        "cannot replace {path}: it is {kind} in {reference}, which JSON cannot express; leave it as it \
         is, or set it to null"
    )]
    NotJson { path: String, kind: &'static str, reference: String },
    #[error("Firestore cannot store {path:?}: the field name {source}")]
    FieldName { path: String, source: NameError },
}

/// Splits `modelWeights.gpt-5=0.5` into path and value. The value is parsed as JSON; if it is not
/// valid JSON, it is a text.
pub fn parse_assignment(text: &str) -> Result<(String, Value), EditError> {
    let (path, value) =
        text.split_once('=').ok_or_else(|| EditError::NoAssignment(text.to_owned()))?;
    if path.is_empty() {
        return Err(EditError::NoAssignment(text.to_owned()));
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((path.to_owned(), value))
}

impl Params {
    /// A copy with `value` at `path`; the value null removes an arm. Dots separate the names of nested maps. Names may contain dots
    /// themselves: the longest existing name is used. A new name may be added at the top level and
    /// as an arm.
    pub fn set(&self, path: &str, value: Value) -> Result<Self, EditError> {
        let mut params = self.clone();
        put(&mut params.0, path, path, value)?;
        Ok(params)
    }

    /// Whether these params may replace those of `parent`, whose version is named `reference`:
    /// shared fields keep their type, the weights are valid, and Firestore can store everything.
    pub fn check_override(&self, parent: &Self, reference: &str) -> Result<(), EditError> {
        self.check_storable()?;
        check_types("", &parent.0, &self.0, reference)?;
        if let Err(error) = self.model_weights() {
            return Err(self.removed_arm(parent).unwrap_or_else(|| error.into()));
        }
        if parent.0.contains_key(MODEL_WEIGHTS) && !self.0.contains_key(MODEL_WEIGHTS) {
            return Err(EditError::WeightsDropped { reference: reference.to_owned() });
        }
        if super::diff(parent, self).is_empty() {
            return Err(EditError::NoChange);
        }
        Ok(())
    }

    /// What to say if the weights do not add up to 1 because arms of `parent` were removed.
    fn removed_arm(&self, parent: &Self) -> Option<EditError> {
        let Err(ParamsError::Sum { sum }) = self.model_weights() else { return None };
        let before = parent.0.get(MODEL_WEIGHTS)?.as_object()?;
        let after = self.0.get(MODEL_WEIGHTS)?.as_object()?;
        let removed: Vec<String> =
            before.keys().filter(|arm| !after.contains_key(*arm)).cloned().collect();
        if removed.is_empty() {
            return None;
        }
        let weights = after.iter().filter_map(|(arm, weight)| Some((arm, weight.as_f64()?)));
        Some(EditError::RemovedArm { removed, sum, example: in_proportion(weights) })
    }

    fn check_storable(&self) -> Result<(), EditError> {
        check_map("", &self.0, 1)?;
        let bytes = serde_json::to_vec(&self.0).map_or(usize::MAX, |json| json.len());
        if bytes > MAX_PARAMS_BYTES {
            return Err(EditError::TooLarge { bytes });
        }
        Ok(())
    }
}

fn put(
    object: &mut Map<String, Value>,
    whole: &str,
    rest: &str,
    value: Value,
) -> Result<(), EditError> {
    let in_weights =
        whole.strip_suffix(rest).is_some_and(|it| it.trim_end_matches('.') == MODEL_WEIGHTS);
    if in_weights && value.is_null() {
        return match object.remove(rest) {
            Some(_) => Ok(()),
            None => {
                let known = object.keys().cloned().collect();
                Err(EditError::UnknownArm { arm: rest.to_owned(), known })
            }
        };
    }
    if object.contains_key(rest) {
        object.insert(rest.to_owned(), value);
        return Ok(());
    }
    let dots = rest.match_indices('.').map(|(at, _)| at).rev();
    for at in dots {
        if let Some(Value::Object(inner)) = object.get_mut(&rest[..at]) {
            return put(inner, whole, &rest[at + 1..], value);
        }
    }
    let path = whole[..whole.len() - rest.len()].trim_end_matches('.').to_owned();
    if rest.contains('.') && path != MODEL_WEIGHTS {
        let (path, rest) = rest.split_once('.').unwrap_or((rest, ""));
        return Err(EditError::NoParent { path: path.to_owned(), rest: rest.to_owned() });
    }
    object.insert(rest.to_owned(), value);
    Ok(())
}

/// The same weights, scaled so that they add up to 1, in thousandths; empty if all are 0. The last
/// arm above 0 gets what rounding leaves.
fn in_proportion<'a>(weights: impl Iterator<Item = (&'a String, f64)>) -> Vec<(String, f64)> {
    let weights: Vec<(&String, f64)> = weights.collect();
    let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let Some(last) = weights.iter().rposition(|(_, weight)| *weight > 0.0) else {
        return Vec::new();
    };
    let mut left = 1_000.0;
    let mut scaled: Vec<(String, f64)> = Vec::new();
    for (at, (arm, weight)) in weights.iter().enumerate() {
        let part = if at == last { left } else { (weight / sum * 1_000.0).round().min(left) };
        left -= part;
        scaled.push(((*arm).clone(), part / 1_000.0));
    }
    scaled
}

/// `modelWeights.gpt-5=0.6, modelWeights.gemini=0.4`, as arguments of `--set` or entries of `set`.
struct Assignments<'a>(&'a [(String, f64)]);

impl fmt::Display for Assignments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("give the whole weight to arms that remain");
        }
        for (at, (arm, weight)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{MODEL_WEIGHTS}.{arm}={weight}")?;
        }
        Ok(())
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "a map",
    }
}

fn check_types(
    prefix: &str,
    parent: &Map<String, Value>,
    own: &Map<String, Value>,
    reference: &str,
) -> Result<(), EditError> {
    for (key, value) in own {
        let path = join(prefix, key);
        match (parent.get(key), value) {
            (None | Some(Value::Null), _) => {}
            (Some(Value::Object(parent)), Value::Object(own)) => {
                check_types(&path, parent, own, reference)?;
            }
            (Some(before), _) if kind(before) != kind(value) => {
                let (found, expected) = (kind(value), kind(before));
                let reference = reference.to_owned();
                return Err(EditError::Type { path, found, expected, reference });
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_map(prefix: &str, object: &Map<String, Value>, depth: usize) -> Result<(), EditError> {
    if depth > MAX_PARAMS_DEPTH {
        return Err(EditError::TooDeep);
    }
    for (key, value) in object {
        let path = join(prefix, key);
        check_field_name(key)
            .map_err(|source| EditError::FieldName { path: path.clone(), source })?;
        check_value(&path, value, depth + 1)?;
    }
    Ok(())
}

fn check_value(path: &str, value: &Value, depth: usize) -> Result<(), EditError> {
    match value {
        Value::Object(object) => check_map(path, object, depth),
        Value::Array(items) => {
            if depth > MAX_PARAMS_DEPTH {
                return Err(EditError::TooDeep);
            }
            if items.iter().any(Value::is_array) {
                return Err(EditError::NestedArray { path: path.to_owned() });
            }
            items.iter().try_for_each(|item| check_value(path, item, depth + 1))
        }
        _ => Ok(()),
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

    fn router() -> Params {
        params(json!({
            "modelWeights": {"gpt-4.1": 0.6, "claude": 0.4},
            "latencyTargetMs": 2500, "fallbackOn": ["timeout"], "region": "eu", "a": {"b.c": 1},
        }))
    }

    #[test]
    fn an_existing_name_with_dots_takes_precedence_over_a_path() {
        let changed = router().set("modelWeights.gpt-4.1", json!(0.5)).unwrap();
        assert_eq!(changed.0["modelWeights"], json!({"gpt-4.1": 0.5, "claude": 0.4}));
        let changed = router().set("a.b.c", json!(2)).unwrap();
        assert_eq!(changed.0["a"], json!({"b.c": 2}));
        let changed = router().set("modelWeights.o-3.5", json!(0.1)).unwrap();
        assert_eq!(changed.0["modelWeights"]["o-3.5"], json!(0.1), "a new arm");
        let missing = router().set("latency.targetMs", json!(1)).unwrap_err();
        assert_eq!(
            missing,
            EditError::NoParent { path: "latency".to_owned(), rest: "targetMs".to_owned() }
        );
    }

    #[test]
    fn null_removes_an_arm_and_the_remaining_weights_must_add_up_to_1() {
        let removed = router().set("modelWeights.gpt-4.1", json!(null)).unwrap();
        assert_eq!(removed.0["modelWeights"], json!({"claude": 0.4}));
        let error = removed.check_override(&router(), "router-core@1.0.0").unwrap_err();
        assert_eq!(
            error.to_string(),
            "without gpt-4.1, modelWeights add up to 0.400000, must be 1: set the remaining weights \
             as well, for example in proportion: modelWeights.claude=1"
        );
        let whole = removed.set("modelWeights.claude", json!(1)).unwrap();
        whole.check_override(&router(), "router-core@1.0.0").unwrap();
        let unknown = router().set("modelWeights.gpt-9", json!(null)).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "cannot remove the arm \"gpt-9\": modelWeights has only claude, gpt-4.1"
        );
        let last = whole.set("modelWeights.claude", json!(null)).unwrap();
        let error = last.check_override(&router(), "router-core@1.0.0").unwrap_err();
        assert_eq!(error, EditError::Params(ParamsError::NoArms));
        // Elsewhere, null is a value.
        assert_eq!(router().set("region", json!(null)).unwrap().0["region"], json!(null));
        let thirds = ["a", "b", "c"].map(str::to_owned);
        let scaled = in_proportion(thirds.iter().map(|arm| (arm, 0.2)));
        assert_eq!(scaled.iter().map(|it| it.1).collect::<Vec<_>>(), [0.333, 0.333, 0.334]);
    }

    #[test]
    fn a_value_is_json_if_it_parses_and_text_otherwise() {
        let read = |text: &str| parse_assignment(text).unwrap();
        assert_eq!(read("a.b=0.5"), ("a.b".to_owned(), json!(0.5)));
        assert_eq!(read("region=us=east"), ("region".to_owned(), json!("us=east")));
        assert_eq!(read("x=[1,2]"), ("x".to_owned(), json!([1, 2])));
        assert!(parse_assignment("a.b").is_err() && parse_assignment("=1").is_err());
    }

    #[test]
    fn an_invalid_override_is_rejected_with_its_reason() {
        let refused = |change: Value| {
            let mut own = router();
            for (key, value) in change.as_object().unwrap() {
                own.0.insert(key.clone(), value.clone());
            }
            own.check_override(&router(), "router-core@1.0.0").unwrap_err()
        };
        assert_eq!(
            refused(json!({"latencyTargetMs": "soon"})).to_string(),
            "latencyTargetMs is text, must be a number as it is in router-core@1.0.0"
        );
        let sum = json!({"modelWeights": {"gpt-4.1": 0.6, "claude": 0.3}});
        assert!(matches!(refused(sum), EditError::Params(ParamsError::Sum { .. })));
        let none = json!({"modelWeights": {"gpt-4.1": -0.1, "claude": 1.1}});
        assert!(matches!(refused(none), EditError::Params(ParamsError::Weight { .. })));
        let text = json!({"modelWeights": {"gpt-4.1": "NaN", "claude": 1.0}});
        assert!(matches!(refused(text), EditError::Type { .. }));
        let arm = json!({"modelWeights": {"a".repeat(1_501): 1.0}});
        assert!(matches!(refused(arm), EditError::FieldName { .. }));
        assert!(matches!(refused(json!({"__x__": 1})), EditError::FieldName { .. }));
        assert!(matches!(refused(json!({"": 1})), EditError::FieldName { .. }));
        assert!(matches!(refused(json!({"n": [[1]]})), EditError::NestedArray { .. }));
        assert!(matches!(
            refused(json!({"t": "x".repeat(MAX_PARAMS_BYTES)})),
            EditError::TooLarge { .. }
        ));
        assert_eq!(refused(json!({})), EditError::NoChange);
        let deep = (0..30).fold(json!(1), |inner, _| json!({ "x": inner }));
        assert_eq!(refused(json!({ "deep": deep })), EditError::TooDeep);
    }

    proptest! {
        #[test]
        fn no_path_makes_the_setter_panic_or_change_other_arms(path in "[a-z.=]{0,20}", value in 0..9) {
            let before = router();
            if let Ok(after) = before.set(&path, json!(value)) {
                prop_assert!(super::super::diff(&before, &after).len() <= 4);
                prop_assert!(after.0.len() >= before.0.len());
            }
        }
    }
}
