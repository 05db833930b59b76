//! How the fields of a record become those of an observation.

use std::collections::BTreeMap;

use f0_learning_core::observation::Outcome;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use thiserror::Error;

use super::record::Record;
use super::records::Format;
use super::times::millis;

/// Names that a field may have in a record, the first one that has a value counts. A name is that of a
/// field, or a path with dots into objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "OneOrMany")]
pub struct Names(pub Vec<String>);

/// One name, or several.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a name or a list of names")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Names {
    fn from(names: OneOrMany) -> Self {
        match names {
            OneOrMany::One(name) => Self(vec![name]),
            OneOrMany::Many(names) => Self(names),
        }
    }
}

impl Names {
    /// The first name that has a value in a record, and the value.
    fn find<'a>(&self, record: &'a Record) -> Option<(&str, &'a Json)> {
        self.0.iter().find_map(|name| Some((name.as_str(), at(record, name)?)))
    }
}

/// The value at a path. A field whose own name has dots is found first.
fn at<'a>(record: &'a Record, path: &str) -> Option<&'a Json> {
    let is_empty = |value: &Json| value.is_null() || value.as_str().is_some_and(str::is_empty);
    if let Some(found) = record.get(path) {
        return Some(found).filter(|it| !is_empty(it));
    }
    let splits = path.match_indices('.').map(|(index, _)| (&path[..index], &path[index + 1..]));
    let inner = splits.filter_map(|(name, rest)| Some((record.get(name)?, rest)));
    inner.filter_map(|(value, rest)| at(value.as_object()?, rest)).next()
}

/// What a status means. Texts are compared without regard to case; a range such as `200-299` is one of
/// numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Statuses {
    pub from: Names,
    pub success: Vec<String>,
    pub failure: Vec<String>,
    pub timeout: Vec<String>,
    /// The outcome of any other status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Outcome>,
    /// The outcome of a record without a status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Outcome>,
}

impl Statuses {
    fn outcome(&self, record: &Record) -> Result<Outcome, Unmapped> {
        let Some((name, status)) = self.from.find(record) else {
            return self.missing.ok_or(Unmapped::Missing("outcome"));
        };
        let text = plain_text(status);
        let lists = [
            (Outcome::Success, &self.success),
            (Outcome::Failure, &self.failure),
            (Outcome::Timeout, &self.timeout),
        ];
        let listed = lists.iter().find(|(_, listed)| listed.iter().any(|it| matches(it, &text)));
        match (listed, self.otherwise) {
            (Some((outcome, _)), _) => Ok(*outcome),
            (None, Some(otherwise)) => Ok(otherwise),
            (None, None) => Err(Unmapped::Status { field: name.to_owned(), status: text }),
        }
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    if let Some((low, high)) = pattern.split_once('-')
        && let (Some(low), Some(high)) = (number(low), number(high))
    {
        return number(text).is_some_and(|it| (low..=high).contains(&it));
    }
    pattern.eq_ignore_ascii_case(text.trim())
}

/// How the records of a file become observations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mapping {
    /// `csv`, `json` or `otlp`; if omitted, the file's name and its start decide.
    #[serde(default, with = "format", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Format>")]
    pub format: Option<Format>,
    /// The component, with the fields of a record in braces: `router:{model}`. `{model}` is the field
    /// that `model` names.
    pub component: String,
    #[serde(default)]
    pub model: Names,
    /// The record's own id, by which an import that is repeated stores nothing twice.
    #[serde(default)]
    pub id: Names,
    pub ts: Names,
    /// The end: without `durationMs`, the duration is the time from `ts` to it.
    #[serde(default)]
    pub end: Names,
    #[serde(default)]
    pub duration_ms: Names,
    #[serde(default)]
    pub duration_seconds: Names,
    pub outcome: Statuses,
    #[serde(default)]
    pub tokens_in: Names,
    #[serde(default)]
    pub tokens_out: Names,
    #[serde(default)]
    pub cost_usd: Names,
    #[serde(default)]
    pub error_code: Names,
    #[serde(default)]
    pub policy_version: Names,
    #[serde(default)]
    pub sample_rate: Names,
    #[serde(default)]
    pub propensity: Names,
    /// Only records in which each of these fields has one of these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub only: BTreeMap<String, Vec<String>>,
}

mod format {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Format;

    pub fn serialize<S: Serializer>(format: &Option<Format>, to: S) -> Result<S::Ok, S::Error> {
        format.map(|it| it.to_string()).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Format>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        let parse = |text: String| {
            text.parse().map_err(|_| {
                let message = format!("invalid format {text:?}: expected csv, json or otlp");
                serde::de::Error::custom(message)
            })
        };
        text.map(parse).transpose()
    }
}

#[derive(Debug, Error)]
#[error("invalid mapping: {0}")]
pub struct MappingError(#[from] serde_json::Error);

/// Why a record does not become an observation.
#[derive(Debug, PartialEq, Error)]
pub enum Unmapped {
    /// It is not one of those that the mapping takes.
    #[error("left out: {field} is {value}")]
    LeftOut { field: String, value: String },
    #[error("no {0}: none of the fields that the mapping names has a value")]
    Missing(&'static str),
    #[error("invalid {field}: expected a time, got {value}")]
    Time { field: String, value: String },
    #[error("invalid {field}: expected a number, got {value}")]
    Number { field: String, value: String },
    #[error("unknown status: {field} is {status:?}, which the mapping does not list")]
    Status { field: String, status: String },
    #[error("invalid component: the record has no {0}")]
    Component(String),
}

/// An observation's fields, and where each came from.
#[derive(Debug, PartialEq)]
pub struct Mapped {
    pub observation: Map<String, Json>,
    pub from: Vec<(&'static str, String)>,
}

impl Mapping {
    /// # Errors
    /// The text is not a mapping.
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        Ok(serde_json::from_str(text)?)
    }

    /// The observation of a record.
    ///
    /// # Errors
    /// The record is one that the mapping leaves out, or lacks what an observation requires.
    pub fn apply(&self, record: &Record) -> Result<Mapped, Unmapped> {
        for (field, wanted) in &self.only {
            let value = at(record, field).map(plain_text).unwrap_or_default();
            if !wanted.iter().any(|it| matches(it, &value)) {
                return Err(Unmapped::LeftOut { field: field.clone(), value });
            }
        }
        let mut mapped = Mapped { observation: Map::new(), from: Vec::new() };
        let ts = time(&self.ts, record)?.ok_or(Unmapped::Missing("ts"))?;
        mapped.put("ts", whole(ts.1.round()), ts.0);
        let component = self.component(record)?;
        mapped.put("component", component.into(), &self.component);
        mapped.put(
            "outcome",
            self.outcome.outcome(record)?.as_str().into(),
            &self.outcome.from.0.join(", "),
        );
        self.put_duration(record, ts.1, &mut mapped)?;
        for (field, names, is_whole) in [
            ("tokensIn", &self.tokens_in, true),
            ("tokensOut", &self.tokens_out, true),
            ("costUsd", &self.cost_usd, false),
            ("sampleRate", &self.sample_rate, false),
            ("propensity", &self.propensity, false),
        ] {
            if let Some((name, value)) = number(names, record)? {
                let value = if is_whole { whole(value) } else { value.into() };
                mapped.put(field, value, name);
            }
        }
        for (field, names) in [
            ("id", &self.id),
            ("errorCode", &self.error_code),
            ("policyVersion", &self.policy_version),
        ] {
            if let Some((name, value)) = names.find(record) {
                mapped.put(field, plain_text(value).into(), name);
            }
        }
        Ok(mapped)
    }

    fn put_duration(&self, record: &Record, ts: f64, to: &mut Mapped) -> Result<(), Unmapped> {
        for (names, scale) in [(&self.duration_ms, 1.0), (&self.duration_seconds, 1_000.0)] {
            if let Some((name, value)) = number(names, record)? {
                to.put("durationMs", whole(value * scale), name);
                return Ok(());
            }
        }
        let (name, end) = time(&self.end, record)?.ok_or(Unmapped::Missing("durationMs"))?;
        to.put("durationMs", whole(end - ts), &format!("{name} - ts"));
        Ok(())
    }

    /// The component with the fields in braces filled in.
    fn component(&self, record: &Record) -> Result<String, Unmapped> {
        let mut component = String::new();
        let mut rest = self.component.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            component.push_str(before);
            let found = match name {
                "model" if !self.model.0.is_empty() => self.model.find(record).map(|it| it.1),
                name => at(record, name),
            };
            let found = found.ok_or_else(|| Unmapped::Component(name.to_owned()))?;
            component.push_str(&plain_text(found));
            rest = after;
        }
        component.push_str(rest);
        Ok(component)
    }
}

impl Mapped {
    fn put(&mut self, field: &'static str, value: Json, from: &str) {
        self.observation.insert(field.to_owned(), value);
        self.from.push((field, from.to_owned()));
    }
}

fn plain_text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn time<'a>(names: &'a Names, record: &Record) -> Result<Option<(&'a str, f64)>, Unmapped> {
    let Some((name, value)) = names.find(record) else { return Ok(None) };
    let invalid = || Unmapped::Time { field: name.to_owned(), value: value.to_string() };
    Ok(Some((name, millis(value).ok_or_else(invalid)?)))
}

fn number<'a>(names: &'a Names, record: &Record) -> Result<Option<(&'a str, f64)>, Unmapped> {
    let Some((name, value)) = names.find(record) else { return Ok(None) };
    let number = match value {
        Json::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    };
    let invalid = || Unmapped::Number { field: name.to_owned(), value: value.to_string() };
    Ok(Some((name, number.filter(|it: &f64| it.is_finite()).ok_or_else(invalid)?)))
}

/// A number, as a whole one where it is one.
fn whole(number: f64) -> Json {
    #[expect(clippy::cast_possible_truncation, reason = "the number is whole and below 2^53")]
    if number.fract() == 0.0 && number.abs() < 9e15 {
        (number as i64).into()
    } else {
        number.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(json: Json) -> Record {
        json.as_object().unwrap().clone()
    }

    fn mapping() -> Mapping {
        Mapping::parse(
            r#"{
                "component": "router:{model}", "model": ["llm.model", "model"], "id": "request",
                "ts": "started", "end": "ended", "durationSeconds": "latency",
                "outcome": {"from": "status", "success": ["ok", "200-299"], "timeout": ["408"],
                            "otherwise": "failure", "missing": "success"},
                "tokensIn": "usage.in", "costUsd": "cost", "only": {"kind": ["llm"]}
            }"#,
        )
        .unwrap()
    }

    #[test]
    fn fields_are_found_by_name_or_path_and_converted() {
        let mapped = mapping().apply(&record(json!({
            "kind": "LLM", "llm.model": "gpt-5", "model": "other", "request": 7, "started": "2026-01-01 00:00:00",
            "latency": "1.5", "status": 204, "usage": {"in": "12"}, "cost": "0.25",
        })));
        let expected = json!({
            "ts": 1_767_225_600_000_i64, "component": "router:gpt-5", "outcome": "success",
            "durationMs": 1_500, "tokensIn": 12, "costUsd": 0.25, "id": "7",
        });
        assert_eq!(Json::Object(mapped.unwrap().observation), expected);
    }

    #[test]
    fn the_duration_is_that_to_the_end_where_none_is_given() {
        let at = |ended: Json| {
            mapping().apply(&record(json!({
                "kind": "llm", "model": "m", "started": 1_767_225_600.25, "ended": ended,
            })))
        };
        assert_eq!(at(json!(1_767_225_601.0)).unwrap().observation["durationMs"], json!(750));
        assert_eq!(at(Json::Null), Err(Unmapped::Missing("durationMs")));
    }

    #[test]
    fn what_is_missing_unknown_or_left_out_is_said() {
        let base =
            json!({ "kind": "llm", "model": "m", "started": 1, "latency": 1, "status": "ok" });
        for (field, value, expected) in [
            ("kind", json!("tool"), "left out: kind is tool"),
            ("model", Json::Null, "invalid component: the record has no model"),
            ("started", json!("soon"), "invalid started: expected a time, got \"soon\""),
            ("started", Json::Null, "no ts: none of the fields that the mapping names has a value"),
            ("latency", json!("long"), "invalid latency: expected a number, got \"long\""),
        ] {
            let mut changed = record(base.clone());
            changed.insert(field.to_owned(), value);
            assert_eq!(mapping().apply(&changed).unwrap_err().to_string(), expected);
        }
        let strict = Mapping::parse(
            r#"{"component": "c", "ts": "t", "durationMs": "d", "outcome": {"from": "s", "success": ["ok"]}}"#,
        );
        let unknown = strict.unwrap().apply(&record(json!({ "t": 1, "d": 1, "s": "odd" })));
        let expected = "unknown status: s is \"odd\", which the mapping does not list";
        assert_eq!(unknown.unwrap_err().to_string(), expected);
        let misspelt = Mapping::parse(r#"{"component": "c", "ts": "t", "durationMS": "d"}"#);
        assert!(misspelt.unwrap_err().to_string().starts_with("invalid mapping: unknown field"));
    }
}
