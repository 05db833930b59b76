//! Which `allow` statements and conditions were evaluated, and to what.

use std::sync::Mutex;

use super::syntax::ast::{Allow, Expr, File, Function, Kind, Match, Position};
use super::value::Value;
use crate::locks::lock;

/// How often an expression had each outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    pub yes: u64,
    pub no: u64,
    pub failed: u64,
}

/// The outcomes of all expressions and `allow` statements of a file.
#[derive(Debug)]
pub struct Coverage {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    expressions: Vec<Outcomes>,
    allows: Vec<Outcomes>,
}

/// Counts a value, or the error if there is none.
fn count(outcomes: Option<&mut Outcomes>, value: Option<&Value>) {
    let Some(outcomes) = outcomes else { return };
    match value {
        Some(Value::Bool(true)) => outcomes.yes += 1,
        Some(Value::Bool(false) | Value::Unknown(_)) => outcomes.no += 1,
        Some(_) => {}
        None => outcomes.failed += 1,
    }
}

impl Coverage {
    pub fn new(file: &File) -> Self {
        let expressions = vec![Outcomes::default(); file.expressions];
        let allows = vec![Outcomes::default(); file.allows];
        Self { counts: Mutex::new(Counts { expressions, allows }) }
    }

    pub fn record(&self, expression: usize, value: Option<&Value>) {
        count(lock(&self.counts).expressions.get_mut(expression), value);
    }

    pub fn record_allow(&self, index: usize, value: Option<&Value>) {
        count(lock(&self.counts).allows.get_mut(index), value);
    }

    fn expression(&self, id: usize) -> Outcomes {
        lock(&self.counts).expressions.get(id).copied().unwrap_or_default()
    }

    fn allow(&self, index: usize) -> Outcomes {
        lock(&self.counts).allows.get(index).copied().unwrap_or_default()
    }
}

/// A line of the report: an `allow` statement or a condition in it or in a function.
#[derive(Clone, Debug)]
pub struct Covered {
    pub at: Position,
    /// The statement or the condition, as written.
    pub text: String,
    pub is_allow: bool,
    pub outcomes: Outcomes,
}

impl Covered {
    /// Whether both outcomes were seen. An error counts as not allowed.
    pub fn is_complete(&self) -> bool {
        self.outcomes.yes > 0 && (self.outcomes.no > 0 || self.outcomes.failed > 0)
    }
}

/// The coverage of each `allow` and each condition, in the order of the file.
pub fn report(file: &File, source: &str, coverage: &Coverage) -> Vec<Covered> {
    let mut report = Report { lines: source.lines().collect(), coverage, covered: Vec::new() };
    for function in &file.functions {
        report.function(function);
    }
    walk(&file.service, &mut |block| {
        for function in &block.functions {
            report.function(function);
        }
        for Allow { index, at, condition, .. } in &block.allows {
            report.add(*at, true, coverage.allow(*index));
            if let Some(condition) = condition {
                report.condition(condition);
            }
        }
    });
    report.covered.sort_by_key(|line| (line.at, !line.is_allow));
    report.covered
}

struct Report<'a> {
    lines: Vec<&'a str>,
    coverage: &'a Coverage,
    covered: Vec<Covered>,
}

impl Report<'_> {
    fn add(&mut self, at: Position, is_allow: bool, outcomes: Outcomes) {
        let line = self.lines.get(at.line - 1).copied().unwrap_or_default();
        let text: String = line.chars().skip(at.column - 1).collect();
        let text = text.trim_end().to_owned();
        self.covered.push(Covered { at, text, is_allow, outcomes });
    }

    fn function(&mut self, function: &Function) {
        if is_condition(&function.result) {
            self.condition(&function.result);
        }
    }

    fn condition(&mut self, expr: &Expr) {
        let mut leaves = Vec::new();
        conditions(expr, &mut leaves);
        for leaf in leaves {
            self.add(leaf.at, false, self.coverage.expression(leaf.id));
        }
    }
}

fn walk<'f>(block: &'f Match, visit: &mut dyn FnMut(&'f Match)) {
    visit(block);
    for inner in &block.matches {
        walk(inner, visit);
    }
}

/// Whether the result of a function is a condition, as far as its form shows.
fn is_condition(expr: &Expr) -> bool {
    use super::syntax::ast::Binary;
    match &expr.kind {
        Kind::And(_) | Kind::Or(_) | Kind::Not(_) | Kind::Is(..) => true,
        Kind::Binary(operator, ..) => !matches!(
            operator,
            Binary::Add | Binary::Subtract | Binary::Multiply | Binary::Divide | Binary::Modulo
        ),
        Kind::Ternary(_, yes, no) => is_condition(yes) || is_condition(no),
        Kind::Call(name, _) => name == "exists" || name == "existsAfter",
        Kind::Method(_, name, _) => {
            ["matches", "hasAll", "hasAny", "hasOnly"].contains(&name.as_str())
        }
        _ => false,
    }
}

/// The parts of a condition that are not combinations of conditions.
fn conditions<'e>(expr: &'e Expr, leaves: &mut Vec<&'e Expr>) {
    match &expr.kind {
        Kind::And(all) | Kind::Or(all) => {
            for side in all {
                conditions(side, leaves);
            }
        }
        Kind::Not(operand) => conditions(operand, leaves),
        Kind::Ternary(condition, yes, no) => {
            for part in [condition, yes, no] {
                conditions(part, leaves);
            }
        }
        Kind::Literal(_) => {}
        _ => leaves.push(expr),
    }
}
