//! The needs of 1,000, 10,000 and 100,000 observations a second: writes a second to the busiest
//! part of an index, writes a second to the busiest statistics, and billed operations. A few
//! seconds of each rate run through the jobs.

use f0_learning::jobs::score::ScoreOptions;
use f0_learning_core::sharding::shard_of;
use f0_learning_core::time::DAY_MS;

use crate::Result;
use crate::cost::Cost;
use crate::load::{COMPONENTS, DAY_END, Load, configure_shards};
use crate::worker::Job;
use crate::world::World;

/// Observations a second, and the seconds of that rate that are run.
const RATES: [(usize, usize); 3] = [(1_000, 60), (10_000, 30), (100_000, 5)];

/// Planned observations a second for each shard: half the limit of an index over a rising field, so
/// that there is room for peaks.
/// https://firebase.google.com/docs/firestore/best-practices
const A_SHARD: usize = 250;
const LIMIT: usize = 500;

const START: i64 = DAY_END - DAY_END % DAY_MS + DAY_MS / 2;

pub async fn run() -> Result<()> {
    println!(
        "{:>8} {:>7} {:>14} {:>16} {:>15} {:>11} {:>10}",
        "rate/s",
        "shards",
        "one index, max",
        "sharded, max",
        "series writes/s",
        "score/1,000",
        "reconcile"
    );
    for (rate, seconds) in RATES {
        let shards = u32::try_from(rate.div_ceil(A_SHARD))?;
        let busiest = busiest(rate, seconds, shards);
        let (scored, reconciled) = billed(rate, seconds, shards).await?;
        // Each shard is scored once a minute, in chunks; each commits the series of its components.
        let chunks = (rate * 60).div_ceil(shards as usize).div_ceil(ScoreOptions::default().chunk);
        let series = f64::from(shards) * chunks as f64 / 60.0;
        let verdict = if busiest > LIMIT { "too many" } else { "" };
        println!(
            "{rate:>8} {shards:>7} {rate:>14} {busiest:>16} {series:>15.2} {scored:>11.1} \
             {reconciled:>10} {verdict}"
        );
    }
    println!(
        "an index over a rising field takes at most {LIMIT} writes a second for each shard; \
         `reconcile` is the reads of one pass over the observations of the run; {COMPONENTS} \
         components"
    );
    Ok(())
}

/// The most observations of one shard within one second.
fn busiest(rate: usize, seconds: usize, shards: u32) -> usize {
    let of_second = |second: usize| {
        let mut counts = vec![0; shards as usize];
        for n in second * rate..(second + 1) * rate {
            if let Some(shard) = shard_of(&Load::id(n), shards) {
                counts[shard as usize] += 1;
            }
        }
        counts.into_iter().max().unwrap_or_default()
    };
    (0..seconds).map(of_second).max().unwrap_or_default()
}

/// Billed operations of scoring per 1,000 observations, without the components' own writes, and the
/// reads of one reconciliation.
async fn billed(rate: usize, seconds: usize, shards: u32) -> Result<(f64, u64)> {
    let world = World::at(START).await?;
    configure_shards(&world.store, shards).await?;
    let mut worker = world.worker(false, 30)?;
    world.pass(&mut worker, Job::Score).await?;
    let times = START + 10_000..START + 10_000 + 1_000 * seconds as i64;
    let total = rate * seconds;
    let load = Load { numbers: 0..total, times, components: COMPONENTS, shards };
    world.time.set(START + 10_000 + 1_000 * seconds as i64);
    load.write(&world.store).await?;
    world.time.set(START + 300_000);
    let (_, scored) = world.pass(&mut worker, Job::Score).await?;
    let (_, reconciled) = world.pass(&mut worker, Job::Reconcile).await?;
    world.end().await;
    let each = |cost: Cost| cost.total() as f64 * 1_000.0 / total as f64;
    Ok((each(scored), reconciled.reads))
}
