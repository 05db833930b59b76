//! Runs the jobs on cron timers, one pass of each at a time, and stops them within a time limit.
//!
//! tokio-cron-scheduler starts a job even if its last run has not ended, and its `shutdown()`
//! waits for no run. So each job is behind a mutex (a tick that finds it locked is skipped), runs
//! on our own task tracker, and is stopped through our own token.

mod schedule;
mod slot;
mod timers;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_cron_scheduler::JobSchedulerError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::leases::Leases;
use super::{Job, JobName, Time};
use crate::observability::health::Health;
use crate::store::Store;
use f0_learning_core::Clock;
pub use schedule::Schedule;
use slot::{Environment, Slot};
use timers::Timers;

#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error(
        "cannot schedule {job}: {expression:?} is not a cron expression of six fields \
         (second minute hour day month weekday): {source}"
    )]
    Expression { job: JobName, expression: String, source: Box<JobSchedulerError> },

    #[error("cannot start the scheduler: {0}")]
    Start(#[from] Box<JobSchedulerError>),
}

/// How a worker runs its jobs.
#[derive(Clone, Debug, Default)]
pub struct WorkerOptions {
    pub schedule: Schedule,
    /// How long leases last, in milliseconds. `None` where this is the only worker of the store:
    /// there, leases of a killed process would only make the next one wait.
    pub lease_ms: Option<i64>,
}

/// The jobs on their timers.
pub struct Worker {
    store: Store,
    options: WorkerOptions,
    environment: Environment,
    timers: Arc<Mutex<Timers>>,
    running: TaskTracker,
    /// Releases the leases of each job.
    ends: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("running", &self.running.len()).finish()
    }
}

impl Worker {
    /// A worker without jobs, which waits for [`start`](Self::start). Its passes and leases take the
    /// time from `time`.
    pub async fn new(
        store: Store,
        time: impl Into<Time>,
        health: Arc<Health>,
        options: WorkerOptions,
    ) -> Result<Self, ScheduleError> {
        Ok(Self {
            store,
            options,
            environment: Environment { time: time.into(), health, stop: CancellationToken::new() },
            timers: Arc::new(Mutex::new(Timers::new().await?)),
            running: TaskTracker::new(),
            ends: Vec::new(),
        })
    }

    /// Puts a job on its timer.
    pub async fn add<J: Job>(&mut self, job: J) -> Result<(), ScheduleError> {
        let leases = self
            .options
            .lease_ms
            .map(|ms| Leases::new(self.store.clone(), self.environment.time.clone()).lasting(ms));
        self.environment.health.metrics().service().job_added(J::NAME.as_str());
        let slot = Arc::new(Mutex::new(Slot::new(job, leases)));
        let ended = slot.clone();
        self.ends.push(Box::pin(async move { ended.lock().await.end().await }));
        let (running, environment) = (self.running.clone(), self.environment.clone());
        let expression = self.options.schedule.expression(J::NAME);
        let tick = move || {
            if environment.stop.is_cancelled() {
                return;
            }
            match slot.clone().try_lock_owned() {
                Ok(mut slot) => {
                    let environment = environment.clone();
                    running.spawn(async move { slot.tick(&environment).await });
                }
                Err(_) => tracing::debug!(
                    job = J::NAME.as_str(),
                    "tick skipped: the last pass is still running"
                ),
            }
        };
        self.timers.lock().await.add(J::NAME, expression, Arc::new(tick)).await
    }

    pub async fn start(&self) -> Result<(), ScheduleError> {
        self.timers.lock().await.start().await?;
        let Environment { health, stop, .. } = self.environment.clone();
        self.running.spawn(timers::watch(self.timers.clone(), Clock::system(), health, stop));
        Ok(())
    }

    /// Stops the jobs, waits up to `patience` for the passes that are running, and releases the
    /// leases. Returns whether all passes ended in time; the next process continues from the state
    /// that an unfinished one leaves.
    pub async fn shutdown(self, patience: Duration) -> bool {
        self.environment.stop.cancel();
        if let Err(error) = self.timers.lock().await.shutdown().await {
            tracing::warn!(%error, "cannot shut down the scheduler");
        }
        self.running.close();
        let orderly = async {
            self.running.wait().await;
            for end in self.ends {
                end.await;
            }
        };
        tokio::time::timeout(patience, orderly).await.is_ok()
    }
}
