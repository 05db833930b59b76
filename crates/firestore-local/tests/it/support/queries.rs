//! Builders for queries.

use super::v1::structured_aggregation_query::Aggregation;
use super::v1::structured_aggregation_query::aggregation::{Avg, Count, Operator, Sum};
use super::v1::structured_query::composite_filter::Operator as Joined;
pub use super::v1::structured_query::field_filter::Operator as Op;
use super::v1::structured_query::filter::FilterType;
use super::v1::structured_query::unary_filter::OperandType;
pub use super::v1::structured_query::unary_filter::Operator as Unary;
use super::v1::structured_query::{
    CollectionSelector, CompositeFilter, Direction, FieldFilter, FieldReference, Filter, Order,
    Projection, UnaryFilter,
};
use super::v1::{Cursor, StructuredQuery, Value};

pub const NAME: &str = "__name__";

/// All documents of a collection.
pub fn from(collection: &str) -> StructuredQuery {
    selecting_from(collection, false)
}

/// All documents of all collections with an id.
pub fn group(collection: &str) -> StructuredQuery {
    selecting_from(collection, true)
}

fn selecting_from(collection: &str, all_descendants: bool) -> StructuredQuery {
    let selector = CollectionSelector { collection_id: collection.to_owned(), all_descendants };
    StructuredQuery { from: vec![selector], ..StructuredQuery::default() }
}

pub trait Refine: Sized {
    fn filtered(self, filter: Filter) -> Self;
    fn ordered(self, path: &str) -> Self;
    fn descending(self, path: &str) -> Self;
    fn start_at<const N: usize>(self, values: [Value; N]) -> Self;
    fn start_after<const N: usize>(self, values: [Value; N]) -> Self;
    fn end_at<const N: usize>(self, values: [Value; N]) -> Self;
    fn end_before<const N: usize>(self, values: [Value; N]) -> Self;
    fn limited(self, limit: i32) -> Self;
    fn skipping(self, offset: i32) -> Self;
    fn selecting<const N: usize>(self, paths: [&str; N]) -> Self;
}

impl Refine for StructuredQuery {
    fn filtered(self, filter: Filter) -> Self {
        Self { r#where: Some(filter), ..self }
    }

    fn ordered(mut self, path: &str) -> Self {
        self.order_by.push(order(path, Direction::Ascending));
        self
    }

    fn descending(mut self, path: &str) -> Self {
        self.order_by.push(order(path, Direction::Descending));
        self
    }

    fn start_at<const N: usize>(self, values: [Value; N]) -> Self {
        Self { start_at: Some(cursor(values, true)), ..self }
    }

    fn start_after<const N: usize>(self, values: [Value; N]) -> Self {
        Self { start_at: Some(cursor(values, false)), ..self }
    }

    fn end_at<const N: usize>(self, values: [Value; N]) -> Self {
        Self { end_at: Some(cursor(values, false)), ..self }
    }

    fn end_before<const N: usize>(self, values: [Value; N]) -> Self {
        Self { end_at: Some(cursor(values, true)), ..self }
    }

    fn limited(self, limit: i32) -> Self {
        Self { limit: Some(limit), ..self }
    }

    fn skipping(self, offset: i32) -> Self {
        Self { offset, ..self }
    }

    fn selecting<const N: usize>(self, paths: [&str; N]) -> Self {
        let fields = paths.map(reference_to).into();
        Self { select: Some(Projection { fields }), ..self }
    }
}

fn reference_to(path: &str) -> FieldReference {
    FieldReference { field_path: path.to_owned() }
}

fn order(path: &str, direction: Direction) -> Order {
    Order { field: Some(reference_to(path)), direction: direction.into() }
}

fn cursor<const N: usize>(values: [Value; N], before: bool) -> Cursor {
    Cursor { values: values.into(), before }
}

fn filter(kind: FilterType) -> Filter {
    Filter { filter_type: Some(kind) }
}

pub fn test(path: &str, op: Op, operand: Value) -> Filter {
    filter(FilterType::FieldFilter(FieldFilter {
        field: Some(reference_to(path)),
        op: op.into(),
        value: Some(operand),
    }))
}

pub fn equal(path: &str, operand: Value) -> Filter {
    test(path, Op::Equal, operand)
}

pub fn unary(path: &str, op: Unary) -> Filter {
    filter(FilterType::UnaryFilter(UnaryFilter {
        op: op.into(),
        operand_type: Some(OperandType::Field(reference_to(path))),
    }))
}

pub fn all(filters: impl IntoIterator<Item = Filter>) -> Filter {
    joined(Joined::And, filters)
}

pub fn any(filters: impl IntoIterator<Item = Filter>) -> Filter {
    joined(Joined::Or, filters)
}

fn joined(op: Joined, filters: impl IntoIterator<Item = Filter>) -> Filter {
    let filters = filters.into_iter().collect();
    filter(FilterType::CompositeFilter(CompositeFilter { op: op.into(), filters }))
}

pub fn count(alias: &str) -> Aggregation {
    aggregation(alias, Operator::Count(Count { up_to: None }))
}

pub fn count_up_to(alias: &str, most: i64) -> Aggregation {
    aggregation(alias, Operator::Count(Count { up_to: Some(most) }))
}

pub fn sum(alias: &str, path: &str) -> Aggregation {
    aggregation(alias, Operator::Sum(Sum { field: Some(reference_to(path)) }))
}

pub fn average(alias: &str, path: &str) -> Aggregation {
    aggregation(alias, Operator::Avg(Avg { field: Some(reference_to(path)) }))
}

fn aggregation(alias: &str, operator: Operator) -> Aggregation {
    Aggregation { alias: alias.to_owned(), operator: Some(operator) }
}
