//! The documents that a query ranges over.

use tonic::Status;

use crate::model::invalid;
use crate::model::path::{DocumentName, Parent, check_collection_id};
use crate::proto::structured_query::CollectionSelector;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub parent: Parent,
    /// `None` for the documents of every collection.
    pub collection: Option<String>,
    /// Whether collections at any depth below the parent count.
    pub all_descendants: bool,
}

impl Scope {
    pub fn parse(parent: Parent, from: &[CollectionSelector]) -> Result<Self, Status> {
        let [selector] = from else {
            return Err(invalid!(
                "A query takes exactly one collection selector, got {}",
                from.len()
            ));
        };
        let id = &selector.collection_id;
        let collection = (!id.is_empty()).then(|| id.clone());
        if collection.is_some() {
            check_collection_id(id)?;
        }
        Ok(Self { parent, collection, all_descendants: selector.all_descendants })
    }

    pub fn contains(&self, name: &DocumentName) -> bool {
        self.parent.is_ancestor_of(name)
            && name.segments().len() > self.parent.depth()
            && (self.all_descendants || name.segments().len() == self.parent.depth() + 2)
            && self.collection.as_ref().is_none_or(|id| name.collection_id() == id)
    }

    /// The prefix of the keys of all documents in scope.
    pub fn key_prefix(&self) -> Vec<u8> {
        match &self.collection {
            Some(id) if !self.all_descendants => self.parent.collection_key(id),
            _ => self.parent.key(),
        }
    }
}
