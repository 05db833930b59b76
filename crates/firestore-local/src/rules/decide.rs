//! Decides operations: finds the `match` blocks of a path, and evaluates their `allow` statements.

use std::fmt;

use super::coverage::Coverage;
use super::eval::{Budget, Documents, Evaluated, Evaluator, Fault, Globals, Scope};
use super::syntax::ast::{Allow, File, Match, Method, Position, Segment, Version};
use super::value::Value;

/// A part of the path of an operation. A query ranges over paths of which parts are unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Known(String),
    /// Any one segment.
    Any,
    /// Any number of segments.
    Rest,
}

impl Part {
    pub fn all(segments: &[String]) -> Vec<Self> {
        segments.iter().cloned().map(Self::Known).collect()
    }
}

/// One operation on one document, or a query.
#[derive(Clone, Debug)]
pub struct Operation {
    pub method: Method,
    /// The path from `databases` on.
    pub path: Vec<Part>,
    pub globals: Globals,
}

/// What an `allow` statement that applies to the operation said.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub at: Position,
    pub outcome: Outcome,
}

#[derive(Clone, Debug)]
pub enum Outcome {
    True,
    False,
    /// The outcome depends on documents that the query may find.
    Undecided,
    Failed(Fault),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.at.line;
        match &self.outcome {
            Outcome::True => write!(f, "line {line}: true"),
            Outcome::False => write!(f, "line {line}: false"),
            Outcome::Undecided => {
                write!(f, "line {line}: depends on fields that the query does not fix")
            }
            Outcome::Failed(fault) => write!(f, "line {line}: {fault}"),
        }
    }
}

/// Whether an operation is allowed, and by which statements.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    pub allowed: bool,
    /// The statements that were evaluated, in the order of evaluation. If the operation is allowed,
    /// the last one allowed it.
    pub verdicts: Vec<Verdict>,
}

impl Decision {
    /// The line of the statement that allowed the operation.
    pub fn allowed_at(&self) -> Option<usize> {
        self.verdicts.last().filter(|_| self.allowed).map(|verdict| verdict.at.line)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.allowed { "allowed" } else { "denied" })?;
        if self.verdicts.is_empty() {
            return f.write_str(": no allow statement applies");
        }
        for (index, verdict) in self.verdicts.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            write!(f, "{verdict}")?;
        }
        Ok(())
    }
}

pub fn decide(
    file: &File,
    operation: &Operation,
    documents: &dyn Documents,
    budget: &Budget,
    coverage: Option<&Coverage>,
) -> Decision {
    let evaluator = Evaluator::new(&operation.globals, documents, budget, coverage);
    let root = Scope { functions: &file.functions, variables: Vec::new(), parent: None };
    let mut walk = Walk {
        evaluator: &evaluator,
        method: operation.method,
        shortest: usize::from(file.version == Version::One),
        coverage,
        decision: Decision::default(),
        ended: false,
    };
    walk.enter(&file.service, &file.service.pattern, &operation.path, Vec::new(), &root);
    walk.decision
}

struct Walk<'a> {
    evaluator: &'a Evaluator<'a>,
    method: Method,
    /// The fewest segments that a recursive wildcard matches.
    shortest: usize,
    coverage: Option<&'a Coverage>,
    decision: Decision,
    /// Whether the operation is decided.
    ended: bool,
}

impl<'a> Walk<'a> {
    /// Matches the rest of a block's pattern with the rest of the path in every possible way.
    fn enter(
        &mut self,
        block: &'a Match,
        pattern: &'a [Segment],
        path: &[Part],
        mut variables: Vec<(&'a str, Evaluated)>,
        parent: &Scope<'_>,
    ) {
        if self.ended {
            return;
        }
        let Some((segment, pattern)) = pattern.split_first() else {
            let scope = Scope { functions: &block.functions, variables, parent: Some(parent) };
            return self.inside(block, path, &scope);
        };
        match (segment, path.split_first()) {
            (Segment::Literal(wanted), Some((Part::Known(found), rest))) if wanted == found => {
                self.enter(block, pattern, rest, variables, parent);
            }
            (Segment::Single(name), Some((part @ (Part::Known(_) | Part::Any), rest))) => {
                let value = match part {
                    Part::Known(found) => Value::text(found),
                    _ => Value::present(),
                };
                variables.push((name, Ok(value)));
                self.enter(block, pattern, rest, variables, parent);
            }
            (Segment::Recursive(name), _) => {
                for length in (self.shortest..=path.len()).rev() {
                    let (taken, rest) = path.split_at(length);
                    let known = taken.iter().map(|part| match part {
                        Part::Known(found) => Some(found.clone()),
                        _ => None,
                    });
                    let value = known.collect::<Option<Vec<_>>>();
                    let value = value.map_or_else(Value::present, Value::path);
                    let mut variables = variables.clone();
                    variables.push((name, Ok(value)));
                    self.enter(block, pattern, rest, variables, parent);
                }
            }
            _ => {}
        }
    }

    /// Continues inside of a block whose pattern is matched.
    fn inside(&mut self, block: &'a Match, path: &[Part], scope: &Scope<'_>) {
        if path.is_empty() {
            for allow in &block.allows {
                if !self.ended && allow.methods.contains(&self.method) {
                    self.allow(allow, scope);
                }
            }
        }
        for inner in &block.matches {
            self.enter(inner, &inner.pattern, path, Vec::new(), scope);
        }
    }

    fn allow(&mut self, allow: &'a Allow, scope: &Scope<'_>) {
        let value = match &allow.condition {
            None => Ok(Value::Bool(true)),
            Some(condition) => self.evaluator.evaluate(condition, scope),
        };
        let value = value.and_then(|value| match value {
            Value::Bool(_) | Value::Unknown(_) => Ok(value),
            other => {
                let message = format!("a condition expected a bool, got {}", other.kind());
                Err(Fault { at: allow.at, message, fatal: false })
            }
        });
        if let Some(coverage) = self.coverage {
            coverage.record_allow(allow.index, value.as_ref().ok());
        }
        let outcome = match value {
            Ok(Value::Bool(true)) => Outcome::True,
            Ok(Value::Unknown(_)) => Outcome::Undecided,
            Ok(_) => Outcome::False,
            Err(fault) => Outcome::Failed(fault),
        };
        self.decision.allowed = matches!(outcome, Outcome::True);
        self.ended = match &outcome {
            Outcome::True => true,
            Outcome::Failed(fault) => fault.fatal,
            _ => false,
        };
        self.decision.verdicts.push(Verdict { at: allow.at, outcome });
    }
}
