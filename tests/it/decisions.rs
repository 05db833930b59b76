//! The commands that change policies and experiments, run as an admin runs them.

use f0_learning_core::policy::PolicyStatus;
use serde_json::{Value, json};

use crate::collection;
use crate::support::process::{run_on, text};
use crate::support::{
    START, assert_sound, document, draft, fields, put, put_arm, seeded_store, statuses, tune,
};
use f0_learning::store::Store;

/// A terminal in which commands reach the store of a test.
struct Terminal {
    store: Store,
}

impl Terminal {
    async fn open() -> Self {
        Self { store: seeded_store().await }
    }

    /// Runs a command that must succeed.
    async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a command that must fail without a panic; gives its error output.
    async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let error = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}: {}", text(&output.stdout));
        assert!(!error.contains("panicked"), "{arguments:?}: {error}");
        error
    }

    async fn run(&self, arguments: &[&str]) -> std::process::Output {
        run_on(&self.store, arguments, &[]).await
    }

    async fn status(&self, version: &str) -> PolicyStatus {
        statuses(&self.store, "router-core").await[&version.parse().unwrap()]
    }
}

#[tokio::test]
async fn drafts_are_activated_rejected_and_rolled_back_from_the_command_line() {
    let terminal = Terminal::open().await;
    for version in ["1.0.1", "1.0.2", "1.0.3"] {
        draft(&terminal.store, version, "1.0.0").await;
    }
    let diff = terminal.ok(&["policies", "diff", "router-core@1.0.1"]).await;
    let line = diff.lines().find(|line| line.contains("modelWeights.gpt-5")).unwrap();
    assert!(line.contains("0.6") && line.contains("0.5") && line.contains("-0.1000"), "{diff}");

    let unconfirmed = terminal.refused(&["policies", "activate", "router-core@1.0.1"]).await;
    assert!(unconfirmed.contains("--yes"), "{unconfirmed}");
    assert_eq!(terminal.status("1.0.1").await, PolicyStatus::Draft);
    let why = ["--reason", "it is better", "--actor", "ada"];
    let activate = ["policies", "activate", "router-core@1.0.1", "--yes"];
    let done = terminal.ok(&[&activate[..], &why].concat()).await;
    assert!(done.contains("router-core@1.0.1 is active and replaces 1.0.0"), "{done}");

    let stale = ["policies", "activate", "router-core@1.0.2", "--yes"];
    let error = terminal.refused(&stale).await;
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("modelWeights.gpt-5 0.6 → 0.5"), "{error}");
    terminal.ok(&[&stale[..], &["--force"]].concat()).await;
    assert_eq!(terminal.status("1.0.2").await, PolicyStatus::Active);

    terminal.ok(&["policies", "reject", "router-core@1.0.3", "--reason", "no"]).await;
    let error = terminal.refused(&["policies", "reject", "router-core@1.0.3"]).await;
    assert!(error.contains("is rejected"), "{error}");
    let output = terminal.ok(&["policies", "rollback", "router-core"]).await;
    assert!(output.contains("router-core@1.0.1 is active and replaces 1.0.2"), "{output}");
    terminal.ok(&["policies", "rollback", "router-core@1.0.0"]).await;
    terminal.refused(&["policies", "rollback", "router-core@1.0.0"]).await;
    terminal.refused(&["policies", "rollback", "router-core@1.0.3"]).await;

    let shown = terminal.ok(&["policies", "show", "router-core"]).await;
    for part in ["activated  2", "rejected   1 by admins", "2 rollbacks"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let audit = terminal.ok(&["audit", "--id", "router-core", "--action", "activate"]).await;
    assert!(audit.contains("it is better") && audit.contains("forced:"), "{audit}");
    let none = terminal.ok(&["audit", "--until", "2001-01-01", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&none).unwrap(), json!([]));
    assert_sound(&terminal.store, "router-core", "after the commands of this test").await;
}

#[tokio::test]
async fn a_proposal_shows_its_evidence_and_replays_to_the_same_decision() {
    let terminal = Terminal::open().await;
    for (arm, reward) in [("gpt-5", 0.45), ("gemini", 0.8), ("claude", 0.75)] {
        put_arm(&terminal.store, arm, reward, 1_000).await;
    }
    tune(&terminal.store, START).await;
    let shown = terminal.ok(&["policies", "show", "router-core@1.0.1"]).await;
    for part in [
        "with 95% confidence",
        "0.600 → 0.501      1000",
        "worse than gemini",
        "gemini earns +0.350",
        "check sampleRatio passed",
        "├",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let replay = ["policies", "replay", "router-core@1.0.1"];
    let same = terminal.ok(&replay).await;
    assert!(same.contains("identical to the last bit") && same.contains("3000 observations"));
    let error = terminal.refused(&["policies", "replay", "router-core@1.0.0"]).await;
    assert!(error.contains("not by policy-updater"), "{error}");

    let id = "router-core@1.0.1";
    let mut by_hand = document(&terminal.store, collection::POLICIES, id).await.unwrap();
    by_hand["params"]["modelWeights"]["gemini"] = json!(0.9);
    put(&terminal.store, collection::POLICIES, id, fields(&json!(by_hand))).await;
    let error = terminal.refused(&replay).await;
    assert!(error.contains("modelWeights differs"), "{error}");
}

#[tokio::test]
async fn tests_and_watches_are_run_from_the_command_line() {
    let terminal = Terminal::open().await;
    for version in ["1.0.1", "1.0.2"] {
        draft(&terminal.store, version, "1.0.0").await;
    }
    let start = ["experiments", "start", "router-core@1.0.1", "--metric", "successRate"];
    let output = terminal.ok(&start).await;
    assert!(output.contains("an A/B test of router-core@1.0.1 against 1.0.0"), "{output}");
    let again = terminal.refused(&["experiments", "start", "router-core@1.0.2"]).await;
    assert!(again.contains("already has the experiment"), "{again}");
    let too_large = ["experiments", "start", "router-core@1.0.2", "--min-effect", "7"];
    terminal.ok(&["experiments", "list", "--policy", "router-core"]).await;
    let listed = terminal.ok(&["experiments", "list", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let id = listed[0]["id"].as_str().unwrap();
    let shown = terminal.ok(&["experiments", "show", id]).await;
    for part in ["10% of the units", "successRate", "reward -0.02", "no decision yet"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    terminal.ok(&["experiments", "stop", id, "--reason", "enough"]).await;
    terminal.refused(&["experiments", "stop", id]).await;
    let shown = terminal.ok(&["experiments", "show", id]).await;
    assert!(shown.contains("stopped") && shown.contains("reason     enough"), "{shown}");
    let error = terminal.refused(&too_large).await;
    assert!(error.contains("minEffect is 7, must be between 0 and 1"), "{error}");

    terminal.ok(&["policies", "activate", "router-core@1.0.1", "--yes"]).await;
    let listed = terminal.ok(&["experiments", "list"]).await;
    assert!(listed.contains("watch") && listed.contains("running"), "{listed}");
    let output = terminal.ok(&["guard"]).await;
    assert!(output.contains("router-core@1.0.1, watched against 1.0.0"), "{output}");
    let history = terminal.ok(&["policies", "history", "router-core"]).await;
    assert!(history.contains("+0.010") && history.contains("unknown"), "{history}");
    let off = ["policies", "activate", "router-core@1.0.2", "--yes", "--force", "--guard", "off"];
    terminal.ok(&off).await;
    let output = terminal.ok(&["guard"]).await;
    assert!(output.contains("no A/B test or watch is running"), "{output}");
    terminal.refused(&["policies", "history", "unknown"]).await;
    terminal.refused(&["experiments", "show", "unknown"]).await;
    assert_sound(&terminal.store, "router-core", "after a test and a watch").await;
}

#[tokio::test]
async fn an_override_is_checked_before_anything_is_written() {
    let terminal = Terminal::open().await;
    let override_with = |set: &[&'static str]| {
        let mut arguments = vec!["policies", "override", "router-core"];
        set.iter().for_each(|set| arguments.extend(["--set", set]));
        arguments
    };
    for (set, reason) in [
        (&["modelWeights.gpt-5=0.9"][..], "add up to 1.3"),
        (&["modelWeights.gpt-5=-0.4", "modelWeights.gemini=1.25"], "between 0 and 1"),
        (&["modelWeights.gpt-5=NaN"], "must be a number"),
        (&["cooldownMs=soon"], "cooldownMs is text, must be a number"),
        (&["no.such.path=1"], "in \"no\": params has no such map"),
        (&["cooldownMs=30000"], "nothing would change"),
        (&["cooldownMs"], "invalid assignment"),
        (&[], "--set PATH=VALUE"),
    ] {
        let error = terminal.refused(&override_with(set)).await;
        assert!(error.contains(reason), "{reason} in {error}");
    }
    let done =
        terminal.ok(&override_with(&["modelWeights.gpt-5=0.5", "modelWeights.gemini=0.35"])).await;
    assert!(done.contains("-0.1000") && done.contains("router-core@1.0.1 is active"), "{done}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("params.json");
    let path = file.to_str().unwrap();
    let from_file = ["policies", "override", "router-core", "--params", path];
    assert!(terminal.refused(&from_file).await.contains("cannot read"));
    for invalid in ["{", "[]", "7", r#"{"modelWeights": {"gpt-5": 2}}"#] {
        std::fs::write(&file, invalid).unwrap();
        terminal.refused(&from_file).await;
    }
    std::fs::write(&file, r#"{"modelWeights": {"gpt-5": 0.25, "o.3": 0.75}}"#).unwrap();
    terminal.ok(&from_file).await;
    let active = terminal.store.active_policies().await.unwrap().remove(0);
    assert_eq!(json!(active.params), json!({"modelWeights": {"gpt-5": 0.25, "o.3": 0.75}}));
    assert_sound(&terminal.store, "router-core", "after overrides").await;
}

#[tokio::test]
async fn pins_and_several_active_versions_show_where_policies_are_listed() {
    let terminal = Terminal::open().await;
    let error = terminal.refused(&["policies", "pin", "router-core"]).await;
    assert!(error.contains("missing reason"), "{error}");
    terminal.ok(&["policies", "pin", "router-core", "--reason", "the launch"]).await;
    for command in [&["policies", "list"][..], &["policies", "show", "router-core"]] {
        assert!(terminal.ok(command).await.contains("the launch"), "{command:?}");
    }
    assert!(terminal.ok(&["tune"]).await.contains("pinned (the launch)"));
    terminal.ok(&["policies", "unpin", "router-core"]).await;
    terminal.refused(&["policies", "unpin", "router-core"]).await;

    terminal.refused(&["policies", "repair", "router-core"]).await;
    let mut first =
        document(&terminal.store, collection::POLICIES, "router-core@1.0.0").await.unwrap();
    first.insert("version".to_owned(), json!("1.2.0"));
    put(&terminal.store, collection::POLICIES, "router-core@1.2.0", fields(&json!(first))).await;
    let listed = terminal.run(&["policies", "list"]).await;
    assert!(text(&listed.stderr).contains("2 active versions"), "{}", text(&listed.stderr));
    let output = terminal.ok(&["policies", "repair", "router-core"]).await;
    assert!(output.contains("router-core@1.2.0 is active"), "{output}");
    assert_eq!(terminal.status("1.0.0").await, PolicyStatus::Archived);
}

#[tokio::test]
async fn unknown_and_invalid_names_are_refused_and_nothing_is_written() {
    let terminal = Terminal::open().await;
    for arguments in [
        &["policies", "activate", "router-core@9.9.9", "--yes"][..],
        &["policies", "activate", "router-core@1.x", "--yes"],
        &["policies", "activate", "../x@1.0.0", "--yes"],
        &["policies", "reject", "unknown@1.0.0"],
        &["policies", "rollback", "unknown"],
        &["policies", "rollback", "a/b"],
        &["policies", "repair", ""],
        &["policies", "pin", "__x__", "--reason", "x"],
        &["policies", "override", "ä", "--set", "a=1"],
        &["policies", "diff", "router-core@9.9.9"],
        &["policies", "show", "router-core", "--days", "0"],
        &["audit", "--since", "yesterday"],
        &["flags", "set", "learning.enabled=0"],
    ] {
        terminal.refused(arguments).await;
    }
    let long = "x".repeat(100_000);
    let error = terminal.refused(&["policies", "pin", "router-core", "--reason", &long]).await;
    assert!(error.contains("expected 1 to 500 characters, got 100000"), "{error}");
    let trail = terminal.store.trail("router-core", None).await.unwrap();
    assert_eq!(trail.len(), 1, "only the entry of the seed");
}
