//! The index that serves a query, and the range of its keys.
//!
//! An index holds a key for each document that has all its fields: the collection, the fields that
//! are compared for equality, and the order key. The results of a query lie in one range of keys,
//! in the query's order. The range may hold other documents, too, so that every candidate is still
//! checked with [`Query::matches`].

use super::Query;
use super::filter::Test;
use super::order::{Bound, Ordering, invert, order_key};
use crate::model::field_path::FieldPath;
use crate::model::path::{DocumentName, NAME_END, successor};
use crate::model::value;
use crate::proto::Document;

/// The definition of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSpec {
    /// The collection id.
    pub collection: String,
    /// Whether the index spans all collections with that id; otherwise it sorts by collection
    /// first.
    pub group: bool,
    pub equal: Vec<FieldPath>,
    /// The last order is the name.
    pub orders: Vec<Ordering>,
}

/// An index and the range of its keys to read.
#[derive(Clone, Debug)]
pub struct IndexPlan {
    /// `None` if no index can serve the query because it is over every collection.
    pub spec: Option<IndexSpec>,
    pub from: Vec<u8>,
    /// The first key after the range; `None` if the range is unbounded.
    pub until: Option<Vec<u8>>,
}

impl IndexSpec {
    /// The key of a document; `None` if the index does not hold the document.
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

    /// A string that identifies the index.
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

impl Query {
    pub fn plan(&self) -> IndexPlan {
        let conjuncts = self.conjuncts();
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
        let scope = &self.scope;
        let mut prefix =
            if scope.all_descendants { scope.parent.database().key() } else { scope.key_prefix() };
        for (_, bytes) in &equal {
            prefix.extend_from_slice(bytes);
        }
        let (from, until) = range(self, &conjuncts);
        let join = |rest: Vec<u8>| [prefix.as_slice(), &rest].concat();
        let until = until.map_or_else(|| successor(&prefix), |rest| Some(join(rest)));
        IndexPlan {
            spec: scope.collection.clone().map(|collection| IndexSpec {
                collection,
                group: scope.all_descendants,
                equal: equal.into_iter().map(|(path, _)| path).collect(),
                orders: self.orders.clone(),
            }),
            from: join(from),
            until,
        }
    }

    /// The range of document keys to read, for a query in the order of names.
    pub fn name_range(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let database = self.scope.parent.database().key();
        // An order key ends with `NAME_END`, a document's key does not.
        let document_key = |order_key: Vec<u8>| {
            let name = order_key.strip_suffix(&NAME_END).unwrap_or(&order_key);
            [database.as_slice(), name].concat()
        };
        let whole = self.scope.key_prefix();
        let (from, until) = range(self, &self.conjuncts());
        let from = document_key(from).max(whole.clone());
        let until = match (until.map(document_key), successor(&whole)) {
            (Some(until), Some(end)) => Some(until.min(end)),
            (until, end) => until.or(end),
        };
        (from, until)
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
        // The start is after every key.
        None => (Vec::new(), Some(Vec::new())),
    }
}

/// The lowest and the highest prefix of the encoded values that may pass a test. The encoding of a
/// value begins with the byte of its class.
fn interval(test: &Test) -> Option<(Vec<u8>, Vec<u8>)> {
    Some(match test {
        Test::Less { class, than, .. } => (vec![*class], than.clone()),
        Test::Greater { class, than, .. } => (than.clone(), vec![*class]),
        Test::Equal(value) => (value.clone(), value.clone()),
        Test::In(values) => (values.iter().min()?.clone(), values.iter().max()?.clone()),
        _ => return None,
    })
}

/// Converts an encoded reference into the query's database to an order key. Other values do not
/// bound the range.
fn order_key_of_name(bytes: &[u8], names: &[u8]) -> Vec<u8> {
    bytes.strip_prefix(names).unwrap_or_default().to_vec()
}
