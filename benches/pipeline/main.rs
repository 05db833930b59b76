//! The pipeline end to end on a local Firestore of its own process: how fast observations are
//! scored beside the raw ceiling of the same reads and writes, what they would be billed, and how
//! much memory a backlog takes. `BENCHMARKS.md` has the commands and figures.
//!
//!     cargo bench --bench pipeline -- throughput [OBSERVATIONS]
//!     cargo bench --bench pipeline -- billing
//!     cargo bench --bench pipeline -- backlog [OBSERVATIONS]

mod backlog;
mod ceiling;
mod server;

use std::time::{Duration, Instant};

use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::store::{Connection, MAX_BATCH, Store};
use serde_json::{Map, Value, json};
use server::Server;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The day on which all observations lie; passes run right after it.
const DAY_END: i64 = 1_780_000_000_000;
const COMPONENTS: usize = 10;
const ROUNDS: usize = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let observations = arguments.get(1).and_then(|text| text.parse().ok());
    match arguments.first().map_or("", String::as_str) {
        "throughput" => throughput(observations.unwrap_or(100_000)).await,
        "billing" => billing().await,
        "backlog" => backlog::run(observations.unwrap_or(1_000_000)).await,
        "" => {
            throughput(20_000).await?;
            billing().await
        }
        other => Err(format!("{other:?} is none of throughput, billing, backlog").into()),
    }
}

/// Observation `n` of `total`: spread over the last hour and over ten components.
fn observation(n: usize, total: usize) -> Map<String, Value> {
    let age = 3_600_000 * (total - n) as i64 / total as i64;
    let failed = n.is_multiple_of(20);
    let document = json!({
        "id": format!("{n:08x}-bench"),
        "ts": DAY_END - age,
        "component": format!("router:model-{}", n % COMPONENTS),
        "outcome": if failed { "failure" } else { "success" },
        "durationMs": 100 + (n * 7919) % 3_000,
        "tokensIn": 150,
        "tokensOut": 500,
        "costUsd": 0.001 * ((n % 30) as f64),
        "policyVersion": "router-core@1.0.0",
    });
    match document {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

pub async fn fill(store: &Store, total: usize) -> Result<()> {
    let mut under_way = JoinSet::new();
    for first in (0..total).step_by(MAX_BATCH) {
        if under_way.len() >= 8 {
            under_way.join_next().await.ok_or("no batch")???;
        }
        let store = store.clone();
        under_way.spawn(async move {
            let last = (first + MAX_BATCH).min(total);
            let batch: Vec<_> = (first..last).map(|n| observation(n, total)).collect();
            store.create_all_observations(&batch).await.map_err(|error| error.to_string())
        });
    }
    while let Some(outcome) = under_way.join_next().await {
        outcome??;
    }
    Ok(())
}

async fn connect(server: &Server, project: &str) -> Result<Store> {
    let store = Store::connect(&Connection::local(project, server.address())).await?;
    store.seed(DAY_END).await?;
    Ok(store)
}

/// One pass over everything; gives how long it took.
async fn score(store: &Store, expected: usize) -> Result<Duration> {
    let mut job = ScoreJob::new(store.clone(), ScoreOptions::default());
    let began = Instant::now();
    let report = job.pass(DAY_END + 60_000, &CancellationToken::new(), &|_| ()).await?;
    if report.scored != expected as u64 {
        return Err(format!("{} of {expected} observations were scored", report.scored).into());
    }
    Ok(began.elapsed())
}

fn rate(observations: usize, time: Duration) -> f64 {
    observations as f64 / time.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Rounds of ceiling and pass in turn, so that both meet the same weather.
async fn throughput(total: usize) -> Result<()> {
    for durable in [false, true] {
        let server = Server::start(durable)?;
        let (mut ceilings, mut passes, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let store = connect(&server, &format!("demo-score-{round}")).await?;
            fill(&store, total).await?;
            let ceiling = rate(total, ceiling::run(&server, &format!("demo-score-{round}")).await?);
            let pass = rate(total, score(&store, total).await?);
            eprintln!("round {round}: ceiling {ceiling:.0}/s, scoring {pass:.0}/s");
            ceilings.push(ceiling);
            passes.push(pass);
            ratios.push(pass / ceiling);
        }
        println!(
            "{:<10} {total} observations: scoring {:.0}/s, raw ceiling {:.0}/s, ratio {:.2} \
             (medians of {ROUNDS} rounds)",
            if durable { "durable" } else { "in memory" },
            median(passes),
            median(ceilings),
            median(ratios),
        );
        server.stop()?;
    }
    Ok(())
}

async fn billing() -> Result<()> {
    const TOTAL: usize = 20_000;
    let server = Server::start(false)?;
    let store = connect(&server, "demo-billing").await?;
    fill(&store, TOTAL).await?;
    let before = server.billed().await?;
    score(&store, TOTAL).await?;
    let after = server.billed().await?;
    let [reads, writes, deletes] = [0, 1, 2].map(|index| after[index] - before[index]);
    let total = reads + writes + deletes;
    println!(
        "{TOTAL} observations over {COMPONENTS} components: {reads} reads, {writes} writes, \
         {deletes} deletes: {:.1} billed operations per 1,000 observations",
        total as f64 * 1_000.0 / TOTAL as f64
    );
    server.stop()
}
