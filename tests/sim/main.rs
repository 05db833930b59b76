//! The simulation: days of virtual time over the production jobs and the protocol, from one seed,
//! checked by an oracle that knows every acknowledged write.
//!
//!     cargo test --test sim                       # 60 seeds
//!     cargo test --release --test sim -- seeds 1000 [FIRST]
//!     cargo test --test sim -- seed 17            # one seed, with every step printed
//!     cargo test --release --test sim -- day      # 24 hours at 50 actions a second
//!     cargo test --release --test sim -- kills 200  # the binary, killed at random moments
//!     cargo test --release --test sim -- documents 100000  # documents of random shape
//!
//! One seed gives one sequence of steps: components write observations; workers run passes that
//! meet faults, crash, or are overtaken by another worker; admins change policies; flags and shards
//! change; time passes. The oracle checks after every step what must always hold. At the end all
//! work is finished without faults, and the store must hold exactly what the oracle expects. A
//! failure names its seed and step, and the seed replays to it.
//!
//! | invariant of `ARCHITECTURE.md` | checked by |
//! |---|---|
//! | 1. one reward, counted once | `oracle::check_rewards`, at the end `oracle::check_windows` and `damage::check_recount`; `documents`, `kills` |
//! | 2. quarantine with a reason | `oracle::check_quarantine`; `documents`, `kills` |
//! | 3. one active version, params never change | `oracle::check_policies` |
//! | 4. a change and its entry are one commit | `oracle::check_policies`, `decisions::admin_decides` |
//! | 5. the kill switch | `oracle::check_policies` |
//! | 6. sum, floor and step bound of weights | `oracle::check_weights` |
//! | no clock of a worker decides anything, no lease lasts for ever | `clocks::check_times_of_changes`, `clocks::check_leases` |
//! | no document and no component keeps others from being counted | `hostile` |
//! | what people approved, froze, pinned and refused holds | `envelopes::check_moves`, `envelopes::admin_rejects` |

#![expect(clippy::unwrap_used, reason = "a simulation that cannot continue fails")]
#![expect(
    clippy::cast_precision_loss,
    reason = "counts and virtual times are far below the 2^53 that a float holds exactly"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the elapsed time is reported, and processes are killed in real time"
)]

mod clocks;
mod collection;
mod damage;
mod day;
mod decisions;
mod documents;
mod envelopes;
mod governed;
mod hostile;
mod kills;
mod oracle;
mod steps;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use firestore_local::indexes::Indexes;
use world::World;

const SEEDS: u64 = 60;
const DOCUMENTS: usize = 3_000;
const STEPS: u32 = 40;
const THREADS: u64 = 2;
const STACK_BYTES: usize = 16 << 20;

/// The indexes of a project without shards.
fn plain_indexes() -> Indexes {
    Indexes::parse(include_str!("../../firestore.indexes.json")).unwrap()
}

/// The indexes of a project whose number of shards changes.
fn resharding_indexes() -> Indexes {
    Indexes::parse(include_str!("../../deploy/firestore.indexes.resharding.json")).unwrap()
}

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
        // The test runner passes its own filters and flags, which have no meaning here.
        _ => match (many(SEEDS, 0), documents::run(DOCUMENTS)) {
            (ExitCode::SUCCESS, ExitCode::SUCCESS) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
    }
}

fn run(seed: u64, verbose: bool) -> ExitCode {
    match simulate(seed, verbose) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// How often each event happened over all seeds: a check of an event that never happens proves
/// nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub observations: u64,
    pub faults: u64,
    /// Passes whose process crashed.
    pub crashes: u64,
    /// Passes during which another worker ran a pass.
    pub overtaken: u64,
    pub versions: u64,
    /// Drafts of the tune job.
    pub proposed: u64,
    /// Drafts that the tune job activated.
    pub activated: u64,
    /// Passes of the tune job during which learning was disabled.
    pub switched_off: u64,
    /// Decisions of an admin during which another admin decided.
    pub rivals: u64,
    /// Observations that were set again with another time.
    pub set_again: u64,
    /// Envelopes that an admin approved.
    pub approved: u64,
    /// Activations by the tune job within an envelope.
    pub within: u64,
    /// Drafts of the tune job that an admin rejected.
    pub rejected: u64,
    /// Passes of the tune job during which an admin approved or froze an envelope, or pinned.
    pub ruled: u64,
    /// Checks of a holdback on a version of the tune job.
    pub held: u64,
    /// Tuning passes whose report says: the limit of an hour, or of a day, is used up; the envelope is
    /// frozen; a refusal holds; the policy is pinned; the regret budget is spent.
    pub hourly: u64,
    pub daily: u64,
    pub frozen: u64,
    pub vetoed: u64,
    pub pinned: u64,
    pub spent: u64,
    /// Documents of state that were damaged and repaired.
    pub damaged: u64,
    /// Jumps of the clock of a worker's machine between passes, and during one.
    pub jumps: u64,
    pub jumps_in_flight: u64,
    /// Leases with an absurd end.
    pub absurd: u64,
    /// Hostile documents, of all collections.
    pub hostile: u64,
    /// Floods by one component.
    pub floods: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.observations += other.observations;
        self.faults += other.faults;
        self.crashes += other.crashes;
        self.overtaken += other.overtaken;
        self.versions += other.versions;
        self.proposed += other.proposed;
        self.activated += other.activated;
        self.switched_off += other.switched_off;
        self.rivals += other.rivals;
        self.set_again += other.set_again;
        self.approved += other.approved;
        self.within += other.within;
        self.rejected += other.rejected;
        self.ruled += other.ruled;
        self.held += other.held;
        self.hourly += other.hourly;
        self.daily += other.daily;
        self.frozen += other.frozen;
        self.vetoed += other.vetoed;
        self.pinned += other.pinned;
        self.spent += other.spent;
        self.damaged += other.damaged;
        self.jumps += other.jumps;
        self.jumps_in_flight += other.jumps_in_flight;
        self.absurd += other.absurd;
        self.hostile += other.hostile;
        self.floods += other.floods;
    }

    /// The events that must happen for the checks to prove anything, but did not.
    fn missing(&self) -> Vec<&'static str> {
        let all = [
            ("faults", self.faults),
            ("crashes", self.crashes),
            ("passes overtaken", self.overtaken),
            ("proposals", self.proposed),
            ("activations by the job", self.activated),
            ("passes switched off", self.switched_off),
            ("rival decisions", self.rivals),
            ("observations set again", self.set_again),
            ("approved envelopes", self.approved),
            ("activations within an envelope", self.within),
            ("rejections of the job's drafts", self.rejected),
            ("decisions during a tuning pass", self.ruled),
            ("holdbacks on the job's versions", self.held),
            ("refusals that hold", self.vetoed),
            ("passes held back by the limit of an hour", self.hourly),
            ("passes held back by the limit of a day", self.daily),
            ("passes held back by a frozen envelope", self.frozen),
            ("passes held back by a pin", self.pinned),
            ("passes held back by a spent budget", self.spent),
            ("documents damaged", self.damaged),
            ("jumps of a clock", self.jumps),
            ("jumps of a clock during a pass", self.jumps_in_flight),
            ("absurd leases", self.absurd),
            ("hostile documents", self.hostile),
            ("floods", self.floods),
        ];
        all.into_iter().filter(|(_, n)| *n == 0).map(|(name, _)| name).collect()
    }
}

fn many(seeds: u64, first: u64) -> ExitCode {
    let next = Arc::new(AtomicU64::new(first));
    let workers: Vec<_> = (0..THREADS)
        .map(|_| {
            let next = next.clone();
            // The futures of a whole pass, unoptimised, live on the stack of a simulation.
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            let simulating = move || {
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
            };
            thread.spawn(simulating).unwrap()
        })
        .collect();
    let (mut failed, mut tally) = (Vec::new(), Tally::default());
    for worker in workers {
        let (errors, done) = worker.join().unwrap();
        failed.extend(errors);
        tally.add(done);
    }
    println!(
        "{seeds} seeds: {} observations, {} faults, {} crashes, {} passes \
         overtaken by another worker, {} versions of the policy, {} drafts and {} activations by \
         the tune job, {} passes during which learning was disabled, {} competing decisions, {} \
         observations set again, {} documents damaged and rebuilt; {} seeds failed",
        tally.observations,
        tally.faults,
        tally.crashes,
        tally.overtaken,
        tally.versions,
        tally.proposed,
        tally.activated,
        tally.switched_off,
        tally.rivals,
        tally.set_again,
        tally.damaged,
        failed.len()
    );
    println!(
        "{} envelopes approved, {} activations within one, {} drafts rejected, {} decisions during a \
         tuning pass, {} holdbacks checked; passes that were held back: {} by the limit of an hour, {} of \
         a day, {} by a frozen envelope, {} by a refusal, {} by a pin, {} by a spent budget",
        tally.approved,
        tally.within,
        tally.rejected,
        tally.ruled,
        tally.held,
        tally.hourly,
        tally.daily,
        tally.frozen,
        tally.vetoed,
        tally.pinned,
        tally.spent
    );
    println!(
        "{} jumps of a worker's clock, {} of them during a pass; {} absurd leases, {} hostile documents, \
         {} floods by one component",
        tally.jumps + tally.jumps_in_flight,
        tally.jumps_in_flight,
        tally.absurd,
        tally.hostile,
        tally.floods
    );
    for error in failed.iter().take(20) {
        println!("{error}");
    }
    // Few seeds need not contain every event.
    let missing = if seeds >= SEEDS { tally.missing() } else { Vec::new() };
    if !missing.is_empty() {
        println!("events that never happened: {}", missing.join(", "));
    }
    match failed.is_empty() && missing.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn simulate(seed: u64, verbose: bool) -> Result<Tally, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(async {
        let mut world = World::new(seed).await;
        for step in 0..world.steps() {
            let name = world.step().await;
            world
                .check()
                .await
                .map_err(|error| format!("seed {seed}, step {step} ({name}): {error}"))?;
            if verbose {
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
