//! Checks of a parsed file: limits of paths, known names, numbers of arguments, no recursion.

use std::collections::HashSet;

use super::ast::{Expr, File, Function, Kind, Match, PathPart, Position, Segment, Version};
use super::error::SyntaxError;
use crate::rules::eval::{GLOBAL_FUNCTIONS, GLOBAL_VARIABLES, MAX_CALLS, NAMESPACES};

/// Limits of a match with its parents, from "Structuring Cloud Firestore security rules".
const MAX_SEGMENTS: usize = 100;
const MAX_CAPTURES: usize = 20;

type Checked = Result<(), SyntaxError>;

fn refuse(at: Position, message: String) -> Checked {
    Err(SyntaxError { at, message })
}

pub fn check(file: &File) -> Checked {
    let outer = Names { functions: &file.functions, variables: Vec::new(), parent: None };
    outer.check_functions()?;
    check_match(&file.service, &outer, &mut Vec::new(), file.version)
}

/// The names that an expression can use.
struct Names<'a> {
    functions: &'a [Function],
    variables: Vec<&'a str>,
    parent: Option<&'a Names<'a>>,
}

fn check_match<'f>(
    block: &'f Match,
    parent: &Names<'_>,
    path: &mut Vec<&'f Segment>,
    version: Version,
) -> Checked {
    let own = path.len();
    path.extend(&block.pattern);
    if path.len() > MAX_SEGMENTS {
        return refuse(block.at, format!("expected at most {MAX_SEGMENTS} segments in a path"));
    }
    let captured: Vec<&str> = path.iter().filter_map(|segment| segment.variable()).collect();
    if captured.len() > MAX_CAPTURES {
        return refuse(block.at, format!("expected at most {MAX_CAPTURES} wildcards in a path"));
    }
    let recursive = |segment: &Segment| matches!(segment, Segment::Recursive(_));
    if block.pattern.iter().filter(|segment| recursive(segment)).count() > 1 {
        return refuse(block.at, "expected at most one recursive wildcard in a match".to_owned());
    }
    let inner = path.iter().rev().skip(1).any(|segment| recursive(segment));
    if version == Version::One && inner {
        let message =
            "expected rules_version = '2' for a recursive wildcard before the end of a path";
        return refuse(block.at, message.to_owned());
    }
    let mut seen = HashSet::new();
    if let Some(twice) = captured.iter().find(|name| !seen.insert(**name)) {
        return refuse(block.at, format!("expected another name: wildcard `{twice}` exists"));
    }
    let variables = block.pattern.iter().filter_map(Segment::variable).collect();
    let names = Names { functions: &block.functions, variables, parent: Some(parent) };
    names.check_functions()?;
    for allow in &block.allows {
        if let Some(condition) = &allow.condition {
            names.check(condition)?;
        }
    }
    for inner in &block.matches {
        check_match(inner, &names, path, version)?;
    }
    path.truncate(own);
    Ok(())
}

impl<'a> Names<'a> {
    fn chain(&self) -> impl Iterator<Item = &Names<'a>> {
        std::iter::successors(Some(self), |names| names.parent)
    }

    fn has_variable(&self, name: &str) -> bool {
        GLOBAL_VARIABLES.contains(&name)
            || self.chain().any(|names| names.variables.contains(&name))
    }

    fn function(&self, name: &str) -> Option<(&Function, &Names<'a>)> {
        self.chain().find_map(|names| {
            let found = names.functions.iter().find(|function| function.name == name)?;
            Some((found, names))
        })
    }

    fn check_functions(&self) -> Checked {
        for (index, function) in self.functions.iter().enumerate() {
            let name = &function.name;
            if self.functions[..index].iter().any(|other| other.name == *name) {
                return refuse(function.at, format!("expected another name: `{name}` exists"));
            }
            if GLOBAL_FUNCTIONS.iter().any(|(global, _)| global == name) {
                return refuse(function.at, format!("expected another name: `{name}` is built in"));
            }
            let mut variables: Vec<&str> = function.parameters.iter().map(String::as_str).collect();
            for (name, value) in &function.lets {
                Names { functions: &[], variables: variables.clone(), parent: Some(self) }
                    .check(value)?;
                variables.push(name);
            }
            Names { functions: &[], variables, parent: Some(self) }.check(&function.result)?;
            self.check_recursion(function, &mut Vec::new(), &mut HashSet::new())?;
        }
        Ok(())
    }

    /// `done` holds the functions that are known not to lead back to an open one.
    fn check_recursion<'b>(
        &'b self,
        function: &'b Function,
        open: &mut Vec<&'b Function>,
        done: &mut HashSet<*const Function>,
    ) -> Checked {
        if open.iter().any(|other| std::ptr::eq(*other, function)) {
            let message = format!("expected no recursion: `{}` calls itself", function.name);
            return refuse(function.at, message);
        }
        if open.len() >= MAX_CALLS {
            let message = format!("expected calls at most {MAX_CALLS} functions deep");
            return refuse(function.at, message);
        }
        if done.contains(&std::ptr::from_ref(function)) {
            return Ok(());
        }
        open.push(function);
        let mut called: Vec<&str> = Vec::new();
        for (_, value) in &function.lets {
            calls(value, &mut called);
        }
        calls(&function.result, &mut called);
        for name in called {
            if let Some((next, names)) = self.function(name) {
                names.check_recursion(next, open, done)?;
            }
        }
        open.pop();
        done.insert(function);
        Ok(())
    }

    fn check(&self, expr: &Expr) -> Checked {
        match &expr.kind {
            Kind::Variable(name) if !self.has_variable(name) => {
                return refuse(
                    expr.at,
                    format!(
                        "unknown variable `{name}`: expected request, resource, a parameter, a \
                         let, or a wildcard of an enclosing match"
                    ),
                );
            }
            Kind::Call(name, arguments) => {
                let wanted = match self.function(name) {
                    Some((function, _)) => function.parameters.len(),
                    None => match GLOBAL_FUNCTIONS.iter().find(|(global, _)| global == name) {
                        Some((_, wanted)) => *wanted,
                        None => return refuse(expr.at, format!("unknown function `{name}`")),
                    },
                };
                if arguments.len() != wanted {
                    let got = arguments.len();
                    return refuse(
                        expr.at,
                        format!("`{name}` expected {wanted} arguments, got {got}"),
                    );
                }
            }
            Kind::Method(on, name, arguments) => {
                if let Some(namespace) = self.namespace(on) {
                    let known = NAMESPACES
                        .iter()
                        .find(|(space, function, _)| *space == namespace && function == name);
                    match known {
                        None => {
                            return refuse(
                                expr.at,
                                format!("unknown function `{namespace}.{name}`"),
                            );
                        }
                        Some((_, _, wanted)) if *wanted != arguments.len() => {
                            let got = arguments.len();
                            return refuse(
                                expr.at,
                                format!(
                                    "`{namespace}.{name}` expected {wanted} arguments, got {got}"
                                ),
                            );
                        }
                        Some(_) => {}
                    }
                    return arguments.iter().try_for_each(|argument| self.check(argument));
                }
            }
            _ => {}
        }
        let mut outcome = Ok(());
        for_each_child(expr, &mut |child| {
            if outcome.is_ok() {
                outcome = self.check(child);
            }
        });
        outcome
    }

    /// The namespace that a value names, unless a variable hides it.
    fn namespace(&self, on: &Expr) -> Option<&'static str> {
        let Kind::Variable(name) = &on.kind else { return None };
        if self.has_variable(name) {
            return None;
        }
        NAMESPACES.iter().map(|(space, _, _)| *space).find(|space| space == name)
    }
}

fn calls<'e>(expr: &'e Expr, found: &mut Vec<&'e str>) {
    if let Kind::Call(name, _) = &expr.kind {
        found.push(name);
    }
    for_each_child(expr, &mut |child| calls(child, found));
}

/// Visits the expressions directly inside of another.
pub fn for_each_child<'e>(expr: &'e Expr, visit: &mut dyn FnMut(&'e Expr)) {
    match &expr.kind {
        Kind::Literal(_) | Kind::Variable(_) => {}
        Kind::List(all) | Kind::And(all) | Kind::Or(all) | Kind::Call(_, all) => {
            all.iter().for_each(visit);
        }
        Kind::Map(all) => {
            for (key, value) in all {
                visit(key);
                visit(value);
            }
        }
        Kind::Path(parts) => {
            for part in parts {
                if let PathPart::Value(value) = part {
                    visit(value);
                }
            }
        }
        Kind::Not(one) | Kind::Negate(one) | Kind::Is(one, _) | Kind::Member(one, _) => visit(one),
        Kind::Binary(_, a, b) | Kind::Index(a, b) => {
            visit(a);
            visit(b);
        }
        Kind::Ternary(a, b, c) | Kind::Range(a, b, c) => {
            visit(a);
            visit(b);
            visit(c);
        }
        Kind::Method(on, _, all) => {
            visit(on);
            all.iter().for_each(visit);
        }
    }
}
