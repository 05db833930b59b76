//! Every command of docs/runbook.md is run with the built binary, on a store that has the damage that its
//! section is about, and prints what the section says.

use f0_learning::store::{GUARD, Store};
use f0_learning_core::document::FlagChanges;
use f0_learning_core::intent::Intent;
use f0_learning_core::observation::Outcome;
use f0_learning_core::time::HOUR_MS;
use serde_json::json;

use crate::collection;
use crate::support::process::{run_on, text};
use crate::support::{draft, fields, put, record, score, seeded_store};

/// A command of the page, and the lines that it prints there.
#[derive(Debug)]
struct Example {
    section: String,
    arguments: Vec<String>,
    printed: Vec<String>,
}

/// The examples of the page: lines of its consoles that begin with `$ f0-learning`.
fn examples() -> Vec<Example> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/runbook.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (mut section, mut is_console, mut found) = (String::new(), false, Vec::<Example>::new());
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.to_owned();
        } else if line.starts_with("```") {
            is_console = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ f0-learning ").filter(|_| is_console) {
            let arguments = command.split(' ').map(|it| it.trim_matches('\'').to_owned()).collect();
            found.push(Example { section: section.clone(), arguments, printed: Vec::new() });
        } else if is_console {
            found.last_mut().unwrap().printed.push(line.to_owned());
        }
    }
    found
}

/// Whether a line is as the page has it, where `...` stands for anything.
fn is_like(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    for (index, part) in pattern.split("...").map(str::trim).enumerate() {
        let Some(at) = rest.find(part) else { return false };
        if index == 0 && !rest.trim_start().starts_with(part) {
            return false;
        }
        rest = &rest[at + part.len()..];
    }
    pattern.ends_with("...") || rest.trim().is_empty()
}

/// Whether the lines of the page are among those that were printed, in their order.
fn prints(printed: &str, expected: &[String]) -> bool {
    let mut lines = printed.lines();
    expected.iter().filter(|it| *it != "...").all(|it| lines.any(|line| is_like(line, it)))
}

/// A store in the state that a section is about, at the present of its server.
async fn prepared(section: &str) -> Store {
    let store = seeded_store().await;
    let now = store.now().await.unwrap();
    let intent = |actor: &str| Intent::new(actor, now).because("a test");
    match section {
        "A job has stopped" => {
            record(&store, "c", Outcome::Success, 10.0, now - HOUR_MS).await;
            score(&store, now).await;
            put(&store, collection::STATE, "cursor", fields(&json!({ "ts": "yesterday" }))).await;
        }
        "The backlog grows" => {
            for n in 0..5 {
                record(&store, "c", Outcome::Success, 10.0, now - HOUR_MS + n).await;
            }
        }
        "Quarantine grows" => {
            let invalid = json!({
                "ts": now - HOUR_MS, "component": "router:gpt-5", "outcome": "ok", "durationMs": 5,
            });
            put(&store, collection::OBSERVATIONS, "x1", fields(&invalid)).await;
            score(&store, now).await;
        }
        "The guard rolled back a version" => {
            let key = draft(&store, "1.0.1", "1.0.0").await;
            store.activate(&key, false, &intent("ada")).await.unwrap();
            store.roll_back("router-core", None, &intent(GUARD)).await.unwrap();
        }
        "Tuning is switched off" => {
            let off = FlagChanges { enabled: Some(false), ..FlagChanges::default() };
            store.set_flags(off, &intent("ada")).await.unwrap();
        }
        "A policy has several active versions or none" => {
            let second = json!({
                "id": "router-core", "version": "1.0.1", "status": "active", "params": {},
            });
            put(&store, collection::POLICIES, "router-core@1.0.1", fields(&second)).await;
        }
        "A document cannot be read" => {
            record(&store, "router:gpt-5", Outcome::Success, 10.0, now - HOUR_MS).await;
            score(&store, now).await;
            let damaged = fields(&json!({ "format": 99 }));
            put(&store, collection::STATE, "series|router:gpt-5", damaged).await;
        }
        "A component is below the acceptable reward" => {
            for n in 0..5 {
                record(&store, "router:gpt-5", Outcome::Failure, 9_000.0, now - HOUR_MS / 2 + n)
                    .await;
            }
            score(&store, now).await;
        }
        "A draft waits" => {
            draft(&store, "1.0.1", "1.0.0").await;
        }
        _ => {}
    }
    store
}

#[tokio::test]
async fn every_command_of_the_runbook_prints_what_the_runbook_says() {
    let examples = examples();
    assert!(examples.len() > 15, "{}", examples.len());
    let (mut section, mut store, mut faults) = (String::new(), seeded_store().await, Vec::new());
    for Example { section: of, arguments, printed } in &examples {
        if *of != section {
            (section, store) = (of.clone(), prepared(of).await);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = run_on(&store, &arguments, &[("USER", "ada")]).await;
        let shown = text(&output.stdout) + &text(&output.stderr);
        let fails = printed.iter().any(|line| line.starts_with("error: "));
        if output.status.success() == fails || printed.is_empty() || !prints(&shown, printed) {
            faults.push(format!(
                "{of}: {arguments:?} {}\n{shown}\nexpected {printed:#?}",
                output.status
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn every_alert_leads_to_a_section() {
    let alerts = include_str!("../../deploy/monitoring/alerts.yaml");
    let page = include_str!("../../docs/runbook.md");
    let sections: Vec<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|title| title.to_lowercase().replace(' ', "-"))
        .collect();
    let anchors: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook: docs/runbook.md#"))
        .collect();
    assert!(anchors.len() > 10);
    for anchor in anchors {
        assert!(sections.iter().any(|it| it == anchor), "{anchor}: {sections:?}");
    }
}
