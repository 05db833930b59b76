//! What a tick does: a pass of its job, under the job's lease where there is one, and the report
//! of it to health, metrics and log.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::jobs::check::CheckReport;
use crate::jobs::guard::GuardJob;
use crate::jobs::leases::Leases;
use crate::jobs::reconcile::ReconcileJob;
use crate::jobs::retain::{RetainError, RetainJob};
use crate::jobs::score::ScoreJob;
use crate::jobs::tune::TuneJob;
use crate::observability::health::Health;
use crate::store::{Store, StoreError};
use f0_learning_core::Clock;

/// The permit of a job.
pub(super) type Permit<T> = OwnedMutexGuard<T>;

/// A job that one worker does at a time, with its lease.
pub(super) struct Leased<T> {
    pub job: T,
    pub leases: Option<Shared<Leases>>,
}

/// What every pass is told.
#[derive(Clone)]
pub(super) struct PassContext {
    pub clock: Clock,
    pub health: Arc<Health>,
}

impl<T> Leased<T> {
    /// Runs a pass of the job at the present time and takes note that it succeeded; none where
    /// another worker holds the lease, which is called as the job is.
    async fn run<R, E: From<StoreError>>(
        &mut self,
        name: &'static str,
        context: &PassContext,
        pass: impl AsyncFnOnce(&mut T, i64) -> Result<R, E>,
    ) -> Result<Option<R>, E> {
        if let Some(leases) = &self.leases
            && !leases.lock().await.hold(name).await?
        {
            tracing::debug!(job = name, "another worker holds the lease");
            return Ok(None);
        }
        let report = pass(&mut self.job, context.clock.now()).await?;
        context.health.pass_succeeded(name);
        Ok(Some(report))
    }
}

pub(super) async fn run_score(
    mut job: Permit<ScoreJob>,
    context: PassContext,
    stop: CancellationToken,
) {
    match job.pass(context.clock.now(), &stop, &|_| ()).await {
        Ok(report) => {
            context.health.pass_succeeded("score");
            context.health.metrics().rejected(&report.rejected);
            if report.scored + report.quarantined > 0 {
                tracing::info!(job = "score", "{report}");
            } else {
                tracing::debug!(job = "score", "{report}");
            }
        }
        Err(error) => failed("score", &error, &context),
    }
}

pub(super) async fn run_reconcile(
    mut leased: Permit<Leased<ReconcileJob>>,
    context: PassContext,
    stop: CancellationToken,
) {
    let pass = async |job: &mut ReconcileJob, now| job.pass(now, false, &stop).await;
    match leased.run("reconcile", &context, pass).await {
        Ok(None) => {}
        Ok(Some(report)) => {
            context.health.metrics().rejected(&report.rejected);
            context.health.metrics().reconciled(&report);
            if report.is_quiet() {
                tracing::debug!(job = "reconcile", "{report}");
            } else {
                tracing::info!(job = "reconcile", "{report}");
            }
        }
        Err(error) => failed("reconcile", &error, &context),
    }
}

pub(super) async fn run_tune(mut leased: Permit<Leased<TuneJob>>, context: PassContext) {
    let pass = async |job: &mut TuneJob, now| job.pass(now).await;
    match leased.run("tune", &context, pass).await {
        Ok(None) => {}
        Ok(Some(report)) => report.log(),
        Err(error) => failed("tune", &error, &context),
    }
}

pub(super) async fn run_guard(mut leased: Permit<Leased<GuardJob>>, context: PassContext) {
    let pass = async |job: &mut GuardJob, now| job.pass(now).await;
    match leased.run("guard", &context, pass).await {
        Ok(None) => {}
        Ok(Some(report)) => {
            context.health.metrics().guarded(&report);
            report.log();
        }
        Err(error) => failed("guard", &error, &context),
    }
}

pub(super) async fn run_retain(
    mut leased: Permit<Leased<RetainJob>>,
    context: PassContext,
    stop: CancellationToken,
) {
    let pass = async |job: &mut RetainJob, now| job.pass(now, &stop).await;
    match leased.run("retain", &context, pass).await {
        Ok(None) => {}
        Ok(Some(report)) => tracing::info!(job = "retain", "{report}"),
        Err(RetainError::Store(error)) => failed("retain", &error, &context),
        // What is wrong with the archive keeps nothing else from its work.
        Err(RetainError::Archive(error)) => {
            context.health.metrics().pass("retain", false);
            tracing::error!(job = "retain", %error, "the pass failed; the next tries again");
        }
    }
}

pub(super) async fn run_check(store: Permit<Store>, context: PassContext) {
    match CheckReport::take(&store).await {
        Ok(report) => {
            context.health.pass_succeeded("check");
            for irregularity in context.health.checked(&report) {
                tracing::error!(job = "check", "{irregularity}");
            }
        }
        Err(error) => failed("check", &error, &context),
    }
}

fn failed(job: &'static str, error: &StoreError, context: &PassContext) {
    context.health.pass_failed(job, error);
    tracing::error!(job, %error, "the pass failed; the next goes on from what is stored");
}
