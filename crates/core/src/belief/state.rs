//! What the rule remembers between passes. Everything else is computed from the buckets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Settings;
use super::history::Sums;

/// The number of the format; a changed layout gets the next, and keeps a reader for this one.
const FORMAT: u8 = 1;

/// The state of a policy. Its size depends on the number of arms only. [`BeliefState::encode`] keeps
/// every bit; JSON may round the last one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BeliefState {
    pub arms: BTreeMap<String, ArmState>,
    /// Changes of who leads.
    pub changes: f64,
    /// Suspicions that were dropped or accepted, and those accepted.
    pub settled: f64,
    pub accepted: f64,
    /// The hours that were observed, times the arms.
    pub arm_hours: f64,
    /// The end of the last bucket that was counted in `arm_hours`.
    pub seen_until: i64,
    /// The number of recent versions, at the time of the last.
    pub recent_versions: f64,
    pub last_version: i64,
}

/// The state of an arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArmState {
    /// The start of the current segment in epoch milliseconds; 0 is the beginning.
    pub since: i64,
    /// The time of a supposed change.
    pub suspect: Option<i64>,
    /// Rewards before `since` in larger buckets that may later contain it, by the start of the bucket.
    /// They are subtracted then, so that merged buckets do not mix segments.
    pub discarded: BTreeMap<i64, Sums>,
    /// The rule itself lowered the weight to 0, so that it may raise it again. Another arm at 0 was
    /// put there by a person and stays there.
    pub lowered: bool,
}

/// Stored bytes that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StateError {
    #[error("cannot read the belief state: unknown format {found}, expected {FORMAT}")]
    Format { found: u8 },
    #[error("cannot read the belief state: it is empty")]
    Empty,
    #[error("cannot read the belief state: {0}")]
    Encoding(postcard::Error),
}

impl BeliefState {
    /// Counts a version that became active at `at`, unless it was counted.
    pub fn published(&mut self, settings: &Settings, at: i64) {
        if at > self.last_version {
            self.recent_versions = super::publish::recent(settings, self, at) + 1.0;
            self.last_version = at;
        }
    }

    /// Whether nothing was remembered yet.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(postcard::to_allocvec(self).expect("numbers and texts always encode"));
        bytes
    }

    /// Reads the bytes that [`BeliefState::encode`] wrote.
    ///
    /// # Errors
    /// Any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        match bytes.split_first() {
            Some((&FORMAT, rest)) => postcard::from_bytes(rest).map_err(StateError::Encoding),
            Some((&found, _)) => Err(StateError::Format { found }),
            None => Err(StateError::Empty),
        }
    }
}
