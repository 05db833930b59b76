//! The commands that decide on policies, as a person runs them.

use f0_learning_core::policy::PolicyStatus;
use serde_json::{Value, json};

use crate::binary::{environment, run, text};
use crate::collection;
use crate::support::{
    START, assert_sound, document, draft, fields, put, put_arm, seeded_store, statuses, tune,
};
use f0_learning::store::Store;

/// The store of a test and how the binary reaches it.
struct Terminal {
    store: Store,
    environment: Vec<(&'static str, String)>,
}

impl Terminal {
    async fn open() -> Self {
        let store = seeded_store().await;
        let environment = environment(&store).await;
        Self { store, environment }
    }

    /// Runs a command that must succeed.
    async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a command that must be refused: one line, and a code that is not zero.
    async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let told = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}: {}", text(&output.stdout));
        assert!(!told.contains("panicked"), "{arguments:?}: {told}");
        told
    }

    async fn run(&self, arguments: &[&str]) -> std::process::Output {
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        let environment = self.environment.clone();
        let run = move || {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let environment: Vec<_> =
                environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            run(&arguments, &environment)
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    async fn status(&self, version: &str) -> PolicyStatus {
        statuses(&self.store, "router-core").await[&version.parse().unwrap()]
    }
}

#[tokio::test]
async fn a_day_of_decisions_from_the_command_line() {
    let terminal = Terminal::open().await;
    for version in ["1.0.1", "1.0.2", "1.0.3"] {
        draft(&terminal.store, version, "1.0.0").await;
    }
    let diff = terminal.ok(&["policies", "diff", "router-core@1.0.1"]).await;
    let line = diff.lines().find(|line| line.contains("modelWeights.gpt-5")).unwrap();
    assert!(line.contains("0.6") && line.contains("0.5") && line.contains("-0.1000"), "{diff}");

    let nobody = terminal.refused(&["policies", "activate", "router-core@1.0.1"]).await;
    assert!(nobody.contains("--yes"), "{nobody}");
    assert_eq!(terminal.status("1.0.1").await, PolicyStatus::Draft);
    let why = ["--reason", "it is better", "--actor", "ada"];
    let activate = ["policies", "activate", "router-core@1.0.1", "--yes"];
    let done = terminal.ok(&[&activate[..], &why].concat()).await;
    assert!(done.contains("router-core@1.0.1 is active in place of 1.0.0"), "{done}");

    let stale = ["policies", "activate", "router-core@1.0.2", "--yes"];
    let told = terminal.refused(&stale).await;
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("modelWeights.gpt-5 0.6 → 0.5"), "{told}");
    terminal.ok(&[&stale[..], &["--force"]].concat()).await;
    assert_eq!(terminal.status("1.0.2").await, PolicyStatus::Active);

    terminal.ok(&["policies", "reject", "router-core@1.0.3", "--reason", "no"]).await;
    let told = terminal.refused(&["policies", "reject", "router-core@1.0.3"]).await;
    assert!(told.contains("is rejected"), "{told}");
    let told = terminal.ok(&["policies", "rollback", "router-core"]).await;
    assert!(told.contains("router-core@1.0.1 is active in place of 1.0.2"), "{told}");
    terminal.ok(&["policies", "rollback", "router-core@1.0.0"]).await;
    terminal.refused(&["policies", "rollback", "router-core@1.0.0"]).await;
    terminal.refused(&["policies", "rollback", "router-core@1.0.3"]).await;

    let shown = terminal.ok(&["policies", "show", "router-core"]).await;
    for part in ["activated  2", "rejected   1 by people", "2 rollbacks"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let audit = terminal.ok(&["audit", "--id", "router-core", "--action", "activate"]).await;
    assert!(audit.contains("it is better") && audit.contains("forced:"), "{audit}");
    let none = terminal.ok(&["audit", "--until", "2001-01-01", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&none).unwrap(), json!([]));
    assert_sound(&terminal.store, "router-core", "after a day of commands").await;
}

#[tokio::test]
async fn a_proposal_shows_its_evidence_and_is_decided_again() {
    let terminal = Terminal::open().await;
    for (arm, reward) in [("gpt-5", 0.45), ("gemini", 0.8), ("claude", 0.75)] {
        put_arm(&terminal.store, arm, reward, 1_000).await;
    }
    tune(&terminal.store, START).await;
    let shown = terminal.ok(&["policies", "show", "router-core@1.0.1"]).await;
    for part in [
        "all with 95%",
        "0.600 to 0.501      1000",
        "worse than claude, gemini",
        "gemini earns +0.350",
        "check sampleRatio not made",
        "├",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let replay = ["policies", "replay", "router-core@1.0.1"];
    let same = terminal.ok(&replay).await;
    assert!(same.contains("the same to the last bit") && same.contains("3000 observations"));
    let told = terminal.refused(&["policies", "replay", "router-core@1.0.0"]).await;
    assert!(told.contains("not decided by policy-updater"), "{told}");

    let id = "router-core@1.0.1";
    let mut by_hand = document(&terminal.store, collection::POLICIES, id).await.unwrap();
    by_hand["params"]["modelWeights"]["gemini"] = json!(0.9);
    put(&terminal.store, collection::POLICIES, id, fields(&json!(by_hand))).await;
    let told = terminal.refused(&replay).await;
    assert!(told.contains("modelWeights differs"), "{told}");
}

#[tokio::test]
async fn a_test_and_a_watch_from_the_command_line() {
    let terminal = Terminal::open().await;
    for version in ["1.0.1", "1.0.2"] {
        draft(&terminal.store, version, "1.0.0").await;
    }
    let start = ["experiments", "start", "router-core@1.0.1", "--metric", "successRate"];
    let told = terminal.ok(&start).await;
    assert!(told.contains("router-core@1.0.1 is tested against 1.0.0"), "{told}");
    let again = terminal.refused(&["experiments", "start", "router-core@1.0.2"]).await;
    assert!(again.contains("has an experiment already"), "{again}");
    let odd = ["experiments", "start", "router-core@1.0.2", "--min-effect", "7"];
    terminal.ok(&["experiments", "list", "--policy", "router-core"]).await;
    let listed = terminal.ok(&["experiments", "list", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let id = listed[0]["id"].as_str().unwrap();
    let shown = terminal.ok(&["experiments", "show", id]).await;
    for part in ["10% of the units", "successRate", "reward -0.02", "nothing follows yet"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    terminal.ok(&["experiments", "stop", id, "--reason", "enough"]).await;
    terminal.refused(&["experiments", "stop", id]).await;
    let shown = terminal.ok(&["experiments", "show", id]).await;
    assert!(shown.contains("stopped") && shown.contains("because    enough"), "{shown}");
    let told = terminal.refused(&odd).await;
    assert!(told.contains("minEffect is 7, must be between 0 and 1"), "{told}");

    terminal.ok(&["policies", "activate", "router-core@1.0.1", "--yes"]).await;
    let listed = terminal.ok(&["experiments", "list"]).await;
    assert!(listed.contains("watch") && listed.contains("running"), "{listed}");
    let told = terminal.ok(&["guard"]).await;
    assert!(told.contains("router-core@1.0.1, watched against 1.0.0"), "{told}");
    let history = terminal.ok(&["policies", "history", "router-core"]).await;
    assert!(history.contains("+0.010") && history.contains("not known yet"), "{history}");
    let off = ["policies", "activate", "router-core@1.0.2", "--yes", "--force", "--guard", "off"];
    terminal.ok(&off).await;
    let told = terminal.ok(&["guard"]).await;
    assert!(told.contains("nothing is being tested or watched"), "{told}");
    terminal.refused(&["policies", "history", "nobody"]).await;
    terminal.refused(&["experiments", "show", "nobody"]).await;
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
    for (set, told) in [
        (&["modelWeights.gpt-5=0.9"][..], "add up to 1.3"),
        (&["modelWeights.gpt-5=-0.4", "modelWeights.gemini=1.25"], "between 0 and 1"),
        (&["modelWeights.gpt-5=NaN"], "must be a number"),
        (&["cooldownMs=soon"], "cooldownMs is text, must be a number"),
        (&["no.such.path=1"], "in \"no\": params has no such map"),
        (&["cooldownMs=30000"], "nothing would change"),
        (&["cooldownMs"], "invalid assignment"),
        (&[], "--set PATH=VALUE"),
    ] {
        let found = terminal.refused(&override_with(set)).await;
        assert!(found.contains(told), "{told} in {found}");
    }
    let done =
        terminal.ok(&override_with(&["modelWeights.gpt-5=0.5", "modelWeights.gemini=0.35"])).await;
    assert!(done.contains("-0.1000") && done.contains("router-core@1.0.1 is active"), "{done}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("params.json");
    let path = file.to_str().unwrap();
    let from_file = ["policies", "override", "router-core", "--params", path];
    assert!(terminal.refused(&from_file).await.contains("cannot read"));
    for rubbish in ["{", "[]", "7", r#"{"modelWeights": {"gpt-5": 2}}"#] {
        std::fs::write(&file, rubbish).unwrap();
        terminal.refused(&from_file).await;
    }
    std::fs::write(&file, r#"{"modelWeights": {"gpt-5": 0.25, "o.3": 0.75}}"#).unwrap();
    terminal.ok(&from_file).await;
    let active = terminal.store.active_policies().await.unwrap().remove(0);
    assert_eq!(json!(active.params), json!({"modelWeights": {"gpt-5": 0.25, "o.3": 0.75}}));
    assert_sound(&terminal.store, "router-core", "after overrides").await;
}

#[tokio::test]
async fn pins_and_repairs_show_wherever_the_policy_is_listed() {
    let terminal = Terminal::open().await;
    let told = terminal.refused(&["policies", "pin", "router-core"]).await;
    assert!(told.contains("a pin needs a reason"), "{told}");
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
    let told = terminal.ok(&["policies", "repair", "router-core"]).await;
    assert!(told.contains("router-core@1.2.0 is active"), "{told}");
    assert_eq!(terminal.status("1.0.0").await, PolicyStatus::Archived);
}

#[tokio::test]
async fn names_that_are_none_are_one_line_errors() {
    let terminal = Terminal::open().await;
    for arguments in [
        &["policies", "activate", "router-core@9.9.9", "--yes"][..],
        &["policies", "activate", "router-core@1.x", "--yes"],
        &["policies", "activate", "../x@1.0.0", "--yes"],
        &["policies", "reject", "nobody@1.0.0"],
        &["policies", "rollback", "nobody"],
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
    let told = terminal.refused(&["policies", "pin", "router-core", "--reason", &long]).await;
    assert!(told.contains("invalid reason: expected 1 to 500 characters, got 100000"), "{told}");
    let trail = terminal.store.trail("router-core", None).await.unwrap();
    assert_eq!(trail.len(), 1, "only the seed's");
}
