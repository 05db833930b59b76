//! Whether the service is ready: what `/readyz` answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::observability::metrics::Metrics;

/// How long after it was due the tick of a job makes the service unready. The worker sets an overdue
/// timer again after ten seconds; where that helps, the service stays ready.
const OVERDUE_AFTER: Duration = Duration::from_secs(60);

/// The state that the jobs report and the endpoints read.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
    /// By job, the documents that cannot be read, and why.
    damaged: Mutex<BTreeMap<&'static str, BTreeMap<String, String>>>,
    irregular_policies: Mutex<Vec<String>>,
    metrics: Metrics,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// By job, how its last pass ended. Each job answers for itself: the success of one does not hide
    /// the failure of another.
    jobs: BTreeMap<&'static str, Ended>,
    /// Why Firestore could not be reached before the first pass.
    unreachable: Option<String>,
    stopping: bool,
    /// By job, when its next tick is due, by the monotonic clock.
    due: BTreeMap<&'static str, Instant>,
    /// How often the wall clock has jumped, and by how many milliseconds the last time.
    jumps: u64,
    last_jump_ms: i64,
}

/// The end of a pass.
#[derive(Clone, Debug)]
struct Ended {
    failed: Option<String>,
    /// By the monotonic clock.
    at: Instant,
}

impl Ended {
    fn now(failed: Option<String>) -> Self {
        Self { failed, at: Instant::now() }
    }
}

/// The body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// Why, with the errors of jobs, which may name documents.
    pub detail: String,
    /// The same without the errors.
    pub summary: String,
    /// Policies with several active versions, or none. They do not make the service unready: it
    /// serves the highest.
    pub policies: Vec<String>,
    /// Documents that cannot be read, and why. They do not make the service unready either: the work
    /// that needs them is left out, and all other work continues.
    pub damaged: Vec<String>,
}

/// The last pass of a job in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastPass {
    pub job: &'static str,
    /// Why it failed; `None` if it succeeded.
    pub failed: Option<String>,
    pub ended_ago: Duration,
}

impl Health {
    pub fn pass_succeeded(&self, job: &'static str) {
        self.metrics.service().pass(job, true);
        let mut state = locked(&self.state);
        state.unreachable = None;
        state.jobs.insert(job, Ended::now(None));
    }

    pub fn pass_failed(&self, job: &'static str, error: &dyn Display) {
        self.metrics.service().pass(job, false);
        locked(&self.state).jobs.insert(job, Ended::now(Some(error.to_string())));
    }

    /// The last pass of each job that has ended one here, in the order of their names.
    pub fn last_passes(&self) -> Vec<LastPass> {
        let now = Instant::now();
        let state = locked(&self.state);
        let pass = |(job, ended): (&&'static str, &Ended)| LastPass {
            job,
            failed: ended.failed.clone(),
            ended_ago: now.saturating_duration_since(ended.at),
        };
        state.jobs.iter().map(pass).collect()
    }

    pub fn is_stopping(&self) -> bool {
        locked(&self.state).stopping
    }

    /// Another worker runs the job: its last failure here says nothing about it any more.
    pub fn pass_skipped(&self, job: &'static str) {
        let mut state = locked(&self.state);
        if state.jobs.get(job).is_some_and(|ended| ended.failed.is_some()) {
            state.jobs.remove(job);
        }
    }

    /// When the next tick of a job is due, by the monotonic clock.
    pub fn tick_is_due(&self, job: &'static str, due: Instant) {
        locked(&self.state).due.insert(job, due);
    }

    /// The wall clock jumped by this many milliseconds.
    pub fn clock_jumped(&self, ms: i64) {
        self.metrics.service().clock_jumped();
        let mut state = locked(&self.state);
        state.jumps += 1;
        state.last_jump_ms = ms;
    }

    /// Firestore could not be reached before the first pass.
    pub fn unreachable(&self, error: &dyn Display) {
        locked(&self.state).unreachable = Some(error.to_string());
    }

    /// Replaces the documents that a job cannot read.
    pub fn set_damaged(&self, job: &'static str, documents: &BTreeMap<String, String>) {
        let mut damaged = locked(&self.damaged);
        damaged.insert(job, documents.clone());
        let all: BTreeSet<&String> = damaged.values().flat_map(BTreeMap::keys).collect();
        self.metrics.service().set_damaged(all.len());
    }

    /// Replaces the policies to repair, each described in a sentence.
    pub fn set_irregular_policies(&self, policies: Vec<String>) {
        *locked(&self.irregular_policies) = policies;
    }

    /// The service is shutting down; no later state replaces this one.
    pub fn stopping(&self) {
        locked(&self.state).stopping = true;
    }

    pub fn readiness(&self) -> Readiness {
        let state = locked(&self.state).clone();
        let (ready, mut detail, mut summary) = state.readiness(Instant::now());
        let policies = locked(&self.irregular_policies).clone();
        let damaged: BTreeMap<String, String> =
            locked(&self.damaged).values().flatten().map(|(a, b)| (a.clone(), b.clone())).collect();
        for (what, count) in [
            ("policies to repair", policies.len()),
            ("documents that cannot be read", damaged.len()),
        ] {
            if count > 0 {
                detail.push_str(&format!("; {what}: {count}"));
                summary.push_str(&format!("; {what}: {count}"));
            }
        }
        if state.jumps > 0 {
            let (jumps, seconds) = (state.jumps, state.last_jump_ms / 1_000);
            let jumped = format!("; jumps of the wall clock: {jumps}, the last by {seconds} s");
            detail.push_str(&jumped);
            summary.push_str(&jumped);
        }
        let damaged = damaged.into_iter().map(|(document, why)| format!("{document}: {why}"));
        Readiness { ready, detail, summary, policies, damaged: damaged.collect() }
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl State {
    /// Whether it is ready, why, and the same without errors.
    fn readiness(&self, now: Instant) -> (bool, String, String) {
        let plain = |ready, text: &str| (ready, text.to_owned(), text.to_owned());
        if self.stopping {
            return plain(false, "shutting down");
        }
        let failed =
            self.jobs.iter().filter_map(|(job, ended)| Some((*job, ended.failed.as_ref()?)));
        let failed: Vec<_> = failed.collect();
        if !failed.is_empty() {
            let errors: Vec<_> =
                failed.iter().map(|(job, error)| format!("{job}: {error}")).collect();
            let jobs: Vec<_> = failed.iter().map(|(job, _)| *job).collect();
            let said = |what: String| format!("the last pass failed: {what}");
            return (false, said(errors.join("; ")), said(jobs.join(", ")));
        }
        let overdue = self.due.iter().filter_map(|(job, due)| {
            let late = now.checked_duration_since(*due).filter(|late| *late > OVERDUE_AFTER)?;
            Some(format!("{job} for {} s", late.as_secs()))
        });
        let overdue: Vec<_> = overdue.collect();
        if !overdue.is_empty() {
            return plain(false, &format!("passes are overdue: {}", overdue.join(", ")));
        }
        match &self.unreachable {
            Some(error) => (
                false,
                format!("cannot use Firestore: {error}"),
                "cannot use Firestore: the log has the reason".to_owned(),
            ),
            None if self.jobs.is_empty() => plain(false, "no pass has ended yet"),
            None => plain(true, "the last pass of each job succeeded"),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_follows_the_passes_until_shutdown_which_is_final() {
        let health = Health::default();
        assert!(!health.readiness().ready);
        health.pass_succeeded("score");
        assert!(health.readiness().ready);
        health.pass_failed("score", &"refused");
        assert_eq!(health.readiness().detail, "the last pass failed: score: refused");
        assert!(!health.readiness().ready);
        assert_eq!(health.readiness().summary, "the last pass failed: score");
        health.set_irregular_policies(vec!["router-core has no active version".to_owned()]);
        assert_eq!(health.readiness().policies, ["router-core has no active version"]);
        assert!(health.readiness().detail.ends_with("policies to repair: 1"));
        health.stopping();
        health.pass_succeeded("score");
        assert!(!health.readiness().ready);
    }

    #[test]
    fn a_job_that_is_not_started_when_it_is_due_makes_the_service_unready() {
        let health = Health::default();
        health.pass_succeeded("score");
        let now = Instant::now();
        let readiness_after =
            |seconds| locked(&health.state).readiness(now + Duration::from_secs(seconds));
        health.tick_is_due("score", now + Duration::from_secs(30));
        assert!(readiness_after(60).0);
        assert_eq!(readiness_after(100).1, "passes are overdue: score for 70 s");
        assert!(!readiness_after(100).0);
        health.tick_is_due("score", now + Duration::from_secs(90));
        assert!(readiness_after(100).0);
    }

    #[test]
    fn jumps_of_the_wall_clock_are_counted_and_shown() {
        let health = Health::default();
        health.pass_succeeded("score");
        health.clock_jumped(18_000_000);
        health.clock_jumped(-18_000_000);
        let readiness = health.readiness();
        assert!(readiness.ready, "the timers were set again");
        let expected = "jumps of the wall clock: 2, the last by -18000 s";
        assert!(readiness.summary.ends_with(expected), "{}", readiness.summary);
        assert!(health.metrics().text(true).contains("f0_wall_clock_jumps_total 2"));
    }

    #[test]
    fn the_success_of_one_job_does_not_hide_the_failure_of_another() {
        let health = Health::default();
        health.pass_failed("tune", &"config/tuning guard.alpha");
        health.pass_succeeded("score");
        let readiness = health.readiness();
        assert!(!readiness.ready && readiness.detail.contains("tune: config/tuning guard.alpha"));
        health.pass_succeeded("tune");
        assert!(health.readiness().ready);
        health.pass_failed("guard", &"refused");
        health.pass_skipped("guard");
        assert!(health.readiness().ready, "another worker runs it");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_pass_of_each_job_is_known_with_its_age_and_error() {
        let health = Health::default();
        assert_eq!(health.last_passes(), []);
        health.pass_succeeded("tune");
        tokio::time::advance(Duration::from_secs(3)).await;
        health.pass_failed("score", &"refused");
        let last = |job, failed: Option<&str>, seconds| LastPass {
            job,
            failed: failed.map(str::to_owned),
            ended_ago: Duration::from_secs(seconds),
        };
        let expected = [last("score", Some("refused"), 0), last("tune", None, 3)];
        assert_eq!(health.last_passes(), expected);
    }

    #[test]
    fn documents_that_cannot_be_read_are_named_and_counted_until_they_can() {
        let health = Health::default();
        health.pass_succeeded("score");
        let damaged = BTreeMap::from([("ops_state/series|x".to_owned(), "format 99".to_owned())]);
        health.set_damaged("score", &damaged);
        health.set_damaged("reconcile", &damaged);
        let readiness = health.readiness();
        assert!(readiness.ready, "the other work continues");
        assert_eq!(readiness.damaged, ["ops_state/series|x: format 99"]);
        assert!(health.metrics().text(true).contains("f0_damaged_documents 1"));
        health.set_damaged("score", &BTreeMap::new());
        health.set_damaged("reconcile", &BTreeMap::new());
        assert!(health.metrics().text(true).contains("f0_damaged_documents 0"));
    }
}
