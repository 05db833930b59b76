//! The checks of a user's reads.

use std::sync::Arc;

use tonic::Status;

use super::denied;
use super::documents::{Charged, Stored, seen};
use crate::model::path::{Database, DocumentName, Parent};
use crate::model::time::Micros;
use crate::proto::{Document, StructuredQuery, Target, target};
use crate::rules::{
    Budget, Change, Claims, Context, Decision, Method, RulesFile, Ruleset, Value, path_of,
};
use crate::service::Service;

/// The user who sends a request, and the rules that apply.
#[derive(Clone, Debug)]
pub struct User {
    pub claims: Claims,
    pub rules: Arc<RulesFile>,
}

/// Turns a decision into the answer to the client. What decided is in the log only.
pub(super) fn allowed(method: Method, path: &str, decision: &Decision) -> Result<(), Status> {
    if decision.allowed {
        return Ok(());
    }
    tracing::debug!(target: "rules", method = method.as_str(), path, "{decision}");
    Err(denied())
}

/// `request.time` has the precision of server timestamps, milliseconds, so that the two are equal.
pub(super) fn request_time(now: Micros) -> Micros {
    Micros(now.0 - now.0.rem_euclid(1_000))
}

impl User {
    pub(super) fn context<'a>(
        &'a self,
        service: &Service,
        documents: &'a Stored<'_>,
        budget: &'a Budget,
    ) -> Context<'a> {
        let time = request_time(service.engine.now());
        Context { claims: &self.claims, time, documents, budget, coverage: None }
    }

    /// Checks that the user may get documents, of which the versions found are given by name.
    pub async fn check_documents(
        &self,
        service: &Service,
        found: Vec<(String, Option<Document>)>,
    ) -> Result<(), Status> {
        let user = self.clone();
        service.blocking(move |service| user.check_found(service, &found)).await
    }

    /// Like [`check_documents`](Self::check_documents). Blocking.
    pub fn check_found(
        &self,
        service: &Service,
        found: &[(String, Option<Document>)],
    ) -> Result<(), Status> {
        let rules = self.rules.current();
        let (budget, charged) = (Budget::default(), Charged::default());
        for (name, document) in found {
            let database = DocumentName::parse(name)?.database().clone();
            self.claims.check_project(&database)?;
            let documents = Stored::latest(service, &database, charged.clone());
            let path = path_of(name);
            let before = seen(&path, document.as_ref());
            let change = Change { method: Method::Get, path: &path, before, after: Value::Null };
            let decision = rules.decide(self.context(service, &documents, &budget), change);
            allowed(Method::Get, name, &decision)?;
        }
        Ok(())
    }

    /// Checks that the user may run a query.
    pub async fn check_query(
        &self,
        service: &Service,
        parent: &str,
        query: &StructuredQuery,
    ) -> Result<(), Status> {
        let database = Parent::parse(parent)?.database().clone();
        let (user, parent, query) = (self.clone(), parent.to_owned(), query.clone());
        let rules = self.rules.current();
        service
            .blocking(move |service| user.check_proof(service, &rules, &database, &parent, &query))
            .await
    }

    fn check_proof(
        &self,
        service: &Service,
        rules: &Ruleset,
        database: &Database,
        parent: &str,
        query: &StructuredQuery,
    ) -> Result<(), Status> {
        self.claims.check_project(database)?;
        let documents = Stored::latest(service, database, Charged::default());
        let budget = Budget::default();
        let context = self.context(service, &documents, &budget);
        let decision = rules.decide_query(context, &path_of(parent), query);
        allowed(Method::List, parent, &decision)
    }

    /// Checks that the user may listen to a target.
    pub async fn check_target(&self, service: &Service, target: &Target) -> Result<(), Status> {
        match &target.target_type {
            Some(target::TargetType::Documents(documents)) => {
                let mut found = Vec::with_capacity(documents.documents.len());
                let names = documents.documents.iter().map(|name| DocumentName::parse(name));
                let names = names.collect::<Result<Vec<_>, _>>()?;
                let all = names.clone();
                let stored =
                    service.blocking(move |service| service.engine.get(&all, None, None)).await?;
                for (name, document) in names.iter().zip(stored) {
                    found.push((name.to_string(), document));
                }
                self.check_documents(service, found).await
            }
            Some(target::TargetType::Query(query)) => match &query.query_type {
                Some(target::query_target::QueryType::StructuredQuery(structured)) => {
                    self.check_query(service, &query.parent, structured).await
                }
                None => Ok(()),
            },
            None => Ok(()),
        }
    }
}
