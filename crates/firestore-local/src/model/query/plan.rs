//! How an index serves a query.
//!
//! An index holds, for each document that has all its fields, a key: the collection, the fields
//! that are compared for equality, and the order key. A query's results then lie in one range of
//! keys, in the query's order. The range may hold more than the results; every candidate is still
//! asked with [`Query::matches`].

use super::filter::Test;
use super::{Bound, Ordering, Query, invert, order_key};
use crate::model::field_path::FieldPath;
use crate::model::path::{DocumentName, NAME_END, successor};
use crate::model::value;
use crate::proto::Document;

/// What an index is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSpec {
    /// The collection id.
    pub collection: String,
    /// Whether the index spans all collections of that id, or sorts by collection first.
    pub group: bool,
    pub equal: Vec<FieldPath>,
    /// Ends with the name.
    pub orders: Vec<Ordering>,
}

/// An index and the range of its keys to look at.
#[derive(Clone, Debug)]
pub struct IndexPlan {
    /// `None` where no index can serve: a query over every collection.
    pub spec: Option<IndexSpec>,
    pub from: Vec<u8>,
    /// The first key beyond the range; `None` where it is open.
    pub until: Option<Vec<u8>>,
}

impl IndexSpec {
    /// The key of a document, where the index holds it.
    pub fn entry(&self, name: &DocumentName, document: &Document) -> Option<Vec<u8>> {
        if name.collection_id() != self.collection {
            return None;
        }
        let mut key = if self.group { name.database().key() } else { name.collection_key() };
        for path in &self.equal {
            value::encode(path.get(&document.fields)?, &mut key);
        }
        key.extend(order_key(&self.orders, name, document)?);
        Some(key)
    }

    /// A text that is the same for the same index only.
    pub fn id(&self) -> String {
        let paths = |paths: Vec<String>| paths.join(",");
        let equal = self.equal.iter().map(ToString::to_string).collect();
        let orders = self
            .orders
            .iter()
            .map(|order| format!("{}{}", order.path, if order.descending { " desc" } else { "" }))
            .collect();
        let scope = if self.group { "group" } else { "collection" };
        format!("{} {scope} ({}) ({})", self.collection, paths(equal), paths(orders))
    }
}

pub fn plan(query: &Query) -> IndexPlan {
    let conjuncts = query.conjuncts();
    let mut equal: Vec<(FieldPath, Vec<u8>)> = Vec::new();
    for (path, test) in &conjuncts {
        if let Some(bytes) = equality(test)
            && !path.is_name()
            && !equal.iter().any(|(other, _)| other == *path)
        {
            equal.push(((*path).clone(), bytes));
        }
    }
    equal.sort();
    let scope = &query.scope;
    let mut prefix =
        if scope.all_descendants { scope.parent.database().key() } else { scope.key_prefix() };
    for (_, bytes) in &equal {
        prefix.extend_from_slice(bytes);
    }
    let (from, until) = range(query, &conjuncts);
    let join = |rest: Vec<u8>| [prefix.as_slice(), &rest].concat();
    let until = until.map_or_else(|| successor(&prefix), |rest| Some(join(rest)));
    IndexPlan {
        spec: scope.collection.clone().map(|collection| IndexSpec {
            collection,
            group: scope.all_descendants,
            equal: equal.into_iter().map(|(path, _)| path).collect(),
            orders: query.orders.clone(),
        }),
        from: join(from),
        until,
    }
}

fn equality(test: &Test) -> Option<Vec<u8>> {
    match test {
        Test::Equal(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

/// The range of order keys that cursors and the tests on the first order allow.
fn range(query: &Query, conjuncts: &[(&FieldPath, &Test)]) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut from = query.start.as_ref().map_or_else(|| Some(Vec::new()), Bound::key);
    let mut until = query.end.as_ref().and_then(Bound::key);
    let first = &query.orders[0];
    let names = value::name_prefix(query.scope.parent.database());
    for (path, test) in conjuncts {
        if **path != first.path {
            continue;
        }
        let Some((mut low, mut high)) = interval(test) else { continue };
        if path.is_name() {
            low = order_key_of_name(&low, &names);
            high = order_key_of_name(&high, &names);
        }
        if first.descending {
            (low, high) = (high, low);
            invert(&mut low);
            invert(&mut high);
        }
        from = from.map(|from| from.max(low));
        until = match (until, successor(&high)) {
            (Some(until), Some(high)) => Some(until.min(high)),
            (until, high) => until.or(high),
        };
    }
    match from {
        Some(from) => (from, until),
        // The start lies beyond every key.
        None => (Vec::new(), Some(Vec::new())),
    }
}

/// What values that may pass a test begin with, from the lowest to the highest. All values of a
/// class begin with its byte.
fn interval(test: &Test) -> Option<(Vec<u8>, Vec<u8>)> {
    Some(match test {
        Test::Less { class, than, .. } => (vec![*class], than.clone()),
        Test::Greater { class, than, .. } => (than.clone(), vec![*class]),
        Test::Equal(value) => (value.clone(), value.clone()),
        Test::In(values) => (values.iter().min()?.clone(), values.iter().max()?.clone()),
        _ => return None,
    })
}

/// As an order key, what names in the query's database begin with as values. What is no such name
/// bounds nothing.
fn order_key_of_name(bytes: &[u8], names: &[u8]) -> Vec<u8> {
    bytes.strip_prefix(names).unwrap_or_default().to_vec()
}

/// For a query in the order of names: the keys of documents to look at.
pub fn name_range(query: &Query) -> (Vec<u8>, Option<Vec<u8>>) {
    let database = query.scope.parent.database().key();
    // A document's key does not have the end that its order key has.
    let document_key = |order_key: Vec<u8>| {
        let name = order_key.strip_suffix(&NAME_END).unwrap_or(&order_key);
        [database.as_slice(), name].concat()
    };
    let whole = query.scope.key_prefix();
    let (from, until) = range(query, &query.conjuncts());
    let from = document_key(from).max(whole.clone());
    let until = match (until.map(document_key), successor(&whole)) {
        (Some(until), Some(end)) => Some(until.min(end)),
        (until, end) => until.or(end),
    };
    (from, until)
}
