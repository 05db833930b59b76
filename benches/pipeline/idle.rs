//! The bill of a pass that finds nothing to do: in a project without observations, and in one whose
//! observations are all scored.

use f0_learning::jobs::retain::RetainOptions;
use f0_learning_core::time::{DAY_MS, MINUTE_MS};

use crate::Result;
use crate::load::{COMPONENTS, DAY_END, Load};
use crate::worker::Job;
use crate::world::World;

/// Noon, so that no daily timer is due during the passes.
const START: i64 = DAY_END - DAY_END % DAY_MS + DAY_MS / 2;

/// The minute of each pass, as the timers would start it: the first of a process, then the next.
const PASSES: [(i64, Job); 13] = [
    (0, Job::Score),
    (0, Job::Reconcile),
    (0, Job::Tune),
    (0, Job::Check),
    (0, Job::Guard),
    (0, Job::Retain),
    (1, Job::Score),
    (1, Job::Guard),
    (2, Job::Score),
    (5, Job::Check),
    (10, Job::Reconcile),
    (15, Job::Tune),
    (24 * 60, Job::Retain),
];

pub async fn run() -> Result<()> {
    for scored in [0, 20_000] {
        let world = World::at(START).await?;
        if scored > 0 {
            // Recent enough to stay in every window while the passes are measured.
            let times = START - 30 * MINUTE_MS..START - MINUTE_MS;
            let load = Load { numbers: 0..scored, times, components: COMPONENTS, shards: 0 };
            load.write(&world.store).await?;
        }
        let days = RetainOptions::default().days;
        let mut before = world.worker(false, days)?;
        for job in Job::ALL {
            world.pass(&mut before, job).await?;
        }
        println!("{scored} observations, all scored; a new process:");
        let mut worker = world.worker(true, days)?;
        for (minute, job) in PASSES {
            world.time.set(START + minute * MINUTE_MS);
            let (lease, pass) = world.pass(&mut worker, job).await?;
            println!(
                "  minute {minute:>4}  {:<9} {:>3} reads {:>3} writes; its lease {} reads {} writes",
                job.name(),
                pass.reads,
                pass.writes,
                lease.reads,
                lease.writes
            );
        }
        world.end().await;
    }
    println!("(the lease of scoring is part of its pass)");
    Ok(())
}
