//! Reading: documents by key, and queries through the cheapest way there is.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use prost::Message;
use redb::{ReadOnlyTable, ReadableTable};
use tonic::Status;

use super::catalog::{Catalog, Index, MAX_INDEXES};
use super::{Shared, failed, internal, lock, read, write};
use crate::model::path::{DocumentName, successor};
use crate::model::query::{IndexPlan, IndexSpec, Query};
use crate::model::time::Micros;
use crate::proto::Document;

/// One moment of the store.
pub struct Snapshot {
    pub documents: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub entries: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub catalog: Arc<Catalog>,
}

/// How a query went.
#[derive(Debug)]
pub enum Answer {
    Done {
        skipped: usize,
    },
    /// Nothing was emitted: the query should be asked again once this index exists.
    NeedsIndex(IndexSpec),
}

type Emit<'a> = &'a mut dyn FnMut(Document) -> bool;

pub fn decode(bytes: &[u8]) -> Result<Document, Status> {
    Document::decode(bytes).map_err(internal)
}

fn range<'a>(from: &'a [u8], until: Option<&'a [u8]>) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    // A range that ends before it begins is empty, not an error.
    let until = match until {
        Some(until) if until <= from => Bound::Excluded(from),
        Some(until) => Bound::Excluded(until),
        None => Bound::Unbounded,
    };
    (Bound::Included(from), until)
}

/// Offset and limit over a stream of matches.
struct Window<'a> {
    offset: usize,
    left: usize,
    skipped: usize,
    emit: Emit<'a>,
}

impl<'a> Window<'a> {
    fn of(query: &Query, emit: Emit<'a>) -> Self {
        let left = query.limit.unwrap_or(usize::MAX);
        Self { offset: query.offset, left, skipped: 0, emit }
    }

    /// Returns whether more is wanted.
    fn take(&mut self, document: Document) -> bool {
        if self.left == 0 {
            return false;
        }
        if self.skipped < self.offset {
            self.skipped += 1;
            return true;
        }
        self.left -= 1;
        (self.emit)(document) && self.left > 0
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

    /// Runs a query on what is stored. With `scan` it does without an index rather than ask for
    /// one.
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

    /// Whether more documents are in scope than are worth scanning.
    fn is_large(&self, shared: &Shared, query: &Query) -> Result<bool, Status> {
        let prefix = query.scope.key_prefix();
        if read(&shared.large).contains(&prefix) {
            return Ok(true);
        }
        let until = successor(&prefix);
        let found = self
            .documents()
            .range::<&[u8]>(range(&prefix, until.as_deref()))
            .map_err(failed)?
            .take(shared.index_threshold + 1)
            .count();
        let large = found > shared.index_threshold;
        if large {
            write(&shared.large).insert(prefix);
        }
        Ok(large)
    }

    fn by_name(&self, query: &Query, emit: Emit<'_>) -> Result<Answer, Status> {
        let (from, until) = query.name_range();
        let mut window = Window::of(query, emit);
        for entry in
            self.documents().range::<&[u8]>(range(&from, until.as_deref())).map_err(failed)?
        {
            let (_, bytes) = entry.map_err(failed)?;
            let document = decode(bytes.value())?;
            let name = DocumentName::parse(&document.name)?;
            if query.matches(&name, &document).is_some() && !window.take(document) {
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
        let mut window = Window::of(query, emit);
        for entry in
            self.entries().range::<&[u8]>(range(&from, until.as_deref())).map_err(failed)?
        {
            let (_, key) = entry.map_err(failed)?;
            let Some(document) = self.stored(key.value())? else {
                return Err(internal("an index names a document that does not exist"));
            };
            let name = DocumentName::parse(&document.name)?;
            if query.matches(&name, &document).is_some() && !window.take(document) {
                break;
            }
        }
        Ok(Answer::Done { skipped: window.skipped })
    }

    fn by_scan(&self, query: &Query, emit: Emit<'_>) -> Result<Answer, Status> {
        let prefix = query.scope.key_prefix();
        let until = successor(&prefix);
        let mut broken = None;
        let candidates = self
            .documents()
            .range::<&[u8]>(range(&prefix, until.as_deref()))
            .map_err(failed)?
            .map_while(|entry| {
                let decoded = entry.map_err(failed).and_then(|(_, bytes)| decode(bytes.value()));
                decoded.map_err(|error| broken = Some(error)).ok()
            });
        let found = query.run(candidates);
        match broken {
            Some(error) => Err(error),
            None => Ok(emit_all(found, emit)),
        }
    }
}

fn emit_all(found: crate::model::query::Found, emit: Emit<'_>) -> Answer {
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
    /// A document, as it was at `at` if that is given.
    pub fn document(
        &self,
        shared: &Shared,
        key: &[u8],
        at: Option<Micros>,
    ) -> Result<Option<Document>, Status> {
        let stored = self.stored(key)?;
        let Some(at) = at else { return Ok(stored) };
        Ok(match stored {
            Some(document) if super::reads::update_time(&document) <= at => Some(document),
            _ => lock(&shared.history).at(key, at),
        })
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
        read(&shared.changed).get(&scope.key_prefix()).is_some_and(|changed| *changed > at)
    }

    /// A query on what was: the documents in scope, each replaced by its version at the time.
    fn query_at(
        &self,
        shared: &Shared,
        query: &Query,
        at: Micros,
        emit: Emit<'_>,
    ) -> Result<Answer, Status> {
        let prefix = query.scope.key_prefix();
        let mut then: BTreeMap<Vec<u8>, Document> = BTreeMap::new();
        let until = successor(&prefix);
        for entry in
            self.documents.range::<&[u8]>(range(&prefix, until.as_deref())).map_err(failed)?
        {
            let (key, bytes) = entry.map_err(failed)?;
            let document = decode(bytes.value())?;
            if super::reads::update_time(&document) <= at {
                then.insert(key.value().to_vec(), document);
            }
        }
        let history = lock(&shared.history);
        for key in history.keys_with_prefix(&prefix) {
            if !then.contains_key(key)
                && let Some(document) = history.at(key, at)
            {
                then.insert(key.clone(), document);
            }
        }
        drop(history);
        Ok(emit_all(query.run(then.into_values()), emit))
    }

    /// The keys below a prefix, from one on.
    pub fn keys(
        &self,
        prefix: &[u8],
        from: &[u8],
        emit: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), Status> {
        let until = successor(prefix);
        let from = from.max(prefix);
        for entry in self.documents.range::<&[u8]>(range(from, until.as_deref())).map_err(failed)? {
            let (key, _) = entry.map_err(failed)?;
            if !emit(key.value()) {
                break;
            }
        }
        Ok(())
    }
}
