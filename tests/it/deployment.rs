//! The files that are deployed with the binary: indexes and security rules.

use serde_json::{Value, json};

/// The indexes of the specification, and those that our own queries need.
#[test]
fn the_index_file_declares_every_index_of_the_specification() {
    let file: Value = serde_json::from_str(include_str!("../../firestore.indexes.json")).unwrap();
    let declared: Vec<_> = file["indexes"].as_array().unwrap().iter().collect();
    for (collection, first, second, direction) in [
        ("ops_observations", "component", "ts", "DESCENDING"),
        ("ops_rewards", "component", "ts", "DESCENDING"),
        ("ops_stats", "component", "window", "ASCENDING"),
        ("ops_policies", "id", "status", "ASCENDING"),
        ("ops_policies", "id", "createdAt", "DESCENDING"),
        ("ops_audit", "id", "ts", "DESCENDING"),
        ("ops_audit", "action", "ts", "DESCENDING"),
        ("ops_audit", "actor", "ts", "DESCENDING"),
    ] {
        let wanted = json!({
            "collectionGroup": collection,
            "queryScope": "COLLECTION",
            "fields": [
                { "fieldPath": first, "order": "ASCENDING" },
                { "fieldPath": second, "order": direction },
            ],
        });
        assert!(declared.contains(&&wanted), "{collection} ({first}, {second})");
    }
}

/// Every pass writes these collections, and only queries of the service read them: each field that no
/// query uses would cost two index entries a write.
#[test]
fn of_statistics_and_state_only_the_queried_fields_are_indexed() {
    let file: Value = serde_json::from_str(include_str!("../../firestore.indexes.json")).unwrap();
    let ascending = json!([{ "queryScope": "COLLECTION", "order": "ASCENDING" }]);
    for (collection, indexed) in
        [("ops_stats", vec!["component"]), ("ops_state", vec!["nextChange", "workerUntil"])]
    {
        let mut expected = vec![("*".to_owned(), json!([]))];
        expected.extend(indexed.iter().map(|field| ((*field).to_owned(), ascending.clone())));
        let overrides = file["fieldOverrides"].as_array().unwrap().iter();
        let found: Vec<_> = overrides
            .filter(|it| it["collectionGroup"] == collection)
            .map(|it| (it["fieldPath"].as_str().unwrap().to_owned(), it["indexes"].clone()))
            .collect();
        assert_eq!(found, expected, "{collection}");
    }
}

/// Every write pays for an index entry for each key of a map, and for a large value in each index.
#[test]
fn large_fields_that_no_query_uses_are_exempt_from_indexes() {
    let file: Value = serde_json::from_str(include_str!("../../firestore.indexes.json")).unwrap();
    let exempt = file["fieldOverrides"].as_array().unwrap();
    for (collection, field) in [
        ("ops_observations", "meta"),
        ("ops_rewards", "details"),
        ("ops_policies", "params"),
        ("ops_policies", "evidence"),
        ("ops_audit", "evidence"),
        ("ops_quarantine", "document"),
        ("ops_policies", "verdict"),
        ("ops_policies", "candidate"),
        ("ops_experiments", "comparison"),
        ("ops_experiments", "guard"),
    ] {
        let wanted = json!({ "collectionGroup": collection, "fieldPath": field, "indexes": [] });
        assert!(exempt.contains(&wanted), "{collection}.{field}");
    }
}

#[test]
fn the_security_rules_name_every_collection() {
    let rules = include_str!("../../firestore.rules");
    use crate::collection::*;
    for name in
        [OBSERVATIONS, REWARDS, STATS, POLICIES, AUDIT, EXPERIMENTS, QUARANTINE, STATE, CONFIG]
    {
        assert!(rules.contains(&format!("match /{name}/{{id}}")), "{name}");
    }
}

#[test]
fn the_image_and_the_service_are_as_the_security_page_says() {
    let image = include_str!("../../deploy/Dockerfile");
    let (build, last) = image.rsplit_once("\nFROM ").unwrap();
    assert!(build.contains("--profile dist --locked --no-default-features"));
    assert!(build.contains("-C target-feature=+crt-static"));
    assert!(last.starts_with("scratch\n") && last.contains("\nUSER 10001:10001\n"), "{last}");
    let copied: Vec<&str> = last.lines().filter(|line| line.starts_with("COPY")).collect();
    let [binary, roots] = copied[..] else { panic!("the image holds two files: {last}") };
    assert!(binary.ends_with("/f0-learning") && roots.ends_with("/ca-certificates.crt"), "{last}");
    let service = include_str!("../../deploy/service.yaml");
    assert!(service.contains("run.googleapis.com/ingress: internal"));
    let (_, token) = service.split_once("- name: ADMIN_TOKEN").unwrap();
    assert!(token.trim_start().starts_with("valueFrom:"), "the token is not in the file");
}
