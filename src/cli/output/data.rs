//! Output for programs: JSON and YAML.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use f0_learning::observability::printable;
use serde::Serialize;
use serde_json::Value;

/// How a command prints what it read.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Shown {
    /// Print JSON: the same as --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
    /// How to print: a table for people, or JSON or YAML for programs
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Yaml,
}

/// A format for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    Json,
    Yaml,
}

impl Shown {
    /// The format for programs, if one was asked for.
    pub const fn data(self) -> Option<Data> {
        match (self.json, self.output) {
            (true, _) | (_, Some(Format::Json)) => Some(Data::Json),
            (_, Some(Format::Yaml)) => Some(Data::Yaml),
            (_, Some(Format::Table) | None) => None,
        }
    }
}

impl Data {
    pub fn print(self, value: &impl Serialize) -> anyhow::Result<()> {
        match self {
            Self::Json => {
                let text = serde_json::to_string_pretty(value)? + "\n";
                super::write(&printable::json(&text));
            }
            Self::Yaml => super::write(&printable::yaml(&yaml(&serde_json::to_value(value)?))),
        }
        Ok(())
    }
}

/// A value as YAML 1.2. Texts are written as in JSON, of which YAML is a superset: so a stored text can
/// neither control the terminal nor be read as another type.
fn yaml(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

/// Writes a value that begins at the start of a line.
fn block(into: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                indent(into, depth);
                into.push_str(&word(name));
                into.push(':');
                nested(into, value, depth);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                indent(into, depth);
                into.push('-');
                nested(into, item, depth);
            }
        }
        scalar => {
            indent(into, depth);
            let _ = writeln!(into, "{}", plain(scalar));
        }
    }
}

/// Writes a value after its name or its dash.
fn nested(into: &mut String, value: &Value, depth: usize) {
    let is_block = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_block {
        into.push('\n');
        block(into, value, depth + 1);
    } else {
        let _ = writeln!(into, " {}", plain(value));
    }
}

fn indent(into: &mut String, depth: usize) {
    into.extend(std::iter::repeat_n("  ", depth));
}

/// A value in a line. A number with an exponent gets the point and the sign without which readers of
/// YAML 1.1 take it for a text.
fn plain(value: &Value) -> String {
    let text = value.to_string();
    let Some((digits, exponent)) = text.split_once('e').filter(|_| value.is_number()) else {
        return text;
    };
    let point = if digits.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['-', '+']) { "" } else { "+" };
    format!("{digits}{point}e{sign}{exponent}")
}

/// A name without quotes where no reader could take it for anything else.
fn word(name: &str) -> String {
    let mut symbols = name.chars();
    let is_plain = symbols.next().is_some_and(|it| it.is_ascii_alphabetic())
        && symbols.all(|it| it.is_ascii_alphanumeric() || it == '_')
        // YAML 1.1 reads these as booleans and null.
        && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
            .contains(&name.to_ascii_lowercase().as_str());
    if is_plain { name.to_owned() } else { Value::from(name).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_nests_by_indentation_and_quotes_every_text() {
        let value = json!({
            "id": "router-core", "n": 7, "on": true, "none": null, "empty": [], "map": {},
            "params": { "modelWeights": { "gpt-5": 0.5 } },
            "list": [{ "a": "x: y", "b": ["- 1"] }, "no"],
        });
        let expected = "\
empty: []
id: \"router-core\"
list:
  -
    a: \"x: y\"
    b:
      - \"- 1\"
  - \"no\"
map: {}
\"n\": 7
none: null
\"on\": true
params:
  modelWeights:
    \"gpt-5\": 0.5
";
        assert_eq!(yaml(&value), expected);
    }

    #[test]
    fn a_value_that_is_not_nested_is_one_line() {
        assert_eq!(yaml(&json!("a\nb")), "\"a\\nb\"\n");
        assert_eq!(yaml(&json!([])), "[]\n");
        assert_eq!(yaml(&json!([1e-7, 1.5e-7, 1e30])), "- 1.0e-7\n- 1.5e-7\n- 1.0e+30\n");
    }
}
