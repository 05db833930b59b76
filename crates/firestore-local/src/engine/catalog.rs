//! The catalog of indexes.

use std::collections::HashMap;
use std::sync::Arc;

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use crate::model::field_path::FieldPath;
use crate::model::path::Database;
use crate::model::query::{IndexSpec, Ordering};

/// The most indexes for one collection id of one database. Past this, queries of new shapes scan.
pub const MAX_INDEXES: usize = 64;

#[derive(Clone, Debug)]
pub struct Index {
    /// The prefix of the keys of its entries.
    pub prefix: [u8; 4],
    pub spec: IndexSpec,
}

/// All indexes, by database and collection id.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    by_collection: HashMap<(Database, String), Vec<Arc<Index>>>,
    next: u32,
}

/// An index's definition as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    database: String,
    collection: String,
    group: bool,
    equal: Vec<String>,
    orders: Vec<(String, bool)>,
}

impl Catalog {
    pub fn load(table: &impl ReadableTable<u32, &'static [u8]>) -> Result<Self, redb::Error> {
        let mut catalog = Self::default();
        for entry in table.iter()? {
            let (id, stored) = entry?;
            let id = id.value();
            catalog.next = catalog.next.max(id + 1);
            match decode(stored.value()) {
                Some((database, spec)) => catalog.insert(&database, id, spec),
                None => tracing::warn!(id, "cannot decode the definition of an index; ignoring it"),
            }
        }
        Ok(catalog)
    }

    fn insert(&mut self, database: &Database, id: u32, spec: IndexSpec) {
        let key = (database.clone(), spec.collection.clone());
        let index = Index { prefix: id.to_be_bytes(), spec };
        self.by_collection.entry(key).or_default().push(Arc::new(index));
    }

    /// Adds an index; returns its id and its stored form.
    pub fn add(&mut self, database: &Database, spec: IndexSpec) -> (u32, Vec<u8>) {
        let id = self.next;
        self.next += 1;
        let stored = Stored {
            database: database.as_str().to_owned(),
            collection: spec.collection.clone(),
            group: spec.group,
            equal: spec.equal.iter().map(ToString::to_string).collect(),
            orders: spec
                .orders
                .iter()
                .map(|order| (order.path.to_string(), order.descending))
                .collect(),
        };
        let bytes = serde_json::to_vec(&stored).unwrap_or_default();
        self.insert(database, id, spec);
        (id, bytes)
    }

    pub fn find(&self, database: &Database, spec: &IndexSpec) -> Option<&Arc<Index>> {
        self.of(database, &spec.collection).iter().find(|index| index.spec == *spec)
    }

    pub fn of(&self, database: &Database, collection: &str) -> &[Arc<Index>] {
        self.by_collection
            .get(&(database.clone(), collection.to_owned()))
            .map_or(&[], Vec::as_slice)
    }

    pub fn is_empty(&self) -> bool {
        self.by_collection.is_empty()
    }

    /// Removes the indexes of a database; returns the prefixes of their entries.
    pub fn remove(&mut self, database: &Database) -> Vec<[u8; 4]> {
        let mut prefixes = Vec::new();
        self.by_collection.retain(|(owner, _), indexes| {
            if owner == database {
                prefixes.extend(indexes.iter().map(|index| index.prefix));
            }
            owner != database
        });
        prefixes
    }
}

fn decode(bytes: &[u8]) -> Option<(Database, IndexSpec)> {
    let stored: Stored = serde_json::from_slice(bytes).ok()?;
    let path = |text: &String| FieldPath::parse(text).ok();
    let equal = stored.equal.iter().map(path).collect::<Option<_>>()?;
    let orders = stored
        .orders
        .iter()
        .map(|(text, descending)| Some(Ordering { path: path(text)?, descending: *descending }))
        .collect::<Option<_>>()?;
    let database = Database::parse(&stored.database).ok()?;
    let spec = IndexSpec { collection: stored.collection, group: stored.group, equal, orders };
    Some((database, spec))
}
