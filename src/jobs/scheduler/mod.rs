//! Running the jobs on cron timers, each never beside itself, and ending them in good time.
//!
//! tokio-cron-scheduler starts a job again although its last run has not ended, and its
//! `shutdown()` waits for nobody. So each job has one permit (a tick that finds it taken is
//! skipped), runs on our own task tracker, and is told to stop through our own token.

mod passes;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::guard::GuardJob;
use super::leases::Leases;
use super::reconcile::ReconcileJob;
use super::retain::RetainJob;
use super::score::ScoreJob;
use super::tune::TuneJob;
use crate::observability::health::Health;
use crate::store::Store;
use f0_learning_core::Clock;
use passes::{
    Leased, PassContext, Permit, run_check, run_guard, run_reconcile, run_retain, run_score,
    run_tune,
};

/// When each job runs: cron expressions of six fields, seconds first, in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub score: String,
    pub reconcile: String,
    pub tune: String,
    pub check: String,
    pub guard: String,
    pub retain: String,
}

impl Default for Schedule {
    /// Scoring each minute keeps the `1h` window fresh at about four writes a minute for each
    /// component at work; policies change every few hours at most, so that weighing the evidence
    /// each quarter of an hour is soon enough. What is late waits up to ten minutes; a pass that
    /// finds nothing costs a read for each thousand documents of three hours. The check costs two reads for each policy,
    /// the guard one, and five for each version that is tested or watched.
    fn default() -> Self {
        Self {
            score: "0 * * * * *".to_owned(),
            reconcile: "45 */10 * * * *".to_owned(),
            tune: "30 */15 * * * *".to_owned(),
            check: "15 */5 * * * *".to_owned(),
            guard: "40 * * * * *".to_owned(),
            retain: "0 25 3 * * *".to_owned(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error(
        "the {job} schedule {expression:?} is no cron expression of six fields \
         (second minute hour day month weekday): {source}"
    )]
    Expression { job: &'static str, expression: String, source: Box<JobSchedulerError> },

    #[error("the scheduler did not start: {0}")]
    Start(#[from] Box<JobSchedulerError>),
}

/// The jobs on their timers.
pub struct Worker {
    scheduler: JobScheduler,
    running: TaskTracker,
    stop: CancellationToken,
    score: Shared<ScoreJob>,
    leased: Vec<Shared<Leases>>,
}

/// The jobs that a worker runs.
#[derive(Debug)]
pub struct Jobs {
    pub store: Store,
    pub score: ScoreJob,
    pub reconcile: ReconcileJob,
    pub tune: TuneJob,
    pub guard: GuardJob,
    /// None where there is no archive: then nothing is deleted.
    pub retain: Option<RetainJob>,
    /// How long leases last, in milliseconds. None where no other worker can be at the store: there
    /// they would only make the next process wait for those of one that was killed.
    pub lease_ms: Option<i64>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("running", &self.running.len()).finish()
    }
}

/// A job as the scheduler sees it: its permit and its last state in one.
type Shared<T> = Arc<Mutex<T>>;

impl Worker {
    pub async fn start(
        jobs: Jobs,
        schedule: &Schedule,
        clock: Clock,
        health: Arc<Health>,
    ) -> Result<Self, ScheduleError> {
        let scheduler = JobScheduler::new().await.map_err(Box::new)?;
        let (running, stop) = (TaskTracker::new(), CancellationToken::new());
        let Jobs { store, score, reconcile, tune, guard, retain, lease_ms } = jobs;
        let new_leases = |ms: i64| Leases::new(store.clone(), clock.clone()).lasting(ms);
        let score = match lease_ms {
            None => score,
            Some(ms) => score.with_leases(new_leases(ms)),
        };
        let score = Arc::new(Mutex::new(score));
        let mut worker =
            Self { scheduler, running, stop, score: score.clone(), leased: Vec::new() };
        let leased = |worker: &mut Self| lease_ms.map(|ms| worker.keep(new_leases(ms)));
        let reconcile = Leased { job: reconcile, leases: leased(&mut worker) };
        let tune = Leased { job: tune, leases: leased(&mut worker) };
        let guard = Leased { job: guard, leases: leased(&mut worker) };
        let retain = retain.map(|job| Leased { job, leases: leased(&mut worker) });
        let context = PassContext { clock, health };
        if let Some(retain) = retain {
            let (retain, told) = (Arc::new(Mutex::new(retain)), context.clone());
            let run = move |job, stop| run_retain(job, told.clone(), stop);
            worker.add("retain", &schedule.retain, retain, run).await?;
        }
        let (guard, told) = (Arc::new(Mutex::new(guard)), context.clone());
        let run = move |job, _| run_guard(job, told.clone());
        worker.add("guard", &schedule.guard, guard, run).await?;
        worker.schedule(score, reconcile, tune, store, schedule, &context).await?;
        worker.scheduler.start().await.map_err(Box::new)?;
        Ok(worker)
    }

    async fn schedule(
        &self,
        score: Shared<ScoreJob>,
        reconcile: Leased<ReconcileJob>,
        tune: Leased<TuneJob>,
        store: Store,
        schedule: &Schedule,
        context: &PassContext,
    ) -> Result<(), ScheduleError> {
        let told = context.clone();
        self.add("score", &schedule.score, score, move |job, stop| {
            run_score(job, told.clone(), stop)
        })
        .await?;
        let told = context.clone();
        let reconcile = Arc::new(Mutex::new(reconcile));
        self.add("reconcile", &schedule.reconcile, reconcile, move |job, stop| {
            run_reconcile(job, told.clone(), stop)
        })
        .await?;
        let told = context.clone();
        let tune = Arc::new(Mutex::new(tune));
        self.add("tune", &schedule.tune, tune, move |job, _| run_tune(job, told.clone())).await?;
        let (store, told) = (Arc::new(Mutex::new(store)), context.clone());
        self.add("check", &schedule.check, store, move |store, _| run_check(store, told.clone()))
            .await?;
        Ok(())
    }

    /// Keeps leases to give them back at the end.
    fn keep(&mut self, leases: Leases) -> Shared<Leases> {
        let leases = Arc::new(Mutex::new(leases));
        self.leased.push(leases.clone());
        leases
    }

    async fn add<T, F>(
        &self,
        name: &'static str,
        expression: &str,
        job: Shared<T>,
        run: impl Fn(Permit<T>, CancellationToken) -> F + Send + Sync + 'static,
    ) -> Result<(), ScheduleError>
    where
        T: Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (running, stop) = (self.running.clone(), self.stop.clone());
        let timer = Job::new(expression, move |_, _| {
            if stop.is_cancelled() {
                return;
            }
            match job.clone().try_lock_owned() {
                Ok(permit) => {
                    running.spawn(run(permit, stop.clone()));
                }
                Err(_) => tracing::debug!(job = name, "still running; this tick is skipped"),
            }
        })
        .map_err(|source| ScheduleError::Expression {
            job: name,
            expression: expression.to_owned(),
            source: Box::new(source),
        })?;
        self.scheduler.add(timer).await.map_err(Box::new)?;
        Ok(())
    }

    /// Tells the jobs to stop, waits up to `patience` for the passes in hand, and gives the leases
    /// back. Returns whether all ended; one that did not leaves a state from which the next process
    /// goes on.
    pub async fn shutdown(mut self, patience: Duration) -> bool {
        self.stop.cancel();
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "the scheduler did not shut down");
        }
        self.running.close();
        let orderly = async {
            self.running.wait().await;
            self.score.lock().await.end().await;
            for leases in &self.leased {
                leases.lock().await.release_all().await;
            }
        };
        tokio::time::timeout(patience, orderly).await.is_ok()
    }
}
