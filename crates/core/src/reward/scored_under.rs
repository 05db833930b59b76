//! Which config the rewards in a statistic were scored under.

use serde::{Deserialize, Serialize};

use super::RewardConfig;
use crate::hash::Fingerprint;

/// The config that all rewards of a statistic were scored under, stored next to it. Rewards of
/// different configs are different quantities: when the config changes, the evidence on reward
/// starts again. Success, latency and cost do not depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScoredUnder {
    /// The version of the config.
    pub version: String,
    pub fingerprint: String,
    /// Epoch milliseconds: when the first reward was counted.
    pub since: i64,
    /// The version of the config that this one replaced; absent if all rewards were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
}

/// Which rewards must be left out before two statistics are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    Nothing,
    Stored,
    Joined,
}

impl RewardConfig {
    /// A fingerprint of everything that a score and its record depend on: the thresholds do not
    /// matter.
    pub fn fingerprint(&self) -> String {
        let Self { version, weights, bounds, baseline, thresholds: _ } = self;
        let numbers = [
            weights.latency,
            weights.cost,
            weights.success,
            weights.error,
            bounds.max_latency_ms,
            bounds.max_cost_usd,
            *baseline,
        ];
        let all = numbers
            .iter()
            .fold(Fingerprint::new().text(version), |all, it| all.number(it.to_bits()));
        all.to_string()
    }
}

impl ScoredUnder {
    pub fn new(config: &RewardConfig, now: i64) -> Self {
        Self {
            version: config.version.clone(),
            fingerprint: config.fingerprint(),
            since: now,
            replaced: None,
        }
    }

    /// Makes `stamp` that of this config, before a reward of this config is counted. Returns whether
    /// the rewards that were counted before are of another config and must be left out. Statistics
    /// that an earlier release wrote have no stamp; their rewards are kept.
    #[must_use]
    pub fn replace(&self, stamp: &mut Option<Self>) -> bool {
        match stamp {
            Some(found) if found.fingerprint == self.fingerprint => false,
            Some(found) => {
                let replaced = Some(found.version.clone());
                *stamp = Some(Self { replaced, ..self.clone() });
                true
            }
            None => {
                *stamp = Some(self.clone());
                false
            }
        }
    }

    /// Makes `stored` the stamp of a merged statistic, and returns whose rewards are not part of it:
    /// those of the config that was replaced.
    #[must_use]
    pub fn join(stored: &mut Option<Self>, joined: Option<Self>) -> LeftOut {
        let Some(joined) = joined else { return LeftOut::Nothing };
        match stored {
            Some(found) if found.fingerprint == joined.fingerprint => LeftOut::Nothing,
            Some(found) if found.since > joined.since => LeftOut::Joined,
            Some(_) => match joined.replace(stored) {
                true => LeftOut::Stored,
                false => LeftOut::Nothing,
            },
            None => {
                *stored = Some(joined);
                LeftOut::Nothing
            }
        }
    }

    /// Whether the rewards of two statistics are of one config. One without a stamp was written by
    /// an earlier release, before any change that is recorded.
    pub fn is_same(a: Option<&Self>, b: Option<&Self>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => a.fingerprint == b.fingerprint,
            (None, None) => true,
            (Some(it), None) | (None, Some(it)) => it.replaced.is_none(),
        }
    }

    /// Whether rewards were left out between two states of one statistic.
    pub fn has_restarted(before: Option<&Self>, after: Option<&Self>) -> bool {
        match (before, after) {
            (Some(before), Some(after)) => {
                (&before.fingerprint, before.since) != (&after.fingerprint, after.since)
            }
            (None, Some(after)) => after.replaced.is_some(),
            (_, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(version: &str, latency: f64) -> RewardConfig {
        let mut config = RewardConfig { version: version.to_owned(), ..RewardConfig::default() };
        config.weights.latency = latency;
        config
    }

    #[test]
    fn a_change_of_what_scores_depend_on_is_recognised() {
        let mut thresholds = config("1.0.0", 0.25);
        thresholds.thresholds.retrain = 0.1;
        assert_eq!(thresholds.fingerprint(), config("1.0.0", 0.25).fingerprint());
        for other in [config("1.0.0", 0.3), config("1.1.0", 0.25)] {
            assert_ne!(other.fingerprint(), thresholds.fingerprint());
        }
    }

    #[test]
    fn rewards_are_left_out_exactly_when_the_config_changes() {
        let [a, b] = [config("1.0.0", 0.25), config("1.1.0", 0.5)];
        let mut stamp = None;
        assert!(!ScoredUnder::new(&a, 1).replace(&mut stamp), "the first stamp keeps all");
        assert!(!ScoredUnder::new(&a, 2).replace(&mut stamp));
        let before = stamp.clone();
        assert!(ScoredUnder::new(&b, 3).replace(&mut stamp));
        let after = stamp.clone();
        let found = after.clone().unwrap();
        assert_eq!((found.since, found.replaced.as_deref()), (3, Some("1.0.0")));
        assert!(!ScoredUnder::is_same(before.as_ref(), after.as_ref()));
        assert!(!ScoredUnder::is_same(None, after.as_ref()));
        assert!(ScoredUnder::is_same(None, before.as_ref()));
        assert!(ScoredUnder::has_restarted(before.as_ref(), after.as_ref()));
        assert!(ScoredUnder::has_restarted(None, after.as_ref()));
        assert!(!ScoredUnder::has_restarted(None, before.as_ref()));
        let mut joined = before.clone();
        assert_eq!(ScoredUnder::join(&mut joined, after.clone()), LeftOut::Stored);
        assert_eq!(joined, after, "the later config remains");
        assert_eq!(ScoredUnder::join(&mut joined, before.clone()), LeftOut::Joined);
        assert_eq!(ScoredUnder::join(&mut joined, None), LeftOut::Nothing);
        // Back to the first config: also a restart.
        assert!(ScoredUnder::new(&a, 4).replace(&mut stamp));
        assert!(ScoredUnder::has_restarted(before.as_ref(), stamp.as_ref()));
    }
}
