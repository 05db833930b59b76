//! No clock of a worker can do harm: the time of passes and leases is Firestore's. The server of each
//! test has a clock of its own, and the clocks of the workers differ from it by hours, days and years.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use f0_learning::jobs::JobName;
use f0_learning::jobs::leases::{GONE_AFTER, LEASE_MS, Leases};
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::scheduler::{Schedule, Worker, WorkerOptions};
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::observability::health::Health;
use f0_learning::store::Store;
use f0_learning_core::Clock;
use f0_learning_core::observation::Outcome;
use f0_learning_core::stats::Window;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use firestore_kit::Connection;
use firestore_local::Running;
use serde_json::json;

use crate::collection;
use crate::support::process::{Serve, firestore, wait_until};
use crate::support::{START, document, fields, put, record, score, server};

const YEAR_MS: i64 = 365 * DAY_MS;

/// The year 3000, in epoch milliseconds.
const YEAR_3000: i64 = 32_503_680_000_000;

/// A seeded store, and the clock of its server, which the test moves.
pub struct World {
    pub store: Store,
    time: Arc<AtomicI64>,
    server: Running,
}

impl World {
    pub async fn at(start: i64) -> Self {
        let time = Arc::new(AtomicI64::new(start));
        let read = time.clone();
        let clock =
            firestore_local::Clock::from_micros(move || read.load(Ordering::Relaxed) * 1_000);
        let server = server().clock(clock).start().await.unwrap();
        let connection = Connection::local("demo-clocks", server.addr());
        let store = Store::connect(&connection).await.unwrap();
        store.seed(start).await.unwrap();
        Self { store, time, server }
    }

    pub fn address(&self) -> String {
        self.server.addr().to_string()
    }

    /// Moves the server's clock. What was known of it is replaced, as by any answer.
    pub async fn advance(&self, ms: i64) {
        self.time.fetch_add(ms, Ordering::Relaxed);
        self.store.now().await.unwrap();
    }

    /// Leases by the server's time.
    fn leases(&self, name: &str) -> Leases {
        Leases::named(self.store.clone(), self.store.clone(), name.to_owned())
    }

    /// Leases by a clock that differs from the server's.
    fn skewed(&self, name: &str, skew: i64) -> Leases {
        let time = self.time.clone();
        let clock = Clock::from_fn(move || time.load(Ordering::Relaxed) + skew);
        Leases::named(self.store.clone(), clock, name.to_owned())
    }

    pub async fn counted(&self, window: Window) -> u64 {
        let stats = self.store.all_stats(None).await.unwrap();
        stats.iter().filter(|it| it.window == window).map(|it| it.stats.n).sum()
    }
}

#[tokio::test]
async fn a_lease_that_ends_in_the_year_3000_expires_after_its_length() {
    let world = World::at(START).await;
    let mut sound = world.leases("sound");
    for (length, name) in [(Some(LEASE_MS), "tune"), (None, "guard"), (Some(YEAR_MS), "retain")] {
        let mut lease = json!({ "holder": "broken", "until": YEAR_3000, "fence": 1 });
        if let Some(length) = length {
            lease["lengthMs"] = json!(length);
        }
        put(&world.store, collection::STATE, &format!("lease|{name}"), fields(&lease)).await;
    }
    assert!(!sound.hold("tune").await.unwrap(), "it is still another's");
    // An hour is the longest that any lease lasts, and far longer than this worker's leases: such an
    // end is damaged, and counts as expired.
    for name in ["guard", "retain"] {
        assert!(sound.hold(name).await.unwrap(), "{name} without a valid length");
    }
    world.advance(LEASE_MS + 1_000).await;
    assert!(sound.hold("tune").await.unwrap());
}

#[tokio::test]
async fn the_lease_of_a_crashed_worker_lasts_its_length_whatever_its_clock_said() {
    for skew in [HOUR_MS, 2 * DAY_MS, 1_000 * YEAR_MS, -HOUR_MS, -YEAR_MS] {
        let world = World::at(START).await;
        let mut wrong = world.skewed("wrong", skew);
        assert!(wrong.hold("score").await.unwrap());
        drop(wrong);
        world.advance(LEASE_MS + 1_000).await;
        let mut sound = world.leases("sound");
        assert!(sound.hold("score").await.unwrap(), "skew {skew}");
        let lease = world.store.lease("score").await.unwrap().unwrap();
        assert_eq!((lease.holder.as_str(), lease.fence), ("sound", 2));
        let server = world.time.load(Ordering::Relaxed);
        assert!((server..=server + LEASE_MS + 1_000).contains(&lease.until), "skew {skew}");
    }
}

#[tokio::test]
async fn the_announcement_of_a_worker_with_a_wrong_clock_is_removed_in_time() {
    let world = World::at(START).await;
    world.store.announce_worker("wrong", YEAR_3000, LEASE_MS).await.unwrap();
    let mut sound = world.leases("sound");
    assert_eq!(sound.share(4).await.unwrap(), 2, "it may be running");
    world.advance(LEASE_MS + 1_000).await;
    assert_eq!(sound.share(4).await.unwrap(), 4);
    world.advance((GONE_AFTER + 1) * LEASE_MS).await;
    sound.share(4).await.unwrap();
    let left = world.store.workers().await.unwrap();
    assert_eq!(left.iter().map(|it| it.worker.as_str()).collect::<Vec<_>>(), ["sound"]);
}

/// The clock of this process, by which the timers run, is years away from the server's in one case or
/// the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_on_timers_work_at_the_time_of_firestore_however_wrong_the_wall_clock_is() {
    for start in [START, Clock::system().now() + 20 * YEAR_MS] {
        let world = World::at(start).await;
        record(&world.store, "c", Outcome::Success, 5.0, start - 30 * MINUTE_MS).await;
        record(&world.store, "c", Outcome::Success, 5.0, start - 20 * HOUR_MS).await;
        let health = Arc::new(Health::default());
        let each_second = "* * * * * *";
        let schedule = Schedule::default()
            .with(JobName::Score, each_second)
            .with(JobName::Reconcile, each_second);
        let options = WorkerOptions { schedule, lease_ms: Some(LEASE_MS) };
        let store = &world.store;
        let mut worker =
            Worker::new(store.clone(), store.clone(), health.clone(), options).await.unwrap();
        let score = ScoreOptions { settle_ms: 0, ..ScoreOptions::default() };
        worker.add(ScoreJob::new(store.clone(), score)).await.unwrap();
        let reconcile = ReconcileJob::new(store.clone(), ReconcileOptions::default());
        worker.add(reconcile).await.unwrap();
        worker.start().await.unwrap();
        let passed = |job: &str, n: u32| {
            let prefix = format!(r#"f0_job_passes_total{{job_name="{job}",outcome="succeeded"}} "#);
            let text = health.metrics().text(true);
            let count = text.lines().find_map(|it| it.strip_prefix(&prefix)?.parse::<u32>().ok());
            count.is_some_and(|count| count >= n)
        };
        wait_until("passes", async || passed("score", 3) && passed("reconcile", 2)).await;
        assert!(worker.shutdown(Duration::from_secs(10)).await);
        assert!(health.readiness().ready, "{:?}", health.readiness());
        assert_eq!(world.counted(Window::OneHour).await, 1, "windows end at the server's time");
        assert_eq!(world.counted(Window::SevenDays).await, 2);
        // What comes next is still counted: no window has moved beyond it.
        let now = start + MINUTE_MS;
        world.advance(MINUTE_MS).await;
        record(store, "c", Outcome::Success, 5.0, now - 1_000).await;
        crate::support::score(store, now).await;
        assert_eq!(world.counted(Window::OneHour).await, 2);
        assert!(document(store, collection::QUARANTINE, "c").await.is_none());
    }
}

#[tokio::test]
async fn the_time_goes_on_between_the_answers_and_a_server_that_cannot_be_reached_has_none() {
    let world = World::at(START).await;
    assert_eq!(world.store.now().await.unwrap(), START);
    let estimate = world.store.db().estimated_time().unwrap();
    assert!((START..START + MINUTE_MS).contains(&estimate), "{estimate}");
    world.advance(DAY_MS).await;
    assert!(world.store.db().estimated_time().unwrap() >= START + DAY_MS);
    // A server that is set back is followed: the next answer replaces the estimate.
    score(&world.store, START + DAY_MS).await;
    let World { store, server: running, .. } = world;
    running.shutdown().await;
    assert!(store.now().await.is_err());
}

/// Where Debian's package `faketime` puts its library.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// How many passes of scoring `/metrics` counts, and how many jumps of the clock.
fn passes_and_jumps(address: &str) -> Option<(u64, u64)> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let count = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok());
    let passes = count(r#"f0_job_passes_total{job_name="score",outcome="succeeded"} "#)?;
    Some((passes, count("f0_wall_clock_jumps_total ")?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the package faketime; .ci/clock installs it and runs this test"]
async fn serve_goes_on_after_its_wall_clock_jumps_in_either_direction() {
    assert!(std::path::Path::new(FAKETIME).exists(), "install the package faketime");
    let firestore = firestore();
    let offset = tempfile::NamedTempFile::new().unwrap();
    let set = |text: &str| std::fs::write(offset.path(), text).unwrap();
    set("+5h");
    let environment = [
        ("LD_PRELOAD", FAKETIME),
        ("FAKETIME_TIMESTAMP_FILE", offset.path().to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("SCORE_CRON", "* * * * * *"),
    ];
    let serve = Serve::start(&firestore.address(), &[], &environment, Stdio::null());
    let reaches = async |passes: u64, jumps: u64| {
        let what = format!("{passes} passes and {jumps} jumps");
        let found = async || passes_and_jumps(&serve.address);
        wait_until(&what, async || {
            found().await.is_some_and(|found| found.0 >= passes && found.1 == jumps)
        })
        .await;
        found().await.unwrap().0
    };
    let before = reaches(3, 0).await;
    set("+0");
    let back = reaches(before + 5, 1).await;
    set("+3d");
    reaches(back + 5, 2).await;
}
