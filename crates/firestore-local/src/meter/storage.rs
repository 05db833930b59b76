//! What is stored, as Firestore measures it ("Storage size calculations").

use std::collections::BTreeMap;

use serde::Serialize;
use tonic::Status;

use super::tally::OTHER;
use crate::engine::Engine;
use crate::model::index_entries;
use crate::model::path::DocumentName;
use crate::model::value::document_size;

/// The most collections with a line of their own. Others are counted as `other`.
const MAX_COLLECTIONS: usize = 1_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stored {
    pub documents: u64,
    pub document_bytes: u64,
    /// Automatic single-field index entries.
    pub index_entries: u64,
    pub index_bytes: u64,
}

impl Stored {
    pub fn bytes(&self) -> u64 {
        self.document_bytes + self.index_bytes
    }

    fn add(&mut self, other: &Self) {
        self.documents += other.documents;
        self.document_bytes += other.document_bytes;
        self.index_entries += other.index_entries;
        self.index_bytes += other.index_bytes;
    }
}

/// What is stored by database and collection id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Storage {
    pub total: Stored,
    pub databases: BTreeMap<String, BTreeMap<String, Stored>>,
}

impl Storage {
    /// Reads every document. Blocking.
    pub(crate) fn of(engine: &Engine) -> Result<Self, Status> {
        let mut storage = Self::default();
        let mut lines = 0;
        engine.all(&mut |document| {
            let name = DocumentName::parse(&document.name)?;
            let (index_entries, index_bytes) = index_entries::sizes(&name, &document.fields);
            let document_bytes = document_size(&name, &document.fields) as u64;
            let stored = Stored { documents: 1, document_bytes, index_entries, index_bytes };
            storage.total.add(&stored);
            let (database, collection) = (name.database().as_str(), name.collection_id());
            let line = storage.databases.get_mut(database).and_then(|it| it.get_mut(collection));
            if let Some(line) = line {
                line.add(&stored);
                return Ok(());
            }
            lines += 1;
            let (database, collection) =
                if lines > MAX_COLLECTIONS { (OTHER, OTHER) } else { (database, collection) };
            let collections = storage.databases.entry(database.to_owned()).or_default();
            collections.entry(collection.to_owned()).or_default().add(&stored);
            Ok(())
        })?;
        Ok(storage)
    }
}
