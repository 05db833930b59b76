//! Structured queries: checked and normalised once, then asked of documents.
//!
//! Order is bytes here too: a document's *order key* is its ordered fields, encoded and inverted
//! where descending, with its name last. Sorting, cursors and index ranges are comparisons of
//! such keys.

mod filter;
mod limits;
mod plan;

use tonic::Status;

use filter::{Filter, Test};
pub use plan::{IndexPlan, IndexSpec};

use super::field_path::{self, FieldPath};
use super::path::{Database, DocumentName, Parent, successor};
use super::{invalid, value};
use crate::proto::structured_query::{CollectionSelector, Direction, Order, Projection};
use crate::proto::{Cursor, Document, StructuredQuery, Value, value::ValueType};

/// Which documents a query looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub parent: Parent,
    /// `None` for the documents of every collection.
    pub collection: Option<String>,
    /// Whether collections at any depth below the parent count.
    pub all_descendants: bool,
}

impl Scope {
    pub fn contains(&self, name: &DocumentName) -> bool {
        self.parent.is_ancestor_of(name)
            && name.segments().len() > self.parent.depth()
            && (self.all_descendants || name.segments().len() == self.parent.depth() + 2)
            && self.collection.as_ref().is_none_or(|id| name.collection_id() == id)
    }

    /// What the keys of all documents in scope begin with.
    pub fn key_prefix(&self) -> Vec<u8> {
        match &self.collection {
            Some(id) if !self.all_descendants => self.parent.collection_key(id),
            _ => self.parent.key(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordering {
    pub path: FieldPath,
    pub descending: bool,
}

/// A place in a query's order: all keys that begin with `prefix`, from before or after them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    prefix: Vec<u8>,
    /// Whether the keys that begin with the prefix lie beyond the bound.
    before: bool,
}

impl Bound {
    /// The first order key beyond the bound; `None` where there can be none.
    fn key(&self) -> Option<Vec<u8>> {
        if self.before { Some(self.prefix.clone()) } else { successor(&self.prefix) }
    }
}

#[derive(Clone, Debug)]
pub struct Query {
    pub scope: Scope,
    filter: Option<Filter>,
    /// The explicit orders, the implied ones, and the name last.
    orders: Vec<Ordering>,
    start: Option<Bound>,
    end: Option<Bound>,
    pub offset: usize,
    pub limit: Option<usize>,
    select: Option<Vec<FieldPath>>,
}

/// What [`Query::run`] found.
#[derive(Debug, Default)]
pub struct Found {
    pub documents: Vec<Document>,
    pub skipped: usize,
}

impl Query {
    pub fn parse(parent: Parent, query: StructuredQuery) -> Result<Self, Status> {
        if query.find_nearest.is_some() {
            return Err(Status::unimplemented("find_nearest is not supported by firestore-local"));
        }
        let scope = parse_scope(parent, &query.from)?;
        let database = scope.parent.database().clone();
        let filter = query.r#where.map(|filter| Filter::parse(&scope, filter)).transpose()?;
        let orders = parse_orders(&query.order_by, filter.as_ref())?;
        limits::check(&scope, filter.as_ref(), &orders, query.order_by.len())?;
        // A cursor has no values for the implied orders.
        let explicit = &orders[..query.order_by.len()];
        let bound = |cursor: Option<Cursor>| {
            cursor.map(|cursor| parse_bound(&database, explicit, &cursor)).transpose()
        };
        let (start, end) = (bound(query.start_at)?, bound(query.end_at)?);
        let offset = usize::try_from(query.offset)
            .map_err(|_| invalid!("offset is negative ({})", query.offset))?;
        let limit = query
            .limit
            .map(|limit| {
                usize::try_from(limit).map_err(|_| invalid!("limit is negative ({limit})"))
            })
            .transpose()?;
        let select = query.select.map(parse_projection).transpose()?.flatten();
        Ok(Self { scope, filter, orders, start, end, offset, limit, select })
    }

    /// Whether the document is in scope, has the ordered fields, and passes filters and cursors.
    /// Gives its order key where it does.
    pub fn matches(&self, name: &DocumentName, document: &Document) -> Option<Vec<u8>> {
        if !self.scope.contains(name) {
            return None;
        }
        if let Some(filter) = &self.filter
            && !filter.matches(document)
        {
            return None;
        }
        let key = self.order_key(name, document)?;
        let after_start =
            self.start.as_ref().is_none_or(|bound| bound.key().is_some_and(|first| key >= first));
        let before_end =
            self.end.as_ref().is_none_or(|bound| bound.key().is_none_or(|first| key < first));
        (after_start && before_end).then_some(key)
    }

    fn order_key(&self, name: &DocumentName, document: &Document) -> Option<Vec<u8>> {
        order_key(&self.orders, name, document)
    }

    /// The whole query over candidates in any order. With a limit, memory holds no more than
    /// twice what offset and limit ask for.
    pub fn run(&self, candidates: impl IntoIterator<Item = Document>) -> Found {
        let wanted = self.limit.map(|limit| limit.saturating_add(self.offset));
        let mut kept: Vec<(Vec<u8>, Document)> = Vec::new();
        for document in candidates {
            let Ok(name) = DocumentName::parse(&document.name) else { continue };
            if let Some(key) = self.matches(&name, &document) {
                kept.push((key, document));
            }
            if let Some(wanted) = wanted
                && kept.len() > wanted.saturating_mul(2).max(64)
            {
                kept.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                kept.truncate(wanted);
            }
        }
        kept.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        kept.truncate(wanted.unwrap_or(usize::MAX));
        let skipped = self.offset.min(kept.len());
        let documents = kept.into_iter().skip(skipped).map(|(_, document)| document).collect();
        Found { documents, skipped }
    }

    /// The document as the query shows it.
    pub fn project(&self, document: Document) -> Document {
        field_path::project(document, self.select.as_deref())
    }

    /// The query without its projection, offset and limit, for those who look at each match.
    pub fn unlimited(&self) -> Self {
        Self { offset: 0, limit: None, select: None, ..self.clone() }
    }

    /// The tests that every match passes.
    fn conjuncts(&self) -> Vec<(&FieldPath, &Test)> {
        self.filter.as_ref().map(Filter::conjuncts).unwrap_or_default()
    }

    /// Whether results come in the ascending order of names.
    pub fn is_ordered_by_name(&self) -> bool {
        matches!(&self.orders[..], [only] if only.path.is_name() && !only.descending)
    }

    pub fn plan(&self) -> IndexPlan {
        plan::plan(self)
    }

    /// The range of names to look at, for a query in the order of names.
    pub fn name_range(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        plan::name_range(self)
    }
}

fn order_key(orders: &[Ordering], name: &DocumentName, document: &Document) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(64);
    for order in orders {
        let from = key.len();
        if order.path.is_name() {
            name.push_order_key(&mut key);
        } else {
            value::encode(order.path.get(&document.fields)?, &mut key);
        }
        if order.descending {
            invert(&mut key[from..]);
        }
    }
    Some(key)
}

fn invert(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

fn parse_scope(parent: Parent, from: &[CollectionSelector]) -> Result<Scope, Status> {
    let [selector] = from else {
        return Err(invalid!("A query takes exactly one collection selector, not {}", from.len()));
    };
    let collection = (!selector.collection_id.is_empty()).then(|| selector.collection_id.clone());
    if let Some(id) = &collection {
        super::path::check_collection_id(id)?;
    }
    Ok(Scope { parent, collection, all_descendants: selector.all_descendants })
}

fn parse_orders(explicit: &[Order], filter: Option<&Filter>) -> Result<Vec<Ordering>, Status> {
    let mut orders: Vec<Ordering> = Vec::new();
    for order in explicit {
        let path = order.field.as_ref().map_or("", |field| field.field_path.as_str());
        let path = FieldPath::parse(path)?;
        if orders.iter().any(|other| other.path == path) {
            return Err(invalid!("order by clause cannot contain duplicate fields {path}"));
        }
        let descending = match Direction::try_from(order.direction) {
            Ok(direction) => direction == Direction::Descending,
            Err(_) => return Err(invalid!("Unknown direction {}", order.direction)),
        };
        orders.push(Ordering { path, descending });
    }
    let descending = orders.last().is_some_and(|last| last.descending);
    for path in filter.map(Filter::inequality_fields).unwrap_or_default() {
        if !path.is_name() && !orders.iter().any(|order| order.path == path) {
            orders.push(Ordering { path, descending });
        }
    }
    match orders.iter().position(|order| order.path.is_name()) {
        None => {
            let path = FieldPath::parse(field_path::NAME)?;
            orders.push(Ordering { path, descending });
        }
        Some(index) if index + 1 < orders.len() => {
            let next = &orders[index + 1].path;
            return Err(invalid!(
                "order by clause cannot contain more fields after the key {next}"
            ));
        }
        Some(_) => {}
    }
    Ok(orders)
}

/// The fields to show, where not all. The name is always shown.
fn parse_projection(projection: Projection) -> Result<Option<Vec<FieldPath>>, Status> {
    if projection.fields.is_empty() {
        return Ok(None);
    }
    let fields = projection.fields.iter().map(|field| FieldPath::parse(&field.field_path));
    fields
        .filter(|path| !matches!(path, Ok(path) if path.is_name()))
        .collect::<Result<_, _>>()
        .map(Some)
}

fn parse_bound(database: &Database, orders: &[Ordering], cursor: &Cursor) -> Result<Bound, Status> {
    if cursor.values.len() > orders.len() {
        return Err(invalid!(
            "Cursor has too many values: {}, and the query is ordered by {} fields",
            cursor.values.len(),
            orders.len()
        ));
    }
    let mut prefix = Vec::new();
    for (order, cursor_value) in orders.iter().zip(&cursor.values) {
        let from = prefix.len();
        if order.path.is_name() {
            reference(database, cursor_value)?.push_order_key(&mut prefix);
        } else {
            value::encode(cursor_value, &mut prefix);
        }
        if order.descending {
            invert(&mut prefix[from..]);
        }
    }
    Ok(Bound { prefix, before: cursor.before })
}

fn reference(database: &Database, value: &Value) -> Result<DocumentName, Status> {
    match &value.value_type {
        Some(ValueType::ReferenceValue(name)) => {
            let name = DocumentName::parse(name)?;
            if name.database() == database {
                Ok(name)
            } else {
                Err(invalid!("{name} is not in database {database}"))
            }
        }
        _ => Err(invalid!("__name__ can only be compared with a document reference")),
    }
}

#[cfg(test)]
mod tests;
