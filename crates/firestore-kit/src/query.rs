//! A builder for structured queries: one collection, AND-ed comparisons, an order.

use firestore::gcloud_sdk::google::firestore::v1::{
    Cursor, StructuredQuery, Value,
    structured_query::{
        CollectionSelector, CompositeFilter, Direction, FieldFilter, FieldReference, Filter, Order,
        Projection, composite_filter, field_filter::Operator, filter::FilterType,
    },
};

use crate::value;

#[derive(Clone, Debug)]
pub struct Query {
    query: StructuredQuery,
    filters: Vec<Filter>,
}

fn field(path: &str) -> FieldReference {
    FieldReference { field_path: path.to_owned() }
}

impl Query {
    pub fn of(collection: &str) -> Self {
        let from = vec![CollectionSelector {
            collection_id: collection.to_owned(),
            all_descendants: false,
        }];
        Self { query: StructuredQuery { from, ..StructuredQuery::default() }, filters: Vec::new() }
    }

    fn filter(mut self, path: &str, op: Operator, value: Value) -> Self {
        let filter = FieldFilter { field: Some(field(path)), op: op.into(), value: Some(value) };
        self.filters.push(Filter { filter_type: Some(FilterType::FieldFilter(filter)) });
        self
    }

    pub fn equal(self, path: &str, value: Value) -> Self {
        self.filter(path, Operator::Equal, value)
    }

    pub fn at_most(self, path: &str, value: Value) -> Self {
        self.filter(path, Operator::LessThanOrEqual, value)
    }

    pub fn at_least(self, path: &str, value: Value) -> Self {
        self.filter(path, Operator::GreaterThanOrEqual, value)
    }

    pub fn below(self, path: &str, value: Value) -> Self {
        self.filter(path, Operator::LessThan, value)
    }

    pub fn above(self, path: &str, value: Value) -> Self {
        self.filter(path, Operator::GreaterThan, value)
    }

    /// Only the documents with these names, at most [`NAMES_IN_FILTER`](crate::NAMES_IN_FILTER).
    pub fn among(self, names: &[String]) -> Self {
        let values = names.iter().map(|name| value::reference(name.clone())).collect();
        self.filter("__name__", Operator::In, value::array(values))
    }

    fn order(mut self, path: &str, direction: Direction) -> Self {
        let order = Order { field: Some(field(path)), direction: direction.into() };
        self.query.order_by.push(order);
        self
    }

    pub fn ascending(self, path: &str) -> Self {
        self.order(path, Direction::Ascending)
    }

    pub fn descending(self, path: &str) -> Self {
        self.order(path, Direction::Descending)
    }

    /// Returns only these fields of each document.
    pub fn select(mut self, paths: &[&str]) -> Self {
        let fields = paths.iter().map(|path| field(path)).collect();
        self.query.select = Some(Projection { fields });
        self
    }

    /// Starts after the position with these values of the ordered fields.
    pub fn start_after(mut self, values: Vec<Value>) -> Self {
        self.query.start_at = Some(Cursor { values, before: false });
        self
    }

    /// Starts at the position with these values of the ordered fields.
    pub fn start_at(mut self, values: Vec<Value>) -> Self {
        self.query.start_at = Some(Cursor { values, before: true });
        self
    }

    /// Ends before the position with these values of the ordered fields.
    pub fn end_before(mut self, values: Vec<Value>) -> Self {
        self.query.end_at = Some(Cursor { values, before: true });
        self
    }

    pub fn limit(mut self, limit: usize) -> Self {
        self.query.limit = Some(i32::try_from(limit).unwrap_or(i32::MAX));
        self
    }

    pub fn build(mut self) -> StructuredQuery {
        self.query.r#where = match self.filters.len() {
            0 => None,
            1 => self.filters.pop(),
            _ => Some(Filter {
                filter_type: Some(FilterType::CompositeFilter(CompositeFilter {
                    op: composite_filter::Operator::And.into(),
                    filters: self.filters,
                })),
            }),
        };
        self.query
    }
}
