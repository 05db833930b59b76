//! Which statements apply: paths, methods, nesting, wildcards, functions.

use serde_json::json;

use super::*;

fn parse(body: &str) -> Ruleset {
    let text = format!("rules_version = '2'; service cloud.firestore {{ {body} }}");
    Ruleset::parse(&text).unwrap_or_else(|error| panic!("{body}: {error}"))
}

/// Whether a user without a token may use a method on a path.
fn may(rules: &Ruleset, method: Method, path: &str) -> bool {
    ask(rules, &World::default(), json!(null), method, path, [json!({}), json!({})]).allowed
}

fn in_documents(body: &str) -> Ruleset {
    parse(&format!("match /databases/{{database}}/documents {{ {body} }}"))
}

#[test]
fn without_a_statement_that_applies_everything_is_denied() {
    let rules = in_documents("match /a/{b} { }");
    for method in Method::ALL {
        assert!(!may(&rules, method, "a/b"));
        let decision =
            ask(&rules, &World::default(), json!(null), method, "a/b", [json!({}), json!({})]);
        assert_eq!(decision.to_string(), "denied: no allow statement applies");
    }
}

#[test]
fn read_and_write_stand_for_their_methods() {
    for (word, methods) in [
        ("read", vec![Method::Get, Method::List]),
        ("write", vec![Method::Create, Method::Update, Method::Delete]),
        ("get", vec![Method::Get]),
        ("list", vec![Method::List]),
        ("create", vec![Method::Create]),
        ("update", vec![Method::Update]),
        ("delete", vec![Method::Delete]),
        ("get, delete", vec![Method::Get, Method::Delete]),
        ("read, write", Method::ALL.to_vec()),
    ] {
        let rules = in_documents(&format!("match /a/{{b}} {{ allow {word}; }}"));
        for method in Method::ALL {
            assert_eq!(may(&rules, method, "a/b"), methods.contains(&method), "{word} {method:?}");
        }
    }
}

#[test]
fn a_match_applies_to_its_documents_and_not_to_those_below() {
    let rules =
        in_documents("match /cities/{city} { allow get; match /landmarks/{mark} { allow list; } }");
    for (method, path, expected) in [
        (Method::Get, "cities/SF", true),
        (Method::Get, "cities/SF/landmarks/bridge", false),
        (Method::List, "cities/SF/landmarks/bridge", true),
        (Method::List, "cities/SF", false),
        (Method::Get, "towns/SF", false),
        (Method::Get, "cities/SF/landmarks/bridge/x/y", false),
    ] {
        assert_eq!(may(&rules, method, path), expected, "{method:?} {path}");
    }
}

#[test]
fn a_literal_segment_matches_itself() {
    let rules =
        in_documents("match /config/public { allow get; } match /a-b.c_d/{x} { allow get; }");
    assert!(may(&rules, Method::Get, "config/public"));
    assert!(!may(&rules, Method::Get, "config/secret"));
    assert!(may(&rules, Method::Get, "a-b.c_d/1"));
}

#[test]
fn a_recursive_wildcard_matches_any_number_of_segments() {
    let below = in_documents("match /cities/{city}/{rest=**} { allow get; }");
    assert!(may(&below, Method::Get, "cities/SF"), "version 2 matches no segment, too");
    assert!(may(&below, Method::Get, "cities/SF/landmarks/x"));
    assert!(may(&below, Method::Get, "cities/SF/landmarks/x/y/z"));
    assert!(!may(&below, Method::Get, "towns/SF"));
    let everything = in_documents("match /{document=**} { allow get; }");
    assert!(may(&everything, Method::Get, "a/b"));
    assert!(may(&everything, Method::Get, "a/b/c/d"));
    let group = in_documents("match /{path=**}/songs/{song} { allow get; }");
    assert!(may(&group, Method::Get, "songs/a"));
    assert!(may(&group, Method::Get, "albums/x/songs/a"));
    assert!(may(&group, Method::Get, "songs/x/songs/a"));
    assert!(!may(&group, Method::Get, "albums/x"));
    assert!(!may(&group, Method::Get, "songs/a/parts/b"));
}

#[test]
fn a_recursive_wildcard_of_version_1_matches_at_least_one_segment() {
    let rules = Ruleset::parse(
        "service cloud.firestore { match /databases/{d}/documents { \
         match /cities/{city}/{rest=**} { allow get; } } }",
    )
    .unwrap();
    assert!(!may(&rules, Method::Get, "cities/SF"));
    assert!(may(&rules, Method::Get, "cities/SF/landmarks/x"));
    let inner = "rules_version = '1'; service cloud.firestore { match /{p=**}/songs/{s} { } }";
    let error = Ruleset::parse(inner).unwrap_err().to_string();
    assert!(error.contains("rules_version = '2'"), "{error}");
}

#[test]
fn wildcards_are_variables() {
    let rules = in_documents(
        "match /users/{user}/{rest=**} { allow get: if user == 'alice' && rest == /notes/n1; } \
         match /logs/{id} { allow get: if database == '(default)' && id == 'x'; }",
    );
    assert!(may(&rules, Method::Get, "users/alice/notes/n1"));
    assert!(!may(&rules, Method::Get, "users/alice/notes/n2"));
    assert!(!may(&rules, Method::Get, "users/bob/notes/n1"));
    assert!(may(&rules, Method::Get, "logs/x"));
}

#[test]
fn any_statement_that_allows_is_enough() {
    let rules = in_documents(
        "match /a/{b} { allow get: if false; allow get: if resource.data.missing; } \
         match /{c}/b { allow get: if true; }",
    );
    let states = [json!({}), json!({})];
    let decision = ask(&rules, &World::default(), json!(null), Method::Get, "a/b", states);
    assert!(decision.allowed);
    assert_eq!(decision.verdicts.len(), 3);
    assert!(!may(&rules, Method::Get, "a/c"));
}

#[test]
fn functions_see_the_variables_where_they_are_declared() {
    let rules = parse(
        "function isIt(a) { return a == 'x'; } \
         match /databases/{db}/documents { \
           function own(user) { let same = user == 'alice'; let both = same && db != ''; return both; } \
           match /users/{user} { \
             function mine() { return own(user) } \
             allow get: if mine(); allow list: if isIt(user); \
             match /private/{p} { allow get: if mine() && p == 'p'; \
               function mine2() { return mine(); } } \
           } }",
    );
    assert!(may(&rules, Method::Get, "users/alice"));
    assert!(!may(&rules, Method::Get, "users/bob"));
    assert!(may(&rules, Method::List, "users/x"));
    assert!(may(&rules, Method::Get, "users/alice/private/p"));
    assert!(!may(&rules, Method::Get, "users/alice/private/q"));
}

#[test]
fn an_inner_function_hides_an_outer_one() {
    let rules = in_documents(
        "function f() { return false; } \
         match /a/{b} { function f() { return true; } allow get: if f(); } \
         match /c/{d} { allow get: if f(); }",
    );
    assert!(may(&rules, Method::Get, "a/b"));
    assert!(!may(&rules, Method::Get, "c/d"));
}

#[test]
fn parameters_are_values_and_do_not_leak() {
    let rules = in_documents(
        "function add(a, b) { return a + b; } function twice(a) { let b = add(a, a); return b; } \
         match /a/{b} { allow get: if twice(2) == 4 && add(1, twice(1)) == 3 && b == 'b'; }",
    );
    assert!(may(&rules, Method::Get, "a/b"));
    let hidden = "match /a/{b} { function f(request) { return request; } allow get: if f(true); }";
    assert!(may(&in_documents(hidden), Method::Get, "a/b"));
    // The body of a function does not see the variables of its caller.
    let text = "function f() { return b == 'b'; } match /a/{b} { allow get: if f(); }";
    let text =
        format!("service cloud.firestore {{ match /databases/{{d}}/documents {{ {text} }} }}");
    assert!(Ruleset::parse(&text).unwrap_err().message.contains("unknown variable `b`"));
}

#[test]
fn a_let_that_fails_fails_only_where_it_is_used() {
    let rules = in_documents(
        "function f(free) { let role = resource.data.role; return free || role == 'admin'; } \
         match /a/{b} { allow get: if f(true); allow delete: if f(false); }",
    );
    assert!(may(&rules, Method::Get, "a/b"));
    assert!(!may(&rules, Method::Delete, "a/b"));
}

#[test]
fn resources_are_null_where_there_is_no_document() {
    let rules = in_documents(
        "match /a/{b} { allow create: if resource == null && request.resource != null; \
         allow update: if resource != null && request.resource != null; \
         allow delete: if request.resource == null; allow get: if resource == null; }",
    );
    let states = [
        (Method::Create, [json!(null), json!({})]),
        (Method::Update, [json!({}), json!({})]),
        (Method::Delete, [json!({}), json!(null)]),
        (Method::Get, [json!(null), json!(null)]),
    ];
    for (method, states) in states {
        let decision = ask(&rules, &World::default(), json!(null), method, "a/b", states);
        assert!(decision.allowed, "{method:?}: {decision}");
    }
}

#[test]
fn a_user_without_a_token_has_no_auth() {
    let rules = in_documents(
        "match /a/{b} { allow get: if request.auth == null; allow delete: if request.auth.uid != null; }",
    );
    assert!(may(&rules, Method::Get, "a/b"));
    assert!(!may(&rules, Method::Delete, "a/b"));
}

#[test]
fn comments_and_layout_do_not_matter() {
    let rules = in_documents(
        "// a line\n/* a\nblock */ match /a/{b} /* here */ { allow get // there\n : if /* and */ true\n }",
    );
    assert!(may(&rules, Method::Get, "a/b"));
    assert!(may(&in_documents("match /a/{b} {allow get:if true}"), Method::Get, "a/b"));
    assert!(may(&in_documents("match /a/{b=*} { allow get; }"), Method::Get, "a/b"));
}

#[test]
fn the_line_that_allowed_is_reported() {
    let rules = Ruleset::parse(
        "service cloud.firestore {\n match /{a=**} {\n  allow get: if false;\n  allow get: if true;\n }\n}",
    )
    .unwrap();
    let states = [json!({}), json!({})];
    let decision = ask(&rules, &World::default(), json!(null), Method::Get, "a/b", states);
    assert_eq!(decision.allowed_at(), Some(4));
    assert_eq!(decision.to_string(), "allowed: line 3: false; line 4: true");
}
