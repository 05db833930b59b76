//! What people see in the terminal: status, changes of the configuration, tables
//! that fit, short ids, and the commands of the quick start.

mod doctor;
mod pty;

use std::process::Output;

use f0_learning::store::{AuditFilter, Store};
use f0_learning_core::observation::Outcome;
use f0_learning_core::policy::PolicyStatus;
use serde_json::{Value, json};

use crate::collection;
use crate::support::process::{run, run_on, text};
use crate::support::{
    START, document, draft, empty_store, fields, put, record, score, seeded_store, statuses,
};

async fn shown(store: &Store, arguments: &[&str]) -> String {
    let output = run_on(store, arguments, &[]).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

async fn refused(store: &Store, arguments: &[&str]) -> String {
    let output = run_on(store, arguments, &[]).await;
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

async fn json_of(store: &Store, arguments: &[&str]) -> Value {
    serde_json::from_str(&shown(store, arguments).await).unwrap()
}

#[tokio::test]
async fn status_names_what_waits_what_is_wrong_and_the_command_to_type() {
    let store = seeded_store().await;
    draft(&store, "1.0.1", "1.0.0").await;
    let status = shown(&store, &["status"]).await;
    assert!(status.contains(&format!("project {}", store.project())), "{status}");
    assert!(status.contains("draft router-core@1.0.1: expected gain +0.010"), "{status}");
    assert!(status.contains("next: f0-learning policies activate router-core@1.0.1"), "{status}");
    put(&store, collection::CONFIG, "tuning", fields(&json!({ "guard": { "alpha": 7 } }))).await;
    let status = json_of(&store, &["status", "--output", "json"]).await;
    let trouble = &status["troubles"][0];
    assert!(trouble["what"].as_str().unwrap().contains("guard.alpha is 7"), "{trouble}");
    assert_eq!(status["next"], "f0-learning seed --only config/tuning");
    assert_eq!(status["waiting"][0]["version"], "router-core@1.0.1");
}

#[tokio::test]
async fn status_names_an_active_version_that_cannot_be_read_and_a_cursor_that_stands() {
    let store = seeded_store().await;
    let broken = json!({ "id": "other", "version": "1.0.0", "status": "active", "params": 7 });
    put(&store, collection::POLICIES, "other@1.0.0", fields(&broken)).await;
    let now = store.now().await.unwrap();
    record(&store, "c", Outcome::Success, 10.0, now - 3_600_000).await;
    let status = json_of(&store, &["status", "--output", "json"]).await;
    let troubles = status["troubles"].as_array().unwrap();
    let find = |part: &str| {
        let found = troubles.iter().find(|it| it["what"].as_str().unwrap().contains(part));
        found.unwrap_or_else(|| panic!("{part}: {troubles:?}"))["command"].clone()
    };
    assert_eq!(
        find("other@1.0.0 is active but cannot be read"),
        "f0-learning policies rollback other"
    );
    assert_eq!(find("1 observation waits"), "f0-learning score");
}

#[tokio::test]
async fn a_configuration_is_shown_checked_compared_and_changed_with_its_audit_entry() {
    let store = seeded_store().await;
    let config = json_of(&store, &["config", "get", "reward_config", "-o", "json"]).await;
    assert_eq!(config["weights"]["latency"], 0.25);
    let differs = shown(&store, &["config", "diff", "tuning"]).await;
    assert!(differs.contains("policies.router-core.allocation"), "{differs}");
    assert!(shown(&store, &["config", "diff", "flags"]).await.contains("are equal"));

    let set = ["config", "set", "reward_config", "weights.latency=0.3"];
    let unasked = refused(&store, &set).await;
    assert!(unasked.contains("pass --yes"), "{unasked}");
    let set = [&set[..], &["--yes", "--reason", "slow arms", "--actor", "ada"]].concat();
    let done = shown(&store, &set).await;
    assert!(done.contains("0.25"), "{done}");
    let stored = document(&store, collection::CONFIG, "reward_config").await.unwrap();
    assert_eq!(stored["weights"]["latency"], 0.3);
    let entry = &store.audit(&AuditFilter::default(), 1).await.unwrap()[0].entry;
    assert_eq!((entry.action.as_str(), entry.actor.as_str()), ("config", "ada"));
    assert_eq!(entry.reason.as_deref(), Some("slow arms"));

    for (path, expected) in
        [("weights.latency=-1", "must be between"), ("weights.latncy=1", "did you mean `latency`?")]
    {
        let why = refused(&store, &["config", "set", "reward_config", path, "--yes"]).await;
        assert!(why.contains(expected), "{why}");
    }
    assert!(shown(&store, &["config", "validate"]).await.contains("config/tuning: valid"));
    put(&store, collection::CONFIG, "scoring", fields(&json!({ "shards": 100_000 }))).await;
    let why = refused(&store, &["config", "validate"]).await;
    assert!(why.contains("1 document of project"), "{why}");
}

#[tokio::test]
async fn a_file_is_checked_without_a_change_and_replaces_a_document() {
    let store = seeded_store().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tuning.json");
    let mut tuning = document(&store, collection::CONFIG, "tuning").await.unwrap();
    tuning["guard"]["maxDays"] = json!(7);
    std::fs::write(&file, json!(tuning).to_string()).unwrap();
    let file = file.to_str().unwrap();
    assert!(shown(&store, &["config", "validate", "tuning", file]).await.contains("is valid"));
    let differs = shown(&store, &["config", "diff", "tuning", file]).await;
    assert!(differs.contains("guard.maxDays"), "{differs}");
    shown(&store, &["config", "set", "tuning", "--file", file, "--yes"]).await;
    let stored = document(&store, collection::CONFIG, "tuning").await.unwrap();
    assert_eq!(stored["guard"]["maxDays"], 7);
    let entries = async || store.audit(&AuditFilter::default(), 50).await.unwrap().len();
    let before = entries().await;
    let again = shown(&store, &["config", "set", "tuning", "--file", file, "--yes"]).await;
    assert!(again.contains("config/tuning: unchanged"), "{again}");
    assert_eq!(entries().await, before, "nothing is written");
}

#[tokio::test]
async fn a_flag_that_has_its_value_already_is_not_written_again() {
    let store = seeded_store().await;
    let set = ["flags", "set", "learning.enabled=false", "--actor", "ada"];
    assert!(shown(&store, &set).await.contains("audit entry"));
    let again = shown(&store, &set).await;
    assert!(again.contains("learning.enabled=false") && again.contains("unchanged"), "{again}");
    assert_eq!(store.audit(&AuditFilter::of("flags"), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_policy_is_created_once_with_its_audit_entry() {
    let store = empty_store().await;
    let create = ["policies", "create", "--id", "search", "--weights", "a=0.5,b=0.5", "--yes"];
    let done = shown(&store, &create).await;
    assert!(done.contains("created search@1.0.0: it is active"), "{done}");
    crate::support::assert_sound(&store, "search", "created").await;
    // It is said before anybody is asked to confirm it.
    let again = refused(&store, &create[..create.len() - 1]).await;
    assert!(again.contains("the policy search exists already"), "{again}");
    let wrong =
        refused(&store, &["policies", "create", "--id", "x", "--weights", "a=0.5,b=0.6", "--yes"]);
    assert!(wrong.await.contains("add up to 1.1"));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/router-core@1.0.0.json");
    let draft = shown(&store, &["policies", "create", file, "--draft", "--yes"]).await;
    assert!(draft.contains("router-core@1.0.0"), "{draft}");
}

#[tokio::test]
async fn a_created_draft_is_used_by_nobody_until_it_is_activated() {
    let store = empty_store().await;
    let create = ["policies", "create", "--id", "search", "--weights", "a=1", "--draft", "--yes"];
    assert!(shown(&store, &create).await.contains("it is a draft"));
    let found = statuses(&store, "search").await;
    assert_eq!(found.into_values().collect::<Vec<_>>(), [PolicyStatus::Draft]);
}

#[tokio::test]
async fn commands_take_the_beginning_of_an_id() {
    let store = seeded_store().await;
    let active = shown(&store, &["policies", "show", "rou"]).await;
    assert!(active.contains("router-core@1.0.0  active"), "{active}");
    let version = shown(&store, &["policies", "show", "r@1.0.0"]).await;
    assert!(version.contains("router-core@1.0.0"), "{version}");
    let other = json!({ "id": "router-two", "version": "1.0.0", "status": "active", "params": {} });
    put(&store, collection::POLICIES, "router-two@1.0.0", fields(&other)).await;
    let why = refused(&store, &["policies", "show", "rou"]).await;
    assert!(why.contains("it may be router-core, router-two"), "{why}");
    let exact = json!({ "id": "router", "version": "1.0.0", "status": "active", "params": {} });
    put(&store, collection::POLICIES, "router@1.0.0", fields(&exact)).await;
    let whole = shown(&store, &["policies", "show", "router"]).await;
    assert!(whole.contains("router@1.0.0  active"), "{whole}");
    let why = refused(&store, &["policies", "pin", "router-", "--reason", "a launch"]).await;
    assert!(why.contains("it may be router-core, router-two"), "{why}");
    let done = shown(&store, &["policies", "pin", "router-c", "--reason", "a launch"]).await;
    assert!(done.contains("pinned router-core"), "{done}");
    let set = ["policies", "override", "router-c", "--set", "cooldownMs=1"];
    assert!(shown(&store, &set).await.contains("override: router-core@1.0.1 is active"));
    assert!(
        shown(&store, &["policies", "rollback", "router-c"]).await.contains("router-core@1.0.0")
    );
}

#[tokio::test]
async fn a_draft_and_its_test_are_decided_by_the_beginnings_of_their_ids() {
    let store = seeded_store().await;
    draft(&store, "1.0.1", "1.0.0").await;
    let started = shown(&store, &["experiments", "start", "rou@1.0.1"]).await;
    let (_, id) = started.split_once("experiments show ").unwrap();
    let stopped = shown(&store, &["experiments", "stop", &id[..8]]).await;
    assert!(stopped.contains("stopped the experiment with router-core@1.0.1"), "{stopped}");
    let rejected = shown(&store, &["policies", "reject", "rou@1.0.1"]).await;
    assert!(rejected.contains("rejected router-core@1.0.1"), "{rejected}");
}

#[tokio::test]
async fn the_whole_id_of_a_damaged_policy_stands_for_no_other_policy() {
    let store = seeded_store().await;
    let damaged = json!({ "version": "1.0.0", "status": "active", "params": {} });
    put(&store, collection::POLICIES, "router@1.0.0", fields(&damaged)).await;
    let why = refused(&store, &["policies", "pin", "router", "--reason", "a launch"]).await;
    assert!(why.contains("unknown policy router;"), "{why}");
}

#[tokio::test]
async fn a_quarantined_observation_is_named_by_the_beginning_of_its_id() {
    let store = seeded_store().await;
    for id in ["abc-1", "abc-2", "b-1"] {
        let entry = json!({ "obsId": id, "ts": START, "component": "c", "reason": "r" });
        put(&store, collection::QUARANTINE, id, fields(&entry)).await;
    }
    let found = shown(&store, &["observations", "quarantined", "b"]).await;
    assert!(found.contains("b-1") && !found.contains("abc"), "{found}");
    let why = refused(&store, &["observations", "requeue", "abc"]).await;
    assert!(why.contains("it may be abc-1, abc-2"), "{why}");
}

const READING: &[&[&str]] = &[
    &["status"],
    &["top"],
    &["stats"],
    &["audit"],
    &["policies", "list"],
    &["policies", "list", "--watch"],
    &["policies", "show", "router-core"],
    &["policies", "history", "router-core"],
    &["policies", "diff", "router-core@1.0.1"],
    &["experiments", "list"],
    &["experiments", "show"],
    &["observations", "list"],
    &["observations", "quarantined"],
    &["config", "get"],
    &["flags", "get"],
    &["clock", "show"],
];

/// A project with everything that tables show, and long texts in it.
async fn filled_store() -> (Store, String) {
    let store = seeded_store().await;
    let key = draft(&store, "1.0.1", "1.0.0").await;
    let long = "a long reason ".repeat(30);
    let intent = f0_learning_core::intent::Intent::new("ada", START + 1).because(long);
    let started = store.start_experiment(&key, &Default::default(), &intent).await.unwrap();
    for component in ["router:gpt-5", "a-component-with-a-long-name-that-nobody-would-choose"] {
        record(&store, component, Outcome::Success, 10.0, START).await;
    }
    score(&store, START + 1).await;
    let entry = json!({ "obsId": "x", "ts": START, "component": "c", "reason": "r ".repeat(100) });
    put(&store, collection::QUARANTINE, "x", fields(&entry)).await;
    (store, started.entry.experiment.unwrap())
}

async fn printed(store: &Store, arguments: &[&str], experiment: &str, width: &str) -> Output {
    let mut arguments = arguments.to_vec();
    if arguments == ["experiments", "show"] {
        // Its beginning is enough.
        arguments.push(&experiment[..8]);
    }
    run_on(store, &arguments, &[("COLUMNS", width)]).await
}

#[tokio::test]
async fn tables_fit_80_columns_and_nothing_is_coloured_outside_a_terminal() {
    let (store, experiment) = filled_store().await;
    for arguments in READING {
        let output = printed(&store, arguments, &experiment, "80").await;
        let out = text(&output.stdout);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        assert!(!out.contains('\u{1b}'), "{arguments:?}: {out}");
        // Sentences of status and show may be longer; their tables are not.
        let is_table = arguments[0] != "status" && arguments.get(1) != Some(&"show");
        for line in out.lines().filter(|line| is_table && !line.contains('`')) {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
        }
    }
    let wide = text(&run_on(&store, &["audit"], &[]).await.stdout);
    assert!(wide.contains(&"a long reason ".repeat(20)), "a pipe gets the whole text: {wide}");
}

#[tokio::test]
async fn every_reading_command_prints_json_and_yaml() {
    let (store, experiment) = filled_store().await;
    for arguments in READING {
        let as_json = [arguments, &["--output", "json"][..]].concat();
        if arguments[..] == ["experiments", "show"] {
            continue;
        }
        let json = printed(&store, &as_json, &experiment, "").await.stdout;
        let json: Value = serde_json::from_slice(&json).unwrap();
        assert!(json.is_array() || json.is_object(), "{arguments:?}: {json}");
        let yaml = shown(&store, &[arguments, &["-o", "yaml"][..]].concat()).await;
        assert!(
            yaml == "[]\n" || (!yaml.starts_with('{') && yaml.contains(": ")),
            "{arguments:?}: {yaml}"
        );
    }
    let show = ["experiments", "show", &experiment, "-o", "yaml"];
    assert!(shown(&store, &show).await.contains("experiment:\n"));
    let both = run_on(&store, &["stats", "--json", "--output", "yaml"], &[]).await;
    assert_eq!(both.status.code(), Some(2), "one format at a time");
}

#[tokio::test]
async fn a_window_without_observations_has_dashes() {
    let (store, _) = filled_store().await;
    // Everything was observed long ago, so that the first pass of today ends every window but its own.
    let mut stats = document(&store, collection::STATS, "router:gpt-5|1h").await.unwrap();
    stats.insert("n".to_owned(), json!(0));
    put(&store, collection::STATS, "router:gpt-5|1h", fields(&json!(stats))).await;
    let shown = shown(&store, &["stats", "--component", "router:gpt-5"]).await;
    let line = shown.lines().find(|it| it.contains(" 1h ")).unwrap();
    assert!(line.contains('–') && !line.contains('%'), "{shown}");
}

/// The lines of the block of README.md that follows this text.
fn block_after(text: &str) -> Vec<String> {
    let readme = include_str!("../../../README.md");
    let (_, after) = readme.split_once(text).unwrap();
    let (_, block) = after.split_once("```console\n").unwrap();
    block.split_once("```").unwrap().0.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_commands_of_the_quick_start_run() {
    let store = seeded_store().await;
    draft(&store, "1.0.1", "1.0.0").await;
    let lines = block_after("reach the\nsame data from another terminal");
    let commands: Vec<_> = lines.iter().filter_map(|it| it.strip_prefix("cargo run -- ")).collect();
    assert!(commands.len() >= 4, "{lines:?}");
    for command in commands {
        let mut arguments: Vec<_> = command.split_whitespace().collect();
        if arguments.starts_with(&["policies", "activate"]) {
            // A person answers the question.
            arguments.push("--yes");
        }
        shown(&store, &arguments).await;
    }
    assert_eq!(statuses(&store, "router-core").await.len(), 2);
}

#[test]
fn scripts_for_shells_and_manual_pages_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&run(&["completions", shell], &[]).stdout);
        for name in ["status", "doctor", "policies", "rollback"] {
            assert!(script.contains(name), "{shell}: {name}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert!(run(&["man", path], &[]).status.success());
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(page("f0-learning.1").contains("doctor"));
    assert!(page("f0-learning-policies-activate.1").contains("force"));
}
