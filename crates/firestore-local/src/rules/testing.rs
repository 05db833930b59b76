//! Tests of rules: cases with an expected decision, and the coverage that they reach.
//!
//! A case names who asks (`who`: claims, or null for a user who has not signed in), the `method`,
//! the `path` below the database's documents, the document `before` and `after`, and whether it is
//! `expected` to be `allow` or `deny`. The README shows the format.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::time::parse_rfc3339;
use super::value::segments;
use super::{
    Budget, Change, Claims, Context, Coverage, Covered, Decision, DocumentPath, Documents, Method,
    Outcomes, RulesError, Ruleset, Value, resource_of,
};
use crate::model::time::Micros;
use crate::proto::structured_query::{
    CollectionSelector, CompositeFilter, Direction, FieldFilter, FieldReference, Filter, Order,
    composite_filter, field_filter, filter::FilterType,
};
use crate::proto::{self, ArrayValue, StructuredQuery, value::ValueType};

type Json = serde_json::Value;
type Data = Option<Json>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    Allow,
    Deny,
}

/// One case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(default)]
    pub name: String,
    /// The claims of the user's token. `uid` is short for `sub`.
    #[serde(default)]
    pub who: Option<serde_json::Map<String, Json>>,
    pub method: String,
    /// The path of a document, or of a collection for `list`.
    pub path: String,
    #[serde(default)]
    pub before: Data,
    #[serde(default)]
    pub after: Data,
    /// Other documents that rules read with `get`, by path.
    #[serde(default)]
    pub documents: BTreeMap<String, Json>,
    /// The other documents after the request, where they differ; null for a deleted one.
    #[serde(default)]
    pub documents_after: BTreeMap<String, Json>,
    /// The conditions of a query: field, operator, value.
    #[serde(default, rename = "where")]
    pub filters: Vec<(String, String, Json)>,
    #[serde(default)]
    pub order_by: Vec<String>,
    #[serde(default)]
    pub limit: Option<i32>,
    #[serde(default)]
    pub offset: i32,
    /// Whether the query is one of a collection group.
    #[serde(default)]
    pub group: bool,
    /// The time of the request; 2024-01-01 if left out.
    #[serde(default)]
    pub time: Option<String>,
    pub expected: Expected,
    /// The line of the statement that must allow the request.
    #[serde(default)]
    pub line: Option<usize>,
}

/// A case and what the rules decided.
#[derive(Clone, Debug)]
pub struct CaseResult {
    pub name: String,
    pub expected: Expected,
    pub decision: Decision,
    /// Why the case failed.
    pub failure: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Report {
    pub results: Vec<CaseResult>,
    pub coverage: Vec<Covered>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Rules(#[from] RulesError),
    #[error("cannot read the cases {file}: {source}")]
    Read { file: PathBuf, source: std::io::Error },
    #[error("invalid cases {file}: {reason}")]
    Cases { file: PathBuf, reason: String },
    #[error("invalid case {name:?}: {reason}")]
    Case { name: String, reason: String },
    #[error("{failed} of {all} cases failed")]
    Failed { failed: usize, all: usize },
    #[error("{survivors} of {all} mutants survived; add a case that fails for each")]
    Survived { survivors: usize, all: usize },
}

/// Parses cases: a JSON array, or one case a line.
///
/// # Errors
/// If the text is not JSON, or a case lacks a field or has an unknown one.
pub fn parse(text: &str) -> Result<Vec<Case>, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))
        })
        .collect()
}

/// Runs cases against rules.
///
/// # Errors
/// If a case is malformed, for example if it names an unknown method.
pub fn run(rules: &Ruleset, cases: &[Case]) -> Result<Report, Error> {
    let coverage = rules.coverage();
    let results = cases.iter().map(|case| {
        run_case(rules, Some(&coverage), case)
            .map_err(|reason| Error::Case { name: title(case), reason })
    });
    let results = results.collect::<Result<_, _>>()?;
    Ok(Report { results, coverage: rules.covered(&coverage) })
}

/// The name of the first case that fails.
pub(super) fn first_failure(rules: &Ruleset, cases: &[Case]) -> Result<Option<String>, Error> {
    for case in cases {
        let result = run_case(rules, None, case)
            .map_err(|reason| Error::Case { name: title(case), reason })?;
        if result.failure.is_some() {
            return Ok(Some(result.name));
        }
    }
    Ok(None)
}

fn title(case: &Case) -> String {
    if case.name.is_empty() { format!("{} {}", case.method, case.path) } else { case.name.clone() }
}

fn run_case(
    rules: &Ruleset,
    coverage: Option<&Coverage>,
    case: &Case,
) -> Result<CaseResult, String> {
    let time = case.time.as_deref().unwrap_or("2024-01-01T00:00:00Z");
    let now = parse_rfc3339(time).ok_or_else(|| format!("invalid time {time:?}"))?;
    let micros = Micros(i64::try_from(now / 1_000).map_err(|error| error.to_string())?);
    let method = Method::ALL.into_iter().find(|method| method.as_str() == case.method);
    let method = method.ok_or_else(|| {
        format!("invalid method {:?}: expected get, list, create, update or delete", case.method)
    })?;
    let path = full_path(&case.path);
    let document = |data: &Data, path: &[String]| -> Result<Value, String> {
        Ok(match data {
            None | Some(Json::Null) => Value::Null,
            Some(data) => resource_of(path, Value::of_json(data, now)?),
        })
    };
    let mut fixture = Fixture::default();
    for (path, data) in &case.documents {
        let path = full_path(path);
        let found = document(&Some(data.clone()), &path)?;
        fixture.before.insert(path.clone(), found.clone());
        fixture.after.insert(path, found);
    }
    let (before, after) = (document(&case.before, &path)?, document(&case.after, &path)?);
    fixture.before.insert(path.clone(), before.clone());
    let unchanged = matches!(method, Method::Get | Method::List);
    fixture.after.insert(path.clone(), if unchanged { before.clone() } else { after.clone() });
    for (path, data) in &case.documents_after {
        let path = full_path(path);
        let found = document(&Some(data.clone()), &path)?;
        fixture.after.insert(path, found);
    }
    let claims = claims(case.who.as_ref());
    let context = Context {
        claims: &claims,
        time: micros,
        documents: &fixture,
        budget: &Budget::default(),
        coverage,
    };
    let decision = if method == Method::List {
        let (query, parent) = query(case, &path, now)?;
        rules.decide_query(context, &parent, &query)
    } else {
        rules.decide(context, Change { method, path: &path, before, after })
    };
    let failure = failure(case, &decision);
    Ok(CaseResult { name: title(case), expected: case.expected, decision, failure })
}

fn failure(case: &Case, decision: &Decision) -> Option<String> {
    let expected = match case.expected {
        Expected::Allow => "allow",
        Expected::Deny => "deny",
    };
    if decision.allowed != (case.expected == Expected::Allow) {
        return Some(format!("expected {expected}, got {decision}"));
    }
    match (case.line, decision.allowed_at()) {
        (Some(line), Some(found)) if line != found => {
            Some(format!("expected line {line} to allow it, got {decision}"))
        }
        _ => None,
    }
}

fn claims(who: Option<&serde_json::Map<String, Json>>) -> Claims {
    let mut claims = who.cloned().unwrap_or_default();
    if let Some(uid) = claims.remove("uid") {
        claims.insert("sub".to_owned(), uid);
    }
    Claims(claims)
}

fn full_path(path: &str) -> Vec<String> {
    let mut all = segments(path);
    if all.first().is_none_or(|first| first != "databases") {
        let root = ["databases", "(default)", "documents"].map(str::to_owned);
        all.splice(0..0, root);
    }
    all
}

/// The documents of a case.
#[derive(Debug, Default)]
struct Fixture {
    before: BTreeMap<Vec<String>, Value>,
    after: BTreeMap<Vec<String>, Value>,
}

impl Documents for Fixture {
    fn read(&self, path: &DocumentPath, after: bool) -> Result<Value, String> {
        let all = if after { &self.after } else { &self.before };
        Ok(all.get(&path.segments).cloned().unwrap_or(Value::Null))
    }
}

fn query(
    case: &Case,
    path: &[String],
    now: i128,
) -> Result<(StructuredQuery, Vec<String>), String> {
    let (collection, parent) = path.split_last().ok_or("a query needs a collection")?;
    let reference = |path: &str| FieldReference { field_path: path.to_owned() };
    let mut filters = Vec::new();
    for (field, operator, value) in &case.filters {
        let op = operator_of(operator).ok_or_else(|| format!("invalid operator {operator:?}"))?;
        let filter = FieldFilter {
            field: Some(reference(field)),
            op: op.into(),
            value: Some(to_proto(&Value::of_json(value, now)?)?),
        };
        filters.push(Filter { filter_type: Some(FilterType::FieldFilter(filter)) });
    }
    let composite = CompositeFilter { op: composite_filter::Operator::And.into(), filters };
    let order = |text: &String| {
        let (field, direction) = match text.strip_suffix(" desc") {
            Some(field) => (field, Direction::Descending),
            None => (text.as_str(), Direction::Ascending),
        };
        Order { field: Some(reference(field)), direction: direction.into() }
    };
    let query = StructuredQuery {
        from: vec![CollectionSelector {
            collection_id: collection.clone(),
            all_descendants: case.group,
        }],
        r#where: Some(Filter { filter_type: Some(FilterType::CompositeFilter(composite)) }),
        order_by: case.order_by.iter().map(order).collect(),
        limit: case.limit,
        offset: case.offset,
        ..StructuredQuery::default()
    };
    Ok((query, parent.to_vec()))
}

fn operator_of(text: &str) -> Option<field_filter::Operator> {
    use field_filter::Operator;
    Some(match text {
        "==" => Operator::Equal,
        "!=" => Operator::NotEqual,
        "<" => Operator::LessThan,
        "<=" => Operator::LessThanOrEqual,
        ">" => Operator::GreaterThan,
        ">=" => Operator::GreaterThanOrEqual,
        "in" => Operator::In,
        "not-in" => Operator::NotIn,
        "array-contains" => Operator::ArrayContains,
        "array-contains-any" => Operator::ArrayContainsAny,
        _ => return None,
    })
}

/// A value of a query's condition.
fn to_proto(value: &Value) -> Result<proto::Value, String> {
    let kind = match value {
        Value::Null => ValueType::NullValue(0),
        Value::Bool(flag) => ValueType::BooleanValue(*flag),
        Value::Int(number) => ValueType::IntegerValue(*number),
        Value::Float(number) => ValueType::DoubleValue(*number),
        Value::String(text) => ValueType::StringValue(text.to_string()),
        Value::Bytes(data) => ValueType::BytesValue(data.to_vec()),
        Value::Path(path) => {
            let path = full_path(&path.to_string());
            ValueType::ReferenceValue(format!("projects/p/{}", path.join("/")))
        }
        Value::Timestamp(nanos) => {
            let micros = i64::try_from(nanos / 1_000).map_err(|error| error.to_string())?;
            ValueType::TimestampValue(Micros(micros).into())
        }
        Value::List(all) => {
            let values = all.iter().map(to_proto).collect::<Result<_, _>>()?;
            ValueType::ArrayValue(ArrayValue { values })
        }
        Value::Map(map) => {
            let fields = map.fields.iter().map(|(key, it)| Ok((key.clone(), to_proto(it)?)));
            let fields = fields.collect::<Result<_, String>>()?;
            ValueType::MapValue(proto::MapValue { fields })
        }
        other => return Err(format!("a condition of a query cannot hold {other}")),
    };
    Ok(proto::Value { value_type: Some(kind) })
}

impl Report {
    /// The cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &CaseResult> {
        self.results.iter().filter(|result| result.failure.is_some())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for result in &self.results {
            let (mark, detail) = match &result.failure {
                None => ("ok    ", result.decision.to_string()),
                Some(failure) => ("FAILED", failure.clone()),
            };
            writeln!(f, "{mark} {}: {detail}", result.name)?;
        }
        writeln!(f, "\nCoverage (true / false / error)")?;
        for line in &self.coverage {
            let Outcomes { yes, no, failed } = line.outcomes;
            let mark = if line.is_complete() { ' ' } else { '!' };
            let indent = if line.is_allow { "" } else { "  " };
            let text: String = line.text.chars().take(70).collect();
            writeln!(
                f,
                "{mark} {:>9} {yes:>5} {no:>5} {failed:>5}  {indent}{text}",
                line.at.to_string()
            )?;
        }
        let complete = self.coverage.iter().filter(|line| line.is_complete()).count();
        let (passed, failed) = (self.results.len() - self.failed().count(), self.failed().count());
        write!(
            f,
            "\n{passed} passed, {failed} failed; {complete} of {} statements and conditions were \
             both true and not true",
            self.coverage.len()
        )
    }
}

impl Report {
    /// Fails if a case failed.
    ///
    /// # Errors
    /// The number of cases that failed.
    pub fn check(&self) -> Result<(), Error> {
        match self.failed().count() {
            0 => Ok(()),
            failed => Err(Error::Failed { failed, all: self.results.len() }),
        }
    }
}
