//! The bill of the steady state, with every job on its default timer: an hour of virtual time at
//! several rates, and the daily and weekly passes.

use std::collections::BTreeMap;

use f0_learning::jobs::retain::RetainOptions;
use f0_learning_core::time::{DAY_MS, HOUR_MS};

use crate::Result;
use crate::cost::Cost;
use crate::load::{COMPONENTS, DAY_END, Load};
use crate::worker::Job;
use crate::world::World;

/// Observations a second.
const RATES: [usize; 3] = [1, 10, 50];

/// Hours of observations before the measured hour. Reconciliation looks back three hours, from the
/// full hour before.
const HISTORY: i64 = 4;

const SECONDS_A_DAY: usize = 86_400;

/// Noon, and the midnight before.
const MIDNIGHT: i64 = DAY_END - DAY_END % DAY_MS;
const NOON: i64 = MIDNIGHT + 12 * HOUR_MS;

/// The bill of each job, and of the leases that the scheduler takes.
#[derive(Default)]
struct Bill {
    jobs: BTreeMap<Job, Cost>,
    leases: Cost,
}

impl Bill {
    fn of(&self, job: Job) -> Cost {
        self.jobs.get(&job).copied().unwrap_or_default()
    }
}

pub async fn run() -> Result<()> {
    let rare = Rare::measure().await?;
    let without = hour(RATES[0], false).await?.of(Job::Score);
    println!(
        "billed operations per 1,000 observations, {COMPONENTS} components, default timers:\n\
         {:>6} {:>8} {:>7} {:>10} {:>6} {:>6} {:>11} {:>8} {:>8}",
        "rate/s",
        "scoring",
        "leases",
        "reconcile",
        "daily",
        "weekly",
        "tune, ...",
        "retain",
        "total"
    );
    let mut of_scoring = None;
    for rate in RATES {
        let bill = hour(rate, true).await?;
        // A pass renews its lease by the clock, whatever the number of observations.
        let leases = *of_scoring.get_or_insert_with(|| bill.of(Job::Score) - without);
        let observations = rate * 3_600;
        let each = |cost: Cost| per_thousand(cost.total() as f64, observations);
        let parts = [
            each(bill.of(Job::Score) - leases),
            each(leases) + each(bill.leases),
            each(bill.of(Job::Reconcile)),
            rare.deep,
            rare.full,
            each(bill.of(Job::Tune)) + each(bill.of(Job::Check)) + each(bill.of(Job::Guard)),
            rare.retain,
        ];
        let [scoring, leases, reconcile, deep, full, tune, retain] = parts;
        println!(
            "{rate:>6} {scoring:>8.1} {leases:>7.2} {reconcile:>10.1} {deep:>6.1} {full:>6.1} \
             {tune:>11.2} {retain:>8.1} {:>8.1}",
            parts.iter().sum::<f64>()
        );
    }
    Ok(())
}

fn per_thousand(operations: f64, observations: usize) -> f64 {
    operations * 1_000.0 / observations as f64
}

/// Runs the hour after noon, with the hours before it already scored.
async fn hour(rate: usize, leased: bool) -> Result<Bill> {
    let world = World::at(NOON).await?;
    let mut worker = world.worker(leased, RetainOptions::default().days)?;
    let mut load = Load {
        numbers: 0..rate * 3_600 * HISTORY as usize,
        times: NOON - HISTORY * HOUR_MS..NOON,
        components: COMPONENTS,
        shards: 0,
    };
    eprintln!("{rate} a second: earlier observations, and the first passes");
    load.write(&world.store).await?;
    for job in [Job::Score, Job::Reconcile, Job::Tune, Job::Check, Job::Guard] {
        world.pass(&mut worker, job).await?;
    }
    eprintln!("{rate} a second: the hour");
    let mut timers = Vec::new();
    for job in Job::ALL {
        timers.push((job, job.timer()?));
    }
    let mut bill = Bill::default();
    for now in (NOON + 1_000..=NOON + HOUR_MS).step_by(1_000) {
        for (job, _) in timers.iter().filter(|(_, timer)| timer.is_due(now)) {
            world.time.set(now);
            let seconds = (now - load.times.end) / 1_000;
            if seconds > 0 {
                let (first, time) = (load.numbers.end, load.times.end);
                load.numbers = first..first + rate * seconds as usize;
                load.times = time..now;
                load.write(&world.store).await?;
            }
            let (lease, pass) = world.pass(&mut worker, *job).await?;
            bill.leases += lease;
            *bill.jobs.entry(*job).or_default() += pass;
        }
    }
    world.end().await;
    Ok(bill)
}

/// The bill of the daily and weekly passes per 1,000 observations of their time. It is measured at
/// one observation a second. Firestore bills by the document, so that it is the same at any rate.
struct Rare {
    /// Once a day reconciliation reads the longest window, beyond what each pass reads.
    deep: f64,
    /// Once a week it reads everything, beyond what it reads each day.
    full: f64,
    retain: f64,
}

impl Rare {
    /// Days of observations that are stored during the last deep pass.
    const PRESENT: f64 = 10.0;

    async fn measure() -> Result<Self> {
        let retention = RetainOptions::default().days;
        let world = World::at(MIDNIGHT - 2 * DAY_MS).await?;
        let mut worker = world.worker(true, retention)?;
        let load = |numbers: std::ops::Range<usize>, end: i64| Load {
            times: end - numbers.len() as i64 * DAY_MS..end,
            numbers: numbers.start * SECONDS_A_DAY..numbers.end * SECONDS_A_DAY,
            components: COMPONENTS,
            shards: 0,
        };
        eprintln!("one day past retention, nine recent days, and the passes over them");
        load(0..1, MIDNIGHT - i64::from(retention) * DAY_MS).write(&world.store).await?;
        load(1..8, MIDNIGHT - 2 * DAY_MS).write(&world.store).await?;
        world.pass(&mut worker, Job::Score).await?;
        let (_, full) = world.pass(&mut worker, Job::Reconcile).await?;
        let mut deep = [Cost::default(); 2];
        for (day, deep) in deep.iter_mut().enumerate() {
            let now = MIDNIGHT - DAY_MS + day as i64 * DAY_MS;
            world.time.set(now);
            load(8 + day..9 + day, now).write(&world.store).await?;
            world.pass(&mut worker, Job::Score).await?;
            (_, *deep) = world.pass(&mut worker, Job::Reconcile).await?;
        }
        let (_, recent) = world.pass(&mut worker, Job::Reconcile).await?;
        world.time.set(MIDNIGHT + 3 * HOUR_MS);
        let (lease, retain) = world.pass(&mut worker, Job::Retain).await?;
        world.end().await;
        println!(
            "at 1 observation a second: reconcile over everything, 8 days, {full}; over the last 7 \
             days, with 9 stored, {}; with 10 stored, {}; over the last hours {recent}; retain, of \
             one day, {retain}",
            deep[0], deep[1]
        );
        // Retention keeps whole days after their end, so that one more day is stored in part. The
        // bill of a deep pass grows with the stored days, because it counts the whole collection.
        let kept = f64::from(retention + 1);
        let of_a_day = (deep[1] - deep[0]).total() as f64;
        let deep = deep[1].total() as f64 + of_a_day * (kept - Self::PRESENT);
        let full = full.total() as f64 * kept / 8.0;
        Ok(Self {
            deep: per_thousand(deep - recent.total() as f64, SECONDS_A_DAY),
            full: per_thousand(full - deep, 7 * SECONDS_A_DAY),
            retain: per_thousand((retain.total() + lease.total()) as f64, SECONDS_A_DAY),
        })
    }
}
