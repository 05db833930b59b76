//! What the rules reference documents, section by section, and whole rules files.

mod expressions;
mod files;
mod fuzz;
mod limits;
mod queries;
mod robust;
mod samples;

use std::collections::BTreeMap;

use super::decide::Outcome;
use super::value::segments;
use super::*;

pub const DATABASE: &str = "databases/(default)/documents";

/// Documents in memory, by path below the database.
#[derive(Debug, Default)]
pub struct World {
    pub before: BTreeMap<String, serde_json::Value>,
    pub after: BTreeMap<String, serde_json::Value>,
}

impl Documents for World {
    fn read(&self, path: &DocumentPath, after: bool) -> Result<Value, String> {
        let prefix = format!("/{DATABASE}/");
        let path_text = path.to_string();
        let Some(inner) = path_text.strip_prefix(&prefix) else {
            return Err(format!("{path} is in another database"));
        };
        let found = (if after { self.after.get(inner) } else { None }).or(self.before.get(inner));
        Ok(match found {
            None | Some(serde_json::Value::Null) => Value::Null,
            Some(data) => resource_of(&path.segments, Value::of_json(data, NOW)?),
        })
    }
}

/// 2024-02-29T12:30:45.678901Z, a Thursday.
pub const NOW: i128 = 1_709_209_845_678_901_000;

pub fn claims(json: serde_json::Value) -> Claims {
    match json {
        serde_json::Value::Object(claims) => Claims(claims),
        _ => Claims::default(),
    }
}

pub fn full(path: &str) -> Vec<String> {
    segments(&format!("{DATABASE}/{path}"))
}

pub fn data(path: &str, json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        json => resource_of(&full(path), Value::of_json(&json, NOW).unwrap()),
    }
}

/// Decides an operation on one document.
pub fn ask(
    rules: &Ruleset,
    world: &World,
    who: serde_json::Value,
    method: Method,
    path: &str,
    [before, after]: [serde_json::Value; 2],
) -> Decision {
    let context = Context {
        claims: &claims(who),
        time: Micros(i64::try_from(NOW / 1_000).unwrap()),
        documents: world,
        budget: &Budget::default(),
        coverage: None,
    };
    let full = full(path);
    let (before, after) = (data(path, before), data(path, after));
    rules.decide(context, Change { method, path: &full, before, after })
}

/// Rules with one condition for every method, and functions.
pub fn ruled(functions: &str, condition: &str) -> Ruleset {
    let text = format!(
        "rules_version = '2';\nservice cloud.firestore {{\n match /databases/{{database}}/documents \
         {{\n{functions}\n match /{{collection}}/{{id}} {{ allow read, write: if {condition};\n }} }} }}"
    );
    Ruleset::parse(&text).unwrap_or_else(|error| panic!("{condition}: {error}"))
}

/// The outcome of a condition: `Some(true)`, `Some(false)`, or `None` for an error.
pub fn outcome(decision: &Decision) -> Option<bool> {
    match decision.verdicts.last().map(|verdict| &verdict.outcome) {
        Some(Outcome::True) => Some(true),
        Some(Outcome::False) => Some(false),
        Some(Outcome::Failed(_)) => None,
        other => panic!("{other:?}"),
    }
}
