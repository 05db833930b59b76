//! The pipeline end to end on a local Firestore: scoring rate, billed operations, memory, and
//! recovery after a worker is killed. `BENCHMARKS.md` has the commands and figures.
//!
//!     cargo bench --bench pipeline -- throughput [OBSERVATIONS]
//!     cargo bench --bench pipeline -- workers [OBSERVATIONS]
//!     cargo bench --bench pipeline -- billing
//!     cargo bench --bench pipeline -- steady
//!     cargo bench --bench pipeline -- idle
//!     cargo bench --bench pipeline -- constant
//!     cargo bench --bench pipeline -- backlog [OBSERVATIONS]
//!     cargo bench --bench pipeline -- recovery [LEASE_SECONDS] [KILLS]
//!     cargo bench --bench pipeline -- month
//!     cargo bench --bench pipeline -- scale
//!     cargo bench --bench pipeline -- decide

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts and times of a benchmark are small, and its figures are rounded"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod backlog;
mod ceiling;
mod constant;
mod cost;
mod decide;
mod idle;
mod load;
mod month;
mod process;
mod recovery;
mod scale;
mod server;
mod steady;
mod throughput;
mod time;
mod worker;
mod workers;
mod world;

use std::time::{Duration, Instant};

use f0_learning::jobs::leases::LEASE_MS;
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::store::Store;
use f0_learning_core::time::MINUTE_MS;
use firestore_kit::Connection;
use load::DAY_END;
use server::Server;
use tokio_util::sync::CancellationToken;

pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const ROUNDS: usize = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |index: usize, default: usize| match arguments.get(index) {
        Some(text) => {
            text.parse().map_err(|_| format!("invalid argument {text:?}: expected a number"))
        }
        None => Ok(default),
    };
    match arguments.first().map_or("", String::as_str) {
        "throughput" => throughput::run(number(1, 100_000)?).await,
        "workers" => workers::run(number(1, 50_000)?).await,
        "billing" => throughput::billing().await,
        "steady" => steady::run().await,
        "idle" => idle::run().await,
        "constant" => constant::run().await,
        "backlog" => backlog::run(number(1, 1_000_000)?).await,
        "recovery" => recovery::run(number(1, LEASE_MS as usize / 1_000)?, number(2, 3)?).await,
        "month" => month::run().await,
        "decide" => decide::run().await,
        "scale" => scale::run().await,
        month::WORKER => month::worker(&arguments[1..]).await,
        "" => {
            throughput::run(20_000).await?;
            throughput::billing().await
        }
        other => Err(format!(
            "unknown benchmark {other:?}: expected throughput, workers, billing, steady, idle, \
             constant, backlog, recovery, month, scale or decide"
        )
        .into()),
    }
}

async fn connect(server: &Server, project: &str) -> Result<Store> {
    let store = Store::connect(&Connection::local(project, server.address())).await?;
    store.seed(DAY_END).await?;
    Ok(store)
}

/// Scores everything in one pass; gives the time that it took.
async fn score(store: &Store, expected: usize) -> Result<Duration> {
    let mut job = ScoreJob::new(store.clone(), ScoreOptions::default());
    let began = Instant::now();
    let report = job.pass(DAY_END + MINUTE_MS, &CancellationToken::new(), &|_| ()).await?;
    if report.scored != expected as u64 {
        return Err(format!("scored {} of {expected} observations", report.scored).into());
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
