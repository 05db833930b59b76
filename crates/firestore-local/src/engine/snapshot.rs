//! Reading: documents by key, and queries by the cheapest access path.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use prost::Message;
use redb::{Range, ReadOnlyTable, ReadableTable};
use tonic::Status;

use super::catalog::{Catalog, Index, MAX_INDEXES};
use super::error::{failed, internal};
use super::shared::Shared;
use crate::locks::{lock, read, write};
use crate::model::path::{DocumentName, successor};
use crate::model::query::{Found, IndexPlan, IndexSpec, Query};
use crate::model::time::{Micros, update_time};
use crate::proto::Document;

/// A consistent state of the store.
pub struct Snapshot {
    pub documents: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub entries: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub catalog: Arc<Catalog>,
}

/// The outcome of a query.
#[derive(Debug)]
pub enum Answer {
    Done {
        skipped: usize,
    },
    /// Nothing was emitted: run the query again once this index exists.
    NeedsIndex(IndexSpec),
}

/// Receives documents; returns whether it wants more.
pub type Emit<'a> = &'a mut dyn FnMut(Document) -> bool;
/// Receives document keys; returns whether it wants more.
pub type EmitKey<'a> = &'a mut dyn FnMut(&[u8]) -> bool;

pub fn decode(bytes: &[u8]) -> Result<Document, Status> {
    Document::decode(bytes).map_err(internal)
}

/// The entries of a table in a range of keys.
fn range<'t>(
    table: &'t impl ReadableTable<&'static [u8], &'static [u8]>,
    from: &[u8],
    until: Option<&[u8]>,
) -> Result<Range<'t, &'static [u8], &'static [u8]>, Status> {
    // A range that ends before it begins is empty, not an error.
    let until = match until {
        Some(until) if until <= from => Bound::Excluded(from),
        Some(until) => Bound::Excluded(until),
        None => Bound::Unbounded,
    };
    table.range::<&[u8]>((Bound::Included(from), until)).map_err(failed)
}

/// Filters candidates in the order of a query, and applies its offset and limit.
struct Window<'a> {
    query: &'a Query,
    left: usize,
    skipped: usize,
    emit: Emit<'a>,
}

impl<'a> Window<'a> {
    fn new(query: &'a Query, emit: Emit<'a>) -> Self {
        Self { query, left: query.limit.unwrap_or(usize::MAX), skipped: 0, emit }
    }

    /// Takes the next candidate; returns whether more are wanted.
    fn take(&mut self, document: Document) -> Result<bool, Status> {
        let name = DocumentName::parse(&document.name)?;
        if self.query.matches(&name, &document).is_none() {
            return Ok(true);
        }
        if self.left == 0 {
            return Ok(false);
        }
        if self.skipped < self.query.offset {
            self.skipped += 1;
            return Ok(true);
        }
        self.left -= 1;
        Ok((self.emit)(document) && self.left > 0)
    }
}

/// The tables of a snapshot, or of the committer's own transaction.
pub trait Tables {
    type Table: ReadableTable<&'static [u8], &'static [u8]>;

    fn documents(&self) -> &Self::Table;
    fn entries(&self) -> &Self::Table;
    fn catalog(&self) -> &Catalog;

    fn stored(&self, key: &[u8]) -> Result<Option<Document>, Status> {
        let bytes = self.documents().get(key).map_err(failed)?;
        bytes.map(|bytes| decode(bytes.value())).transpose()
    }

    /// Runs a query on the stored state. With `scan` it never asks for a missing index.
    fn run(
        &self,
        shared: &Shared,
        query: &Query,
        scan: bool,
        emit: Emit<'_>,
    ) -> Result<Answer, Status> {
        let IndexPlan { spec, from, until } = query.plan();
        if query.is_ordered_by_name() && spec.as_ref().is_none_or(|spec| spec.equal.is_empty()) {
            return self.by_name(query, emit);
        }
        let database = query.scope.parent.database();
        if let Some(spec) = spec {
            if let Some(index) = self.catalog().find(database, &spec) {
                return self.by_index(query, index, &from, until.as_deref(), emit);
            }
            let room = self.catalog().of(database, &spec.collection).len() < MAX_INDEXES;
            if room && !scan && self.is_large(shared, query)? {
                return Ok(Answer::NeedsIndex(spec));
            }
        }
        self.by_scan(query, emit)
    }

    /// Whether there are too many documents in scope to scan them.
    fn is_large(&self, shared: &Shared, query: &Query) -> Result<bool, Status> {
        let prefix = query.scope.key_prefix();
        if read(&shared.large_scopes).contains(&prefix) {
            return Ok(true);
        }
        let until = successor(&prefix);
        let documents = range(self.documents(), &prefix, until.as_deref())?;
        let found = documents.take(shared.index_threshold + 1).count();
        let large = found > shared.index_threshold;
        if large {
            write(&shared.large_scopes).insert(prefix);
        }
        Ok(large)
    }

    fn by_name(&self, query: &Query, emit: Emit<'_>) -> Result<Answer, Status> {
        let (from, until) = query.name_range();
        let mut window = Window::new(query, emit);
        for entry in range(self.documents(), &from, until.as_deref())? {
            let (_, bytes) = entry.map_err(failed)?;
            if !window.take(decode(bytes.value())?)? {
                break;
            }
        }
        Ok(Answer::Done { skipped: window.skipped })
    }

    fn by_index(
        &self,
        query: &Query,
        index: &Index,
        from: &[u8],
        until: Option<&[u8]>,
        emit: Emit<'_>,
    ) -> Result<Answer, Status> {
        let absolute = |key: &[u8]| [&index.prefix, key].concat();
        let from = absolute(from);
        let until = until.map(absolute).or_else(|| successor(&index.prefix));
        let mut window = Window::new(query, emit);
        for entry in range(self.entries(), &from, until.as_deref())? {
            let (_, key) = entry.map_err(failed)?;
            let Some(document) = self.stored(key.value())? else {
                return Err(internal("an index names a document that does not exist"));
            };
            if !window.take(document)? {
                break;
            }
        }
        Ok(Answer::Done { skipped: window.skipped })
    }

    fn by_scan(&self, query: &Query, emit: Emit<'_>) -> Result<Answer, Status> {
        let prefix = query.scope.key_prefix();
        let until = successor(&prefix);
        let mut failure = None;
        let entries = range(self.documents(), &prefix, until.as_deref())?;
        let candidates = entries.map_while(|entry| {
            let decoded = entry.map_err(failed).and_then(|(_, bytes)| decode(bytes.value()));
            decoded.map_err(|error| failure = Some(error)).ok()
        });
        let found = query.run(candidates);
        match failure {
            Some(error) => Err(error),
            None => Ok(emit_all(found, emit)),
        }
    }
}

fn emit_all(found: Found, emit: Emit<'_>) -> Answer {
    for document in found.documents {
        if !emit(document) {
            break;
        }
    }
    Answer::Done { skipped: found.skipped }
}

impl Tables for Snapshot {
    type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

    fn documents(&self) -> &Self::Table {
        &self.documents
    }

    fn entries(&self) -> &Self::Table {
        &self.entries
    }

    fn catalog(&self) -> &Catalog {
        &self.catalog
    }
}

impl Snapshot {
    /// Reads a document, as of `at` if given.
    pub fn document(
        &self,
        shared: &Shared,
        key: &[u8],
        at: Option<Micros>,
    ) -> Result<Option<Document>, Status> {
        let stored = self.stored(key)?;
        let Some(at) = at else { return Ok(stored) };
        Ok(match stored {
            Some(document) if update_time(&document) <= at => Some(document),
            _ => lock(&shared.history).at(key, at),
        })
    }

    /// Emits every document of every database.
    pub fn all(&self, emit: &mut dyn FnMut(Document) -> Result<(), Status>) -> Result<(), Status> {
        for entry in range(&self.documents, &[], None)? {
            let (_, bytes) = entry.map_err(failed)?;
            emit(decode(bytes.value())?)?;
        }
        Ok(())
    }

    pub fn query(
        &self,
        shared: &Shared,
        query: &Query,
        at: Option<Micros>,
        emit: Emit<'_>,
    ) -> Result<Answer, Status> {
        match at {
            Some(at) if self.changed_after(shared, query, at) => {
                self.query_at(shared, query, at, emit)
            }
            _ => self.run(shared, query, false, emit),
        }
    }

    fn changed_after(&self, shared: &Shared, query: &Query, at: Micros) -> bool {
        let scope = &query.scope;
        if scope.collection.is_none() || scope.all_descendants {
            return true;
        }
        read(&shared.last_changes).get(&scope.key_prefix()).is_some_and(|changed| *changed > at)
    }

    /// Runs a query on an earlier state: the documents in scope, each in its version of that time.
    fn query_at(
        &self,
        shared: &Shared,
        query: &Query,
        at: Micros,
        emit: Emit<'_>,
    ) -> Result<Answer, Status> {
        let prefix = query.scope.key_prefix();
        let mut versions: BTreeMap<Vec<u8>, Document> = BTreeMap::new();
        let until = successor(&prefix);
        for entry in range(&self.documents, &prefix, until.as_deref())? {
            let (key, bytes) = entry.map_err(failed)?;
            let document = decode(bytes.value())?;
            if update_time(&document) <= at {
                versions.insert(key.value().to_vec(), document);
            }
        }
        let history = lock(&shared.history);
        for key in history.keys_with_prefix(&prefix) {
            if !versions.contains_key(key)
                && let Some(document) = history.at(key, at)
            {
                versions.insert(key.clone(), document);
            }
        }
        drop(history);
        Ok(emit_all(query.run(versions.into_values()), emit))
    }

    /// The keys that begin with `prefix` of the documents that existed at a time.
    pub fn keys_at(
        &self,
        shared: &Shared,
        prefix: &[u8],
        at: Micros,
    ) -> Result<BTreeSet<Vec<u8>>, Status> {
        let mut keys = BTreeSet::new();
        for entry in range(&self.documents, prefix, successor(prefix).as_deref())? {
            let (key, bytes) = entry.map_err(failed)?;
            let created = decode(bytes.value())?.create_time.unwrap_or_default();
            if Micros::from(&created) <= at {
                keys.insert(key.value().to_vec());
            }
        }
        let history = lock(&shared.history);
        let deleted = history.keys_with_prefix(prefix).filter(|key| history.at(key, at).is_some());
        keys.extend(deleted.cloned());
        Ok(keys)
    }

    /// Emits the keys that begin with `prefix`, from `from` on.
    pub fn keys(&self, prefix: &[u8], from: &[u8], emit: EmitKey<'_>) -> Result<(), Status> {
        let until = successor(prefix);
        let from = from.max(prefix);
        for entry in range(&self.documents, from, until.as_deref())? {
            let (key, _) = entry.map_err(failed)?;
            if !emit(key.value()) {
                break;
            }
        }
        Ok(())
    }
}
