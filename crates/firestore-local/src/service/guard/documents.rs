//! The documents that rules read with `get`, `exists`, `getAfter` and `existsAfter`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::engine::Recording;
use crate::locks::lock;
use crate::model::path::{Database, DocumentName};
use crate::proto::Document;
use crate::rules::{DocumentPath, Documents, Value, resource};
use crate::service::Service;

/// A document as rules see it; null if it does not exist.
pub fn seen(path: &[String], document: Option<&Document>) -> Value {
    document.map_or(Value::Null, |document| resource(path, &document.fields))
}

/// The documents that a request has been billed for: reading one again is free, also when the check
/// of a commit is repeated.
pub type Charged = Arc<Mutex<HashSet<DocumentName>>>;

/// The stored documents, and those that a commit leaves.
pub struct Stored<'a> {
    pub service: &'a Service,
    pub database: &'a Database,
    /// Where to record what was read, so that the commit fails if it changes.
    pub reads: Option<&'a Recording>,
    /// The documents that the commit changes, as it leaves them.
    pub after: HashMap<DocumentName, Option<Document>>,
    pub charged: Charged,
}

impl<'a> Stored<'a> {
    pub fn latest(service: &'a Service, database: &'a Database, charged: Charged) -> Self {
        Self { service, database, reads: None, after: HashMap::new(), charged }
    }

    /// The name of a document of this database.
    fn name(&self, path: &DocumentPath) -> Result<DocumentName, String> {
        let database = self.database.as_str();
        let (project, _) = database.split_once("/databases/").unwrap_or((database, ""));
        let name = DocumentName::parse(&format!("{project}{path}"))
            .map_err(|status| format!("invalid path {path}: {}", status.message()))?;
        if name.database() == self.database {
            Ok(name)
        } else {
            Err(format!("{path} is in another database"))
        }
    }
}

impl Documents for Stored<'_> {
    fn read(&self, path: &DocumentPath, after: bool) -> Result<Value, String> {
        let name = self.name(path)?;
        if after && let Some(document) = self.after.get(&name) {
            return Ok(seen(&path.segments, document.as_ref()));
        }
        if lock(&self.charged).insert(name.clone()) {
            self.service.meter.got_by_rules(&name);
        }
        let found = self
            .service
            .engine
            .get(&[name], None, self.reads)
            .map_err(|status| format!("cannot read {path}: {}", status.message()))?;
        Ok(seen(&path.segments, found.into_iter().flatten().next().as_ref()))
    }
}
