//! Mutants of rules: the same rules with one condition deleted, negated or moved by one. Cases that
//! pass with a mutant do not test what it changed.

use std::fmt;

use super::Ruleset;
use super::syntax::ast::{Allow, Binary, Expr, Kind, Match, Method, PathPart, Position};
use super::syntax::error::SyntaxError;
use super::syntax::{for_each_child, parse};
use super::testing::{Case, Error, first_failure};
use super::value::Value;

/// One change of a file. Numbers of expressions and of `allow` statements are those of the parser.
#[derive(Clone, Debug)]
enum Edit {
    DropAllow(usize),
    AllowAlways(usize),
    AddMethod(usize, Method),
    DropMethod(usize, Method),
    Negate(usize),
    /// An operand of `&&` or `||`, or an element of a list.
    DropPart(usize, usize),
    /// `&&` becomes `||`, and the reverse.
    SwapLogic(usize),
    Compare(usize, Binary),
    Literal(usize, Value),
}

/// A change of rules, with its place.
#[derive(Clone, Debug)]
pub struct Mutant {
    pub at: Position,
    /// What was changed, and how.
    pub change: String,
    edit: Edit,
}

/// Which mutants no case noticed.
#[derive(Clone, Debug)]
pub struct Survey {
    pub mutants: usize,
    pub survivors: Vec<Mutant>,
}

/// All mutants of rules.
pub fn mutants(rules: &Ruleset) -> Vec<Mutant> {
    let mut list = List { lines: rules.source.lines().collect(), found: Vec::new() };
    for function in &rules.file.functions {
        list.expressions(function.lets.iter().map(|(_, value)| value).chain([&function.result]));
    }
    list.block(&rules.file.service);
    list.found
}

/// Runs the cases against every mutant.
///
/// # Errors
/// If a case is malformed, or fails with the rules themselves.
pub fn survey(rules: &Ruleset, cases: &[Case]) -> Result<Survey, Error> {
    if let Some(failed) = first_failure(rules, cases)? {
        return Err(Error::Case { name: failed, reason: "fails without any change".to_owned() });
    }
    let all = mutants(rules);
    let count = all.len();
    let mut survivors = Vec::new();
    for mutant in all {
        let changed = mutant.apply(&rules.source).map_err(|source| Error::Case {
            name: mutant.change.clone(),
            reason: source.to_string(),
        })?;
        if first_failure(&changed, cases)?.is_none() {
            survivors.push(mutant);
        }
    }
    Ok(Survey { mutants: count, survivors })
}

impl Survey {
    /// Fails if a mutant survived.
    ///
    /// # Errors
    /// The number of mutants that survived.
    pub fn check(&self) -> Result<(), Error> {
        match self.survivors.len() {
            0 => Ok(()),
            survivors => Err(Error::Survived { survivors, all: self.mutants }),
        }
    }
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mutant in &self.survivors {
            writeln!(f, "SURVIVED {mutant}")?;
        }
        let killed = self.mutants - self.survivors.len();
        write!(
            f,
            "{} mutants: {killed} failed a case, {} survived",
            self.mutants,
            self.survivors.len()
        )
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.change)
    }
}

impl Mutant {
    /// The rules with this change.
    ///
    /// # Errors
    /// If the text is not that which the mutant was made of.
    pub fn apply(&self, source: &str) -> Result<Ruleset, SyntaxError> {
        let mut file = parse(source)?;
        let fresh = file.expressions;
        file.expressions += 1;
        let mut edit = Some((&self.edit, fresh));
        for function in &mut file.functions {
            let lets = function.lets.iter_mut().map(|(_, value)| value);
            lets.chain([&mut function.result]).for_each(|expr| change(expr, &mut edit));
        }
        change_block(&mut file.service, &mut edit);
        Ok(Ruleset { source: source.to_owned(), file })
    }
}

struct List<'a> {
    lines: Vec<&'a str>,
    found: Vec<Mutant>,
}

impl List<'_> {
    fn add(&mut self, at: Position, how: &str, edit: Edit) {
        let line = self.lines.get(at.line - 1).copied().unwrap_or_default();
        let text: String = line.chars().skip(at.column - 1).take(60).collect();
        self.found.push(Mutant { at, change: format!("{how}: {}", text.trim_end()), edit });
    }

    fn block(&mut self, block: &Match) {
        for function in &block.functions {
            self.expressions(
                function.lets.iter().map(|(_, value)| value).chain([&function.result]),
            );
        }
        for allow in &block.allows {
            self.allow(allow);
        }
        for inner in &block.matches {
            self.block(inner);
        }
    }

    fn allow(&mut self, Allow { index, at, methods, condition }: &Allow) {
        self.add(*at, "deleted", Edit::DropAllow(*index));
        let needs_document = condition.as_ref().is_some_and(sees_written_document);
        for method in Method::ALL {
            let name = method.as_str();
            if !methods.contains(&method) {
                if needs_document && !matches!(method, Method::Create | Method::Update) {
                    continue;
                }
                self.add(*at, &format!("also allows {name}"), Edit::AddMethod(*index, method));
            } else if methods.len() > 1 {
                self.add(*at, &format!("without {name}"), Edit::DropMethod(*index, method));
            }
        }
        if let Some(condition) = condition {
            self.add(*at, "without its condition", Edit::AllowAlways(*index));
            self.add(condition.at, "negated", Edit::Negate(condition.id));
            self.expression(condition, true);
        }
    }

    fn expressions<'e>(&mut self, all: impl Iterator<Item = &'e Expr>) {
        all.for_each(|expr| self.expression(expr, false));
    }

    /// `negated` says that the negation of the expression is listed already.
    fn expression(&mut self, expr: &Expr, negated: bool) {
        let mut parts_are_negated = false;
        match &expr.kind {
            Kind::And(all) | Kind::Or(all) => {
                self.add(expr.at, "`&&` and `||` swapped", Edit::SwapLogic(expr.id));
                for (index, part) in all.iter().enumerate() {
                    self.add(part.at, "operand deleted", Edit::DropPart(expr.id, index));
                    self.add(part.at, "operand negated", Edit::Negate(part.id));
                }
                parts_are_negated = true;
            }
            Kind::List(all) => {
                for (index, part) in all.iter().enumerate() {
                    self.add(part.at, "element deleted", Edit::DropPart(expr.id, index));
                }
            }
            Kind::Binary(operator, ..) => {
                if is_comparison(*operator) && !negated {
                    self.add(expr.at, "comparison negated", Edit::Negate(expr.id));
                }
                if let Some(other) = moved(*operator) {
                    self.add(expr.at, "bound moved", Edit::Compare(expr.id, other));
                }
            }
            Kind::Is(..) | Kind::Not(_) if !negated => {
                self.add(expr.at, "negated", Edit::Negate(expr.id));
            }
            Kind::Literal(Value::Int(number)) => {
                for other in [number.wrapping_sub(1), number.wrapping_add(1)] {
                    let how = format!("{number} is {other}");
                    self.add(expr.at, &how, Edit::Literal(expr.id, Value::Int(other)));
                }
            }
            Kind::Literal(Value::String(text)) => {
                let other = Value::text(&format!("{text}~"));
                self.add(expr.at, "text changed", Edit::Literal(expr.id, other));
            }
            _ => {}
        }
        let is_list = matches!(expr.kind, Kind::List(_));
        for_each_child(expr, &mut |child| {
            // A changed element does what a deleted one does.
            if !(is_list && matches!(child.kind, Kind::Literal(_))) {
                self.expression(child, parts_are_negated);
            }
        });
    }
}

/// Whether a condition names `request.resource`. It is null for reads and deletes, so the condition
/// fails for them, and a statement that is widened to them allows no more.
fn sees_written_document(expr: &Expr) -> bool {
    if let Kind::Member(on, name) = &expr.kind
        && name == "resource"
        && matches!(&on.kind, Kind::Variable(name) if name == "request")
    {
        return true;
    }
    let mut found = false;
    for_each_child(expr, &mut |child| found |= sees_written_document(child));
    found
}

fn is_comparison(operator: Binary) -> bool {
    use Binary::{Equal, Greater, GreaterOrEqual, In, Less, LessOrEqual, NotEqual};
    matches!(operator, Less | LessOrEqual | Greater | GreaterOrEqual | In | Equal | NotEqual)
}

/// The comparison that differs only where both sides are equal.
fn moved(operator: Binary) -> Option<Binary> {
    Some(match operator {
        Binary::Less => Binary::LessOrEqual,
        Binary::LessOrEqual => Binary::Less,
        Binary::Greater => Binary::GreaterOrEqual,
        Binary::GreaterOrEqual => Binary::Greater,
        _ => return None,
    })
}

/// The edit that is still to be made, and the number of a new expression.
type Pending<'e> = Option<(&'e Edit, usize)>;

fn change_block(block: &mut Match, pending: &mut Pending<'_>) {
    for function in &mut block.functions {
        let lets = function.lets.iter_mut().map(|(_, value)| value);
        lets.chain([&mut function.result]).for_each(|expr| change(expr, pending));
    }
    if let Some((Edit::DropAllow(index), _)) = *pending {
        block.allows.retain(|allow| allow.index != *index);
    }
    for allow in &mut block.allows {
        match *pending {
            Some((Edit::AllowAlways(index), _)) if *index == allow.index => allow.condition = None,
            Some((Edit::AddMethod(index, method), _)) if *index == allow.index => {
                allow.methods.push(*method);
            }
            Some((Edit::DropMethod(index, method), _)) if *index == allow.index => {
                allow.methods.retain(|other| other != method);
            }
            _ => {}
        }
        if let Some(condition) = &mut allow.condition {
            change(condition, pending);
        }
    }
    for inner in &mut block.matches {
        change_block(inner, pending);
    }
}

fn change(expr: &mut Expr, pending: &mut Pending<'_>) {
    let Some((edit, fresh)) = *pending else { return };
    let wanted = match edit {
        Edit::Negate(id)
        | Edit::DropPart(id, _)
        | Edit::SwapLogic(id)
        | Edit::Compare(id, _)
        | Edit::Literal(id, _) => *id,
        _ => return,
    };
    if expr.id != wanted {
        for child in children(expr) {
            change(child, pending);
        }
        return;
    }
    *pending = None;
    let kind = std::mem::replace(&mut expr.kind, Kind::Literal(Value::Null));
    expr.kind = match (edit, kind) {
        (Edit::Negate(_), kind) => {
            Kind::Not(Box::new(Expr { id: fresh, at: expr.at, depth: expr.depth, kind }))
        }
        (Edit::DropPart(_, index), Kind::And(all)) => Kind::And(without(all, *index)),
        (Edit::DropPart(_, index), Kind::Or(all)) => Kind::Or(without(all, *index)),
        (Edit::DropPart(_, index), Kind::List(all)) => Kind::List(without(all, *index)),
        (Edit::SwapLogic(_), Kind::And(all)) => Kind::Or(all),
        (Edit::SwapLogic(_), Kind::Or(all)) => Kind::And(all),
        (Edit::Compare(_, operator), Kind::Binary(_, a, b)) => Kind::Binary(*operator, a, b),
        (Edit::Literal(_, value), _) => Kind::Literal(value.clone()),
        (_, kind) => kind,
    };
}

fn without(mut all: Vec<Expr>, index: usize) -> Vec<Expr> {
    all.remove(index);
    all
}

/// The expressions directly inside of another.
fn children(expr: &mut Expr) -> Vec<&mut Expr> {
    match &mut expr.kind {
        Kind::Literal(_) | Kind::Variable(_) => Vec::new(),
        Kind::List(all) | Kind::And(all) | Kind::Or(all) | Kind::Call(_, all) => {
            all.iter_mut().collect()
        }
        Kind::Map(all) => all.iter_mut().flat_map(|(key, value)| [key, value]).collect(),
        Kind::Path(parts) => parts
            .iter_mut()
            .filter_map(|part| match part {
                PathPart::Value(value) => Some(value),
                PathPart::Literal(_) => None,
            })
            .collect(),
        Kind::Not(one) | Kind::Negate(one) | Kind::Is(one, _) | Kind::Member(one, _) => vec![one],
        Kind::Binary(_, a, b) | Kind::Index(a, b) => vec![a, b],
        Kind::Ternary(a, b, c) | Kind::Range(a, b, c) => vec![a, b, c],
        Kind::Method(on, _, all) => {
            let mut found: Vec<&mut Expr> = vec![on];
            found.extend(all);
            found
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const RULES: &str = "rules_version = '2';
service cloud.firestore {
  match /databases/{d}/documents {
    function isAdult(data) { return data.age is int && data.age >= 18; }
    match /people/{id} {
      allow create: if request.auth != null && isAdult(request.resource.data);
      allow read: if request.auth.uid in ['a', 'b'];
    }
  }
}";

    fn case(text: &str) -> String {
        format!("{{\"path\": \"people/x\", {text}}}\n")
    }

    const ADULT: &str =
        r#""who": {"uid": "c"}, "method": "create", "after": {"age": 18}, "expected": "allow""#;
    const OTHERS: [&str; 12] = [
        r#""who": null, "method": "create", "after": {"age": 18}, "expected": "deny""#,
        r#""who": {"uid": "c"}, "method": "create", "after": {"age": 17}, "expected": "deny""#,
        r#""who": {"uid": "c"}, "method": "create", "after": {"age": 18.5}, "expected": "deny""#,
        r#""who": {"uid": "c"}, "method": "update", "before": {"age": 1}, "after": {"age": 18}, "expected": "deny""#,
        r#""who": {"uid": "c"}, "method": "delete", "before": {"age": 18}, "expected": "deny""#,
        r#""who": {"uid": "c"}, "method": "get", "before": {"age": 18}, "expected": "deny""#,
        r#""who": {"uid": "a"}, "method": "get", "before": {"age": 18}, "expected": "allow""#,
        r#""who": {"uid": "b"}, "method": "get", "before": {"age": 18}, "expected": "allow""#,
        r#""who": {"uid": "b"}, "method": "create", "after": {"age": 1}, "expected": "deny""#,
        r#""who": {"uid": "b"}, "method": "update", "before": {"age": 18}, "after": {"age": 1}, "expected": "deny""#,
        r#""who": {"uid": "b"}, "method": "delete", "before": {"age": 18}, "expected": "deny""#,
        r#""who": {"uid": "a"}, "method": "list", "path": "people", "expected": "allow""#,
    ];

    fn all() -> Vec<String> {
        let mut all: Vec<String> = OTHERS[..11].iter().map(|text| case(text)).collect();
        all.push(format!("{{{}}}\n", OTHERS[11]));
        all.push(case(ADULT));
        all
    }

    fn survivors(cases: &str) -> Vec<String> {
        let rules = Ruleset::parse(RULES).unwrap();
        let survey = survey(&rules, &testing::parse(cases).unwrap()).unwrap();
        survey.survivors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn no_mutant_survives_cases_that_test_every_condition() {
        let found = survivors(&all().concat());
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn a_condition_that_no_case_tests_is_named_with_its_place() {
        let without_minors: Vec<String> =
            all().into_iter().filter(|text| !text.contains("17")).collect();
        let found = survivors(&without_minors.concat());
        assert_eq!(found, ["4:68: 18 is 17: 18; }"]);
    }

    #[test]
    fn without_cases_every_mutant_survives() {
        let rules = Ruleset::parse(RULES).unwrap();
        assert_eq!(survivors("").len(), mutants(&rules).len());
        assert!(mutants(&rules).len() > 20);
    }

    #[test]
    fn cases_that_fail_without_a_change_are_refused() {
        let rules = Ruleset::parse(RULES).unwrap();
        let wrong = case(&ADULT.replace("allow", "deny"));
        let error = survey(&rules, &testing::parse(&wrong).unwrap()).unwrap_err().to_string();
        assert!(error.contains("fails without any change"), "{error}");
    }
}
