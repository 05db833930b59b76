//! What a pass finds out about the observations besides the arms' samples.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::components::Unmatched;
use super::scales::Shift;

/// Findings that a decision depends on. They are part of its stored input, so that a replay has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    /// The components that name the active version and are not the component of an arm.
    pub unmatched: Unmatched,
    /// Set while the rewards before a change of `config/reward_config` are not counted.
    pub reward_restart: Option<RewardRestart>,
    /// By arm, the quantities whose scale has changed within the arm's own observations.
    pub shifts: BTreeMap<String, Vec<Shift>>,
}

/// A change of `config/reward_config`, after which evidence on reward started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewardRestart {
    /// Epoch milliseconds: when the first observation was scored under the new config.
    pub at: i64,
    /// The versions of the config.
    pub from: String,
    pub to: String,
    /// The arms without rewards under the new config.
    pub waiting: Vec<String>,
}

impl RewardRestart {
    pub(in crate::tuning) fn note(&self) -> String {
        let Self { at, from, to, waiting } = self;
        let at = crate::time::Utc(*at);
        let changed = match from == to {
            true => format!("reward_config {to} changed (give each change a version of its own)"),
            false => format!("reward_config changed from {from} to {to}"),
        };
        let mut note = format!("reward evidence restarted at {at} because {changed}");
        if !waiting.is_empty() {
            note += &format!("; no rewards under {to} yet: {}", waiting.join(", "));
        }
        note
    }
}
