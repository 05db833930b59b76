//! How policies change: their versions, what became of them, and what that changed.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use super::names::{MAX_NAMED, Names, OTHER, PolicyLabels, family, family_in, single, whole};
use f0_learning_core::estimate::Measured;
use f0_learning_core::intent::Author;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BoundLabels {
    policy: String,
    bound: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    action: &'static str,
    by: &'static str,
}

/// Whether the tuner would still move the weights of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convergence {
    /// The weights are the best within the bounds.
    AtBest,
    /// A better version is proposed, or was published.
    Moving,
    /// The evidence does not say.
    Unknown,
}

#[derive(Debug)]
pub struct Policies {
    names: Names,
    active_versions: Family<PolicyLabels, Gauge>,
    rolled_back: Counter<u64, AtomicU64>,
    changes: Family<ChangeLabels, Counter<u64, AtomicU64>>,
    reward_change: Family<BoundLabels, Gauge<f64, AtomicU64>>,
    at_best: Family<PolicyLabels, Gauge>,
    convergence: Family<PolicyLabels, Gauge<f64, AtomicU64>>,
    /// Since when the weights of a policy move.
    moving: Mutex<BTreeMap<String, Instant>>,
}

impl Policies {
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            names: Names::default(),
            active_versions: family(
                registry,
                "policy_active_versions",
                "Active versions of each policy; repair a policy that does not have exactly 1",
            ),
            rolled_back: single(
                registry,
                "versions_rolled_back",
                "Versions that this process rolled back because a guardrail was proven to be broken",
            ),
            changes: family(
                registry,
                "policy_changes",
                "Entries of the audit trail since it began, by action and who made them; the same in \
                 every process",
            ),
            reward_change: family(
                registry,
                "policy_reward_change",
                "Change of the mean reward that the last evaluated watch or A/B test of the policy \
                 measured, with the bounds of its interval",
            ),
            at_best: family(
                registry,
                "policy_at_best",
                "1 if the last tuning pass found the weights to be the best within the bounds, else 0",
            ),
            convergence: family_in(
                registry,
                "policy_convergence",
                Unit::Seconds,
                "Time that the weights last took, from the first better version to the best weights, or \
                 have taken up to now",
            ),
            moving: Mutex::default(),
        }
    }

    /// Replaces the number of active versions of each policy. Those beyond a bound are not shown;
    /// `/readyz` reports the ones to repair whatever their number.
    pub fn set_active_versions<'a>(&self, policies: impl IntoIterator<Item = (&'a str, usize)>) {
        self.active_versions.clear();
        for (policy, active) in policies.into_iter().take(MAX_NAMED) {
            let labels = PolicyLabels { policy: policy.to_owned() };
            self.active_versions.get_or_create(&labels).set(whole(active));
        }
    }

    pub fn add_rolled_back(&self, versions: u64) {
        self.rolled_back.inc_by(versions);
    }

    /// Adds entries of the audit trail.
    pub fn add_changes(&self, action: &'static str, by: Author, entries: u64) {
        let labels = ChangeLabels { action, by: by.as_str() };
        self.changes.get_or_create(&labels).inc_by(entries);
    }

    /// The change of the mean reward that an experiment of the policy measured.
    pub fn set_reward_change(&self, policy: &str, change: Measured) {
        let policy = self.names.label(policy);
        if policy == OTHER {
            return;
        }
        let Measured { estimate, low, high } = change;
        for (bound, value) in [("low", low), ("estimate", estimate), ("high", high)] {
            let labels = BoundLabels { policy: policy.clone(), bound };
            self.reward_change.get_or_create(&labels).set(value);
        }
    }

    /// What a tuning pass found now.
    pub fn set_convergence(&self, policy: &str, convergence: Convergence) {
        let policy = self.names.label(policy);
        if policy == OTHER {
            return;
        }
        let mut moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match convergence {
            Convergence::AtBest => moving.remove(&policy),
            Convergence::Moving => Some(*moving.entry(policy.clone()).or_insert_with(Instant::now)),
            Convergence::Unknown => moving.get(&policy).copied(),
        };
        let labels = PolicyLabels { policy };
        let is_at_best = convergence == Convergence::AtBest;
        self.at_best.get_or_create(&labels).set(i64::from(is_at_best));
        if let Some(since) = since {
            self.convergence.get_or_create(&labels).set(since.elapsed().as_secs_f64());
        }
    }

    /// Another worker evaluates the experiments: what this one measured is out of date.
    pub fn forget_measured(&self) {
        self.reward_change.clear();
    }

    /// Another worker tunes.
    pub fn forget_tuned(&self) {
        self.at_best.clear();
        self.convergence.clear();
        self.moving.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
