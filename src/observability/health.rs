//! Whether the service is fit for work: what `/readyz` answers.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::jobs::check::{CheckReport, Irregularity};
use crate::observability::metrics::Metrics;
use crate::store::StoreError;

/// The state that the jobs report and the endpoints read.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
    irregular: Mutex<Vec<Irregularity>>,
    metrics: Metrics,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Starting,
    Ready,
    Failing(String),
    Stopping,
}

/// The body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    pub detail: String,
    /// Policies with several active versions, or none. They do not make the service unready: it
    /// serves the highest.
    pub policies: Vec<String>,
}

impl Health {
    fn set(&self, next: State) {
        let mut state = locked(&self.state);
        if *state != State::Stopping {
            *state = next;
        }
    }

    pub fn pass_succeeded(&self, job: &'static str) {
        self.metrics.pass(job, true);
        self.set(State::Ready);
    }

    pub fn pass_failed(&self, job: &'static str, error: &StoreError) {
        self.metrics.pass(job, false);
        self.set(State::Failing(error.to_string()));
    }

    /// Firestore could not be reached before the first pass.
    pub fn unreachable(&self, error: &StoreError) {
        self.set(State::Failing(error.to_string()));
    }

    /// Takes note of how many active versions each policy has, and returns what is new to tell.
    pub fn checked(&self, report: &CheckReport) -> Vec<Irregularity> {
        self.metrics.checked(report);
        let now = report.irregular();
        let mut known = locked(&self.irregular);
        let new = now.iter().filter(|it| !known.contains(it)).cloned().collect();
        *known = now;
        new
    }

    /// No more work is taken on; this is final.
    pub fn stopping(&self) {
        self.set(State::Stopping);
    }

    pub fn readiness(&self) -> Readiness {
        let (ready, detail) = match &*locked(&self.state) {
            State::Starting => (false, "no pass has ended yet".to_owned()),
            State::Ready => (true, "the last pass succeeded".to_owned()),
            State::Failing(error) => (false, format!("the last pass failed: {error}")),
            State::Stopping => (false, "shutting down".to_owned()),
        };
        let policies: Vec<_> = locked(&self.irregular).iter().map(ToString::to_string).collect();
        let detail = match policies.len() {
            0 => detail,
            count => format!("{detail}; policies to repair: {count}"),
        };
        Readiness { ready, detail, policies }
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
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
        health.pass_failed("score", &StoreError::NotConfigured);
        assert!(!health.readiness().ready);
        let versions = vec![semver::Version::new(1, 0, 1), semver::Version::new(1, 0, 2)];
        let report = CheckReport { active: [("router-core".to_owned(), versions)].into() };
        assert_eq!(health.checked(&report).len(), 1);
        assert_eq!(health.checked(&report).len(), 0, "told once");
        assert!(health.readiness().policies[0].contains("1.0.2 is in force"));
        health.stopping();
        health.pass_succeeded("score");
        assert!(!health.readiness().ready);
    }
}
