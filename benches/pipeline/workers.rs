//! Several workers on one store, each scoring its share of four shards: first limited by the
//! machine, then with delayed answers to writes, so that waiting is the limit.

use std::time::{Duration, Instant};

use f0_learning::jobs::leases::{LEASE_MS, Leases};
use f0_learning::jobs::score::{ScoreJob, ScoreOptions, ScoreReport};
use f0_learning::store::Store;
use f0_learning_core::time::MINUTE_MS;
use firestore_kit::Connection;
use firestore_local::{Fault, Plan, Rule};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::load::{DAY_END, Load, configure_shards};
use crate::server::Server;
use crate::time::Time;
use crate::{ROUNDS, Result, connect, median, rate};

const SHARDS: u32 = 4;
const WORKERS: [usize; 3] = [1, 2, 4];

/// The delay of each answer to a batch of rewards in the second part, in milliseconds. Eight
/// batches of 500 are in flight at once, so that one worker scores at most 4,000 observations a
/// second.
const DELAY: u64 = 1_000;

pub async fn run(total: usize) -> Result<()> {
    for delay in [0, DELAY] {
        let mut rates = [(); WORKERS.len()].map(|()| Vec::new());
        let mut ratios = rates.clone();
        for round in 0..ROUNDS {
            let mut of_round = [0.0; WORKERS.len()];
            for step in 0..WORKERS.len() {
                // Each round starts with another number of workers.
                let which = (round + step) % WORKERS.len();
                let time = score(WORKERS[which], total, delay).await?;
                of_round[which] = rate(total, time);
            }
            eprintln!("round {round}: {WORKERS:?} workers {of_round:.0?}/s");
            for (which, reached) in of_round.into_iter().enumerate() {
                rates[which].push(reached);
                ratios[which].push(reached / of_round[0]);
            }
        }
        match delay {
            0 => println!("{total} observations on {SHARDS} shards:"),
            _ => {
                println!("the same, with each answer to a batch of rewards delayed by {delay} ms:");
            }
        }
        for (which, workers) in WORKERS.into_iter().enumerate() {
            println!(
                "  {workers} workers: {:.0}/s, {:.2} times 1 worker (medians of {ROUNDS} rounds)",
                median(rates[which].clone()),
                median(ratios[which].clone())
            );
        }
    }
    Ok(())
}

/// The time in which the workers score everything, once they have shared the shards.
async fn score(workers: usize, total: usize, delay: u64) -> Result<Duration> {
    let server = Server::start(false)?;
    let store = connect(&server, "demo-workers").await?;
    configure_shards(&store, SHARDS).await?;
    let time = Time::at(DAY_END);
    let mut jobs = Vec::new();
    for _ in 0..workers {
        let store = Store::connect(&Connection::local("demo-workers", server.address())).await?;
        let leases = Leases::new(store.clone(), time.clock());
        jobs.push(ScoreJob::new(store, ScoreOptions::default()).with_leases(leases));
    }
    share(&mut jobs, &time).await?;
    Load { shards: SHARDS, ..Load::last_hour(total) }.write(&store).await?;
    if delay > 0 {
        let rule = Rule::on("BatchWrite", Fault::Delay { millis: delay });
        server.set_faults(&Plan { rules: vec![rule], ..Plan::none() }).await?;
    }
    let began = Instant::now();
    let mut running = JoinSet::new();
    for mut job in jobs {
        running.spawn(async move { pass(&mut job).await.map_err(|error| error.to_string()) });
    }
    let mut scored = 0;
    while let Some(outcome) = running.join_next().await {
        scored += outcome??.scored;
    }
    let took = began.elapsed();
    if scored != total as u64 {
        return Err(format!("{workers} workers scored {scored} of {total} observations").into());
    }
    server.stop()?;
    Ok(took)
}

/// Runs empty passes until each worker has its share of the shards.
async fn share(jobs: &mut [ScoreJob], time: &Time) -> Result<()> {
    let share = SHARDS as usize / jobs.len();
    let mut held = Vec::new();
    for _ in 0..4 {
        held.clear();
        for job in &mut *jobs {
            held.push(SHARDS as usize - pass(job).await?.left_to_others as usize);
        }
        time.set(time.now() + LEASE_MS / 2);
    }
    if held.iter().any(|shards| *shards != share) {
        return Err(format!("the workers hold {held:?} shards, expected {share} each").into());
    }
    Ok(())
}

async fn pass(job: &mut ScoreJob) -> Result<ScoreReport> {
    Ok(job.pass(DAY_END + MINUTE_MS, &CancellationToken::new(), &|_| ()).await?)
}
