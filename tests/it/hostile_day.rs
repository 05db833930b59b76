//! A day with hostile components: what they write changes no figure of the others, and costs no more
//! than it is worth.

use std::collections::BTreeMap;

use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::store::Store;
use f0_learning_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use firestore_kit::Connection;
use firestore_kit::value::{self, Fields};
use firestore_local::Running;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::collection;
use crate::support::{START, fields, put, server};

/// How often the jobs run.
const STEP_MS: i64 = 15 * MINUTE_MS;
const COMPONENTS: [&str; 4] = ["router", "search", "mail", "index"];
/// Honest observations in each step.
const HONEST: i64 = 54;
/// Hostile documents in each step: a tenth of all.
const HOSTILE: i64 = 6;

fn honest(rng: &mut StdRng, ts: i64) -> Fields {
    let component = COMPONENTS[rng.random_range(0..COMPONENTS.len())];
    fields(&json!({
        "ts": ts, "component": component, "durationMs": rng.random_range(1..5_000),
        "outcome": if rng.random_bool(0.9) { "success" } else { "failure" },
        "costUsd": f64::from(rng.random_range(0..1_000)) / 1e5,
    }))
}

/// What a component may write that follows the rules as far as it must: of its own name, or without one.
fn hostile(rng: &mut StdRng, n: i64, ts: i64) -> (String, Fields) {
    let id = format!("hostile-{n:06}");
    let mut document = honest(rng, ts);
    document.insert("component".to_owned(), value::string(format!("evil:{}", n % 7)));
    let (name, bad) = match n % 9 {
        0 => ("outcome", value::string("maybe")),
        1 => ("ts", value::int(ts * 1_000_000)),
        2 => ("ts", value::string(ts.to_string())),
        3 => ("ts", value::int(ts + 50 * MINUTE_MS)),
        4 => ("meta", value::string("x".repeat(400_000))),
        5 => ("durationMs", value::double(f64::NAN)),
        6 => ("policyVersion", value::string(format!("router-core@9.{n}.0"))),
        7 => ("component", value::string("x".repeat(50_000))),
        // The same id is written again, at another time.
        _ => ("ts", value::int(ts - HOUR_MS)),
    };
    document.insert(name.to_owned(), bad);
    let again = n % 9 == 8 && n > 20;
    (if again { format!("hostile-{:06}", n - 18) } else { id }, document)
}

/// Runs a day, and returns the figures of the honest components and the billed operations.
async fn day(
    server: &Running,
    project: &str,
    with_hostile: bool,
) -> (BTreeMap<String, Value>, u64) {
    let store = Store::connect(&Connection::local(project, server.addr())).await.unwrap();
    store.seed(START).await.unwrap();
    let (mut of_honest, mut of_hostile) = (StdRng::seed_from_u64(1), StdRng::seed_from_u64(2));
    let mut score = ScoreJob::new(store.clone(), ScoreOptions::default());
    let mut reconcile = ReconcileJob::new(store.clone(), ReconcileOptions::default());
    let stop = CancellationToken::new();
    let (mut n, mut m) = (0, 0);
    let mut billed = 0;
    let mut now = START;
    while now < START + DAY_MS {
        for _ in 0..HONEST {
            let ts = now + of_honest.random_range(0..STEP_MS);
            let document = honest(&mut of_honest, ts);
            put(&store, collection::OBSERVATIONS, &format!("honest-{n:06}"), document).await;
            n += 1;
        }
        for _ in 0..if with_hostile { HOSTILE } else { 0 } {
            let ts = now + of_hostile.random_range(0..STEP_MS);
            let (id, document) = hostile(&mut of_hostile, m, ts);
            put(&store, collection::OBSERVATIONS, &id, document).await;
            m += 1;
        }
        now += STEP_MS;
        let before = server.meter().total.total();
        score.pass(now + MINUTE_MS, &stop, &|_| ()).await.unwrap();
        reconcile.pass(now + MINUTE_MS, false, &stop).await.unwrap();
        billed += server.meter().total.total() - before;
    }
    let stats = store.all_stats(None).await.unwrap().into_iter();
    let of_honest = stats.filter(|it| COMPONENTS.contains(&it.component.as_str()));
    let figures = of_honest.map(|it| {
        (format!("{} {}", it.component, it.window.as_str()), serde_json::to_value(&it).unwrap())
    });
    (figures.collect(), billed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_components_change_no_figure_of_the_others() {
    let server = server().start().await.unwrap();
    let (alone, cost_alone) = day(&server, "demo-honest", false).await;
    let (beside, cost_beside) = day(&server, "demo-hostile", true).await;
    assert_eq!(alone.len(), 3 * COMPONENTS.len());
    assert_eq!(alone, beside);
    let steps = DAY_MS / STEP_MS;
    let (honest, hostile) = (steps * HONEST, steps * HOSTILE);
    let own = cost_beside.saturating_sub(cost_alone);
    eprintln!(
        "{honest} honest observations: {cost_alone} billed operations alone, {cost_beside} beside \
         {hostile} hostile documents ({own} more)"
    );
    // A hostile document costs its read, the look for a reward, its copy in quarantine, and its share
    // of its component's statistics; a late one costs the search among the others of its hour. It
    // costs that once, and not in every pass.
    let most = cost_alone + cost_alone / 20 + 20 * hostile.unsigned_abs();
    assert!(cost_beside <= most, "{cost_beside} operations, at most {most}");
    server.shutdown().await;
}
