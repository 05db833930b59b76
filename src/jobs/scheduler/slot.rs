//! A job in the scheduler: its passes, under its lease if it has one, and their reports to health,
//! metrics and log.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Level;

use crate::jobs::leases::Leases;
use crate::jobs::{Job, JobError, JobName, JobReport, LeaseScope, LogLine, PassContext, Time};
use crate::observability::health::Health;

/// What the scheduler gives every job.
#[derive(Clone)]
pub(super) struct Environment {
    pub time: Time,
    pub health: Arc<Health>,
    pub stop: CancellationToken,
}

pub(super) struct Slot<J> {
    job: J,
    /// The lease of a job that one worker runs at a time.
    leases: Option<Leases>,
}

/// Why a pass failed or did not begin.
struct Failed {
    error: String,
    makes_unready: bool,
}

impl<E: JobError> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { error: error.to_string(), makes_unready: error.makes_unready() }
    }
}

impl<J: Job> Slot<J> {
    pub fn new(mut job: J, leases: Option<Leases>) -> Self {
        let leases = match J::NAME.lease() {
            LeaseScope::Pass => leases,
            LeaseScope::Shards => {
                if let Some(leases) = leases {
                    job.use_leases(leases);
                }
                None
            }
            LeaseScope::None => None,
        };
        Self { job, leases }
    }

    /// Runs a pass and reports it.
    pub async fn tick(&mut self, environment: &Environment) {
        let (name, health) = (J::NAME.as_str(), &environment.health);
        let began = Instant::now();
        let outcome = self.pass(environment).await;
        let took = began.elapsed();
        if !matches!(outcome, Ok(None)) {
            health.metrics().service().pass_took(name, took);
        }
        match outcome {
            Ok(None) => {
                health.pass_skipped(name);
                J::Report::forget(health);
                tracing::debug!(job = name, "skipped: another worker holds the lease");
            }
            Ok(Some(report)) => {
                health.pass_succeeded(name);
                report.observe(health);
                let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(job = name, milliseconds, "{}", report.summary());
                for line in report.log_lines() {
                    log(J::NAME, &line);
                }
            }
            Err(error) => {
                let Failed { error, makes_unready } = error;
                if makes_unready {
                    health.pass_failed(name, &error);
                } else {
                    health.metrics().service().pass(name, false);
                }
                tracing::error!(
                    job = name,
                    error,
                    "pass failed; the next pass continues from the stored state"
                );
            }
        }
    }

    /// `None` where another worker holds the lease.
    async fn pass(&mut self, environment: &Environment) -> Result<Option<J::Report>, Failed> {
        if let Some(leases) = &mut self.leases {
            let holds = leases.hold(J::NAME.as_str()).await?;
            environment.health.metrics().service().set_leases(J::NAME.as_str(), leases.held());
            if !holds {
                return Ok(None);
            }
        }
        let Environment { time, stop, .. } = environment;
        let context = PassContext { now: time.begin_pass().await?, stop: stop.clone() };
        Ok(Some(self.job.run(&context).await?))
    }

    /// Releases the leases.
    pub async fn end(&mut self) {
        self.job.end().await;
        if let Some(leases) = &mut self.leases {
            leases.release_all().await;
        }
    }
}

fn log(job: JobName, line: &LogLine) {
    let LogLine { level, policy, text } = line;
    let (job, policy) = (job.as_str(), policy.as_deref());
    match *level {
        Level::ERROR => tracing::error!(job, policy, "{text}"),
        Level::WARN => tracing::warn!(job, policy, "{text}"),
        Level::INFO => tracing::info!(job, policy, "{text}"),
        _ => tracing::debug!(job, policy, "{text}"),
    }
}
