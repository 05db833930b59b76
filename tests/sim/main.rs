//! The simulation: days of virtual time over the real jobs and the protocol, from one seed, with an
//! oracle that knows every write that was acknowledged.
//!
//!     cargo test --test sim                       # 100 seeds
//!     cargo test --release --test sim -- seeds 1000 [FIRST]
//!     cargo test --test sim -- seed 17            # one seed, told step by step
//!     cargo test --release --test sim -- day      # 24 hours at 50 observations a second
//!     cargo test --release --test sim -- kills 200  # the binary, killed at random moments
//!     cargo test --release --test sim -- documents 100000  # documents of random shape
//!
//! One seed is one sequence of steps: components write, workers run passes that meet faults, die,
//! or are overtaken in the middle, admins decide, flags and shards change, time passes. After each
//! step what must always hold is checked; now and then everything is left to finish, and the store
//! must hold exactly what the oracle says. A step that fails names its seed and number, and the
//! seed replays to it.

#![expect(clippy::unwrap_used, reason = "a simulation that cannot go on fails")]

mod collection;
mod day;
mod decisions;
mod documents;
mod kills;
mod oracle;
mod steps;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use world::World;

const SEEDS: u64 = 100;
const DOCUMENTS: usize = 3_000;
const STEPS: u32 = 45;
const THREADS: u64 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u64>().ok());
    match arguments.first().map(String::as_str) {
        Some("seed") => run(number(1).unwrap_or(0), true),
        Some("seeds") => many(number(1).unwrap_or(SEEDS), number(2).unwrap_or(0)),
        Some("day") => day::run(),
        Some("documents") => {
            documents::run(usize::try_from(number(1).unwrap_or(100_000)).unwrap_or(usize::MAX))
        }
        Some("kills") => kills::run(number(1).unwrap_or(200)),
        // The test runner passes filters and flags of its own; they mean nothing here.
        _ => match (many(SEEDS, 0), documents::run(DOCUMENTS)) {
            (ExitCode::SUCCESS, ExitCode::SUCCESS) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
    }
}

fn run(seed: u64, told: bool) -> ExitCode {
    match simulate(seed, told) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What the seeds did in all, for those who wonder whether anything happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub observations: u64,
    pub faults: u64,
    pub deaths: u64,
    pub overtaken: u64,
    pub versions: u64,
    /// Drafts of the tune job's ...
    pub proposed: u64,
    /// ... and those of them that it activated.
    pub activated: u64,
    /// Passes of the tune job during which the kill switch was thrown.
    pub switched_off: u64,
    /// Decisions during which another was made.
    pub rivals: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.observations += other.observations;
        self.faults += other.faults;
        self.deaths += other.deaths;
        self.overtaken += other.overtaken;
        self.versions += other.versions;
        self.proposed += other.proposed;
        self.activated += other.activated;
        self.switched_off += other.switched_off;
        self.rivals += other.rivals;
    }

    /// Of what must happen for the checks to mean anything, what did not.
    fn missing(&self) -> Vec<&'static str> {
        let all = [
            ("faults", self.faults),
            ("deaths", self.deaths),
            ("passes overtaken", self.overtaken),
            ("proposals", self.proposed),
            ("activations by the job", self.activated),
            ("passes switched off", self.switched_off),
            ("rival decisions", self.rivals),
        ];
        all.into_iter().filter(|(_, n)| *n == 0).map(|(name, _)| name).collect()
    }
}

fn many(seeds: u64, first: u64) -> ExitCode {
    let next = Arc::new(AtomicU64::new(first));
    let workers: Vec<_> = (0..THREADS)
        .map(|_| {
            let next = next.clone();
            std::thread::spawn(move || {
                let (mut failed, mut tally) = (Vec::new(), Tally::default());
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return (failed, tally);
                    }
                    match simulate(seed, false) {
                        Ok(done) => tally.add(done),
                        Err(error) => failed.push(error),
                    }
                }
            })
        })
        .collect();
    let (mut failed, mut tally) = (Vec::new(), Tally::default());
    for worker in workers {
        let (its, done) = worker.join().unwrap();
        failed.extend(its);
        tally.add(done);
    }
    println!(
        "{seeds} seeds of {STEPS} steps: {} observations, {} faults, {} deaths, {} passes overtaken, \
         {} versions of the policy, {} of them the job's, {} of these activated by it; {} passes of it \
         switched off meanwhile, {} rival decisions; {} seeds failed",
        tally.observations,
        tally.faults,
        tally.deaths,
        tally.overtaken,
        tally.versions,
        tally.proposed,
        tally.activated,
        tally.switched_off,
        tally.rivals,
        failed.len()
    );
    for error in failed.iter().take(20) {
        println!("{error}");
    }
    // A check of what never happens is none.
    let missing = if seeds >= SEEDS { tally.missing() } else { Vec::new() };
    if !missing.is_empty() {
        println!("never happened: {}", missing.join(", "));
    }
    match failed.is_empty() && missing.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn simulate(seed: u64, told: bool) -> Result<Tally, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(async {
        let mut world = World::new(seed).await;
        for step in 0..STEPS {
            let name = world.step().await;
            world
                .check()
                .await
                .map_err(|error| format!("seed {seed}, step {step} ({name}): {error}"))?;
            if told {
                println!("{step:>4}  {:>6} min  {name}", world.minutes());
            }
        }
        world.settle().await.map_err(|error| format!("seed {seed}, at the end: {error}"))?;
        world.count_the_jobs_changes().await;
        let tally = world.tally();
        world.end().await;
        Ok(tally)
    });
    runtime.shutdown_background();
    outcome
}
