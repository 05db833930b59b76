//! Queries: allowed only if every document that they could find is.

use serde_json::{Value as Json, json};

use super::testing::{Case, run};
use super::*;

/// Checks queries given as `where` and other properties, with whether they are allowed.
fn check(condition: &str, path: &str, cases: &[(Json, bool)]) {
    let body = format!(
        "rules_version = '2'; service cloud.firestore {{ match /databases/{{database}}/documents {{ \
         match /stories/{{doc}} {{ allow list: if {condition}; }} \
         match /{{path=**}}/posts/{{doc}} {{ allow list: if {condition}; }} \
         match /users/{{user}}/notes/{{doc}} {{ allow list: if {condition}; }} }} }}"
    );
    let rules = Ruleset::parse(&body).unwrap_or_else(|error| panic!("{condition}: {error}"));
    for (properties, expected) in cases {
        let mut case = json!({"method": "list", "path": path, "who": {"uid": "alice"},
            "documents": {"users/alice": {"role": "admin"}},
            "expected": if *expected { "allow" } else { "deny" }});
        for (key, value) in properties.as_object().unwrap() {
            case[key] = value.clone();
        }
        let case: Case = serde_json::from_value(case).unwrap();
        let report = run(&rules, &[case]).unwrap();
        let failure = &report.results[0].failure;
        assert!(failure.is_none(), "{condition} {properties}: {failure:?}");
    }
}

fn whose(filters: Json) -> Json {
    json!({ "where": filters })
}

#[test]
fn equalities_prove_conditions() {
    check(
        "resource.data.author == request.auth.uid",
        "stories",
        &[
            (json!({}), false),
            (whose(json!([["author", "==", "alice"]])), true),
            (whose(json!([["author", "==", "bob"]])), false),
            (whose(json!([["title", "==", "alice"]])), false),
            (whose(json!([["author", "==", "alice"], ["title", ">", "a"]])), true),
            (whose(json!([["author", "in", ["alice"]]])), true),
            (whose(json!([["author", "in", ["alice", "bob"]]])), false),
            (whose(json!([["author", "!=", "bob"]])), false),
            (whose(json!([["author", ">=", "alice"], ["author", "<=", "alice"]])), false),
        ],
    );
}

#[test]
fn one_side_of_an_or_is_enough() {
    check(
        "resource.data.published == true || resource.data.author == request.auth.uid",
        "stories",
        &[
            (json!({}), false),
            (whose(json!([["published", "==", true]])), true),
            (whose(json!([["author", "==", "alice"]])), true),
            (whose(json!([["published", "==", false]])), false),
            (whose(json!([["published", "==", false], ["author", "==", "alice"]])), true),
        ],
    );
}

#[test]
fn both_sides_of_an_and_are_needed() {
    check(
        "resource.data.published && resource.data.author == request.auth.uid",
        "stories",
        &[
            (whose(json!([["published", "==", true]])), false),
            (whose(json!([["published", "==", true], ["author", "==", "alice"]])), true),
        ],
    );
}

#[test]
fn ranges_prove_comparisons() {
    check(
        "resource.data.age >= 18",
        "stories",
        &[
            (json!({}), false),
            (whose(json!([["age", ">=", 18]])), true),
            (whose(json!([["age", ">", 18]])), true),
            (whose(json!([["age", ">", 17]])), false),
            (whose(json!([["age", "==", 20]])), true),
            (whose(json!([["age", "in", [18, 40]]])), true),
            (whose(json!([["age", "in", [17, 40]]])), false),
            (whose(json!([["age", "<", 20]])), false),
            (json!({"order_by": ["age"]}), false),
        ],
    );
    check(
        "18 > resource.data.age && resource.data.age != 7",
        "stories",
        &[
            (whose(json!([["age", "<", 7]])), true),
            (whose(json!([["age", "<=", 17], ["age", ">", 7]])), true),
            (whose(json!([["age", "<", 18], ["age", "!=", 7]])), true),
            (whose(json!([["age", "<", 18]])), false),
            (whose(json!([["age", "<=", 18], ["age", "not-in", [6, 7]]])), false),
            (whose(json!([["age", "<", 18], ["age", "not-in", [6, 7]]])), true),
        ],
    );
    check(
        "resource.data.at < request.time",
        "stories",
        &[
            (whose(json!([["at", "<", {"$now": 0}]])), true),
            (whose(json!([["at", "<", {"$now": 60}]])), false),
        ],
    );
}

#[test]
fn array_contains_proves_membership() {
    check(
        "request.auth.uid in resource.data.members",
        "stories",
        &[
            (json!({}), false),
            (whose(json!([["members", "array-contains", "alice"]])), true),
            (whose(json!([["members", "array-contains", "bob"]])), false),
            (whose(json!([["members", "array-contains-any", ["alice", "bob"]]])), false),
            (whose(json!([["members", "==", ["bob", "alice"]]])), true),
        ],
    );
    check(
        "resource.data.members.hasAny(['alice', 'carol'])",
        "stories",
        &[
            (whose(json!([["members", "array-contains", "alice"]])), true),
            (whose(json!([["members", "array-contains-any", ["alice", "carol"]]])), true),
            (whose(json!([["members", "array-contains-any", ["alice", "bob"]]])), false),
        ],
    );
}

#[test]
fn fields_inside_of_maps_can_be_fixed() {
    check(
        "resource.data.owner.uid == request.auth.uid && 'uid' in resource.data.owner",
        "stories",
        &[
            (whose(json!([["owner.uid", "==", "alice"]])), true),
            (whose(json!([["owner.uid", "==", "bob"]])), false),
            (whose(json!([["owner", "==", {"$path": "x"}]])), false),
            (json!({}), false),
        ],
    );
    check(
        "resource.data.get('state', 'draft') == 'public' && resource.data.get(['a', 'b'], 0) == 1",
        "stories",
        &[
            (whose(json!([["state", "==", "public"], ["a.b", "==", 1]])), true),
            (whose(json!([["state", "==", "public"]])), false),
        ],
    );
}

#[test]
fn what_depends_on_other_fields_is_denied() {
    for condition in [
        "resource.data.keys().hasOnly(['a'])",
        "resource.data.size() < 5",
        "!('secret' in resource.data)",
        "resource.data.secret != true",
        "!(resource.data.secret == true)",
        "resource.data.title.matches('a.*')",
        "doc != 'secret'",
        "resource.id != 'secret'",
        "request.path[4] != 'secret'",
        "get(/databases/$(database)/documents/users/$(doc)).data.role == 'admin'",
        "exists(/databases/$(database)/documents/users/$(resource.data.author))",
        "resource.data.secret ? false : true",
        "resource.data.a is string",
        "[resource.data.a].size() == 1",
        "resource.data.a == resource.data.a",
    ] {
        check(condition, "stories", &[(json!({}), false)]);
    }
}

#[test]
fn a_condition_that_may_fail_for_a_document_proves_nothing() {
    let a = || whose(json!([["a", ">", 1]]));
    for condition in [
        "resource.data.b ? true : true",
        "resource.data.a ? true : true",
        "[true, resource.data.b][0]",
        "{'x': true, 'y': resource.data.b}.x",
        "{'x': true}.get('x', resource.data.b)",
        "resource.data.a.hasAll([])",
        "first(true, resource.data.b)",
    ] {
        let rules = Ruleset::parse(&format!(
            "service cloud.firestore {{ match /databases/{{d}}/documents {{ \
             function first(x, y) {{ return x; }} \
             match /stories/{{id}} {{ allow list: if {condition}; }} }} }}"
        ));
        let mut case = json!({"method": "list", "path": "stories", "expected": "deny"});
        case["where"] = a()["where"].clone();
        let report = run(&rules.unwrap(), &[serde_json::from_value(case).unwrap()]).unwrap();
        assert_eq!(report.failed().count(), 0, "{condition}: {report}");
    }
    // What the query fixes, and wildcards, cannot fail.
    check("[true, resource.data.a][0]", "stories", &[(a(), true)]);
    check("[true, doc][0] && {'x': resource.id, 'y': true}.y", "stories", &[(json!({}), true)]);
}

#[test]
fn a_query_for_a_whole_number_finds_integers_and_doubles() {
    // 1 and 1.0 compare equal in queries, so neither type is proven by either.
    let one = || whose(json!([["n", "==", 1]]));
    let float = || whose(json!([["n", "==", {"$float": 1.0}]]));
    let half = || whose(json!([["n", "==", 1.5]]));
    for (condition, whole, fraction) in [
        ("resource.data.n is int", false, false),
        ("resource.data.n is float", false, true),
        ("!(resource.data.n is int)", false, true),
        ("resource.data.n is number", true, true),
        ("!(resource.data.n is string)", true, true),
        ("resource.data.n is string || resource.data.n < 2", true, true),
        ("resource.data.n == 1 || resource.data.n == 1.5", true, true),
        ("resource.data.n in [1.0, 1.5]", true, true),
        ("resource.data.n != 2", true, true),
        ("2 > resource.data.n", true, true),
        ("resource.data.n == resource.data.n", true, true),
        ("resource.data.n > 1", false, true),
        // 1 / 2 is 0, and 1.0 / 2 is 0.5.
        ("resource.data.n / 2 == 0", false, false),
        ("string(resource.data.n) == '1'", false, false),
    ] {
        check(condition, "stories", &[(one(), whole), (float(), whole), (half(), fraction)]);
    }
    let list = || whose(json!([["n", "==", [1]], ["m", "==", {"a": 1}]]));
    check("resource.data.n[0] is int", "stories", &[(list(), false)]);
    check("resource.data.m.a is int", "stories", &[(list(), false)]);
    check(
        "resource.data.n[0] == 1 && resource.data.m.a == 1 && resource.data.m == {'a': 1.0}",
        "stories",
        &[(list(), true)],
    );
    check("resource.data.n == [1]", "stories", &[(list(), true)]);
    let some = || whose(json!([["n", "in", [1, 2]]]));
    check("resource.data.n is int", "stories", &[(some(), false)]);
    check("resource.data.n <= 2 && resource.data.n is number", "stories", &[(some(), true)]);
    let large = || whose(json!([["n", "==", {"$float": 1e300}]]));
    check("resource.data.n is float", "stories", &[(large(), true)]);
}

#[test]
fn what_depends_on_no_field_is_decided() {
    check("request.auth != null", "stories", &[(json!({}), true), (json!({"who": null}), false)]);
    check("resource != null", "stories", &[(json!({}), true)]);
    check("resource.data.x == 1 || true", "stories", &[(json!({}), true)]);
    check("resource.data.x == 1 && false", "stories", &[(json!({}), false)]);
    let role =
        "get(/databases/$(database)/documents/users/$(request.auth.uid)).data.role == 'admin'";
    check(role, "stories", &[(json!({}), true), (json!({"who": {"uid": "bob"}}), false)]);
}

#[test]
fn the_properties_of_a_query_are_visible() {
    check(
        "request.query.limit <= 10",
        "stories",
        &[(json!({}), false), (json!({"limit": 10}), true), (json!({"limit": 11}), false)],
    );
    check(
        "request.query.offset == 0 && request.query.orderBy == ['title ASC', 'age DESC']",
        "stories",
        &[
            (json!({"order_by": ["title", "age desc"]}), true),
            (json!({"order_by": ["title", "age desc"], "offset": 1}), false),
            (json!({"order_by": ["title"]}), false),
        ],
    );
    check("'title' in resource.data", "stories", &[(json!({"order_by": ["title"]}), true)]);
}

#[test]
fn a_condition_on_the_name_fixes_the_document() {
    let name = |id: &str| json!([["__name__", "==", {"$path": format!("stories/{id}")}]]);
    check(
        "doc == 'mine' && resource.id == 'mine'",
        "stories",
        &[(whose(name("mine")), true), (whose(name("other")), false), (json!({}), false)],
    );
}

#[test]
fn a_group_needs_a_recursive_wildcard() {
    check("true", "stories", &[(json!({}), true), (json!({"group": true}), false)]);
    check("true", "posts", &[(json!({}), true), (json!({"group": true}), true)]);
    check("true", "forums/x/posts", &[(json!({}), true)]);
    check("doc != 'x'", "posts", &[(json!({"group": true}), false)]);
    let own = whose(json!([["author", "==", "alice"]]));
    let group = json!({"group": true, "where": [["author", "==", "alice"]]});
    check(
        "resource.data.author == request.auth.uid",
        "posts",
        &[(own, true), (group, true), (json!({"group": true}), false)],
    );
}

#[test]
fn the_known_part_of_a_path_is_a_variable() {
    check("request.auth != null", "users/alice/notes", &[(json!({}), true)]);
    let rules = Ruleset::parse(
        "service cloud.firestore { match /databases/{d}/documents { match /users/{user}/notes/{n} { \
         allow list: if user == request.auth.uid; } } }",
    )
    .unwrap();
    for (path, expected) in [("users/alice/notes", "allow"), ("users/bob/notes", "deny")] {
        let case =
            json!({"method": "list", "path": path, "who": {"uid": "alice"}, "expected": expected});
        let report = run(&rules, &[serde_json::from_value(case).unwrap()]).unwrap();
        assert_eq!(report.failed().count(), 0, "{report}");
    }
}
