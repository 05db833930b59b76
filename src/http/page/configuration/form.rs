//! A document of `config` as a form: a field for each value, or a text area with JSON.

use maud::{Markup, html};
use serde_json::{Map, Value, json};

use crate::http::page::text::shown;
use crate::http::page::visit::Fields;
use crate::store::{ConfigDocument, StoredConfig, check_config};
use f0_learning_core::reward::RewardConfig;
use f0_learning_core::tuning::TuningConfig;

/// With more values, only the JSON is edited.
pub const MAX_FIELDS: usize = 400;

/// Precedes the path of a value in the name of its field.
const FIELD: &str = "value:";

/// A value of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// The names of the fields from the document to the value.
    path: Vec<String>,
    value: Value,
}

impl Leaf {
    /// The path as a JSON pointer (RFC 6901): names may contain dots.
    fn pointer(&self) -> String {
        let escaped = |name: &String| name.replace('~', "~0").replace('/', "~1");
        self.path.iter().map(|name| format!("/{}", escaped(name))).collect()
    }

    fn group(&self) -> String {
        self.path[..self.path.len() - 1].join(".")
    }

    fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// The value as it is typed.
    fn text(&self) -> String {
        match &self.value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// The texts that the value may have, if they are few.
    fn choices(&self) -> &'static [&'static str] {
        match (&self.value, self.name()) {
            (Value::Bool(_), _) => &["true", "false"],
            (_, "allocation") => &["belief", "proof"],
            (_, "goal") => &["reward", "identify"],
            _ => &[],
        }
    }

    fn parse(&self, text: &str) -> Result<Value, String> {
        match &self.value {
            Value::String(_) => Ok(Value::from(text)),
            _ => serde_json::from_str(text.trim()).map_err(|_| {
                let expected = match &self.value {
                    Value::Number(_) => "a number",
                    Value::Bool(_) => "true or false",
                    _ => "JSON",
                };
                format!("invalid {}: expected {expected}, got {text:?}", self.path.join("."))
            }),
        }
    }
}

/// The content with all defaults; `None` if the document cannot be read.
pub fn effective(stored: &StoredConfig) -> Option<Value> {
    let read = |content| check_config(stored.document, content).ok().map(|it| it.to_json());
    match (&stored.content, stored.document) {
        (Some(content), _) => read(content),
        (None, ConfigDocument::Flags) => {
            Some(json!({ "learning": { "enabled": false, "autoActivatePolicies": false } }))
        }
        (None, ConfigDocument::RewardConfig) => serde_json::to_value(RewardConfig::default()).ok(),
        (None, ConfigDocument::Tuning) => serde_json::to_value(TuningConfig::default()).ok(),
        (None, ConfigDocument::Scoring) => read(&Map::new()),
    }
}

/// The values of a content: first those of a map, then those of the maps in it.
pub fn leaves(content: &Value) -> Vec<Leaf> {
    let mut found = Vec::new();
    collect(content, &mut Vec::new(), &mut found);
    found
}

fn collect(value: &Value, path: &mut Vec<String>, found: &mut Vec<Leaf>) {
    let Value::Object(map) = value else { return };
    let is_map = |value: &Value| matches!(value, Value::Object(map) if !map.is_empty());
    for (name, value) in map.iter().filter(|(_, value)| !is_map(value)) {
        let path = path.iter().chain([name]).cloned().collect();
        found.push(Leaf { path, value: value.clone() });
    }
    for (name, value) in map.iter().filter(|(_, value)| is_map(value)) {
        path.push(name.clone());
        collect(value, path, found);
        path.pop();
    }
}

/// Leaves that follow each other in the same map.
fn groups(leaves: &[Leaf]) -> impl Iterator<Item = &[Leaf]> {
    leaves.chunk_by(|a, b| a.path[..a.path.len() - 1] == b.path[..b.path.len() - 1])
}

/// The path of the map that these values are in.
fn title(group: &[Leaf]) -> String {
    let name = group[0].group();
    if name.is_empty() { "document".to_owned() } else { shown(&name) }
}

/// The values to read.
pub fn table(leaves: &[Leaf]) -> Markup {
    html! {
        div.values { @for group in groups(leaves) {
            div {
                h3 { code { (title(group)) } }
                dl.pairs { @for leaf in group {
                    div { dt { (shown(leaf.name())) } dd { (shown(&leaf.text())) } }
                } }
            }
        } }
    }
}

/// A field for each value, with what was entered before.
pub fn inputs(leaves: &[Leaf], entered: Option<&Fields>) -> Markup {
    let text = |leaf: &Leaf| {
        let entered = entered.and_then(|it| it.get(&format!("{FIELD}{}", leaf.pointer())));
        entered.map_or_else(|| leaf.text(), str::to_owned)
    };
    html! {
        div.fields { @for group in groups(leaves) {
            fieldset {
                legend { code { (title(group)) } }
                @for leaf in group { (input(leaf, &text(leaf))) }
            }
        } }
    }
}

fn input(leaf: &Leaf, text: &str) -> Markup {
    let pointer = leaf.pointer();
    let name = format!("{FIELD}{pointer}");
    html! {
        div.field {
            label for=(pointer) { (shown(leaf.name())) }
            @if !leaf.choices().is_empty() {
                select id=(pointer) name=(name) {
                    @for choice in leaf.choices() { option value=(choice) selected[*choice == text] { (choice) } }
                }
            } @else if leaf.value.is_number() {
                input id=(pointer) type="number" step="any" name=(name) value=(text) required inputmode="decimal";
            } @else {
                input id=(pointer) type="text" name=(name) value=(text) autocomplete="off";
            }
        }
    }
}

pub fn textarea(stored: &StoredConfig, entered: Option<&Fields>) -> Markup {
    let content = stored.content.clone().map(Value::Object).or_else(|| effective(stored));
    let text = serde_json::to_string_pretty(&content.unwrap_or_else(|| json!({})));
    let text =
        entered.and_then(|it| it.get("content")).map_or(text.unwrap_or_default(), str::to_owned);
    html! {
        label for="content" { "The whole document, as JSON" }
        textarea #content name="content" rows="24" spellcheck="false" required { (text) }
    }
}

/// The stored content with the values of the form that differ from those in use.
pub fn merged(stored: &StoredConfig, fields: &Fields) -> Result<Map<String, Value>, String> {
    let effective = effective(stored).ok_or("the document cannot be read: edit it as JSON")?;
    let mut content = match &stored.content {
        Some(content) => content.clone(),
        None => effective.as_object().cloned().unwrap_or_default(),
    };
    for leaf in leaves(&effective) {
        let name = format!("{FIELD}{}", leaf.pointer());
        let Some((_, text)) = fields.0.iter().find(|(it, _)| *it == name) else { continue };
        let value = leaf.parse(text)?;
        if !is_same(&value, &leaf.value) {
            set(&mut content, &leaf.path, value);
        }
    }
    Ok(content)
}

/// Numbers are compared by value: a form does not distinguish `1` from `1.0`.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

fn set(content: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => {
            content.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            let inner = content.entry(name.clone()).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(content: Value) -> StoredConfig {
        let Value::Object(content) = content else { panic!("an object") };
        let document = ConfigDocument::Tuning;
        StoredConfig { document, content: Some(content), seen: "1".to_owned(), problem: None }
    }

    fn field(path: &str, value: &str) -> (String, String) {
        (format!("{FIELD}{path}"), value.to_owned())
    }

    #[test]
    fn a_form_changes_only_the_values_that_differ() {
        let content = json!({ "version": "1", "policies": { "a.b": { "component": "x:{arm}" } } });
        let fields = Fields(vec![
            field("/version", "2"),
            field("/policies/a.b/stepBound", "0.25"),
            field("/policies/a.b/minSamples", "100.0"),
            field("/guard/alpha", "0.05"),
            field("/policies/unknown/stepBound", "1"),
        ]);
        let expected = json!({
            "version": "2", "policies": { "a.b": { "component": "x:{arm}", "stepBound": 0.25 } },
        });
        assert_eq!(Value::Object(merged(&stored(content), &fields).unwrap()), expected);
    }

    #[test]
    fn what_is_not_a_number_is_named() {
        let content = json!({ "policies": {} });
        let fields = Fields(vec![field("/guard/alpha", "a lot")]);
        let why = merged(&stored(content), &fields).unwrap_err();
        assert_eq!(why, "invalid guard.alpha: expected a number, got \"a lot\"");
    }
}
