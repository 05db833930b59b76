//! Recounts of statistics: exact beside workers that count, crashes at any moment, and archives.

use f0_learning::archive::Archive;
use f0_learning::jobs::rebuild::{RebuildJob, RebuildOptions, RebuildReport, VerifyReport};
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::retain::{RetainJob, RetainOptions};
use f0_learning::store::{Pending, Store};
use f0_learning_core::sharding::Shard;
use f0_learning_core::stats::Window;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use firestore_kit::value::{self, Fields};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::collection;
use crate::support::{
    START, clear, crash_after, delete, fields, job, key, put, score, seeded_store, stored,
};

const VERSION: &str = "router-core@1.0.0";
const NOW: i64 = START + HOUR_MS;
const COMPONENTS: [&str; 3] = ["router:gpt-5", "router:gemini", "plain|a/b"];

fn observation(n: i64, ts: i64) -> Value {
    let component = COMPONENTS[usize::try_from(n % 3).unwrap()];
    let mut observation = json!({
        "ts": ts, "component": component, "durationMs": 100 + n % 900,
        "outcome": if n % 4 == 0 { "failure" } else { "success" },
        "policyVersion": if n % 3 == 2 { "" } else { VERSION },
        "tokensIn": n, "sampleRate": if n % 5 == 0 { 0.5 } else { 1.0 },
    });
    match n % 7 {
        0 => observation["costUsd"] = json!(0.001),
        1 => observation["propensity"] = json!(0.25),
        2 => observation["outcome"] = json!(if n % 2 == 0 { "maybe" } else { "timeout" }),
        _ => {}
    }
    observation
}

async fn observe(store: &Store, from: i64, n: i64) {
    for n in from..from + n {
        let observation = observation(n, START + n * 1_000);
        put(store, collection::OBSERVATIONS, &format!("o{n:06}"), fields(&observation)).await;
    }
}

async fn reconcile(store: &Store, now: i64) {
    let options = ReconcileOptions { lag_ms: 0, ..Default::default() };
    let stop = CancellationToken::new();
    ReconcileJob::new(store.clone(), options).pass(now, true, &stop).await.unwrap();
}

/// Everything that is counted, without the times at which it was.
async fn figures(store: &Store) -> Value {
    let mut stats = serde_json::to_value(store.all_stats(None).await.unwrap()).unwrap();
    for window in stats.as_array_mut().unwrap() {
        let window = window.as_object_mut().unwrap();
        window.remove("ts");
        window.remove("windowStart");
    }
    let tally = store.tally(&key(VERSION)).await.unwrap();
    json!({ "stats": stats, "tally": tally.stats(), "samples": format!("{:?}", tally.samples()) })
}

fn rebuild(store: &Store) -> RebuildJob {
    let options = RebuildOptions { tail: 20, ..RebuildOptions::default() };
    RebuildJob::new(store.clone(), None, options)
}

async fn verify(store: &Store, now: i64) -> VerifyReport {
    rebuild(store).verify(None, now).await.unwrap()
}

async fn assert_verified(store: &Store, now: i64, why: &str) {
    let report = verify(store, now).await;
    assert!(report.differences.is_empty(), "{why}: {report}");
    assert!(report.verified > 3, "{why}: {report}");
}

/// Damages that a series or a tally may have.
fn damaged(before: &Fields, how: u64) -> Option<Fields> {
    let mut fields = before.clone();
    match how {
        0 => return None,
        1 => drop(fields.insert("format".to_owned(), value::int(99))),
        2 => fields = Fields::default(),
        3 => {
            let bytes = value::bytes(vec![3, 1, 2]);
            for field in ["series", "tally"] {
                fields.insert(field.to_owned(), bytes.clone());
            }
        }
        _ => fields = value::fields([("x", value::string("x".repeat(1_000_000)))]),
    }
    Some(fields)
}

async fn damage(store: &Store, id: &str, how: u64) {
    let before = stored(store, collection::STATE, id).await.unwrap_or_default();
    match damaged(&before, how) {
        Some(fields) => put(store, collection::STATE, id, fields).await,
        None => delete(store, collection::STATE, id).await,
    }
}

#[tokio::test]
async fn a_series_and_a_tally_are_rebuilt_as_they_were() {
    let store = seeded_store().await;
    observe(&store, 0, 60).await;
    score(&store, START + 40_000).await;
    score(&store, NOW).await;
    put(&store, collection::OBSERVATIONS, "late", fields(&observation(3, START + 5))).await;
    reconcile(&store, NOW).await;
    assert_verified(&store, NOW, "undamaged").await;
    let before = figures(&store).await;
    for how in 0..5 {
        for id in ["series|router:gpt-5", "series|plain%7Ca%2Fb", "version|router-core@1.0.0"] {
            damage(&store, id, how).await;
            let document = format!("ops_state/{id}");
            let report = rebuild(&store).document(&document, NOW).await.unwrap();
            assert_eq!((report.rebuilt, report.differences.len()), (1, 0), "{id} {how}: {report}");
            assert_eq!(figures(&store).await, before, "{id} {how}");
        }
    }
    let report: RebuildReport = rebuild(&store).all(NOW).await.unwrap();
    assert!(report.rebuilt >= 4, "{report}");
    assert_eq!(figures(&store).await, before);
    assert_verified(&store, NOW, "rebuilt").await;
}

#[tokio::test]
async fn verify_says_which_figure_differs_and_changes_nothing() {
    let store = seeded_store().await;
    observe(&store, 0, 60).await;
    score(&store, NOW).await;
    let good = stored(&store, collection::STATE, "series|router:gemini").await.unwrap();
    let mut wrong = stored(&store, collection::STATE, "series|router:gpt-5").await.unwrap();
    wrong.insert("series".to_owned(), good["series"].clone());
    put(&store, collection::STATE, "series|router:gpt-5", wrong.clone()).await;
    delete(&store, collection::STATS, "router:gemini|24h").await;
    put(&store, collection::STATE, "notes", Fields::default()).await;
    let report = verify(&store, NOW).await;
    let text = report.to_string();
    for part in [
        "component router:gpt-5, 7d: ",
        "component router:gpt-5, bucket 2026-",
        "component router:gemini, 24h: n is stored as no document",
        "ops_state/notes is not a document of the service",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("version router-core"), "{text}");
    let after = stored(&store, collection::STATE, "series|router:gpt-5").await.unwrap();
    assert_eq!(after, wrong, "it only reads");
    rebuild(&store).component("router:gpt-5", NOW).await.unwrap();
    rebuild(&store).component("router:gemini", NOW).await.unwrap();
    assert_verified(&store, NOW, "rebuilt").await;
}

#[tokio::test]
async fn a_missing_cursor_layout_or_state_beside_rewards_counts_nothing_twice() {
    for id in ["cursor", "reconcile"] {
        let store = seeded_store().await;
        observe(&store, 0, 60).await;
        score(&store, NOW).await;
        put(&store, collection::OBSERVATIONS, "late", fields(&observation(3, START + 5))).await;
        reconcile(&store, NOW).await;
        let before = figures(&store).await;
        delete(&store, collection::STATE, id).await;
        let stop = CancellationToken::new();
        let scored = job(&store, 10).pass(NOW, &stop, &|_| ()).await.err();
        let options = ReconcileOptions { lag_ms: 0, ..Default::default() };
        let reconciled = ReconcileJob::new(store.clone(), options).pass(NOW, true, &stop).await;
        let named = match (id, scored, reconciled) {
            ("cursor", Some(error), _) => error.to_string(),
            ("reconcile", None, Err(error)) => error.to_string(),
            other => panic!("{id}: {other:?}"),
        };
        let command = format!("`f0-learning rebuild --document ops_state/{id}`");
        assert!(named.contains("missing") && named.contains(&command), "{named}");
        assert_eq!(figures(&store).await, before, "{id}");
        let report = rebuild(&store).document(&format!("ops_state/{id}"), NOW).await.unwrap();
        assert!(report.differences.is_empty(), "{id}: {report}");
        score(&store, NOW).await;
        reconcile(&store, NOW).await;
        assert_eq!(figures(&store).await, before, "{id}");
        assert_verified(&store, NOW, id).await;
    }
}

/// A cursor in the state in which a crash leaves it: a range is announced, and half of its rewards
/// exist. Then the cursor is damaged, so that nothing says which rewards were counted.
#[tokio::test]
async fn rewards_of_an_announced_range_are_counted_once_after_its_cursor_is_lost() {
    for (seed, salvaged) in (0..12).zip([false, true].into_iter().cycle()) {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = seeded_store().await;
        observe(&store, 0, 60).await;
        score(&store, START + 40_000).await;
        let stop = CancellationToken::new();
        let mut worker = job(&store, 20);
        crash_after(rng.random_range(5..40), worker.pass(NOW, &stop, &|_| ())).await;
        if salvaged {
            // A commit that was sent before the crash may still arrive: what it wrote stays.
            clear(&store, collection::STATE, "cursor", "sequence").await;
        } else {
            damage(&store, "cursor", seed % 3).await;
        }
        let report = rebuild(&store).document("ops_state/cursor", NOW).await.unwrap();
        assert!(report.differences.is_empty(), "seed {seed}: {report}");
        assert_verified(&store, NOW, &format!("seed {seed}, before scoring")).await;
        score(&store, NOW).await;
        reconcile(&store, NOW).await;
        let twin = seeded_store().await;
        observe(&twin, 0, 60).await;
        score(&twin, NOW).await;
        assert_eq!(figures(&store).await, figures(&twin).await, "seed {seed}");
        assert_verified(&store, NOW, &format!("seed {seed}")).await;
    }
}

/// Rebuilds crash at any `await`, while workers that also crash score, and components write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_crashes_at_any_await_amid_workers_loses_nothing_and_counts_nothing_twice() {
    for seed in 0..6 {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = seeded_store().await;
        observe(&store, 0, 40).await;
        score(&store, START + 30_000).await;
        let stop = CancellationToken::new();
        let targets =
            ["series|router:gpt-5", "version|router-core@1.0.0", "series|router:gemini", "cursor"];
        let mut written = 40;
        for round in 0..24 {
            let target = targets[rng.random_range(0..targets.len())];
            if round % 4 == 0 {
                damage(&store, target, rng.random_range(0..4)).await;
            }
            let chunk = rng.random_range(1..20);
            let mut workers = [1, 2, 3].map(|_| job(&store, chunk));
            let [a, b, c] = &mut workers;
            let rebuilding = rebuild(&store);
            let document = format!("ops_state/{target}");
            let polls = [(); 4].map(|()| rng.random_range(1..150));
            let now = START + written * 1_000;
            tokio::join!(
                crash_after(polls[0], rebuilding.document(&document, now)),
                crash_after(polls[1], a.pass(now, &stop, &|_| ())),
                crash_after(polls[2], b.pass(now, &stop, &|_| ())),
                crash_after(polls[3], c.pass(now, &stop, &|_| ())),
                observe(&store, written, 3),
            );
            written += 3;
        }
        rebuild(&store).counting(NOW).await.unwrap();
        rebuild(&store).all(NOW).await.unwrap();
        score(&store, NOW).await;
        reconcile(&store, NOW).await;
        let twin = seeded_store().await;
        observe(&twin, 0, written).await;
        score(&twin, NOW).await;
        assert_eq!(figures(&store).await, figures(&twin).await, "seed {seed}");
        assert_verified(&store, NOW, &format!("seed {seed}")).await;
        let (rewards, quarantined) = store.counts().await.unwrap();
        assert_eq!(i64::try_from(rewards + quarantined).unwrap(), written, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_rebuilt_while_three_workers_score_and_components_write() {
    let store = seeded_store().await;
    observe(&store, 0, 60).await;
    score(&store, START + 30_000).await;
    let stop = CancellationToken::new();
    let scoring = |chunk: usize| {
        let (store, stop) = (store.clone(), stop.clone());
        async move {
            for pass in 0..12 {
                job(&store, chunk)
                    .pass(START + 70_000 + pass * 5_000, &stop, &|_| ())
                    .await
                    .unwrap();
            }
        }
    };
    let rebuilding = async {
        for pass in 0..3 {
            rebuild(&store).all(START + 70_000 + pass * 20_000).await.unwrap();
        }
    };
    tokio::join!(scoring(3), scoring(5), scoring(7), rebuilding, observe(&store, 60, 60));
    score(&store, NOW).await;
    reconcile(&store, NOW).await;
    let twin = seeded_store().await;
    observe(&twin, 0, 120).await;
    score(&twin, NOW).await;
    assert_eq!(figures(&store).await, figures(&twin).await);
    assert_verified(&store, NOW, "after all").await;
}

#[tokio::test]
async fn what_was_archived_is_recounted_from_the_archive() {
    let store = seeded_store().await;
    observe(&store, 0, 60).await;
    score(&store, NOW).await;
    let later = START + 20 * DAY_MS;
    for n in 0..9 {
        let observation = observation(n, later + n * 1_000);
        put(&store, collection::OBSERVATIONS, &format!("p{n}"), fields(&observation)).await;
    }
    score(&store, later + HOUR_MS).await;
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path().to_str().unwrap()).unwrap();
    let options = RetainOptions { days: 8, ..RetainOptions::default() };
    let mut retain = RetainJob::new(store.clone(), archive.clone(), options);
    let stop = CancellationToken::new();
    let now = later + 2 * HOUR_MS;
    let report = retain.pass(now, &stop).await.unwrap();
    assert!(report.archived > 100, "{report}");
    score(&store, now).await;
    let before = figures(&store).await;

    damage(&store, "version|router-core@1.0.0", 1).await;
    let missing = rebuild(&store).all(now).await.unwrap_err().to_string();
    assert!(missing.contains("ARCHIVE_URL") && missing.contains("--from 2026-"), "{missing}");
    let job = RebuildJob::new(store.clone(), Some(archive), RebuildOptions::default());
    let report = job.document("ops_state/version|router-core@1.0.0", now).await.unwrap();
    assert_eq!((report.differences.len(), report.totals.by_reward), (0, 0), "{report}");
    assert_eq!(figures(&store).await, before);
    let verified = job.verify(None, now).await.unwrap();
    assert!(verified.differences.is_empty(), "{verified}");
    job.all(now).await.unwrap();
    assert_eq!(figures(&store).await, before);

    let from = Some(later);
    let recent = RebuildOptions { from, ..RebuildOptions::default() };
    let recent = RebuildJob::new(store.clone(), None, recent);
    recent.document("ops_state/version|router-core@1.0.0", now).await.unwrap();
    let counted = store.tally(&key(VERSION)).await.unwrap().stats();
    assert_eq!(counted.n + counted.rejected, 6, "only what is not archived");
}

#[tokio::test]
async fn an_announced_range_is_kept_if_the_cursor_still_shows_it() {
    let store = seeded_store().await;
    observe(&store, 0, 30).await;
    score(&store, START + 10_000).await;
    let cursor = store.cursor(Shard::All).await.unwrap();
    let chunk = store.next_chunk(Shard::All, cursor.position.as_ref(), NOW, 10).await.unwrap();
    let (end, read_time) = chunk.end.unwrap();
    let config = store.reward_config().await.unwrap();
    let pending = Pending { end, read_time, config, archived_before: None, limits: None };
    let announced = store.announce(&cursor, pending.clone()).await.unwrap();
    let mut fields = stored(&store, collection::STATE, "cursor").await.unwrap();
    fields.remove("sequence");
    put(&store, collection::STATE, "cursor", fields).await;
    rebuild(&store).document("ops_state/cursor", NOW).await.unwrap();
    let repaired = store.cursor(Shard::All).await.unwrap();
    assert_eq!((repaired.position, repaired.pending), (announced.position, Some(pending)));
    score(&store, NOW).await;
    let stats = store.all_stats(None).await.unwrap();
    let counted = stats.iter().filter(|it| it.window == Window::SevenDays);
    assert_eq!(counted.map(|it| it.stats.n + it.stats.rejected).sum::<u64>(), 30);
    assert_verified(&store, NOW + MINUTE_MS, "after the range").await;
}
