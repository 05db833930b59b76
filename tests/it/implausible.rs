//! A pass whose time cannot be right changes nothing, and a person can say that it is right. Changes by
//! people carry Firestore's time.

use std::collections::BTreeMap;
use std::process::Output;

use f0_learning::http::{AdminToken, Api, Credentials, Server};
use f0_learning::jobs::Time;
use f0_learning::observability::health::Health;
use f0_learning::store::Store;
use f0_learning_core::Clock;
use f0_learning_core::observation::Outcome;
use f0_learning_core::stats::Window;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use serde_json::json;

use crate::clocks::World;
use crate::collection;
use crate::support::http::TOKEN;
use crate::support::process::{run, text};
use crate::support::{START, record, stored};

/// The commands that run a pass.
const PASSES: [&[&str]; 8] = [
    &["score"],
    &["reconcile"],
    &["reconcile", "--full"],
    &["tune"],
    &["guard"],
    &["retain"],
    &["rebuild", "--all"],
    &["observations", "requeue", "--all"],
];

async fn command(world: &World, arguments: &[&str]) -> Output {
    let archive = tempfile::tempdir().unwrap();
    let (address, folder) = (world.address(), archive.path().to_str().unwrap().to_owned());
    let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
    let running = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment = [
            ("FIRESTORE_EMULATOR_HOST", address.as_str()),
            ("GOOGLE_CLOUD_PROJECT", "demo-clocks"),
            ("ARCHIVE_URL", folder.as_str()),
        ];
        run(&arguments, &environment)
    };
    tokio::task::spawn_blocking(running).await.unwrap()
}

async fn succeeds(world: &World, arguments: &[&str]) -> String {
    let output = command(world, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The error of a command that must fail with one line.
async fn fails(world: &World, arguments: &[&str]) -> String {
    let output = command(world, arguments).await;
    assert!(!output.status.success(), "{arguments:?}: {}", text(&output.stdout));
    let error = text(&output.stderr);
    let lines: Vec<_> = error.lines().filter(|line| line.starts_with("error")).collect();
    assert_eq!(lines.len(), 1, "{arguments:?}: {error}");
    lines[0].to_owned()
}

/// When each stored document was changed last.
async fn everything(store: &Store) -> BTreeMap<String, Option<firestore_kit::Timestamp>> {
    let db = store.db().clone().into_inner();
    let mut all = BTreeMap::new();
    for collection in [
        collection::CONFIG,
        collection::OBSERVATIONS,
        collection::REWARDS,
        collection::STATS,
        collection::STATE,
        collection::QUARANTINE,
        collection::POLICIES,
        collection::EXPERIMENTS,
        collection::AUDIT,
    ] {
        let found: Vec<firestore_kit::proto::Document> =
            db.fluent().select().from(collection).query().await.unwrap();
        all.extend(found.into_iter().map(|it| (it.name, it.update_time)));
    }
    all
}

/// A world with counts in all windows, whose last pass was at its present.
async fn counted_world(start: i64) -> World {
    let world = World::at(start).await;
    for age in [MINUTE_MS, 20 * HOUR_MS, 6 * DAY_MS] {
        record(&world.store, "router:gpt-5", Outcome::Success, 5.0, start - age).await;
    }
    succeeds(&world, &["score"]).await;
    succeeds(&world, &["reconcile"]).await;
    assert_eq!(world.counted(Window::OneHour).await, 1);
    assert_eq!(world.counted(Window::SevenDays).await, 3);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_at_an_implausible_time_changes_nothing_and_names_both_times() {
    // Ten years ahead, and two days ahead where the machine of the worker says otherwise.
    for (jump, apart) in [(3_650 * DAY_MS, "3650 days after"), (2 * DAY_MS, "2 days after")] {
        let world = counted_world(START).await;
        let before = everything(&world.store).await;
        world.advance(jump).await;
        for pass in PASSES {
            let error = fails(&world, pass).await;
            assert!(error.contains("cannot run a pass: Firestore's time, "), "{error}");
            assert!(error.contains(&format!("is {apart} the last pass at 2026-05-28 20:26 UTC")));
            assert!(error.contains("run `f0-learning clock accept`"), "{error}");
        }
        assert_eq!(everything(&world.store).await, before, "{apart}");
        // The server's clock is corrected: nothing has to be repaired.
        world.advance(-jump + MINUTE_MS).await;
        succeeds(&world, &["score"]).await;
        assert_eq!(world.counted(Window::SevenDays).await, 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_go_on_after_a_person_accepts_the_time() {
    let world = counted_world(START).await;
    world.advance(400 * DAY_MS).await;
    let shown = fails(&world, &["clock", "show"]).await;
    assert!(shown.contains("400 days after"), "{shown}");
    let accepted = succeeds(&world, &["clock", "accept"]).await;
    assert_eq!(accepted, "accepted 2027-07-02 20:26 UTC; the last pass was 2026-05-28 20:26 UTC\n");
    succeeds(&world, &["score"]).await;
    assert_eq!(world.counted(Window::SevenDays).await, 0);
    assert!(succeeds(&world, &["clock", "show"]).await.contains("passes run"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_was_off_for_weeks_starts_by_itself() {
    let now = Clock::system().now();
    for pause in [3 * DAY_MS, 45 * DAY_MS, 300 * DAY_MS] {
        let world = counted_world(now - pause).await;
        world.advance(pause).await;
        for pass in PASSES {
            succeeds(&world, pass).await;
        }
    }
}

#[tokio::test]
async fn a_mark_that_was_deleted_does_not_make_any_time_plausible() {
    let world = World::at(START).await;
    record(&world.store, "c", Outcome::Success, 5.0, START - MINUTE_MS).await;
    crate::support::score(&world.store, START).await;
    let time = Time::from(world.store.clone());
    world.advance(400 * DAY_MS).await;
    assert!(time.begin_pass().await.is_err(), "the cursor shows when the last pass was");
    assert!(stored(&world.store, collection::STATE, "clock").await.is_none());
    world.advance(-400 * DAY_MS).await;
    assert_eq!(time.begin_pass().await.unwrap(), START);
    assert!(stored(&world.store, collection::STATE, "clock").await.is_some());
}

#[tokio::test]
async fn the_time_of_the_last_pass_is_stored_once_an_hour() {
    let world = World::at(START).await;
    let time = Time::from(world.store.clone());
    let mark = async || stored(&world.store, collection::STATE, "clock").await.unwrap();
    time.begin_pass().await.unwrap();
    let first = mark().await;
    world.advance(59 * MINUTE_MS).await;
    time.begin_pass().await.unwrap();
    assert_eq!(mark().await, first);
    world.advance(2 * MINUTE_MS).await;
    time.begin_pass().await.unwrap();
    assert_ne!(mark().await, first);
}

/// The clock of this process, and of the commands that it runs, is months away from the server's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_by_people_carry_the_time_of_firestore() {
    let world = World::at(START).await;
    succeeds(&world, &["policies", "envelope", "approve", "router-core", "--days", "2"]).await;
    let envelope = world.store.envelope("router-core").await.unwrap().unwrap();
    let hours = |hours: i64| START + hours * HOUR_MS;
    assert_eq!((envelope.approved_at, envelope.expires_at), (hours(0), hours(48)));
    world.advance(HOUR_MS).await;
    succeeds(&world, &["policies", "pin", "router-core", "--reason", "a test"]).await;
    world.advance(HOUR_MS).await;
    let token = AdminToken::new(TOKEN.to_owned()).unwrap();
    let health = std::sync::Arc::new(Health::default());
    let api = Api::new(health, Clock::system(), Some(Credentials::token(token)));
    let server = Server::start("127.0.0.1:0".parse().unwrap(), api.clone()).await.unwrap();
    api.serve(world.store.clone(), world.store.clone());
    let url = format!("http://{}/ops/policies/override", server.address());
    let asked = json!({ "id": "router-core", "set": { "cooldownMs": 5 }, "reason": "a test" });
    let request = reqwest::Client::new().post(url).bearer_auth(TOKEN).body(asked.to_string());
    assert_eq!(request.send().await.unwrap().status(), 200);
    let trail = world.store.trail("router-core", None).await.unwrap();
    let times: Vec<_> = trail.iter().rev().take(3).map(|it| it.entry.ts).collect();
    assert_eq!(times, [hours(2), hours(1), hours(0)]);
    let active = world.store.standing_policies("router-core").await.unwrap();
    let active = active.iter().find(|it| it.status.as_str() == "active").unwrap();
    assert_eq!(active.activated_at, Some(hours(2)));
    let watches = world.store.open_experiments().await.unwrap();
    assert_eq!(watches[0].started_at, hours(2));
    server.shutdown().await;
}
