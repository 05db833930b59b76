//! The jobs of a worker as `serve` runs them, called by hand on the clock of the benchmark.

use std::path::Path;

use f0_learning::archive::Archive;
use f0_learning::jobs::JobName;
use f0_learning::jobs::check::CheckReport;
use f0_learning::jobs::guard::GuardJob;
use f0_learning::jobs::leases::Leases;
use f0_learning::jobs::reconcile::{ReconcileJob, ReconcileOptions};
use f0_learning::jobs::retain::{RetainJob, RetainOptions};
use f0_learning::jobs::scheduler::Schedule;
use f0_learning::jobs::score::{ScoreJob, ScoreOptions};
use f0_learning::jobs::tune::TuneJob;
use f0_learning::store::Store;
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::time::{Time, Timer};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    Score,
    Reconcile,
    Tune,
    Check,
    Guard,
    Retain,
}

impl Job {
    pub const ALL: [Self; 6] =
        [Self::Score, Self::Reconcile, Self::Tune, Self::Check, Self::Guard, Self::Retain];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Reconcile => "reconcile",
            Self::Tune => "tune",
            Self::Check => "check",
            Self::Guard => "guard",
            Self::Retain => "retain",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job| job.name() == name)
    }

    pub fn timer(self) -> Result<Timer> {
        let schedule = Schedule::default();
        Timer::parse(schedule.expression(match self {
            Self::Score => JobName::Score,
            Self::Reconcile => JobName::Reconcile,
            Self::Tune => JobName::Tune,
            Self::Check => JobName::Check,
            Self::Guard => JobName::Guard,
            Self::Retain => JobName::Retain,
        }))
    }
}

pub struct Worker {
    store: Store,
    time: Time,
    score: ScoreJob,
    reconcile: ReconcileJob,
    tune: TuneJob,
    guard: GuardJob,
    retain: RetainJob,
    leases: Option<Leases>,
    stop: CancellationToken,
}

impl Worker {
    /// With the leases of production, or without leases as the only worker.
    pub fn new(
        store: &Store,
        time: &Time,
        leased: bool,
        archive: &Path,
        days: u32,
    ) -> Result<Self> {
        let leases = || leased.then(|| Leases::new(store.clone(), time.clock()));
        let score = ScoreJob::new(store.clone(), ScoreOptions::default());
        let archive =
            Archive::open(archive.to_str().ok_or("the path of the archive is not UTF-8")?)?;
        let retention = RetainOptions { days, ..RetainOptions::default() };
        Ok(Self {
            store: store.clone(),
            time: time.clone(),
            score: match leases() {
                Some(leases) => score.with_leases(leases),
                None => score,
            },
            reconcile: ReconcileJob::new(store.clone(), ReconcileOptions::default()),
            tune: TuneJob::new(store.clone()),
            guard: GuardJob::new(store.clone()),
            retain: RetainJob::new(store.clone(), archive, retention),
            leases: leases(),
            stop: CancellationToken::new(),
        })
    }

    /// Takes or renews the lease that the scheduler takes before a pass. Scoring takes its own
    /// lease, and the check needs none.
    pub async fn hold(&mut self, job: Job) -> Result<()> {
        match (&mut self.leases, job) {
            (Some(leases), Job::Reconcile | Job::Tune | Job::Guard | Job::Retain) => {
                if leases.hold(job.name()).await? {
                    Ok(())
                } else {
                    Err(format!("another worker holds the lease of {}", job.name()).into())
                }
            }
            _ => Ok(()),
        }
    }

    /// Runs one pass; gives its report as text.
    pub async fn pass(&mut self, job: Job) -> Result<String> {
        let (now, stop) = (self.time.now(), &self.stop);
        Ok(match job {
            Job::Score => self.score.pass(now, stop, &|_| ()).await?.to_string(),
            Job::Reconcile => self.reconcile.pass(now, false, stop).await?.to_string(),
            Job::Tune => format!("{:?}", self.tune.pass(now).await?),
            Job::Check => format!("{:?}", CheckReport::take(&self.store).await?),
            Job::Guard => self.guard.pass(now).await?.to_string(),
            Job::Retain => self.retain.pass(now, stop).await?.to_string(),
        })
    }
}
