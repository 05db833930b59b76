//! Each kind of damage, repaired by exactly the command that its error names: then `verify` is clean, and
//! the figures are those of a project that was never damaged.

use std::process::{Command, Output};

use f0_learning::store::Store;
use f0_learning_core::Clock;
use f0_learning_core::experiment::Kind;
use f0_learning_core::time::DAY_MS;
use firestore_kit::value;
use serde_json::{Value, json};

use crate::collection;
use crate::experiments::only;
use crate::support::process::{BINARY, environment, run_on, text};
use crate::support::{delete, draft, fields, key, put, resharding_store, seeded_store, stored};

const VERSION: &str = "router-core@1.0.0";

/// A project at the time of the test: the commands read the clock.
struct Project {
    store: Store,
    base: i64,
    written: i64,
    shards: i64,
}

impl Project {
    async fn new(shards: i64, base: i64) -> Self {
        let store = if shards > 0 { resharding_store().await } else { seeded_store().await };
        put(&store, collection::CONFIG, "scoring", fields(&json!({ "shards": shards }))).await;
        let mut project = Self { store, base, written: 0, shards };
        project.observe(12).await;
        project.run(&["score", "--settle-ms", "0"]).await;
        project.observe(4).await;
        project.late().await;
        project.run(&["reconcile", "--full"]).await;
        project
    }

    async fn observe(&mut self, n: i64) {
        for _ in 0..n {
            let n = self.written;
            self.put(n, self.base + n * 1_000).await;
        }
    }

    async fn late(&mut self) {
        self.put(1, self.base - self.written).await;
    }

    async fn put(&mut self, kind: i64, ts: i64) {
        let bad = kind % 4 == 3;
        let mut observation = json!({
            "ts": ts, "component": if kind % 2 == 0 { "router:gpt-5" } else { "plain" },
            "outcome": if bad { "maybe" } else { "success" }, "durationMs": 10 + kind,
            "policyVersion": if kind % 2 == 0 { VERSION } else { "" },
        });
        if self.shards > 0 {
            observation["shard"] = json!(kind % 2);
        }
        let id = format!("o{:05}", self.written);
        put(&self.store, collection::OBSERVATIONS, &id, fields(&observation)).await;
        self.written += 1;
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        run_on(&self.store, arguments, &[]).await
    }

    /// One pass of each job, with everything that was printed.
    async fn passes(&self) -> String {
        let mut all = String::new();
        for arguments in
            [&["score", "--settle-ms", "0"][..], &["reconcile", "--full"], &["tune"], &["verify"]]
        {
            let output = self.run(arguments).await;
            all += &format!("{}\n{}\n", text(&output.stdout), text(&output.stderr));
        }
        all
    }

    /// Starts a test of a draft, and returns the experiment's id.
    async fn start_test(&self) -> String {
        let key = draft(&self.store, "1.0.1", "1.0.0").await;
        let output =
            self.run(&["experiments", "start", &key.to_string(), "--min-effect", "0.05"]).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        only(&self.store, Kind::Ab).await.id
    }

    async fn figures(&self) -> Value {
        let mut stats = serde_json::to_value(self.store.all_stats(None).await.unwrap()).unwrap();
        for window in stats.as_array_mut().unwrap() {
            let window = window.as_object_mut().unwrap();
            window.remove("ts");
            window.remove("windowStart");
        }
        json!({ "stats": stats, "tally": self.store.tally(&key(VERSION)).await.unwrap().stats() })
    }

    async fn shell(&self, command: &str) -> Output {
        let command = command.replacen("f0-learning", BINARY, 1);
        let environment = environment(&self.store).await;
        let run =
            move || Command::new("sh").args(["-c", &command]).envs(environment).output().unwrap();
        tokio::task::spawn_blocking(run).await.unwrap()
    }
}

/// The command that a text names for a document.
fn named_command(output: &str, document: &str) -> Option<String> {
    let mut commands = output.split("run `").skip(1).filter_map(|rest| rest.split('`').next());
    commands.find(|command| command.contains(document)).map(str::to_owned)
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Deleted,
    Empty,
    WrongTypes,
    UnknownFormat,
    Mebibyte,
}

async fn damage(store: &Store, collection: &str, id: &str, way: Way) {
    let mut fields = stored(store, collection, id).await.unwrap_or_default();
    match way {
        Way::Deleted => return delete(store, collection, id).await,
        Way::Empty => fields.clear(),
        Way::WrongTypes => {
            fields.values_mut().for_each(|it| *it = value::boolean(true));
        }
        Way::UnknownFormat => {
            fields.insert("format".to_owned(), value::int(99));
        }
        Way::Mebibyte => {
            fields = value::fields([("x", value::string("x".repeat(1_000_000)))]);
        }
    }
    put(store, collection, id, fields).await;
}

/// Damages a document, repairs it by the command that is named, and compares with an undamaged project.
async fn check(shards: i64, id: &str, ways: &[Way]) {
    let base = Clock::system().now() - 600_000;
    let mut twin = Project::new(shards, base).await;
    let mut project = Project::new(shards, base).await;
    for way in ways {
        if let Some(target) = id.strip_prefix("parked|") {
            damage(&project.store, collection::STATE, target, Way::UnknownFormat).await;
            project.observe(4).await;
            twin.observe(4).await;
            project.run(&["score", "--settle-ms", "0"]).await;
        }
        damage(&project.store, collection::STATE, id, *way).await;
        for project in [&mut project, &mut twin] {
            project.observe(4).await;
            project.late().await;
        }
        let output = project.passes().await;
        let document = format!("ops_state/{id}");
        let command = named_command(&output, &document)
            .unwrap_or_else(|| panic!("{id} {way:?}: no command in {output}"));
        let repaired = project.shell(&command).await;
        let done = format!("{} {}", text(&repaired.stdout), text(&repaired.stderr));
        assert!(repaired.status.success(), "{id} {way:?}: {command}: {done}");
        for project in [&project, &twin] {
            project.passes().await;
        }
        let verified = project.run(&["verify"]).await;
        let found = format!("{} {}", text(&verified.stdout), text(&verified.stderr));
        assert!(verified.status.success(), "{id} {way:?}: after {command}: {found}");
        assert_eq!(project.figures().await, twin.figures().await, "{id} {way:?}: {done}");
    }
}

const ALL: [Way; 5] =
    [Way::Deleted, Way::Empty, Way::WrongTypes, Way::UnknownFormat, Way::Mebibyte];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_statistics_are_repaired_by_the_command_that_their_error_names() {
    let unreadable = &ALL[1..];
    check(0, "series|router:gpt-5", unreadable).await;
    check(0, "version|router-core@1.0.0", unreadable).await;
    // Parked counts have no format.
    let ways = [Way::Empty, Way::WrongTypes, Way::Mebibyte];
    check(0, "parked|series|router:gpt-5", &ways).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_cursor_or_state_is_repaired_by_the_command_that_its_error_names() {
    // These documents have no format.
    let ways = [Way::Deleted, Way::Empty, Way::WrongTypes, Way::Mebibyte];
    check(0, "cursor", &ways).await;
    check(0, "reconcile", &ways).await;
    check(2, "cursor|1", &ways).await;
    check(2, "layout", &ways).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_statistic_is_found_by_verify_and_recounted() {
    let base = Clock::system().now() - 600_000;
    let project = Project::new(0, base).await;
    project.passes().await;
    let before = project.figures().await;
    for id in ["series|router:gpt-5", "version|router-core@1.0.0"] {
        damage(&project.store, collection::STATE, id, Way::Deleted).await;
    }
    let found = project.run(&["verify"]).await;
    let (lines, error) = (text(&found.stdout), text(&found.stderr));
    assert_eq!(found.status.code(), Some(1), "{lines}");
    assert!(lines.contains("component router:gpt-5, 7d: n is stored as 0"), "{lines}");
    assert!(lines.contains("version router-core@1.0.0, all: n is stored as 0"), "{lines}");
    let command = named_command(&error, "rebuild").unwrap();
    assert!(project.shell(&command).await.status.success());
    assert_eq!(project.run(&["verify"]).await.status.code(), Some(0));
    assert_eq!(project.figures().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_tuner_memory_configuration_or_policy_names_its_repair() {
    let base = Clock::system().now() - 600_000;
    let project = Project::new(0, base).await;
    let store = &project.store;
    put(store, collection::STATE, "tuner|router-core", fields(&json!({ "period": "x" }))).await;
    let long = json!({ "version": "v".repeat(900_000) });
    put(store, collection::CONFIG, "reward_config", fields(&long)).await;
    put(store, collection::CONFIG, "scoring", fields(&json!({ "shards": "many" }))).await;
    let mut project = project;
    project.observe(3).await;
    for document in ["ops_state/tuner|router-core", "config/reward_config"] {
        let output = project.passes().await;
        let command = named_command(&output, document)
            .unwrap_or_else(|| panic!("{document}: no command in {output}"));
        let done = project.shell(&command).await;
        assert!(done.status.success(), "{command}: {}", text(&done.stderr));
    }
    let output = project.passes().await;
    assert!(!output.contains("reward_config"), "{output}");
    let refused = project.run(&["seed", "--only", "config/reward_config"]).await;
    assert!(text(&refused.stdout).contains("unchanged"), "one that can be read is never replaced");
    let scoring = project.run(&["seed", "--only", "config/scoring"]).await;
    assert!(text(&scoring.stdout).contains("created config/scoring"));

    put(&project.store, collection::POLICIES, "router-core@1.0.0", {
        let mut policy =
            stored(&project.store, collection::POLICIES, "router-core@1.0.0").await.unwrap();
        policy.insert("createdAt".to_owned(), value::string("yesterday"));
        policy
    })
    .await;
    let list = project.run(&["policies", "list"]).await;
    let named = named_command(&text(&list.stdout).replace(['\n', '|', '│'], " "), "rollback");
    let tuned = project.run(&["tune"]).await;
    let tuned = format!("{}{}", text(&tuned.stdout), text(&tuned.stderr));
    assert!(named.is_some() || tuned.contains("rollback router-core"), "{tuned}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_a_far_future_and_alien_documents_stop_nothing() {
    let base = Clock::system().now() - 600_000;
    let mut project = Project::new(0, base).await;
    let far = base + 365_000 * DAY_MS;
    for work in ["score", "reconcile", "tune"] {
        let lease = json!({ "holder": "ghost", "until": far, "fence": 1 });
        put(&project.store, collection::STATE, &format!("lease|{work}"), fields(&lease)).await;
    }
    put(&project.store, collection::STATE, "notes", fields(&json!({ "a": 1 }))).await;
    project.observe(4).await;
    project.passes().await;
    let verified = project.run(&["verify"]).await;
    let lines = text(&verified.stdout);
    assert!(verified.status.success(), "{lines}");
    assert!(lines.contains("ops_state/notes is not a document of the service"), "{lines}");
    let lease = project.run(&["rebuild", "--document", "ops_state/lease|tune"]).await;
    assert!(lease.status.success());
    assert_eq!(stored(&project.store, collection::STATE, "lease|tune").await, None);
    let alien = project.run(&["rebuild", "--document", "ops_state/notes"]).await;
    assert!(!alien.status.success(), "it is left alone");
}

/// Puts a document, sees it named by what `uses` it, and runs the command that is named.
async fn repair(
    project: &Project,
    (id, document): (&str, &Value),
    uses: &[&str],
    more: &[(&str, &str)],
) -> String {
    put(&project.store, collection::STATE, id, fields(document)).await;
    let output = run_on(&project.store, uses, more).await;
    let output = format!("{} {}", text(&output.stdout), text(&output.stderr));
    let named = output.split("run `").skip(1).filter_map(|rest| rest.split('`').next());
    let is_of = |command: &&str| command.contains(id) || command.contains("experiments stop");
    let command = named.clone().find(is_of).unwrap_or_else(|| panic!("{id}: {output}")).to_owned();
    let words: Vec<&str> = command.split(' ').skip(1).map(|word| word.trim_matches('\'')).collect();
    let done = run_on(&project.store, &words, more).await;
    let said = format!("{} {}", text(&done.stdout), text(&done.stderr));
    assert!(done.status.success(), "{command}: {said}");
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_retention_decision_or_experiment_is_repaired_by_the_command_that_is_named() {
    let now = Clock::system().now();
    let mut project = Project::new(0, now - 500 * DAY_MS).await;
    // What is archived lies before a cutoff that scoring must have reached.
    project.base = now - 600_000;
    project.observe(4).await;
    project.run(&["score", "--settle-ms", "0"]).await;
    let folder = tempfile::tempdir().unwrap();
    let archive = [("ARCHIVE_URL", folder.path().to_str().unwrap())];
    let retained = run_on(&project.store, &["retain"], &archive).await;
    assert!(retained.status.success(), "{}", text(&retained.stderr));
    let archived_before =
        async || project.store.retention_state().await.map(|it| it.archived_before);
    let before = archived_before().await.unwrap();
    assert!(before.is_some_and(|time| time > now - 500 * DAY_MS), "{}", text(&retained.stdout));
    let damaged = json!({ "archivedBefore": "long ago" });
    repair(&project, ("retention", &damaged), &["reconcile"], &archive).await;
    let after = archived_before().await.unwrap();
    // It covers the documents of the files.
    assert!(after <= before && after > Some(now - 500 * DAY_MS), "{after:?} {before:?}");
    let reconciled = run_on(&project.store, &["reconcile", "--full"], &archive).await;
    assert!(reconciled.status.success(), "{}", text(&reconciled.stderr));

    let id = "decision|router-core@1.0.0";
    let damaged = json!({ "policyVersion": VERSION, "input": "?" });
    repair(&project, (id, &damaged), &["policies", "replay", VERSION], &[]).await;
    assert_eq!(stored(&project.store, collection::STATE, id).await, None);

    let experiment = project.start_test().await;
    let id = format!("experiment|{experiment}");
    let damaged = json!({ "format": "none" });
    let command = repair(&project, (&id, &damaged), &["guard"], &[]).await;
    assert!(command.contains(&experiment), "{command}");
    let guarded = project.run(&["guard"]).await;
    assert!(guarded.status.success(), "{}", text(&guarded.stderr));
    assert!(!text(&guarded.stderr).contains(&experiment), "{}", text(&guarded.stderr));
}
