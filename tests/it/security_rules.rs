//! `firestore.rules`: who may do what with each collection, by role, collection and method.

use std::fmt::Write as _;

use firestore_local::rules::Ruleset;
use firestore_local::rules::testing::{Case, Report, parse, run};
use serde_json::{Value, json};

const RULES: &str = include_str!("../../firestore.rules");
const CASES: &str = include_str!("../rules/firestore.jsonl");
const SECURITY: &str = include_str!("../../docs/security.md");

/// Those who ask, with the claims of their tokens.
fn callers() -> [(&'static str, Value); 6] {
    [
        ("none", json!(null)),
        ("user", json!({"uid": "u"})),
        ("service", json!({"uid": "s", "role": "service", "component": "router"})),
        ("service without component", json!({"uid": "s", "role": "service"})),
        ("admin", json!({"uid": "root", "role": "admin"})),
        ("forged role", json!({"uid": "u", "role": ["admin"], "roles": "admin", "admin": true})),
    ]
}

/// The collections, with a valid document and its id.
fn collections() -> Vec<(&'static str, &'static str, Value)> {
    let now = json!(1_704_067_200_000_i64);
    let observation =
        json!({"component": "router:a", "outcome": "success", "ts": now, "durationMs": 12.5});
    let draft = json!({"id": "p", "version": "1.0.0", "status": "draft", "params": {},
        "createdBy": "root"});
    let entry = json!({"ts": now, "actor": "root", "action": "note", "id": "p"});
    vec![
        ("ops_observations", "0f6b2c1e-aaaa", observation),
        ("ops_rewards", "r", json!({"reward": 1})),
        ("ops_stats", "s", json!({"n": 1})),
        ("ops_policies", "p@1.0.0", draft),
        ("ops_audit", "a", entry),
        ("ops_experiments", "e", json!({})),
        ("ops_envelopes", "v", json!({})),
        ("config", "bounds", json!({})),
        ("config", "flags", json!({})),
        ("ops_quarantine", "q", json!({})),
        ("ops_state", "cursor", json!({})),
        ("anything", "x", json!({})),
    ]
}

/// What each caller may do with valid documents. Everything else is denied.
fn allowed(caller: &str, collection: &str, id: &str, method: &str) -> bool {
    let reads = matches!(method, "get" | "list");
    match (caller, collection) {
        ("service", "ops_observations") => reads || method == "create",
        ("service without component", "ops_observations") => reads,
        (
            "service" | "service without component" | "admin",
            "ops_observations" | "ops_rewards" | "ops_stats" | "ops_experiments" | "ops_envelopes",
        ) => reads,
        ("service" | "service without component", "ops_policies" | "config") => reads,
        ("admin", "ops_policies" | "ops_audit") => reads || method == "create",
        ("admin", "config") => reads || (id != "flags" && matches!(method, "create" | "update")),
        _ => false,
    }
}

fn rules() -> Ruleset {
    Ruleset::parse(RULES).unwrap_or_else(|error| panic!("{error}"))
}

fn case(value: Value) -> Case {
    serde_json::from_value(value).unwrap()
}

fn matrix() -> Vec<Case> {
    let mut cases = Vec::new();
    for (caller, who) in callers() {
        for (collection, id, document) in collections() {
            for method in ["get", "list", "create", "update", "delete"] {
                let path = match method {
                    "list" => collection.to_owned(),
                    _ => format!("{collection}/{id}"),
                };
                let has = |methods: &[&str]| {
                    if methods.contains(&method) { document.clone() } else { json!(null) }
                };
                let expected =
                    if allowed(caller, collection, id, method) { "allow" } else { "deny" };
                cases.push(case(json!({
                    "name": format!("{caller} {method} {collection}/{id}"), "who": who,
                    "method": method, "path": path, "expected": expected,
                    "before": has(&["get", "update", "delete"]), "after": has(&["create", "update"]),
                })));
            }
        }
    }
    cases
}

fn report() -> Report {
    let mut cases = matrix();
    cases.extend(parse(CASES).unwrap());
    run(&rules(), &cases).unwrap()
}

#[test]
fn every_caller_may_do_exactly_what_is_documented() {
    let report = report();
    assert_eq!(report.failed().count(), 0, "{report}");
}

#[test]
fn every_condition_is_seen_both_true_and_not_true() {
    let report = report();
    let open: Vec<String> = report
        .coverage
        .iter()
        .filter(|line| !line.is_complete())
        .map(|line| format!("{}: {}", line.at, line.text))
        .collect();
    assert!(open.is_empty(), "{}", open.join("\n"));
}

/// The table of `docs/security.md`.
fn table() -> String {
    let mut text = String::from("| Collection | service | admin |\n|---|---|---|\n");
    for (collection, id, _) in collections() {
        let may = |caller: &str| {
            let methods = ["get", "list", "create", "update", "delete"];
            let found: Vec<&str> = methods
                .into_iter()
                .filter(|method| allowed(caller, collection, id, method))
                .collect();
            if found.is_empty() { "nothing".to_owned() } else { found.join(", ") }
        };
        let name = match (collection, id) {
            ("config", "flags") => "`config/flags`".to_owned(),
            ("config", _) => "`config`, other documents".to_owned(),
            ("anything", _) => "any other".to_owned(),
            _ => format!("`{collection}`"),
        };
        let _ = writeln!(text, "| {name} | {} | {} |", may("service"), may("admin"));
    }
    text
}

#[test]
fn the_documented_table_is_that_of_the_tests() {
    let table = table();
    assert!(SECURITY.contains(&table), "docs/security.md lacks this table:\n{table}");
}

/// The rules without one condition of a conjunction, for each that has a line of its own.
fn weakened() -> Vec<(String, String)> {
    let lines: Vec<&str> = RULES.lines().collect();
    let conditions = (0..lines.len()).filter(|index| lines[*index].trim_start().starts_with("&& "));
    conditions
        .map(|index| {
            let mut rest: Vec<String> = lines.iter().map(ToString::to_string).collect();
            let removed = rest.remove(index);
            if removed.ends_with(';') {
                rest[index - 1].push(';');
            }
            (removed.trim().to_owned(), rest.join("\n"))
        })
        .collect()
}

#[test]
fn a_case_fails_if_a_condition_is_removed() {
    let mut cases = matrix();
    cases.extend(parse(CASES).unwrap());
    let weakened = weakened();
    assert!(weakened.len() > 20);
    let unnoticed: Vec<String> = weakened
        .into_iter()
        .filter(|(removed, text)| {
            let rules = Ruleset::parse(text).unwrap_or_else(|error| panic!("{removed}: {error}"));
            run(&rules, &cases).unwrap().failed().count() == 0
        })
        .map(|(removed, _)| removed)
        .collect();
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}
