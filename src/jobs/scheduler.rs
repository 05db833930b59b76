//! Running the jobs on cron timers, each never beside itself, and ending them in good time.
//!
//! tokio-cron-scheduler starts a job again although its last run has not ended, and its
//! `shutdown()` waits for nobody. So each job has one permit (a tick that finds it taken is
//! skipped), runs on our own task tracker, and is told to stop through our own token.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Clock;
use super::check::CheckReport;
use super::score::ScoreJob;
use super::tune::TuneJob;
use crate::health::Health;
use crate::store::Store;

/// When each job runs: cron expressions of six fields, seconds first, in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub score: String,
    pub tune: String,
    pub check: String,
}

impl Default for Schedule {
    /// Scoring each minute keeps the `1h` window fresh at about four writes a minute for each
    /// component at work; policies change every few hours at most, so that weighing the evidence
    /// each quarter of an hour is soon enough. The check costs two reads for each policy.
    fn default() -> Self {
        Self {
            score: "0 * * * * *".to_owned(),
            tune: "30 */15 * * * *".to_owned(),
            check: "15 */5 * * * *".to_owned(),
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
        score: ScoreJob,
        tune: TuneJob,
        store: Store,
        schedule: &Schedule,
        clock: Clock,
        health: Arc<Health>,
    ) -> Result<Self, ScheduleError> {
        let scheduler = JobScheduler::new().await.map_err(Box::new)?;
        let worker =
            Self { scheduler, running: TaskTracker::new(), stop: CancellationToken::new() };
        let (now, seen) = (clock.clone(), health.clone());
        worker
            .add("score", &schedule.score, Arc::new(Mutex::new(score)), move |job, stop| {
                let (clock, health) = (now.clone(), seen.clone());
                async move { run_score(job, &clock, &stop, &health).await }
            })
            .await?;
        let seen = health.clone();
        worker
            .add("tune", &schedule.tune, Arc::new(Mutex::new(tune)), move |job, _| {
                let (clock, health) = (clock.clone(), seen.clone());
                async move { run_tune(job, &clock, &health).await }
            })
            .await?;
        worker
            .add("check", &schedule.check, Arc::new(Mutex::new(store)), move |store, _| {
                let health = health.clone();
                async move { run_check(&store, &health).await }
            })
            .await?;
        worker.scheduler.start().await.map_err(Box::new)?;
        Ok(worker)
    }

    async fn add<T, F>(
        &self,
        name: &'static str,
        expression: &str,
        job: Shared<T>,
        run: impl Fn(tokio::sync::OwnedMutexGuard<T>, CancellationToken) -> F + Send + Sync + 'static,
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

    /// Tells the jobs to stop, and waits up to `patience` for the passes in hand. Returns whether
    /// all ended; one that did not leaves a state from which the next process goes on.
    pub async fn shutdown(mut self, patience: Duration) -> bool {
        self.stop.cancel();
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "the scheduler did not shut down");
        }
        self.running.close();
        tokio::time::timeout(patience, self.running.wait()).await.is_ok()
    }
}

async fn run_score(
    mut job: tokio::sync::OwnedMutexGuard<ScoreJob>,
    clock: &Clock,
    stop: &CancellationToken,
    health: &Health,
) {
    match job.pass(clock.now(), stop, &|_| ()).await {
        Ok(report) => {
            health.pass_succeeded("score");
            if report.scored + report.quarantined > 0 {
                tracing::info!(job = "score", "{report}");
            } else {
                tracing::debug!(job = "score", "{report}");
            }
        }
        Err(error) => {
            health.pass_failed("score", &error);
            tracing::error!(job = "score", %error, "the pass failed; the next goes on from here");
        }
    }
}

async fn run_tune(mut job: tokio::sync::OwnedMutexGuard<TuneJob>, clock: &Clock, health: &Health) {
    match job.pass(clock.now()).await {
        Ok(report) => {
            health.pass_succeeded("tune");
            report.log();
        }
        Err(error) => {
            health.pass_failed("tune", &error);
            tracing::error!(job = "tune", %error, "the pass failed; the next tries again");
        }
    }
}

async fn run_check(store: &Store, health: &Health) {
    match CheckReport::take(store).await {
        Ok(report) => {
            health.pass_succeeded("check");
            for irregularity in health.checked(&report) {
                tracing::error!(job = "check", "{irregularity}");
            }
        }
        Err(error) => {
            health.pass_failed("check", &error);
            tracing::error!(job = "check", %error, "the pass failed; the next tries again");
        }
    }
}
