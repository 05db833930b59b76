//! The checks of a user's writes.
//!
//! The writes are applied to the stored documents in memory, and rules decide about each with the
//! document before and after it. Everything that rules saw goes into a read set, so that the commit
//! fails if a document changed meanwhile; then the check is repeated.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tonic::{Code, Status};

use super::User;
use super::documents::{Charged, Stored, seen};
use super::user::{allowed, request_time};
use crate::engine::{Outcome, ReadSet, Recording};
use crate::model::path::{Database, DocumentName};
use crate::model::write::Mutation;
use crate::proto::{BatchWriteResponse, Document, Write};
use crate::rules::{Budget, Change, Method, path_of};
use crate::service::Service;
use crate::service::writes::{apply, write_result};

/// How often a check is repeated because a document changed between the check and the commit.
const MAX_ATTEMPTS: usize = 20;

/// A write with the document before and after it.
struct Staged {
    name: DocumentName,
    before: Option<Document>,
    after: Option<Document>,
}

impl Staged {
    fn method(&self) -> Method {
        match (&self.before, &self.after) {
            (_, None) => Method::Delete,
            (None, Some(_)) => Method::Create,
            (Some(_), Some(_)) => Method::Update,
        }
    }
}

impl User {
    /// Applies all writes or none, if rules allow each of them.
    pub async fn write(
        &self,
        service: &Service,
        database: &Database,
        mutations: Vec<Mutation>,
        transaction: Option<Arc<Mutex<ReadSet>>>,
        locks: Option<u64>,
    ) -> Result<Outcome, Status> {
        self.claims.check_project(database)?;
        let charged = Charged::default();
        let mut attempts = if transaction.is_some() { 1 } else { MAX_ATTEMPTS };
        loop {
            attempts -= 1;
            let reads = transaction.clone().unwrap_or_default();
            let (user, database_of, all) = (self.clone(), database.clone(), mutations.clone());
            let seen = Recording { set: Arc::clone(&reads), lock: None };
            let charged = charged.clone();
            let checked = service
                .blocking(move |service| {
                    user.check_writes(service, &database_of, all, &seen, charged)
                })
                .await;
            let outcome = match checked {
                Ok(()) => {
                    let all = mutations.clone();
                    service.engine.write(database.clone(), all, true, Some(reads), locks).await
                }
                Err(status) => Err(status),
            };
            match outcome {
                Err(status) if status.code() == Code::Aborted && attempts > 0 => {}
                outcome => return outcome,
            }
        }
    }

    fn check_writes(
        &self,
        service: &Service,
        database: &Database,
        mutations: Vec<Mutation>,
        reads: &Recording,
        charged: Charged,
    ) -> Result<(), Status> {
        let names: Vec<DocumentName> = mutations.iter().map(|it| it.name.clone()).collect();
        let found = service.engine.get(&names, None, Some(reads))?;
        let mut after: HashMap<DocumentName, Option<Document>> =
            names.into_iter().zip(found).collect();
        let now = service.engine.now();
        let mut staged = Vec::with_capacity(mutations.len());
        for mutation in mutations {
            let name = mutation.name.clone();
            let before = after.get(&name).cloned().flatten();
            // A precondition must not show a document to a user who may not write it: rules decide
            // first, and the commit checks the precondition.
            let applied = mutation.unconditional().apply(before.as_ref(), now)?;
            after.insert(name.clone(), applied.document.clone());
            staged.push(Staged { name, before, after: applied.document });
        }
        let documents = Stored { service, database, reads: Some(reads), after, charged };
        let (rules, budget) = (self.rules.current(), Budget::default());
        let mut context = self.context(service, &documents, &budget);
        context.time = request_time(now);
        for write in &staged {
            let name = write.name.to_string();
            let path = path_of(&name);
            let method = write.method();
            let change = Change {
                method,
                path: &path,
                before: seen(&path, write.before.as_ref()),
                after: seen(&path, write.after.as_ref()),
            };
            allowed(method, &name, &rules.decide(context, change))?;
        }
        Ok(())
    }
}

/// Applies writes one by one, each with its own outcome.
pub async fn batch(
    service: &Service,
    database: &Database,
    writes: Vec<Write>,
) -> Result<BatchWriteResponse, Status> {
    let mut response = BatchWriteResponse::default();
    for write in writes {
        let outcome = apply(service, database, vec![write], None).await;
        let result = outcome.and_then(|outcome| {
            let written = outcome.results.into_iter().next();
            written.ok_or_else(|| Status::internal("a write has no outcome"))?
        });
        let status = match &result {
            Ok(_) => firestore::gcloud_sdk::google::rpc::Status::default(),
            Err(status) => crate::service::writes::rpc_status(status),
        };
        response.write_results.push(result.map(write_result).unwrap_or_default());
        response.status.push(status);
    }
    Ok(response)
}
