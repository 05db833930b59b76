//! Stored texts cannot control the terminal or the log of who reads them.

use std::collections::BTreeSet;
use std::fs::File;

use f0_learning::observability::printable::is_hidden;
use f0_learning::store::Store;
use serde_json::{Value, json};

use crate::collection;
use crate::support::process::{Serve, environment, run, run_on, text, wait_until};
use crate::support::{START, document, draft, fields, put, record, score, seeded_store};

/// A title of the window, a bell, CSI in C1, a line that looks like another entry, marks of direction,
/// characters without a width.
const HOSTILE: &str =
    "x\u{1b}]0;owned\u{7}\u{9b}2K\r\nFORGED admin-token\u{202e}\u{2066}\u{200b}\u{2028}\u{feff}y";

/// What of [`HOSTILE`] people see.
const SEEN: &str = "FORGED";

/// How a command meets stored texts.
enum Meets {
    /// With these arguments, it shows [`SEEN`].
    Shows(&'static [&'static [&'static str]]),
    /// With these arguments, it prints; which texts depends on the state.
    Prints(&'static [&'static [&'static str]]),
    /// It runs until it is stopped, and logs: see the test of `serve`.
    Logs,
    /// It reads no project.
    None,
}

/// Every command. A new one fails the test until it is here.
const COMMANDS: &[(&str, Meets)] = &[
    ("dev", Meets::Logs),
    ("status", Meets::Shows(&[&["status"], &["status", "--json"]])),
    ("doctor", Meets::Shows(&[&["doctor"], &["doctor", "--output", "json"]])),
    ("top", Meets::Prints(&[&["top"], &["top", "-o", "json"]])),
    ("completions", Meets::None),
    ("man", Meets::None),
    ("serve", Meets::Logs),
    ("firestore", Meets::None),
    ("firestore meter", Meets::None),
    ("firestore indexes", Meets::None),
    ("firestore rules", Meets::None),
    ("simulate", Meets::None),
    // Before `score`, which removes windows that are over.
    ("stats", Meets::Shows(&[&["stats"], &["stats", "--json"]])),
    ("seed", Meets::Prints(&[&["seed"]])),
    ("score", Meets::Prints(&[&["score"]])),
    ("reconcile", Meets::Prints(&[&["reconcile", "--full"]])),
    ("retain", Meets::Prints(&[&["retain", "--archive-url", "/dev/null/none"]])),
    ("rebuild", Meets::Shows(&[&["rebuild", "--document", "ops_state/HOSTILE"]])),
    ("verify", Meets::Shows(&[&["verify"]])),
    ("clock show", Meets::Prints(&[&["clock", "show"]])),
    ("clock accept", Meets::Prints(&[&["clock", "accept"]])),
    ("tune", Meets::Shows(&[&["tune"]])),
    ("guard", Meets::Shows(&[&["guard"]])),
    ("observations import", Meets::Shows(&[&["observations", "import", "IMPORT"]])),
    (
        "observations quarantined",
        Meets::Shows(&[
            &["observations", "quarantined"],
            &["observations", "quarantined", "--json"],
        ]),
    ),
    ("observations requeue", Meets::Shows(&[&["observations", "requeue", "--all"]])),
    (
        "observations list",
        Meets::Shows(&[&["observations", "list"], &["observations", "list", "--json"]]),
    ),
    ("policies list", Meets::Shows(&[&["policies", "list"], &["policies", "list", "--json"]])),
    (
        "policies show",
        Meets::Shows(&[
            &["policies", "show", "router-core"],
            &["policies", "show", "router-core", "--json"],
            &["policies", "show", "router-core@1.0.0"],
            &["policies", "show", "router-core@1.0.0", "--json"],
            &["policies", "show", "HOSTILE"],
        ]),
    ),
    (
        "policies diff",
        Meets::Shows(&[
            &["policies", "diff", "router-core@1.0.1"],
            &["policies", "diff", "router-core@1.0.1", "--json"],
        ]),
    ),
    (
        "policies history",
        Meets::Prints(&[
            &["policies", "history", "router-core"],
            &["policies", "history", "router-core", "--json"],
        ]),
    ),
    (
        "policies create",
        Meets::Prints(&[&["policies", "create", "--id", "HOSTILE", "--weights", "a=1", "-y"]]),
    ),
    ("policies replay", Meets::Prints(&[&["policies", "replay", "router-core@1.0.1"]])),
    ("policies activate", Meets::Prints(&[&["policies", "activate", "router-core@1.0.1"]])),
    ("policies reject", Meets::Shows(&[&["policies", "reject", "HOSTILE"]])),
    ("policies override", Meets::Prints(&[&["policies", "override", "HOSTILE", "--set", "a=1"]])),
    (
        "policies pin",
        Meets::Prints(&[&[
            "policies",
            "pin",
            "router-core",
            "--reason",
            "r",
            "--actor",
            "HOSTILE",
        ]]),
    ),
    ("policies unpin", Meets::Shows(&[&["policies", "unpin", "HOSTILE"]])),
    ("policies rollback", Meets::Shows(&[&["policies", "rollback", "HOSTILE"]])),
    ("policies repair", Meets::Shows(&[&["policies", "repair", "HOSTILE"]])),
    (
        "policies envelope show",
        Meets::Shows(&[
            &["policies", "envelope", "show", "router-core"],
            &["policies", "envelope", "show", "HOSTILE"],
        ]),
    ),
    ("policies envelope approve", Meets::Shows(&[&["policies", "envelope", "approve", "HOSTILE"]])),
    ("policies envelope freeze", Meets::Shows(&[&["policies", "envelope", "freeze", "HOSTILE"]])),
    ("experiments start", Meets::Shows(&[&["experiments", "start", "HOSTILE"]])),
    ("experiments estimate", Meets::Shows(&[&["experiments", "estimate", "HOSTILE"]])),
    (
        "experiments list",
        Meets::Shows(&[&["experiments", "list"], &["experiments", "list", "--json"]]),
    ),
    (
        "experiments show",
        Meets::Shows(&[
            &["experiments", "show", "e-1"],
            &["experiments", "show", "e-1", "--json"],
            &["experiments", "show", "HOSTILE"],
        ]),
    ),
    ("experiments stop", Meets::Shows(&[&["experiments", "stop", "HOSTILE"]])),
    ("audit", Meets::Shows(&[&["audit"], &["audit", "--json"]])),
    (
        "config get",
        Meets::Shows(&[
            &["config", "get"],
            &["config", "get", "tuning"],
            &["config", "get", "tuning", "-o", "yaml"],
        ]),
    ),
    ("config set", Meets::Shows(&[&["config", "set", "tuning", "version=2", "--yes"]])),
    ("config validate", Meets::Shows(&[&["config", "validate"]])),
    ("config diff", Meets::Shows(&[&["config", "diff", "tuning"]])),
    ("flags get", Meets::Shows(&[&["flags", "get"]])),
    (
        "flags set",
        Meets::Prints(&[&["flags", "set", "learning.enabled=true", "--reason", "HOSTILE"]]),
    ),
];

/// The commands that the help of a command lists; none for one without further commands.
fn listed(path: &[&str]) -> Vec<String> {
    let help = text(&run(&[path, &["--help"]].concat(), &[]).stdout);
    let Some((_, after)) = help.split_once("Commands:\n") else { return Vec::new() };
    let lines = after.lines().take_while(|line| !line.is_empty());
    // The texts of commands that need several lines are indented further.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The paths of all commands that do something.
fn leaves(path: &[&str], found: &mut BTreeSet<String>) {
    let below = listed(path);
    // `firestore` also runs without a further command; what is below is of the local Firestore.
    if below.is_empty() || path == ["firestore"] {
        found.insert(path.join(" "));
    }
    for name in below {
        match path {
            ["firestore"] => drop(found.insert(format!("firestore {name}"))),
            _ => leaves(&[path, &[name.as_str()]].concat(), found),
        }
    }
}

#[test]
fn every_command_is_tested_with_hostile_texts() {
    let mut found = BTreeSet::new();
    leaves(&[], &mut found);
    let known: BTreeSet<String> = COMMANDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, known);
}

/// A project in which every text that people or components may write is hostile.
async fn hostile_store() -> Store {
    let store = seeded_store().await;
    draft(&store, "1.0.1", "1.0.0").await;
    record(&store, "c", f0_learning_core::observation::Outcome::Success, 10.0, START).await;
    score(&store, START + 1).await;

    let mut active = document(&store, collection::POLICIES, "router-core@1.0.0").await.unwrap();
    for field in ["notes", "createdBy", "activatedBy", "pinReason", "pinnedBy"] {
        active.insert(field.to_owned(), json!(HOSTILE));
    }
    active.insert("activatedAt".to_owned(), json!(START));
    active.insert("pinned".to_owned(), json!(true));
    active["params"][HOSTILE] = json!(HOSTILE);
    let put_json = async |collection: &str, id: &str, json: &Value| {
        put(&store, collection, id, fields(json)).await;
    };
    put_json(collection::POLICIES, "router-core@1.0.0", &json!(active)).await;
    put_json(
        collection::POLICIES,
        "broken@1.0.0",
        &json!({ "id": "broken", "version": HOSTILE, "status": "active", "params": {} }),
    )
    .await;

    for id in ["a-1", HOSTILE] {
        put_json(
            collection::AUDIT,
            id,
            &json!({ "ts": START, "actor": HOSTILE, "actorName": HOSTILE, "action": HOSTILE,
                "id": HOSTILE, "from": HOSTILE, "to": HOSTILE, "reason": HOSTILE }),
        )
        .await;
    }
    put_json(
        collection::QUARANTINE,
        HOSTILE,
        &json!({ "obsId": HOSTILE, "ts": START, "component": HOSTILE, "field": "component",
            "reason": HOSTILE }),
    )
    .await;
    put_json(
        collection::OBSERVATIONS,
        HOSTILE,
        &json!({ "ts": START, "component": HOSTILE, "outcome": HOSTILE, "errorCode": HOSTILE,
            "policyVersion": HOSTILE, "id": HOSTILE }),
    )
    .await;
    put_json(
        collection::EXPERIMENTS,
        "e-1",
        &json!({ "id": "e-1", "policy": "router-core", "kind": "ab", "control": "1.0.0",
            "candidate": "1.0.1", "metric": "reward", "open": true, "share": 0.1, "stage": 0,
            "status": "running", "startedAt": START, "stageStartedAt": START, "startedBy": HOSTILE,
            "endedAt": START, "endedBy": HOSTILE, "reason": HOSTILE,
            "guard": { "alpha": 0.05, "minEffect": 0.01, "minSamples": 100, "minSampleRate": 1.0,
                "stageMinutes": 60, "watchHours": 24, "maxDays": 14,
                "guardrails": { "reward": 0.02, "successRate": 0.02, "p95Latency": 1.25,
                    "costUsd": 1.25, "rejectedShare": 0.01 } } }),
    )
    .await;
    put_json(
        collection::EXPERIMENTS,
        HOSTILE,
        &json!({ "policy": HOSTILE, "open": true, "status": HOSTILE }),
    )
    .await;
    let mut stats = document(&store, collection::STATS, "c|7d").await.unwrap();
    stats.insert("component".to_owned(), json!(HOSTILE));
    put_json(collection::STATS, "c|7d", &json!(stats)).await;
    put_json(collection::STATE, HOSTILE, &json!({ "n": 1 })).await;
    put_json(
        "ops_envelopes",
        "router-core",
        &json!({ "policy": "router-core", "number": HOSTILE, HOSTILE: HOSTILE }),
    )
    .await;
    put_json(
        collection::CONFIG,
        "tuning",
        &json!({ HOSTILE: 1, "policies": { "router-core": { "component": "router:{arm}" } } }),
    )
    .await;
    put_json(collection::CONFIG, "flags", &json!({ "learning": { HOSTILE: true } })).await;
    store
}

/// What is wrong with the output, if anything. Notes have lines of their own, which are indented.
fn fault(output: &str) -> Option<String> {
    let is_raw = |symbol: char| symbol != '\n' && is_hidden(symbol);
    let is_forged = |line: &str| {
        let text = line.trim_start();
        text.starts_with(SEEN) && line.len() - text.len() <= 2
    };
    match (output.contains(is_raw), output.lines().any(is_forged)) {
        (true, _) => Some(format!("a raw character in {output:?}")),
        (false, true) => Some(format!("a forged line in {output}")),
        (false, false) => None,
    }
}

#[tokio::test]
async fn no_command_prints_a_character_that_controls_the_terminal() {
    let store = hostile_store().await;
    let folder = tempfile::tempdir().unwrap();
    let import = folder.path().join("import.jsonl");
    let line = json!({ "id": format!("{HOSTILE}/"), "ts": START, "component": HOSTILE });
    std::fs::write(&import, format!("{line}\n{line}\n")).unwrap();
    let mut faults = Vec::new();
    for (name, meets) in COMMANDS {
        let (runs, shows) = match meets {
            Meets::Shows(runs) => (*runs, true),
            Meets::Prints(runs) => (*runs, false),
            Meets::Logs | Meets::None => continue,
        };
        for arguments in runs {
            let arguments: Vec<String> = arguments
                .iter()
                .map(|it| {
                    it.replace("HOSTILE", HOSTILE).replace("IMPORT", import.to_str().unwrap())
                })
                .collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let output = run_on(&store, &arguments, &[]).await;
            let (out, error) = (text(&output.stdout), text(&output.stderr));
            let found = [&out, &error].into_iter().filter_map(|it| fault(it));
            faults.extend(found.map(|it| format!("{name}: {it}")));
            let is_json = serde_json::from_str::<Value>(&out).is_ok();
            if arguments.contains(&"--json") && output.status.success() && !is_json {
                faults.push(format!("{name}: no JSON: {out}"));
            }
            if shows && !out.contains(SEEN) && !error.contains(SEEN) {
                faults.push(format!("{name}: nothing hostile was shown: {out}{error}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn json_output_holds_the_stored_text_itself() {
    let store = hostile_store().await;
    let shown = text(&run_on(&store, &["audit", "--json"], &[]).await.stdout);
    let entries: Value = serde_json::from_str(&shown).unwrap();
    let reasons: Vec<_> = entries
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["entry"]["reason"].as_str())
        .collect();
    assert!(reasons.contains(&HOSTILE), "{reasons:?}");
}

#[tokio::test]
async fn no_line_of_a_log_holds_a_character_that_controls_the_terminal() {
    for format in ["text", "json"] {
        let store = hostile_store().await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let [address, project] = environment(&store).await;
        let every_second = [("TUNE_CRON", "* * * * * *"), ("SCORE_CRON", "* * * * * *")];
        let mut variables =
            vec![("LOG_FORMAT", format), ("RUST_LOG", "info"), (project.0, &project.1)];
        variables.extend(every_second);
        let log = File::create(&path).unwrap();
        let serve = Serve::start(&address.1, &[], &variables, log);
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        wait_until("a hostile text in the log", async || read().contains(SEEN)).await;
        serve.stop();
        let log = read();
        assert_eq!(fault(&log), None, "{format}");
        if format == "json" {
            for line in log.lines() {
                serde_json::from_str::<Value>(line).unwrap_or_else(|it| panic!("{line}: {it}"));
            }
        }
    }
}

#[tokio::test]
async fn a_person_cannot_act_under_the_name_of_a_job_or_with_control_characters() {
    let store = seeded_store().await;
    let pin = |actor: &'static str, reason: &'static str| {
        ["policies", "pin", "router-core", "--actor", actor, "--reason", reason]
    };
    for (actor, reason, expected) in [
        ("admin-token", "r", "one that the service uses itself"),
        ("policy-updater", "r", "one that the service uses itself"),
        ("Policy-Guard", "r", "one that the service uses itself"),
        ("firebase:ada", "r", "one that the service uses itself"),
        ("ada\u{1b}[2K", "r", "invalid actor: expected no control characters"),
        ("ada", "r\nforged", "invalid reason: expected no control characters"),
    ] {
        let output = run_on(&store, &pin(actor, reason), &[]).await;
        let error = text(&output.stderr);
        assert!(!output.status.success() && error.contains(expected), "{actor}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    // The name in the environment is not believed either.
    let pinned = ["policies", "pin", "router-core", "--reason", "r"];
    let output = run_on(&store, &pinned, &[("USER", "policy-updater")]).await;
    assert!(!output.status.success());
    assert!(run_on(&store, &pin("ada", "r"), &[]).await.status.success());
}
