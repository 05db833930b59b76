//! Evaluates expressions for one operation on one document.
//!
//! An error does not end the evaluation at once: `&&` and `||` absorb it if their other side
//! decides. Exceeding a limit does, and denies the request.

mod call;
mod collection;
mod namespaces;
mod operators;
mod text;
mod time;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;

use super::coverage::Coverage;
use super::syntax::ast::{Expr, Function, Kind, PathPart, Position};
use super::value::{Map, Path, Value};
pub use call::GLOBAL_FUNCTIONS;
pub use namespaces::NAMESPACES;

pub const GLOBAL_VARIABLES: [&str; 2] = ["request", "resource"];

/// Limits from "Structuring Cloud Firestore security rules".
pub const MAX_CALLS: usize = 20;
const MAX_EXPRESSIONS: usize = 1_000;
const MAX_READS_OF_OPERATION: usize = 10;
pub const MAX_READS_OF_REQUEST: usize = 20;

/// The most expressions inside of each other, through calls. It bounds the stack.
const MAX_NESTING: usize = 400;

/// Why an expression has no value.
#[derive(Clone, Debug)]
pub struct Fault {
    pub at: Position,
    pub message: String,
    /// Whether a limit was exceeded, which denies the request whatever else holds.
    pub fatal: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.at)
    }
}

pub type Evaluated = Result<Value, Fault>;
/// The result of an operation that does not know its place in the file.
type Computed = Result<Value, String>;

/// A document, as rules see it: a map of `data`, `id` and `__name__`, or null.
pub type Resource = Value;

/// The documents that `get`, `exists`, `getAfter` and `existsAfter` read.
pub trait Documents {
    /// The document at a path that begins with `databases`, before or after the request.
    fn read(&self, path: &Path, after: bool) -> Result<Resource, String>;
}

/// What the operations of one request share.
#[derive(Debug, Default)]
pub struct Budget {
    reads: Cell<usize>,
    cache: RefCell<HashMap<(String, bool), Value>>,
}

/// The variables that every expression can use.
#[derive(Clone, Debug)]
pub struct Globals {
    pub request: Value,
    pub resource: Value,
}

/// Names in scope.
#[derive(Debug)]
pub struct Scope<'a> {
    pub functions: &'a [Function],
    /// A `let` may have failed: it fails where it is used.
    pub variables: Vec<(&'a str, Evaluated)>,
    pub parent: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    fn chain(&'a self) -> impl Iterator<Item = &'a Scope<'a>> {
        std::iter::successors(Some(self), |scope| scope.parent)
    }

    fn variable(&self, name: &str) -> Option<&Evaluated> {
        self.chain().find_map(|scope| {
            scope.variables.iter().rev().find(|(other, _)| *other == name).map(|(_, value)| value)
        })
    }

    fn function(&'a self, name: &str) -> Option<(&'a Function, &'a Scope<'a>)> {
        self.chain().find_map(|scope| {
            let found = scope.functions.iter().find(|function| function.name == name)?;
            Some((found, scope))
        })
    }
}

pub struct Evaluator<'a> {
    pub globals: &'a Globals,
    pub documents: &'a dyn Documents,
    pub budget: &'a Budget,
    pub coverage: Option<&'a Coverage>,
    pub expressions: Cell<usize>,
    pub reads: Cell<usize>,
    pub calls: Cell<usize>,
    pub nesting: Cell<usize>,
}

impl fmt::Debug for Evaluator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator").field("globals", self.globals).finish_non_exhaustive()
    }
}

fn step(counter: &Cell<usize>) -> usize {
    counter.set(counter.get() + 1);
    counter.get()
}

fn exceeded<T>(at: Position, message: String) -> Result<T, Fault> {
    Err(Fault { at, message, fatal: true })
}

impl<'a> Evaluator<'a> {
    pub fn new(
        globals: &'a Globals,
        documents: &'a dyn Documents,
        budget: &'a Budget,
        coverage: Option<&'a Coverage>,
    ) -> Self {
        Self {
            globals,
            documents,
            budget,
            coverage,
            expressions: Cell::new(0),
            reads: Cell::new(0),
            calls: Cell::new(0),
            nesting: Cell::new(0),
        }
    }

    pub fn evaluate(&self, expr: &'a Expr, scope: &Scope<'_>) -> Evaluated {
        if !matches!(expr.kind, Kind::Literal(_)) && step(&self.expressions) > MAX_EXPRESSIONS {
            return exceeded(
                expr.at,
                format!("maximum of {MAX_EXPRESSIONS} expressions to evaluate has been reached"),
            );
        }
        if step(&self.nesting) > MAX_NESTING {
            return exceeded(expr.at, format!("expressions are nested over {MAX_NESTING} deep"));
        }
        let value = self.compute(expr, scope);
        self.nesting.set(self.nesting.get() - 1);
        if let Some(coverage) = self.coverage {
            coverage.record(expr.id, value.as_ref().ok());
        }
        value
    }

    fn compute(&self, expr: &'a Expr, scope: &Scope<'_>) -> Evaluated {
        let fail = |message| Fault { at: expr.at, message, fatal: false };
        match &expr.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Variable(name) => match scope.variable(name) {
                Some(value) => value.clone(),
                None => match name.as_str() {
                    "request" => Ok(self.globals.request.clone()),
                    "resource" => Ok(self.globals.resource.clone()),
                    _ => Err(fail(format!("unknown variable `{name}`"))),
                },
            },
            Kind::List(all) => {
                let all = self.all(all, scope)?;
                let may_fail = all.iter().any(Value::may_fail);
                Ok(if may_fail { Value::unknown() } else { Value::List(all.into()) })
            }
            Kind::Map(all) => self.map(all, scope),
            Kind::Path(parts) => self.path(parts, scope),
            Kind::And(all) => self.logic(expr, all, false, scope),
            Kind::Or(all) => self.logic(expr, all, true, scope),
            Kind::Not(operand) => match self.evaluate(operand, scope)? {
                Value::Bool(flag) => Ok(Value::Bool(!flag)),
                Value::Unknown(_) => Ok(Value::unknown()),
                other => Err(fail(format!("`!` expected a bool, got {}", other.kind()))),
            },
            Kind::Negate(operand) => {
                operators::negate(&self.evaluate(operand, scope)?).map_err(fail)
            }
            Kind::Binary(operator, a, b) => {
                let (a, b) = (self.evaluate(a, scope)?, self.evaluate(b, scope)?);
                operators::binary(*operator, &a, &b).map_err(fail)
            }
            Kind::Is(operand, wanted) => Ok(match self.evaluate(operand, scope)? {
                Value::Unknown(facts) => {
                    facts.is_type(wanted).map_or_else(Value::unknown, Value::Bool)
                }
                value => Value::Bool(value.is_type(wanted)),
            }),
            Kind::Ternary(condition, yes, no) => match self.evaluate(condition, scope)? {
                Value::Bool(true) => self.evaluate(yes, scope),
                Value::Bool(false) => self.evaluate(no, scope),
                // It may be no bool.
                Value::Unknown(_) => Ok(Value::unknown()),
                other => Err(fail(format!("`?` expected a bool, got {}", other.kind()))),
            },
            Kind::Member(on, name) => member(&self.evaluate(on, scope)?, name).map_err(fail),
            Kind::Index(on, index) => {
                let (on, index) = (self.evaluate(on, scope)?, self.evaluate(index, scope)?);
                operators::index(&on, &index).map_err(fail)
            }
            Kind::Range(on, from, until) => {
                let on = self.evaluate(on, scope)?;
                let (from, until) = (self.evaluate(from, scope)?, self.evaluate(until, scope)?);
                operators::range(&on, &from, &until).map_err(fail)
            }
            Kind::Call(name, arguments) => self.call(expr, name, arguments, scope),
            Kind::Method(on, name, arguments) => {
                if let Kind::Variable(space) = &on.kind
                    && namespaces::is_namespace(space)
                    && scope.variable(space).is_none()
                {
                    let arguments = self.all(arguments, scope)?;
                    return namespaces::call(space, name, &arguments).map_err(fail);
                }
                let on = self.evaluate(on, scope)?;
                let arguments = self.all(arguments, scope)?;
                if arguments.iter().any(Value::may_fail) {
                    return Ok(Value::unknown());
                }
                call::method(&on, name, &arguments).map_err(fail)
            }
        }
    }

    fn all(&self, all: &'a [Expr], scope: &Scope<'_>) -> Result<Vec<Value>, Fault> {
        all.iter().map(|expr| self.evaluate(expr, scope)).collect()
    }

    fn map(&self, all: &'a [(Expr, Expr)], scope: &Scope<'_>) -> Evaluated {
        let mut map = Map::default();
        for (key, value) in all {
            match self.evaluate(key, scope)? {
                Value::String(name) => {
                    let value = self.evaluate(value, scope)?;
                    if value.may_fail() {
                        return Ok(Value::unknown());
                    }
                    map.fields.insert(name.to_string(), value);
                }
                Value::Unknown(_) => return Ok(Value::unknown()),
                other => {
                    let message = format!("a key of a map expected a string, got {}", other.kind());
                    return Err(Fault { at: key.at, message, fatal: false });
                }
            }
        }
        Ok(Value::Map(map.into()))
    }

    fn path(&self, parts: &'a [PathPart], scope: &Scope<'_>) -> Evaluated {
        let mut segments = Vec::new();
        for part in parts {
            match part {
                PathPart::Literal(text) => segments.push(text.clone()),
                PathPart::Value(expr) => match self.evaluate(expr, scope)? {
                    Value::Path(path) => segments.extend(path.segments.iter().cloned()),
                    Value::String(text) => segments.extend(super::value::segments(&text)),
                    Value::Unknown(_) => return Ok(Value::unknown()),
                    Value::Int(number) => segments.push(number.to_string()),
                    other => {
                        let message =
                            format!("a path expected a string or a path, got {}", other.kind());
                        return Err(Fault { at: expr.at, message, fatal: false });
                    }
                },
            }
        }
        Ok(Value::path(segments))
    }

    /// `&&` (`decisive` is false) and `||` (`decisive` is true). A side with the decisive value
    /// decides, even after an error.
    fn logic(
        &self,
        expr: &'a Expr,
        all: &'a [Expr],
        decisive: bool,
        scope: &Scope<'_>,
    ) -> Evaluated {
        let mut failed = None;
        let mut unknown = false;
        for side in all {
            match self.evaluate(side, scope) {
                Ok(Value::Bool(flag)) if flag == decisive => return Ok(Value::Bool(decisive)),
                Ok(Value::Bool(_)) => {}
                Ok(Value::Unknown(_)) => unknown = true,
                Ok(other) => {
                    let operator = if decisive { "||" } else { "&&" };
                    let message = format!("`{operator}` expected a bool, got {}", other.kind());
                    failed.get_or_insert(Fault { at: expr.at, message, fatal: false });
                }
                Err(fault) if fault.fatal => return Err(fault),
                Err(fault) => drop(failed.get_or_insert(fault)),
            }
        }
        match failed {
            // The unknown side may decide, so the error may not matter.
            _ if unknown => Ok(Value::unknown()),
            Some(fault) => Err(fault),
            None => Ok(Value::Bool(!decisive)),
        }
    }

    fn read(&self, at: Position, path: &Value, after: bool) -> Evaluated {
        let path = match path {
            Value::Path(path) => path,
            Value::Unknown(_) => return Ok(Value::unknown()),
            other => {
                let message = format!("expected a path, got {}", other.kind());
                return Err(Fault { at, message, fatal: false });
            }
        };
        let key = (path.to_string(), after);
        if let Some(found) = self.budget.cache.borrow().get(&key) {
            return Ok(found.clone());
        }
        if step(&self.reads) > MAX_READS_OF_OPERATION {
            return exceeded(
                at,
                format!("more than {MAX_READS_OF_OPERATION} documents read for one operation"),
            );
        }
        if step(&self.budget.reads) > MAX_READS_OF_REQUEST {
            return exceeded(
                at,
                format!("more than {MAX_READS_OF_REQUEST} documents read for one request"),
            );
        }
        let found = self.documents.read(path, after).map_err(|message| Fault {
            at,
            message,
            fatal: false,
        })?;
        self.budget.cache.borrow_mut().insert(key, found.clone());
        Ok(found)
    }
}

fn member(on: &Value, name: &str) -> Computed {
    match on {
        Value::Map(map) => {
            map.get(name).ok_or_else(|| format!("property `{name}` is undefined on the object"))
        }
        Value::Unknown(_) => Ok(Value::unknown()),
        Value::Null => Err(format!("cannot read `{name}`: null value")),
        other => Err(format!("cannot read `{name}` of a value of type {}", other.kind())),
    }
}
