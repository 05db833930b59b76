//! Whether the service is fit for work: what `/readyz` answers.

use std::sync::Mutex;

use serde::Serialize;

use crate::store::StoreError;

/// The state that the jobs report and the endpoint reads.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

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
}

impl Health {
    fn set(&self, next: State) {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *state != State::Stopping {
            *state = next;
        }
    }

    pub fn pass_succeeded(&self) {
        self.set(State::Ready);
    }

    pub fn pass_failed(&self, error: &StoreError) {
        self.set(State::Failing(error.to_string()));
    }

    /// No more work is taken on; this is final.
    pub fn stopping(&self) {
        self.set(State::Stopping);
    }

    pub fn readiness(&self) -> Readiness {
        let state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (ready, detail) = match &*state {
            State::Starting => (false, "no pass has ended yet".to_owned()),
            State::Ready => (true, "the last pass succeeded".to_owned()),
            State::Failing(error) => (false, format!("the last pass failed: {error}")),
            State::Stopping => (false, "shutting down".to_owned()),
        };
        Readiness { ready, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_follows_the_passes_until_shutdown_which_is_final() {
        let health = Health::default();
        assert!(!health.readiness().ready);
        health.pass_succeeded();
        assert!(health.readiness().ready);
        health.pass_failed(&StoreError::NotConfigured);
        assert!(!health.readiness().ready);
        health.stopping();
        health.pass_succeeded();
        assert!(!health.readiness().ready);
    }
}
