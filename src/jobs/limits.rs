//! How many actions an observation may count for, as `config/scoring` and `config/tuning` say.

use crate::store::{Cached, POLICIES_TTL, Result, Store};
use f0_learning_core::limits::Limits;

/// The limits, read again when they are older than [`POLICIES_TTL`].
#[derive(Debug)]
pub(super) struct CurrentLimits {
    cached: Cached<Limits>,
    /// What the process read last.
    last: Limits,
}

impl CurrentLimits {
    pub fn new() -> Self {
        Self { cached: Cached::new(POLICIES_TTL), last: Limits::default() }
    }

    /// If a document of theirs is invalid, those that this process read last, or the defaults: a
    /// misspelt field must not admit what was never meant to be, and must not stop scoring.
    ///
    /// # Errors
    /// Firestore did not answer.
    pub async fn get(&mut self, store: &Store, now: i64) -> Result<Limits> {
        match self.cached.get(now, store.limits()).await {
            Ok(limits) => self.last = limits,
            Err(error) if error.code().is_none() => {
                tracing::error!(%error, "the limits of sampleRate and propensity are unchanged");
            }
            Err(error) => return Err(error),
        }
        Ok(self.last.clone())
    }
}
