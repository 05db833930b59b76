//! What a query guarantees about the documents that it finds.
//!
//! Rules are not filters: a query is allowed only if every document that it could find is. So the
//! rules are evaluated once for each alternative of the query's filter, on a document of which only
//! the fields are known that the filter fixes.

use std::sync::Arc;

use super::decide::Part;
use super::value::{Comparison, Facts, Map, Value, segments};
use crate::model::field_path::FieldPath;
use crate::proto::structured_query::{
    self, Direction, composite_filter,
    field_filter::Operator as Field,
    filter::FilterType,
    unary_filter::{OperandType, Operator as Unary},
};
use crate::proto::{self, StructuredQuery, value::ValueType};

/// The most alternatives that are checked one by one. Firestore itself accepts 30.
const MAX_ALTERNATIVES: usize = 100;

/// The path and the `resource` of the documents of one alternative.
#[derive(Clone, Debug)]
pub struct Alternative {
    pub path: Vec<Part>,
    pub resource: Value,
}

/// A condition that all documents of an alternative fulfil.
#[derive(Clone, Debug)]
struct Atom {
    path: Vec<String>,
    guarantee: Guarantee,
}

#[derive(Clone, Debug)]
enum Guarantee {
    Equal(Value),
    Test(Comparison, Value),
    Contains(Value),
    Exists,
}

/// The alternatives of a query below `parent`, a path that begins with `databases`.
pub fn alternatives(parent: &[String], query: &StructuredQuery) -> Vec<Alternative> {
    let filter = query.r#where.as_ref().and_then(disjunction);
    let mut all = filter.unwrap_or_else(|| vec![Vec::new()]);
    if all.len() > MAX_ALTERNATIVES {
        all = vec![Vec::new()];
    }
    let path = path(parent, query);
    all.into_iter().map(|atoms| alternative(&path, query, atoms)).collect()
}

fn path(parent: &[String], query: &StructuredQuery) -> Vec<Part> {
    let mut path = Part::all(parent);
    let selector = query.from.first();
    if selector.is_none_or(|selector| selector.all_descendants) {
        path.push(Part::Rest);
    }
    match selector.map(|selector| selector.collection_id.as_str()) {
        Some(id) if !id.is_empty() => path.push(Part::Known(id.to_owned())),
        _ => path.push(Part::Any),
    }
    path.push(Part::Any);
    path
}

fn alternative(path: &[Part], query: &StructuredQuery, atoms: Vec<Atom>) -> Alternative {
    let mut path = path.to_vec();
    let mut data = Map { open: true, ..Map::default() };
    let mut name = Value::present();
    let mut id = Value::present();
    let ordered = query.order_by.iter().filter_map(|order| {
        Some(Atom { path: keys(order.field.as_ref()?)?, guarantee: Guarantee::Exists })
    });
    let mut facts: Vec<(Vec<String>, Facts)> = Vec::new();
    for atom in ordered.chain(atoms.iter().cloned()) {
        if atom.path == [NAME] {
            if let Guarantee::Equal(Value::Path(found)) = &atom.guarantee {
                path = Part::all(&found.segments);
                id = found.segments.last().map_or_else(Value::present, |id| Value::text(id));
                name = Value::Path(found.clone());
            }
            continue;
        }
        if !facts.iter().any(|(path, _)| *path == atom.path) {
            facts.push((atom.path.clone(), Facts { exists: true, ..Facts::default() }));
        }
        let Some((_, facts)) = facts.iter_mut().find(|(path, _)| *path == atom.path) else {
            continue;
        };
        match atom.guarantee {
            Guarantee::Test(comparison, bound) => facts.tests.push((comparison, bound)),
            Guarantee::Contains(element) => facts.contains.push(element),
            Guarantee::Equal(_) | Guarantee::Exists => {}
        }
    }
    for (path, facts) in facts {
        data.insert(&path, Value::Unknown(Arc::new(facts)));
    }
    // Equalities last: they say everything about their field.
    for atom in atoms {
        if let Guarantee::Equal(value) = atom.guarantee
            && atom.path != [NAME]
        {
            data.insert(&atom.path, value.equal_in_query());
        }
    }
    let resource = Value::map([("data", Value::Map(data.into())), ("id", id), (NAME, name)]);
    Alternative { path, resource }
}

const NAME: &str = crate::model::field_path::NAME;

fn keys(field: &structured_query::FieldReference) -> Option<Vec<String>> {
    Some(FieldPath::parse(&field.field_path).ok()?.segments().to_vec())
}

/// A filter as alternatives of conditions that hold together. `None` if it guarantees nothing.
fn disjunction(filter: &structured_query::Filter) -> Option<Vec<Vec<Atom>>> {
    match filter.filter_type.as_ref()? {
        FilterType::CompositeFilter(composite) => {
            let parts = composite.filters.iter().map(disjunction);
            if composite.op == i32::from(composite_filter::Operator::Or) {
                // An alternative that guarantees nothing makes the whole filter guarantee nothing.
                return Some(parts.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect());
            }
            let mut all = vec![Vec::new()];
            for part in parts.flatten() {
                if all.len() * part.len() > MAX_ALTERNATIVES {
                    // Leaving conditions out is safe: less is guaranteed.
                    continue;
                }
                all = all
                    .iter()
                    .flat_map(|left| {
                        part.iter().map(move |right| [left.clone(), right.clone()].concat())
                    })
                    .collect();
            }
            Some(all)
        }
        FilterType::FieldFilter(filter) => {
            let path = keys(filter.field.as_ref()?)?;
            let operator = Field::try_from(filter.op).ok()?;
            let operand = filter.value.as_ref()?;
            Some(field(&path, operator, operand))
        }
        FilterType::UnaryFilter(filter) => {
            let Some(OperandType::Field(reference)) = &filter.operand_type else { return None };
            let path = keys(reference)?;
            let guarantee = match Unary::try_from(filter.op).ok()? {
                Unary::IsNull => Guarantee::Equal(Value::Null),
                Unary::IsNan => Guarantee::Equal(Value::Float(f64::NAN)),
                Unary::IsNotNull => Guarantee::Test(Comparison::NotEqual, Value::Null),
                Unary::IsNotNan => Guarantee::Exists,
                Unary::Unspecified => return None,
            };
            Some(vec![vec![Atom { path, guarantee }]])
        }
    }
}

fn field(path: &[String], operator: Field, operand: &proto::Value) -> Vec<Vec<Atom>> {
    let value = || Value::of_proto(operand);
    let atom = |guarantee| Atom { path: path.to_vec(), guarantee };
    let test = |comparison| Guarantee::Test(comparison, value());
    let elements = || match &operand.value_type {
        Some(ValueType::ArrayValue(array)) => {
            array.values.iter().map(Value::of_proto).collect::<Vec<_>>()
        }
        _ => Vec::new(),
    };
    let guarantee = match operator {
        Field::Equal => Guarantee::Equal(value()),
        Field::NotEqual => test(Comparison::NotEqual),
        Field::LessThan => test(Comparison::Less),
        Field::LessThanOrEqual => test(Comparison::LessOrEqual),
        Field::GreaterThan => test(Comparison::Greater),
        Field::GreaterThanOrEqual => test(Comparison::GreaterOrEqual),
        Field::ArrayContains => Guarantee::Contains(value()),
        Field::In => {
            return elements().into_iter().map(|it| vec![atom(Guarantee::Equal(it))]).collect();
        }
        Field::ArrayContainsAny => {
            return elements().into_iter().map(|it| vec![atom(Guarantee::Contains(it))]).collect();
        }
        Field::NotIn => {
            let tests = elements().into_iter().map(|it| Guarantee::Test(Comparison::NotEqual, it));
            return vec![tests.map(atom).collect()];
        }
        Field::Unspecified => Guarantee::Exists,
    };
    vec![vec![atom(guarantee)]]
}

/// `request.query`: the limit if there is one, the offset, and the orders as `field ASC`.
pub fn properties(query: &StructuredQuery) -> Value {
    let mut fields = vec![("offset".to_owned(), Value::Int(i64::from(query.offset)))];
    if let Some(limit) = query.limit {
        fields.push(("limit".to_owned(), Value::Int(i64::from(limit))));
    }
    let orders = query.order_by.iter().map(|order| {
        let field = order.field.as_ref().map_or("", |field| field.field_path.as_str());
        let descending = order.direction == i32::from(Direction::Descending);
        Value::text(&format!("{field} {}", if descending { "DESC" } else { "ASC" }))
    });
    fields.push(("orderBy".to_owned(), Value::list(orders)));
    Value::map(fields)
}

/// The path of a resource name, from `databases` on.
pub fn path_of(name: &str) -> Vec<String> {
    let mut all = segments(name);
    if all.first().is_some_and(|first| first == "projects") && all.len() > 2 {
        all.drain(..2);
    }
    all
}
