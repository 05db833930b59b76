//! What a person approves once, so that the tuner may publish versions by itself: ranges of weights,
//! not weights.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::PolicyTuning;
use crate::experiment::{Baseline, Comparison, GuardConfig, GuardConfigError, compare};
use crate::reward::RewardConfig;
use crate::time::{DAY_MS, HOUR_MS};

/// The approved range of a policy's weights, `{policy}@{number}` of `ops_envelopes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    pub policy: String,
    /// Counted from 1.
    pub number: u32,
    /// By arm. An arm that is not listed is new to the envelope: weights that need it are drafted.
    pub arms: BTreeMap<String, WeightRange>,
    /// The smallest weight of an arm above 0.
    pub floor: f64,
    /// How far a weight may move in one version.
    pub step_bound: f64,
    pub versions_an_hour: u32,
    pub versions_a_day: u32,
    /// The share of the units that stay on the version that was active at the approval; 0 is none.
    pub holdback: f64,
    /// The reward that the actions of seven days may lose against the arm that is believed to be the
    /// best, summed over actions, before versions are only drafted; absent means without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regret_budget: Option<f64>,
    /// The `alpha` of the watch of a version that the tuner activates; absent means that of
    /// `config/tuning`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// The guardrails of that watch; one that is absent is that of `config/tuning`.
    #[serde(default, skip_serializing_if = "ApprovedGuardrails::is_empty")]
    pub guardrails: ApprovedGuardrails,
    /// Epoch milliseconds: from then on versions are only drafted.
    pub expires_at: i64,
    pub approved_by: String,
    pub approved_at: i64,
    /// The version that was active at the approval.
    pub parent: String,
    /// Why versions are only drafted, although the envelope has not expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
}

/// The smallest and the largest weight of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightRange {
    pub min: f64,
    pub max: f64,
}

/// How much worse a version that the tuner activates may be, by the names of
/// [`Guardrails`](crate::experiment::Guardrails).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovedGuardrails {
    /// How far the success rate may fall, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<f64>,
    /// The largest ratio of the mean cost to that of the replaced version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The largest ratio of the 95th percentile of durations to that of the replaced version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_latency: Option<f64>,
}

impl ApprovedGuardrails {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An envelope that cannot be approved.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum EnvelopeError {
    #[error("{field} is {value}, must be between {min} and {max}")]
    OutOfRange { field: String, value: f64, min: f64, max: f64 },
    #[error(transparent)]
    Guard(#[from] GuardConfigError),
    #[error("the range of {arm} is {min}–{max}: the minimum must not be above the maximum")]
    Reversed { arm: String, min: f64, max: f64 },
    #[error("no weights fit: the minima add up to {minima:.3} and the maxima to {maxima:.3}")]
    Infeasible { minima: f64, maxima: f64 },
    #[error("{0} is not an arm of the active version")]
    UnknownArm(String),
    #[error("{0} has no range: give each arm of the active version one")]
    MissingArm(String),
    #[error("the envelope would expire at once: give it between 1 hour and 365 days")]
    Expired,
}

/// The longest time that an envelope may be valid.
const LONGEST: i64 = 365 * DAY_MS;

impl Envelope {
    /// The approved range of an arm. An arm that is not listed has none: a person gave it its weight
    /// after the approval, and weights that need it are drafted.
    pub fn range(&self, arm: &str) -> Option<(f64, f64)> {
        self.arms.get(arm).map(|it| (it.min, it.max))
    }

    /// The limits of the watch of a version that the tuner activates within the envelope.
    #[must_use]
    pub fn guard(&self, config: GuardConfig) -> GuardConfig {
        let (approved, mut guard) = (&self.guardrails, config);
        let rails = &mut guard.guardrails;
        rails.success_rate = approved.success_rate.unwrap_or(rails.success_rate);
        rails.cost_usd = approved.cost_usd.unwrap_or(rails.cost_usd);
        rails.p95_latency = approved.p95_latency.unwrap_or(rails.p95_latency);
        GuardConfig { alpha: self.alpha.unwrap_or(config.alpha), ..guard }
    }

    /// Requires an envelope that weights of these arms can respect.
    ///
    /// # Errors
    /// The first field that is invalid.
    pub fn validate(&self, arms: &BTreeMap<String, f64>) -> Result<(), EnvelopeError> {
        let within = |field: &str, value: f64, min: f64, max: f64| match (min..=max)
            .contains(&value)
        {
            true => Ok(()),
            false => Err(EnvelopeError::OutOfRange { field: field.to_owned(), value, min, max }),
        };
        for (arm, WeightRange { min, max }) in &self.arms {
            within(&format!("the minimum of {arm}"), *min, 0.0, 1.0)?;
            within(&format!("the maximum of {arm}"), *max, 0.0, 1.0)?;
            if min > max {
                return Err(EnvelopeError::Reversed { arm: arm.clone(), min: *min, max: *max });
            }
            if !arms.contains_key(arm) {
                return Err(EnvelopeError::UnknownArm(arm.clone()));
            }
        }
        if let Some(arm) = arms.keys().find(|it| !self.arms.contains_key(*it)) {
            return Err(EnvelopeError::MissingArm(arm.clone()));
        }
        within("floor", self.floor, 0.0, 0.5)?;
        within("stepBound", self.step_bound, 0.001, 1.0)?;
        within("holdback", self.holdback, 0.0, 0.5)?;
        within("versionsAnHour", self.versions_an_hour.into(), 1.0, 60.0)?;
        within("versionsADay", self.versions_a_day.into(), 1.0, 1_440.0)?;
        if let Some(budget) = self.regret_budget {
            within("regretBudget", budget, 0.0, 1e12)?;
        }
        self.guard(GuardConfig::default()).validate()?;
        let used = arms.iter().filter(|(_, weight)| **weight > 0.0).map(|it| it.0);
        let used: Vec<WeightRange> = used.map(|arm| self.arms[arm]).collect();
        let minima: f64 = used.iter().map(|it| it.min.max(self.floor.min(it.max))).sum();
        let maxima: f64 = used.iter().map(|it| it.max).sum();
        if minima > 1.0 || maxima < 1.0 {
            return Err(EnvelopeError::Infeasible { minima, maxima });
        }
        match self.expires_at - self.approved_at {
            HOUR_MS..=LONGEST => Ok(()),
            _ => Err(EnvelopeError::Expired),
        }
    }

    /// Why the tuner may not publish at `now`, whatever the weights.
    pub fn closed(&self, now: i64) -> Option<String> {
        let Self { policy, number, .. } = self;
        if let Some(why) = &self.frozen {
            return Some(format!("envelope {policy}@{number} is frozen: {why}"));
        }
        (now >= self.expires_at).then(|| {
            let at = crate::time::Utc(self.expires_at);
            format!("envelope {policy}@{number} expired at {at}")
        })
    }

    /// The holdback, as control, and what was published since, as candidate.
    pub fn compare(
        &self,
        counted: &Baseline,
        rewards: &RewardConfig,
        config: &PolicyTuning,
    ) -> Comparison {
        compare(
            &counted.control,
            &counted.candidate,
            rewards.bounds.max_cost_usd,
            config.min_sample_rate,
            config.alpha / 2.0,
        )
    }

    /// Why the holdback is proven to earn more than what was published; `None` while it is not.
    pub fn beaten_by_holdback(
        &self,
        counted: &Baseline,
        rewards: &RewardConfig,
        config: &PolicyTuning,
    ) -> Option<String> {
        let change = self.compare(counted, rewards, config).reward?.change;
        (change.high < 0.0).then(|| {
            format!(
                "the holdback on {} is proven to earn more than what was published: {:.3} ({:.3}–{:.3})",
                self.parent, -change.estimate, -change.high, -change.low
            )
        })
    }

    /// Why a move from `held` to these weights is outside; `None` if it is within.
    pub fn leaves(
        &self,
        held: &BTreeMap<String, f64>,
        weights: &BTreeMap<String, f64>,
    ) -> Option<String> {
        /// Rounding errors of weights that were written as decimal fractions.
        const SLACK: f64 = 1e-9;
        let Self { policy, number, .. } = self;
        weights.iter().find_map(|(arm, weight)| {
            let Some(WeightRange { min, max }) = self.arms.get(arm) else {
                let why = format!("{arm} is not part of envelope {policy}@{number}");
                return (*weight > 0.0).then_some(why);
            };
            if !(min - SLACK..=max + SLACK).contains(weight) {
                return Some(format!(
                    "{arm} at {weight:.3} is outside of {min:.3}–{max:.3}, envelope {policy}@{number}"
                ));
            }
            let before = held.get(arm).copied().unwrap_or_default();
            if (weight - before).abs() > self.step_bound + SLACK {
                let step = self.step_bound;
                return Some(format!(
                    "{arm} would move from {before:.3} to {weight:.3}, and envelope {policy}@{number} \
                     allows a step of {step:.3}"
                ));
            }
            // An arm that starts below the floor may need several steps to reach it.
            (*weight > 0.0 && *weight < self.floor.min(before) - SLACK).then(|| {
                let floor = self.floor;
                format!(
                    "{arm} at {weight:.3} is below the floor {floor:.3} of envelope {policy}@{number}"
                )
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        let range = |min, max| WeightRange { min, max };
        Envelope {
            policy: "router-core".to_owned(),
            number: 1,
            arms: [("a".to_owned(), range(0.2, 0.8)), ("b".to_owned(), range(0.1, 0.7))].into(),
            floor: 0.05,
            step_bound: 0.1,
            versions_an_hour: 1,
            versions_a_day: 12,
            holdback: 0.05,
            regret_budget: Some(100.0),
            alpha: None,
            guardrails: ApprovedGuardrails::default(),
            expires_at: 30 * DAY_MS,
            approved_by: "ada".to_owned(),
            approved_at: 0,
            parent: "1.0.0".to_owned(),
            frozen: None,
        }
    }

    fn weights(a: f64) -> BTreeMap<String, f64> {
        [("a".to_owned(), a), ("b".to_owned(), 1.0 - a)].into()
    }

    #[test]
    fn an_envelope_names_what_is_outside() {
        let envelope = envelope();
        assert_eq!(envelope.validate(&weights(0.5)), Ok(()));
        let leaves = |from, to| envelope.leaves(&weights(from), &weights(to));
        assert_eq!(leaves(0.75, 0.8), None);
        let left = leaves(0.2, 0.15).unwrap();
        assert_eq!(left, "a at 0.150 is outside of 0.200–0.800, envelope router-core@1");
        let mut third = weights(0.5);
        third.insert("c".to_owned(), 0.1);
        assert!(envelope.leaves(&third, &third).unwrap().contains("c is not part of"));
        let far = leaves(0.5, 0.61).unwrap();
        assert!(far.contains("a would move from 0.500 to 0.610"), "{far}");
        let low = Envelope { floor: 0.25, ..envelope.clone() };
        let below = low.leaves(&weights(0.3), &weights(0.22)).unwrap();
        assert!(below.contains("a at 0.220 is below the floor 0.250"), "{below}");
        assert_eq!(
            low.leaves(&weights(0.79), &weights(0.78)),
            None,
            "b is on its way to the floor"
        );
        assert_eq!(envelope.range("c"), None);
    }

    #[test]
    fn a_watch_has_the_approved_limits_and_the_others_of_the_config() {
        let config = GuardConfig { watch_hours: 7, ..GuardConfig::default() };
        assert_eq!(envelope().guard(config), config);
        let guardrails = ApprovedGuardrails {
            success_rate: Some(0.001),
            cost_usd: Some(1.5),
            ..ApprovedGuardrails::default()
        };
        let approved = Envelope { alpha: Some(0.01), guardrails, ..envelope() }.guard(config);
        assert_eq!((approved.alpha, approved.watch_hours), (0.01, 7));
        let rails = approved.guardrails;
        assert_eq!((rails.success_rate, rails.cost_usd), (0.001, 1.5));
        assert_eq!(rails.p95_latency, config.guardrails.p95_latency);
        assert_eq!(rails.reward, config.guardrails.reward);
    }

    #[test]
    fn an_envelope_closes_when_it_expires_or_is_frozen() {
        let mut envelope = envelope();
        assert_eq!(envelope.closed(30 * DAY_MS - 1), None);
        assert!(envelope.closed(30 * DAY_MS).unwrap().contains("expired at 1970-01-31 00:00 UTC"));
        envelope.frozen = Some("the regret budget is spent".to_owned());
        assert!(envelope.closed(0).unwrap().contains("frozen: the regret budget is spent"));
    }

    #[test]
    fn an_envelope_that_no_weights_respect_is_refused() {
        let invalid = |change: fn(&mut Envelope)| {
            let mut envelope = envelope();
            change(&mut envelope);
            envelope.validate(&weights(0.5)).unwrap_err().to_string()
        };
        fn put(envelope: &mut Envelope, arm: &str, min: f64, max: f64) {
            envelope.arms.insert(arm.to_owned(), WeightRange { min, max });
        }
        type Change = fn(&mut Envelope);
        let cases: [(Change, &str); 10] = [
            (|it| put(it, "a", 0.5, 0.4), "must not be above"),
            (|it| put(it, "a", 0.0, 0.2), "no weights fit"),
            (|it| put(it, "a", 0.0, 1.5), "the maximum of a is 1.5"),
            (|it| it.arms.retain(|arm, _| arm != "b"), "b has no range"),
            (|it| put(it, "c", 0.0, 1.0), "c is not an arm"),
            (|it| it.holdback = 0.9, "holdback is 0.9"),
            (|it| it.expires_at = 5, "expire at once"),
            (|it| it.versions_an_hour = 0, "versionsAnHour is 0"),
            (|it| it.alpha = Some(0.9), "alpha is 0.9"),
            (|it| it.guardrails.cost_usd = Some(0.5), "guardrails.costUsd is 0.5"),
        ];
        for (change, part) in cases {
            let error = invalid(change);
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
