//! Security rules, version 2: which user may do what.
//!
//! Written from the public documentation of Cloud Firestore's security rules. Pure, except that
//! [`RulesFile`] reads the file and [`testing`] reads cases. `syntax` parses, `eval` evaluates
//! expressions, `decide` finds the statements for an operation, and `query` derives what a query
//! guarantees about its results.

mod command;
mod coverage;
mod decide;
mod eval;
mod file;
mod hash;
pub mod mutation;
mod query;
mod syntax;
pub mod testing;
mod time;
mod token;
mod value;

use std::collections::HashMap;

use decide::{Operation, Part};
use eval::Globals;
use query::{alternatives, properties};
use syntax::ast::File;
use value::Path;

use crate::model::time::Micros;
use crate::proto::{self, StructuredQuery};
pub use command::{Answer, Command};
pub(crate) use coverage::Coverage;
pub use coverage::{Covered, Outcomes};
pub use decide::Decision;
pub(crate) use eval::{Budget, Documents};
pub use file::{RulesError, RulesFile};
pub(crate) use query::path_of;
pub use syntax::ast::{Method, Position};
pub use syntax::error::SyntaxError;
pub(crate) use token::{Caller, Claims};
pub(crate) use value::{Path as DocumentPath, Value};

/// Parsed rules.
#[derive(Debug)]
pub struct Ruleset {
    source: String,
    file: File,
}

/// Who asks, when, and what rules may read to answer.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub claims: &'a Claims,
    pub time: Micros,
    pub documents: &'a dyn Documents,
    pub budget: &'a Budget,
    pub coverage: Option<&'a Coverage>,
}

/// A document before and after an operation.
#[derive(Clone, Debug)]
pub(crate) struct Change<'a> {
    pub method: Method,
    /// The path from `databases` on.
    pub path: &'a [String],
    pub before: Value,
    pub after: Value,
}

/// A document as rules see it.
pub(crate) fn resource(path: &[String], fields: &HashMap<String, proto::Value>) -> Value {
    let data = Value::map(fields.iter().map(|(key, value)| (key, Value::of_proto(value))));
    resource_of(path, data)
}

fn resource_of(path: &[String], data: Value) -> Value {
    let id = path.last().map_or(Value::Null, |id| Value::text(id));
    Value::map([("data", data), ("id", id), ("__name__", Value::path(path.iter().cloned()))])
}

impl Ruleset {
    /// Parses rules.
    ///
    /// # Errors
    /// If the text does not follow the language or exceeds one of its limits.
    pub fn parse(source: &str) -> Result<Self, SyntaxError> {
        Ok(Self { source: source.to_owned(), file: syntax::parse(source)? })
    }

    pub(crate) fn coverage(&self) -> Coverage {
        Coverage::new(&self.file)
    }

    pub(crate) fn covered(&self, coverage: &Coverage) -> Vec<Covered> {
        coverage::report(&self.file, &self.source, coverage)
    }

    /// Decides an operation on one document.
    pub(crate) fn decide(&self, context: Context<'_>, change: Change<'_>) -> Decision {
        let path = Value::path(change.path.iter().cloned());
        let request = request(context, change.method, path, Value::Null, change.after);
        let operation = Operation {
            method: change.method,
            path: Part::all(change.path),
            globals: Globals { request, resource: change.before },
        };
        self.run(context, &operation)
    }

    /// Decides a query below `parent`: every document that it may find must be allowed. The
    /// decision is that of the first alternative that is denied.
    pub(crate) fn decide_query(
        &self,
        context: Context<'_>,
        parent: &[String],
        query: &StructuredQuery,
    ) -> Decision {
        let mut decision = Decision { allowed: true, ..Decision::default() };
        for alternative in alternatives(parent, query) {
            let name = known_path(&alternative.path);
            let path = name.map_or_else(Value::present, |path| Value::Path(path.into()));
            let request = request(context, Method::List, path, properties(query), Value::Null);
            let operation = Operation {
                method: Method::List,
                path: alternative.path,
                globals: Globals { request, resource: alternative.resource },
            };
            decision = self.run(context, &operation);
            if !decision.allowed {
                break;
            }
        }
        decision
    }

    fn run(&self, context: Context<'_>, operation: &Operation) -> Decision {
        decide::decide(&self.file, operation, context.documents, context.budget, context.coverage)
    }
}

fn known_path(parts: &[Part]) -> Option<Path> {
    let segments = parts.iter().map(|part| match part {
        Part::Known(segment) => Some(segment.clone()),
        Part::Any | Part::Rest => None,
    });
    Some(Path { segments: segments.collect::<Option<_>>()? })
}

fn request(context: Context<'_>, method: Method, path: Value, query: Value, after: Value) -> Value {
    Value::map([
        ("auth", context.claims.auth()),
        ("method", Value::text(method.as_str())),
        ("path", path),
        ("query", query),
        ("resource", after),
        ("time", Value::time(context.time)),
    ])
}

#[cfg(test)]
mod tests;
