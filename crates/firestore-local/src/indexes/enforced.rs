//! The indexes that a running server enforces, and its record of queries.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, RwLock};

use tonic::Status;

use super::limits::{check_commit, check_document};
use super::recorder::Recorder;
use super::refusal::refusal;
use super::{Decision, Indexes, IndexesFile, Shape};
use crate::locks::{read, write};
use crate::model::field_path::FieldPath;
use crate::model::path::DocumentName;
use crate::model::query::Query;
use crate::proto::Document;

/// The words for definitions that come from no file.
const NO_FILE: &str = "firestore.indexes.json";

/// Files, and definitions that were passed as such. A query must be served by each of them, and a
/// document must be allowed by each of them.
#[derive(Debug, Default)]
pub struct Enforced {
    files: Vec<IndexesFile>,
    definitions: RwLock<Vec<Arc<Indexes>>>,
    recorder: OnceLock<Recorder>,
}

impl Enforced {
    pub fn new(files: Vec<IndexesFile>, definitions: Vec<Indexes>) -> Self {
        let definitions = definitions.into_iter().map(Arc::new).collect();
        Self { files, definitions: RwLock::new(definitions), recorder: OnceLock::new() }
    }

    /// Records the shapes of queries from now on. The first recorder stays.
    pub fn record_with(&self, recorder: Recorder) {
        let _ = self.recorder.set(recorder);
    }

    /// The shapes of the queries since recording began.
    pub fn shapes(&self) -> BTreeSet<Shape> {
        self.recorder.get().map(Recorder::shapes).unwrap_or_default()
    }

    /// Replaces the definitions that come from no file.
    pub fn set_definitions(&self, definitions: Vec<Indexes>) {
        *write(&self.definitions) = definitions.into_iter().map(Arc::new).collect();
    }

    fn current(&self) -> Vec<(String, Arc<Indexes>)> {
        let files = self.files.iter().map(|it| (it.path().display().to_string(), it.current()));
        let definitions = read(&self.definitions);
        files.chain(definitions.iter().map(|it| (NO_FILE.to_owned(), it.clone()))).collect()
    }

    /// Checks that indexes serve a query whose results are summed or averaged over `aggregated`.
    pub fn admit<'a>(
        &self,
        query: &Query,
        aggregated: impl IntoIterator<Item = &'a FieldPath>,
    ) -> Result<(), Status> {
        let (recorder, current) = (self.recorder.get(), self.current());
        let is_by_descending_name =
            matches!(query.orders(), [only] if only.path.is_name() && only.descending);
        if recorder.is_none() && current.is_empty() && !is_by_descending_name {
            return Ok(());
        }
        let shape = Shape::of(query, aggregated);
        if let Some(recorder) = recorder {
            recorder.record(&shape);
        }
        if current.is_empty() {
            return check_undeclared(&shape);
        }
        for (file, indexes) in current {
            if let Decision::Refused(parts) = indexes.decide(&shape) {
                return Err(refusal(&file, &indexes, &parts));
            }
        }
        Ok(())
    }

    /// What every write of a request must respect.
    pub fn writes(&self) -> WriteLimits {
        WriteLimits(self.current().into_iter().map(|(_, indexes)| indexes).collect())
    }
}

/// Without definitions every query is served, except for one that no automatic index can serve and
/// that every program therefore notices: the descending order of names.
fn check_undeclared(shape: &Shape) -> Result<(), Status> {
    let fixes_nothing =
        shape.alternatives.iter().all(|it| it.equal.is_empty() && it.contains.is_empty());
    if !fixes_nothing || !shape.order_by.is_empty() || !shape.name_descending {
        return Ok(());
    }
    let automatic = Indexes::default();
    match automatic.decide(shape) {
        Decision::Refused(parts) => Err(refusal(NO_FILE, &automatic, &parts)),
        Decision::Served(_) => Ok(()),
    }
}

/// The limits that indexes set on the writes of a request.
#[derive(Debug)]
pub struct WriteLimits(Vec<Arc<Indexes>>);

impl WriteLimits {
    /// Checks a document that a write leaves. Returns its bytes with its index entries.
    pub fn check_document(&self, name: &DocumentName, document: &Document) -> Result<u64, Status> {
        let mut most = 0;
        for indexes in &self.0 {
            most = most.max(check_document(name, document, indexes)?);
        }
        Ok(most)
    }

    /// Checks the bytes of all documents of a commit with their index entries.
    pub fn check_commit(&self, bytes: u64) -> Result<(), Status> {
        check_commit(bytes)
    }
}
