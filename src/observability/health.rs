//! Whether the service is ready: what `/readyz` answers.

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::observability::metrics::Metrics;

/// The state that the jobs report and the endpoints read.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
    irregular_policies: Mutex<Vec<String>>,
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

    pub fn pass_failed(&self, job: &'static str, error: &dyn Display) {
        self.metrics.pass(job, false);
        self.set(State::Failing(error.to_string()));
    }

    /// Firestore could not be reached before the first pass.
    pub fn unreachable(&self, error: &dyn Display) {
        self.set(State::Failing(error.to_string()));
    }

    /// Replaces the policies to repair, each described in a sentence.
    pub fn set_irregular_policies(&self, policies: Vec<String>) {
        *locked(&self.irregular_policies) = policies;
    }

    /// The service is shutting down; no later state replaces this one.
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
        let policies = locked(&self.irregular_policies).clone();
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
        health.pass_failed("score", &"refused");
        assert_eq!(health.readiness().detail, "the last pass failed: refused");
        assert!(!health.readiness().ready);
        health.set_irregular_policies(vec!["router-core has no active version".to_owned()]);
        assert_eq!(health.readiness().policies, ["router-core has no active version"]);
        assert!(health.readiness().detail.ends_with("policies to repair: 1"));
        health.stopping();
        health.pass_succeeded("score");
        assert!(!health.readiness().ready);
    }
}
