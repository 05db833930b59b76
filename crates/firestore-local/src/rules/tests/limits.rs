//! Limits of the language, and the files that it refuses.

use serde_json::json;

use super::*;

fn error(text: &str) -> String {
    Ruleset::parse(text).expect_err(text).to_string()
}

/// A file with statements in a match of the documents.
fn inside(statements: &str) -> String {
    format!(
        "rules_version = '2';\nservice cloud.firestore {{\nmatch /databases/{{database}}/documents \
         {{\n{statements}\n}}\n}}"
    )
}

#[test]
fn a_refused_file_is_reported_with_its_place_and_what_was_expected() {
    for (text, expected) in [
        ("", "line 1, column 1: expected `service`, got the end of the file"),
        ("rules_version = '3';", "line 1, column 17: expected '1' or '2', got a string"),
        ("rules_version '2';", "line 1, column 15: expected `=`, got a string"),
        ("service firebase.storage {}", "expected `cloud.firestore`, got `firebase`"),
        ("service cloud.firestore {", "line 1, column 26: expected `match`, `function` or `}`"),
        (
            "service cloud.firestore { } x",
            "line 1, column 29: expected the end of the file, got `x`",
        ),
        (
            "service cloud.firestore { allow read; }",
            "expected `match`, `function` or `}`, got `allow`",
        ),
        ("/* open", "line 1, column 1: expected `*/` after `/*`"),
    ] {
        let found = error(text);
        assert!(found.contains(expected), "{text}: {found}");
    }
    for (statements, expected) in [
        ("match a { }", "line 4, column 7: expected a path that begins with `/`, got `a`"),
        ("match / { }", "line 4, column 8: expected a segment of a path or `{`"),
        ("match /{} { }", "line 4, column 9: expected the name of a wildcard"),
        ("match /{x=***} { }", "line 4, column 10: expected `}` or `=**}`, got `=***`"),
        ("match /a/{b} allow read;", "line 4, column 14: expected `{`, got `allow`"),
        ("match /a/{b} { allow peek; }", "expected a method: read, write, get, list"),
        ("allow read if true;", "line 4, column 12: expected `:`, `,` or `;`, got `if`"),
        ("allow read: true;", "line 4, column 13: expected `if`, got `true`"),
        ("allow read: if ;", "line 4, column 16: expected an expression, got `;`"),
        (
            "allow read: if true allow write;",
            "line 4, column 21: expected `;` or an operator, got `allow`",
        ),
        ("allow read: if (true;", "line 4, column 21: expected `)`, got `;`"),
        ("allow read: if [1 2];", "line 4, column 19: expected `,` or `]`, got `2`"),
        ("allow read: if {'a' 1};", "line 4, column 21: expected `:`, got `1`"),
        ("allow read: if 1 is number2;", "line 4, column 21: expected a type: bool"),
        ("allow read: if 'a;\n", "line 4, column 16: expected ' at the end of a string"),
        ("allow read: if '\\q' == '';", "line 4, column 17: expected an escape sequence"),
        ("allow read: if a.(1);", "expected the name of a field or a method after `.`"),
        ("allow read: if true ? 1;", "line 4, column 24: expected `:`, got `;`"),
        ("allow read: if 99999999999999999999 > 1;", "line 4, column 16: expected a number"),
        ("allow read: if #;", "line 4, column 16: expected a statement or an expression, got '#'"),
        ("allow read: if exists(/a/$(b);", "expected `,` or `)`, got `;`"),
        ("allow read: if x == 1;", "line 4, column 16: unknown variable `x`"),
        ("allow read: if f();", "line 4, column 16: unknown function `f`"),
        ("allow read: if get(/a, /b) == 1;", "`get` expected 1 arguments, got 2"),
        ("allow read: if math.cube(2) == 8;", "unknown function `math.cube`"),
        ("allow read: if math.abs() == 8;", "`math.abs` expected 1 arguments, got 0"),
        ("function f( { return true; }", "expected the name of a parameter or `)`, got `{`"),
        ("function f(a, a) { return true; }", "parameter `a` exists"),
        ("function f() { true; }", "line 4, column 16: expected `let` or `return`, got `true`"),
        ("function f() { let a = 1; let a = 2; return a; }", "variable `a` exists"),
        ("function f() { return true; } function f() { return true; }", "`f` exists"),
        ("function get(a) { return true; }", "`get` is built in"),
        ("function if() { return true; }", "expected the name of a function, got `if`"),
        ("match /{a=**}/{b=**} { allow read; }", "expected at most one recursive wildcard"),
        ("match /a/{database} { allow read; }", "wildcard `database` exists"),
    ] {
        let found = error(&inside(statements));
        assert!(found.contains(expected), "{statements}: {found}");
    }
}

#[test]
fn the_limits_of_functions_and_matches_are_kept() {
    let lets = |count: usize| {
        let lets: String = (0..count).map(|it| format!("let v{it} = {it}; ")).collect();
        inside(&format!("function f() {{ {lets} return true; }}"))
    };
    assert!(Ruleset::parse(&lets(10)).is_ok());
    assert!(error(&lets(11)).contains("at most 10 let bindings"));

    let parameters = |count: usize| {
        let all: Vec<String> = (0..count).map(|it| format!("p{it}")).collect();
        inside(&format!("function f({}) {{ return true; }}", all.join(", ")))
    };
    assert!(Ruleset::parse(&parameters(7)).is_ok());
    assert!(error(&parameters(8)).contains("at most 7 parameters"));

    let nested = |count: usize| {
        let open: String = (0..count).map(|it| format!("match /a{it} {{ ")).collect();
        format!("service cloud.firestore {{ {open} {} }}", "}".repeat(count))
    };
    assert!(Ruleset::parse(&nested(10)).is_ok());
    assert!(error(&nested(11)).contains("at most 10 nested match statements"));

    let wildcards = |count: usize| {
        let path: String = (0..count).map(|it| format!("/{{w{it}}}")).collect();
        format!("service cloud.firestore {{ match {path} {{ }} }}")
    };
    assert!(Ruleset::parse(&wildcards(20)).is_ok());
    assert!(error(&wildcards(21)).contains("at most 20 wildcards"));
    let long = format!("service cloud.firestore {{ match {} {{ }} }}", "/a".repeat(101));
    assert!(error(&long).contains("at most 100 segments"));
}

#[test]
fn recursion_is_refused_and_calls_are_at_most_20_deep() {
    let recursive = "function f() { return g(); } function g() { return f(); }";
    assert!(error(&inside(recursive)).contains("calls itself"));
    assert!(error(&inside("function f(n) { return n > 0 && f(n - 1); }")).contains("calls itself"));
    let chain = |count: usize| {
        let all: String = (1..count)
            .map(|it| format!("function f{it}() {{ return f{}(); }}\n", it + 1))
            .collect();
        format!("{all} function f{count}() {{ return true; }}")
    };
    assert!(Ruleset::parse(&inside(&chain(20))).is_ok());
    assert!(error(&inside(&chain(21))).contains("at most 20 functions deep"));
    let rules = ruled(&chain(20), "f1()");
    let decision =
        ask(&rules, &World::default(), json!(null), Method::Get, "a/b", [json!(null), json!(null)]);
    assert!(decision.allowed, "{decision}");
}

#[test]
fn a_request_evaluates_at_most_1000_expressions() {
    let ask = |terms: usize| {
        let condition = vec!["(1 == 2 - 1 && true)"; terms].join(" && ");
        let rules = ruled("", &condition);
        ask(&rules, &World::default(), json!(null), Method::Get, "a/b", [json!(null), json!(null)])
    };
    assert!(ask(300).allowed);
    let decision = ask(400);
    assert!(!decision.allowed);
    assert!(decision.to_string().contains("1000 expressions"), "{decision}");
    // A limit is not absorbed, and no later statement can allow the request.
    let long = vec!["(1 == 2 - 1 && true)"; 400].join(" && ");
    let rules = Ruleset::parse(&inside(&format!(
        "match /a/{{b}} {{ allow read: if true || ({long}); allow get: if ({long}) || true; allow get: if true; }}"
    )))
    .unwrap();
    let states = [json!(null), json!(null)];
    let decision = super::ask(&rules, &World::default(), json!(null), Method::Get, "a/b", states);
    assert!(decision.allowed);
    let rules = Ruleset::parse(&inside(&format!(
        "match /a/{{b}} {{ allow get: if ({long}) || true; allow get: if true; }}"
    )))
    .unwrap();
    let states = [json!(null), json!(null)];
    let decision = super::ask(&rules, &World::default(), json!(null), Method::Get, "a/b", states);
    assert!(!decision.allowed, "{decision}");
}

#[test]
fn an_operation_reads_at_most_10_documents() {
    let allowed = |reads: usize, distinct: bool| {
        let one = |it: usize| {
            let id = if distinct { it } else { 0 };
            format!("!exists(/databases/$(database)/documents/x/d{id})")
        };
        let condition: Vec<String> = (0..reads).map(one).collect();
        let rules = ruled("", &condition.join(" && "));
        ask(&rules, &World::default(), json!(null), Method::Get, "a/b", [json!(null), json!(null)])
    };
    assert!(allowed(10, true).allowed);
    assert!(allowed(11, true).to_string().contains("more than 10 documents"));
    assert!(allowed(30, false).allowed, "a document that was read before does not count");
}

#[test]
fn a_request_reads_at_most_20_documents() {
    let rules = ruled(
        "function free(n) { return !exists(/databases/$(database)/documents/x/$(n)); }",
        "free(id + '1') && free(id + '2') && free(id + '3') && free(id + '4') && free(id + '5')",
    );
    let budget = Budget::default();
    let world = World::default();
    let context = Context {
        claims: &Claims::default(),
        time: Micros(0),
        documents: &world,
        budget: &budget,
        coverage: None,
    };
    for (index, expected) in [true, true, true, true, false].into_iter().enumerate() {
        let path = full(&format!("a/{index}"));
        let change =
            Change { method: Method::Delete, path: &path, before: Value::Null, after: Value::Null };
        assert_eq!(rules.decide(context, change).allowed, expected, "{index}");
    }
}

#[test]
fn deeply_nested_expressions_are_refused_and_long_ones_are_not() {
    let nested = format!("{}true{}", "(".repeat(500), ")".repeat(500));
    assert!(error(&inside(&format!("allow read: if {nested};"))).contains("levels of nested"));
    let negated = format!("{}true", "!".repeat(500));
    assert!(error(&inside(&format!("allow read: if {negated};"))).contains("levels of nested"));
    let sum = vec!["1"; 500].join(" + ");
    assert!(error(&inside(&format!("allow read: if {sum} == 1;"))).contains("levels of nested"));
    let long = vec!["true"; 3_000].join(" && ");
    assert!(Ruleset::parse(&inside(&format!("allow read: if {long};"))).is_ok());
    let large = format!("{}\n// {}", inside(""), "x".repeat(256 << 10));
    assert!(error(&large).contains("at most 262144 bytes"));
}

#[test]
fn the_deepest_evaluation_fits_the_stack() {
    // 20 calls, each inside of 18 negations: close to the limit of nested evaluations.
    let negated = |inner: &str| format!("{}{inner}", "!".repeat(18));
    let chain: String = (1..20)
        .map(|it| {
            format!("function f{it}() {{ return {}; }}\n", negated(&format!("f{}()", it + 1)))
        })
        .collect();
    let functions = format!("{chain} function f20() {{ return true; }}");
    let rules = ruled(&functions, &negated("f1()"));
    let states = [json!(null), json!(null)];
    let decision = ask(&rules, &World::default(), json!(null), Method::Get, "a/b", states.clone());
    assert!(decision.allowed, "{decision}");
    let deeper = functions.replace(&negated(""), &"!".repeat(24));
    let rules = ruled(&deeper, "f1()");
    let decision = ask(&rules, &World::default(), json!(null), Method::Get, "a/b", states);
    assert!(decision.to_string().contains("nested over 400 deep"), "{decision}");
}
