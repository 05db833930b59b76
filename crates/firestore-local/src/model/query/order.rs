//! Orders, order keys, and the cursors that bound them.

use tonic::Status;

use super::filter::Filter;
use super::reference::reference;
use crate::model::field_path::{self, FieldPath};
use crate::model::path::{Database, DocumentName, successor};
use crate::model::{invalid, value};
use crate::proto::structured_query::{Direction, Order};
use crate::proto::{Cursor, Document};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordering {
    pub path: FieldPath,
    pub descending: bool,
}

/// A position in a query's order, before or after all keys that begin with `prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    prefix: Vec<u8>,
    /// Whether the position is before the keys that begin with the prefix.
    before: bool,
}

impl Bound {
    /// Parses a cursor. Its values belong to the first of the explicit orders.
    pub fn parse(
        database: &Database,
        orders: &[Ordering],
        cursor: &Cursor,
    ) -> Result<Self, Status> {
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
        Ok(Self { prefix, before: cursor.before })
    }

    /// The first order key after the bound; `None` if there is none.
    pub fn key(&self) -> Option<Vec<u8>> {
        if self.before { Some(self.prefix.clone()) } else { successor(&self.prefix) }
    }
}

/// A document's order key: its ordered fields, encoded and inverted where descending. `None` if a
/// field is missing.
pub fn order_key(orders: &[Ordering], name: &DocumentName, document: &Document) -> Option<Vec<u8>> {
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

pub fn invert(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = !*byte;
    }
}

/// Parses the explicit orders, and completes them with the implied ones: the fields of
/// inequalities, and the name last.
pub fn parse_orders(explicit: &[Order], filter: Option<&Filter>) -> Result<Vec<Ordering>, Status> {
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
