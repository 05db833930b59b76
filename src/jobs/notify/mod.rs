//! The notify job: tells people what happened. It derives notices from the audit trail and from what
//! waits, stores them, and sends what is stored until it is delivered.
//!
//! A notice is stored in the commit that moves the position in the trail, and removed after the sinks
//! have accepted it: it is delivered at least once, and its id shows a repetition.

mod events;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use super::measure::waiting;
use super::{Job, JobName, JobReport, LogLine, PassContext, ReportingError};
use crate::notify::Sink;
use crate::observability::health::Health;
use crate::store::{NotifyState, PendingNotice, Result, Store, StoreError};
use events::Look;
use f0_learning_core::plural::count;
use f0_learning_core::time::{DAY_MS, HOUR_MS};

/// Notices that a pass sends at most, and how long it may take for all of them.
const AT_ONCE: usize = 20;
const PATIENCE: Duration = Duration::from_secs(40);

/// The delay after the first failed attempt; it doubles with each further one.
const FIRST_DELAY_MS: i64 = 30_000;
const LONGEST_DELAY_MS: i64 = HOUR_MS;
/// A notice that could not be sent for so long is given up.
const GIVEN_UP_MS: i64 = DAY_MS;

/// The job with its sinks.
#[derive(Debug)]
pub struct NotifyJob {
    store: Store,
    sinks: Arc<[Sink]>,
    settle_ms: i64,
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifyReport {
    pub added: usize,
    /// By sink, in the order of the attempts, whether it accepted a notice.
    pub attempts: Vec<(&'static str, bool)>,
    /// Why attempts failed.
    pub failures: Vec<String>,
    /// The notices that were given up.
    pub given_up: Vec<String>,
}

impl NotifyJob {
    /// A job for a service whose scoring leaves observations alone for `settle_ms` milliseconds.
    pub fn new(store: Store, sinks: Vec<Sink>, settle_ms: i64) -> Self {
        Self { store, sinks: sinks.into(), settle_ms }
    }

    /// Adds what happened, and sends what is due.
    ///
    /// # Errors
    /// What Firestore refused. Nothing is lost: the next pass continues from what is stored.
    pub async fn pass(&mut self, context: &PassContext) -> Result<NotifyReport> {
        let mut report = NotifyReport { added: self.add(context.now).await?, ..Default::default() };
        self.send(context, &mut report).await?;
        Ok(report)
    }

    /// What the last pass knew.
    async fn state(&self, now: i64) -> Result<NotifyState> {
        match self.store.notify_state().await {
            // Starting again may repeat notices, which their ids show. The document is replaced.
            Err(error @ StoreError::Decode { .. }) => {
                tracing::error!(%error, "the notifications begin with the last hour again");
                self.store.forget_notify_state().await?;
                Ok(NotifyState::from(now - HOUR_MS))
            }
            found => Ok(found?.unwrap_or_else(|| NotifyState::from(now))),
        }
    }

    async fn add(&self, now: i64) -> Result<usize> {
        let state = self.state(now).await?;
        let look = Look {
            waiting: waiting(&self.store, self.settle_ms, now).await?,
            quarantined: self.store.quarantined_since(now - HOUR_MS, events::MAX_COUNTED).await?,
            trail: self.store.audit_from(events::read_from(&state), events::AT_ONCE).await?,
            project: self.store.project(),
            now,
        };
        let (next, notices) = look.compare(state.clone());
        if next == state && notices.is_empty() {
            return Ok(0);
        }
        let added: Vec<_> = notices.into_iter().map(|it| PendingNotice::new(it, now)).collect();
        match self.store.add_notices(&next, &added).await {
            Ok(()) => Ok(added.len()),
            // Another worker was first, or the answer was lost: the next pass reads what is stored.
            Err(error) if error.needs_reread() => Ok(0),
            Err(error) => Err(error),
        }
    }

    async fn send(&self, context: &PassContext, report: &mut NotifyReport) -> Result<()> {
        let began = Instant::now();
        for mut pending in self.store.due_notices(context.now, AT_ONCE).await? {
            if context.stop.is_cancelled() || began.elapsed() > PATIENCE {
                break;
            }
            self.attempt(&mut pending, context.now, report).await;
            let is_done = self.sinks.iter().all(|sink| has(&pending, sink));
            let is_late = context.now - pending.added_at > GIVEN_UP_MS;
            if is_done || is_late {
                if !is_done {
                    report.given_up.push(pending.notice.text.clone());
                }
                self.store.remove_notice(&pending.notice.id).await?;
            } else {
                pending.attempts += 1;
                pending.next_at = context.now + delay_ms(pending.attempts);
                self.store.put_notice(&pending).await?;
            }
        }
        Ok(())
    }

    /// Sends a notice to the sinks that do not have it.
    async fn attempt(&self, pending: &mut PendingNotice, now: i64, report: &mut NotifyReport) {
        for sink in self.sinks.iter() {
            if has(pending, sink) {
                continue;
            }
            let sent = sink.send(&pending.notice, now).await;
            report.attempts.push((sink.name(), sent.is_ok()));
            match sent {
                Ok(()) => pending.delivered.push(sink.name().to_owned()),
                Err(error) => report.failures.push(format!("{}: {error}", sink.name())),
            }
        }
    }
}

fn has(pending: &PendingNotice, sink: &Sink) -> bool {
    pending.delivered.iter().any(|name| name == sink.name())
}

/// The delay after a number of failed attempts.
fn delay_ms(attempts: u32) -> i64 {
    let doubled = FIRST_DELAY_MS.saturating_mul(1 << attempts.clamp(1, 20).saturating_sub(1));
    doubled.min(LONGEST_DELAY_MS)
}

impl Job for NotifyJob {
    const NAME: JobName = JobName::Notify;
    type Report = NotifyReport;
    type Error = ReportingError;

    async fn run(&mut self, context: &PassContext) -> Result<NotifyReport, ReportingError> {
        Ok(self.pass(context).await?)
    }
}

impl JobReport for NotifyReport {
    fn log_lines(&self) -> Vec<LogLine> {
        let mut lines = Vec::new();
        let failed = self.failures.iter().map(|why| {
            LogLine::new(
                Level::WARN,
                &format!("a notification was not sent, and is repeated: {why}"),
            )
        });
        lines.extend(failed);
        let given_up = self.given_up.iter().map(|text| {
            LogLine::new(
                Level::ERROR,
                &format!("a notification could not be sent for a day: {text}"),
            )
        });
        lines.extend(given_up);
        lines
    }

    fn observe(&self, health: &Health) {
        for (sink, delivered) in &self.attempts {
            health.metrics().service().notified(sink, *delivered);
        }
    }
}

impl fmt::Display for NotifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delivered = self.attempts.iter().filter(|(_, delivered)| *delivered).count();
        let failed = self.attempts.len() - delivered;
        let added = count(self.added, "notice");
        write!(f, "{added} added, {delivered} sent, {failed} not accepted")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_an_hour() {
        assert_eq!([1, 2, 3].map(delay_ms), [30_000, 60_000, 120_000]);
        assert_eq!(delay_ms(u32::MAX), HOUR_MS);
    }
}
