//! Queries and index files in a short notation.
//!
//! A query: `c where a == & t contains | b > order x -y sum n`, where `|` separates alternatives
//! and `group c` asks for a collection group. An index: `c(a,-x,t[])` in the scope of a collection,
//! `g(..)` in that of a group. An override: `f:+,-,[],g+` lists indexes of the field `f`.

mod files;
mod properties;
mod table;

use serde_json::{Value as Json, json};

use super::{Column, Decision, Indexes, Mode, Part, Scope, Shape};
use crate::model::aggregate::Aggregates;
use crate::model::path::Parent;
use crate::model::query::Query;
use crate::proto::structured_aggregation_query::{Aggregation, aggregation};
use crate::proto::structured_query::{
    CollectionSelector, CompositeFilter, Direction, FieldFilter, FieldReference, Filter, Order,
    UnaryFilter, composite_filter::Operator as Joined, field_filter::Operator as Op,
    filter::FilterType, unary_filter,
};
use crate::proto::{ArrayValue, StructuredQuery, Value, value::ValueType};

const ROOT: &str = "projects/p/databases/(default)/documents";

fn value(kind: ValueType) -> Option<Value> {
    Some(Value { value_type: Some(kind) })
}

fn field(path: &str) -> Option<FieldReference> {
    Some(FieldReference { field_path: path.to_owned() })
}

fn test(text: &str) -> Filter {
    let (path, op) = text.trim().split_once(' ').unwrap();
    let one = |number| Value { value_type: Some(ValueType::IntegerValue(number)) };
    let list = || value(ValueType::ArrayValue(ArrayValue { values: vec![one(1), one(2)] }));
    let scalar = || match path {
        "__name__" => value(ValueType::ReferenceValue(format!("{ROOT}/c/d"))),
        _ => value(ValueType::IntegerValue(1)),
    };
    let unary = |op: unary_filter::Operator| {
        let operand_type = field(path).map(unary_filter::OperandType::Field);
        FilterType::UnaryFilter(UnaryFilter { op: op.into(), operand_type })
    };
    let (op, value) = match op {
        "==" => (Op::Equal, scalar()),
        "!=" => (Op::NotEqual, scalar()),
        "<" => (Op::LessThan, scalar()),
        ">" => (Op::GreaterThan, scalar()),
        ">=" => (Op::GreaterThanOrEqual, scalar()),
        "in" => (Op::In, list()),
        "not-in" => (Op::NotIn, list()),
        "contains" => (Op::ArrayContains, scalar()),
        "any" => (Op::ArrayContainsAny, list()),
        "null" => return filter(unary(unary_filter::Operator::IsNull)),
        "nan" => return filter(unary(unary_filter::Operator::IsNan)),
        "not-null" => return filter(unary(unary_filter::Operator::IsNotNull)),
        other => panic!("no operator {other}"),
    };
    filter(FilterType::FieldFilter(FieldFilter { field: field(path), op: op.into(), value }))
}

fn filter(kind: FilterType) -> Filter {
    Filter { filter_type: Some(kind) }
}

fn joined(op: Joined, filters: Vec<Filter>) -> Filter {
    filter(FilterType::CompositeFilter(CompositeFilter { op: op.into(), filters }))
}

/// The words after `keyword`, up to the next keyword.
fn clause<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!(" {keyword} "))?;
    let ends = [" where ", " order ", " sum "].iter().filter_map(|next| rest.find(next));
    Some(&rest[..ends.min().unwrap_or(rest.len())])
}

/// The shape of a query.
fn shape(text: &str) -> Shape {
    let (from, all_descendants) = match text.strip_prefix("group ") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let collection_id = from.split(' ').next().unwrap().to_owned();
    let and = |part: &str| joined(Joined::And, part.split('&').map(test).collect());
    let filter = clause(text, "where")
        .map(|filters| joined(Joined::Or, filters.split('|').map(and).collect()));
    let orders = clause(text, "order").unwrap_or_default().split_whitespace();
    let orders = orders.map(|word| {
        let path = word.trim_start_matches('-');
        let down = word.starts_with('-');
        let direction = if down { Direction::Descending } else { Direction::Ascending };
        Order { field: field(path), direction: direction.into() }
    });
    let query = StructuredQuery {
        from: vec![CollectionSelector { collection_id, all_descendants }],
        r#where: filter,
        order_by: orders.collect(),
        ..StructuredQuery::default()
    };
    let query = Query::parse(Parent::parse(ROOT).unwrap(), query)
        .unwrap_or_else(|status| panic!("{text}: {status}"));
    let sums: Vec<_> = clause(text, "sum").unwrap_or_default().split_whitespace().collect();
    let sum = |path: &&str| Aggregation {
        alias: format!("of_{path}"),
        operator: Some(aggregation::Operator::Sum(aggregation::Sum { field: field(path) })),
    };
    let sums: Vec<_> = sums.iter().map(sum).collect();
    match sums.is_empty() {
        true => Shape::of(&query, []),
        false => Shape::of(&query, Aggregates::parse(&sums).unwrap().fields()),
    }
}

/// An index file. Every index is of the collection group `c`.
fn indexes(entries: &str) -> Indexes {
    Indexes::parse(&file(entries).to_string()).unwrap_or_else(|error| panic!("{entries}: {error}"))
}

fn file(entries: &str) -> Json {
    let (mut composites, mut overrides) = (Vec::new(), Vec::new());
    for entry in entries.split_whitespace() {
        if let Some((field, list)) = entry.split_once(':') {
            let list: Vec<_> = list.split(',').filter(|it| !it.is_empty()).map(single).collect();
            overrides.push(json!({ "collectionGroup": "c", "fieldPath": field, "indexes": list }));
            continue;
        }
        let (scope, columns) = entry.trim_end_matches(')').split_once('(').unwrap();
        let columns: Vec<_> = columns.split(',').map(column).collect();
        composites.push(
            json!({ "collectionGroup": "c", "queryScope": scope_name(scope), "fields": columns }),
        );
    }
    json!({ "indexes": composites, "fieldOverrides": overrides })
}

fn scope_name(short: &str) -> &str {
    if short == "g" { "COLLECTION_GROUP" } else { "COLLECTION" }
}

fn column(text: &str) -> Json {
    match (text.strip_prefix('-'), text.strip_suffix("[]")) {
        (Some(path), _) => json!({ "fieldPath": path, "order": "DESCENDING" }),
        (_, Some(path)) => json!({ "fieldPath": path, "arrayConfig": "CONTAINS" }),
        _ => json!({ "fieldPath": text, "order": "ASCENDING" }),
    }
}

fn single(text: &str) -> Json {
    let (scope, mode) = match text.strip_prefix('g') {
        Some(mode) => ("g", mode),
        None => ("c", text),
    };
    match mode {
        "[]" => json!({ "queryScope": scope_name(scope), "arrayConfig": "CONTAINS" }),
        "-" => json!({ "queryScope": scope_name(scope), "order": "DESCENDING" }),
        _ => json!({ "queryScope": scope_name(scope), "order": "ASCENDING" }),
    }
}

/// `ok`, or the indexes that would serve the query.
fn decided(query: &str, entries: &str) -> String {
    match indexes(entries).decide(&shape(query)) {
        Decision::Served(_) => "ok".to_owned(),
        Decision::Refused(parts) => parts.iter().map(notation).collect::<Vec<_>>().join(" "),
    }
}

fn notation(part: &Part) -> String {
    let scope = if part.scope == Scope::Collection { "c" } else { "g" };
    let mut columns: Vec<String> = part
        .columns
        .iter()
        .map(|Column { path, mode }| match mode {
            Mode::Ascending | Mode::Vector => path.to_string(),
            Mode::Descending => format!("-{path}"),
            Mode::Contains => format!("{path}[]"),
        })
        .collect();
    let implied = part.columns.last().is_some_and(|last| last.mode == Mode::Descending);
    if part.name_descending != implied {
        let down = if part.name_descending { "-" } else { "" };
        columns.push(format!("{down}__name__"));
    }
    format!("{scope}({})", columns.join(","))
}
