//! Structured queries: parsed, checked and normalized once, then matched against documents.
//!
//! The order is defined by bytes here, too: a document's *order key* holds its ordered fields,
//! encoded and inverted where descending, with its name last. Sorting, cursors and index ranges
//! are comparisons of order keys.

mod alternatives;
mod filter;
mod limits;
mod order;
mod plan;
mod reference;
mod scope;

use std::collections::BTreeSet;

use tonic::Status;

use super::field_path::{self, FieldPath};
use super::invalid;
use super::path::{DocumentName, Parent};
use crate::proto::structured_query::Projection;
use crate::proto::{Cursor, Document, StructuredQuery};
use filter::{Filter, Test};
pub use order::Ordering;
use order::{Bound, order_key, parse_orders};
pub use plan::{IndexPlan, IndexSpec};
pub use scope::Scope;

#[derive(Clone, Debug)]
pub struct Query {
    pub scope: Scope,
    filter: Option<Filter>,
    /// The explicit orders, the implied ones, and the name last.
    orders: Vec<Ordering>,
    /// Whether the request names the order by name.
    orders_by_name: bool,
    /// Fields that a document must have, other than the ordered ones.
    required: Vec<FieldPath>,
    start: Option<Bound>,
    end: Option<Bound>,
    pub offset: usize,
    pub limit: Option<usize>,
    select: Option<Vec<FieldPath>>,
}

/// The result of [`Query::run`].
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
        let scope = Scope::parse(parent, &query.from)?;
        let database = scope.parent.database().clone();
        let filter = query.r#where.map(|filter| Filter::parse(&scope, filter)).transpose()?;
        let orders = parse_orders(&query.order_by, filter.as_ref())?;
        limits::check(&scope, filter.as_ref(), &orders, query.order_by.len())?;
        // A cursor has no values for the implied orders.
        let explicit = &orders[..query.order_by.len()];
        let orders_by_name = explicit.iter().any(|order| order.path.is_name());
        let bound = |cursor: Option<Cursor>| {
            cursor.map(|cursor| Bound::parse(&database, explicit, &cursor)).transpose()
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
        let required = Vec::new();
        Ok(Self {
            scope,
            filter,
            orders,
            orders_by_name,
            required,
            start,
            end,
            offset,
            limit,
            select,
        })
    }

    /// Whether the document is in scope, has the ordered fields, and passes filters and cursors.
    /// Returns its order key if it does.
    pub fn matches(&self, name: &DocumentName, document: &Document) -> Option<Vec<u8>> {
        if !self.scope.contains(name) {
            return None;
        }
        if let Some(filter) = &self.filter
            && !filter.matches(document)
        {
            return None;
        }
        if self.required.iter().any(|path| path.get(&document.fields).is_none()) {
            return None;
        }
        let key = order_key(&self.orders, name, document)?;
        let after_start =
            self.start.as_ref().is_none_or(|bound| bound.key().is_some_and(|first| key >= first));
        let before_end =
            self.end.as_ref().is_none_or(|bound| bound.key().is_none_or(|first| key < first));
        (after_start && before_end).then_some(key)
    }

    /// Runs the whole query over candidates in any order. With a limit, at most about twice as
    /// many documents as offset and limit ask for are in memory.
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

    /// Applies the query's projection to a document.
    pub fn project(&self, document: Document) -> Document {
        field_path::project(document, self.select.as_deref())
    }

    /// The query whose documents are aggregated over `fields`. Each document must have them, and
    /// they are implied orders, before the name. Which documents a limit leaves depends on that.
    pub fn aggregating<'a>(mut self, fields: impl Iterator<Item = &'a FieldPath>) -> Self {
        if self.limit.is_none() && self.offset == 0 {
            return self;
        }
        let is_ordered = |path: &&FieldPath| self.orders.iter().any(|order| order.path == **path);
        let fields: BTreeSet<FieldPath> =
            fields.filter(|path| !path.is_name() && !is_ordered(path)).cloned().collect();
        let last = self.orders.len() - 1;
        if self.orders_by_name {
            self.required.extend(fields);
        } else {
            let descending = self.orders[last].descending;
            let implied = fields.into_iter().map(|path| Ordering { path, descending });
            self.orders.splice(last..last, implied);
        }
        self
    }

    /// The query without projection, offset and limit.
    pub fn unlimited(&self) -> Self {
        Self { offset: 0, limit: None, select: None, ..self.clone() }
    }

    /// The tests that every match passes.
    fn conjuncts(&self) -> Vec<(&FieldPath, &Test)> {
        self.filter.as_ref().map(Filter::conjuncts).unwrap_or_default()
    }

    /// Whether results are in ascending order of names.
    /// The number of fields with an inequality.
    pub fn inequality_fields(&self) -> usize {
        self.filter.as_ref().map_or(0, |filter| filter.inequality_fields().len())
    }

    pub fn is_ordered_by_name(&self) -> bool {
        matches!(&self.orders[..], [only] if only.path.is_name() && !only.descending)
    }
}

/// Parses the fields to return; `None` for all. The name is always returned.
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

#[cfg(test)]
mod tests;
