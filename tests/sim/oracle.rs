//! What is true, and whether the store agrees.

use std::collections::{BTreeMap, BTreeSet};

use crate::collection;
use f0_learning::store::TUNER;
use f0_learning_core::audit::replay;
use f0_learning_core::observation::{MAX_AHEAD_OF_WRITING_MS, Observation};
use f0_learning_core::policy::PolicyStatus;
use f0_learning_core::reward::{RewardConfig, score};
use f0_learning_core::stats::Window;
use f0_learning_core::time::MINUTE_MS;
use firestore::gcloud_sdk::google::firestore::v1::Document;
use firestore_kit::value;
use serde_json::{Map, Value};

use crate::world::World;

/// Everything that was acknowledged.
#[derive(Default)]
pub struct Truth {
    /// By id; `None` for what cannot be scored.
    pub observations: BTreeMap<String, Option<Observation>>,
    /// Every reward configuration there ever was, by its version.
    pub configs: BTreeMap<String, RewardConfig>,
    /// The params of every version as they were first seen.
    pub params: BTreeMap<String, Value>,
    /// Whether the flags forbid tuning.
    pub switched_off: bool,
    /// Entries of the audit trail that are the tune job's.
    pub by_job: usize,
    /// Somebody was told what is not so.
    pub complaint: Option<String>,
}

type Checked = Result<(), String>;

fn ensure(holds: bool, told: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(told()) }
}

impl World {
    /// What must hold at any moment.
    pub async fn check(&mut self) -> Checked {
        ensure(self.truth.complaint.is_none(), || self.truth.complaint.clone().unwrap())?;
        self.check_rewards(false).await?;
        self.check_quarantine(false).await?;
        self.check_policies().await
    }

    /// What must hold once everything has finished.
    pub async fn compare(&mut self) -> Checked {
        self.check_rewards(true).await?;
        self.check_quarantine(true).await?;
        self.check_windows().await?;
        self.check_policies().await
    }

    pub async fn all(&self, collection: &str) -> BTreeMap<String, Map<String, Value>> {
        let db = self.store.db().clone().into_inner();
        let documents: Vec<Document> = db.fluent().select().from(collection).query().await.unwrap();
        let json = |document: &Document| {
            (value::document_id(document).to_owned(), value::fields_to_json(&document.fields))
        };
        documents.iter().map(json).collect()
    }

    /// Invariant 1: no reward but for a valid observation, and that the right one.
    async fn check_rewards(&self, complete: bool) -> Checked {
        let rewards = self.all(collection::REWARDS).await;
        for (id, reward) in &rewards {
            let Some(Some(observation)) = self.truth.observations.get(id) else {
                return Err(format!("a reward for {id}, which is no valid observation"));
            };
            let version = reward["configVersion"].as_str().unwrap_or_default();
            let config = self.truth.configs.get(version).cloned().unwrap_or_default();
            let expected = score(&config, observation).score;
            let given = reward["score"].as_f64().unwrap_or(f64::NAN);
            ensure((expected - given).abs() < 1e-12, || {
                format!("the reward of {id} is {given}, not {expected}")
            })?;
        }
        if complete {
            let missing = self.valid().find(|observation| !rewards.contains_key(&observation.id));
            ensure(missing.is_none(), || format!("no reward for {missing:?}"))?;
        }
        Ok(())
    }

    fn valid(&self) -> impl Iterator<Item = &Observation> {
        self.truth.observations.values().flatten()
    }

    /// Invariant 2: every invalid one, and nothing else, in quarantine with its reason.
    async fn check_quarantine(&self, complete: bool) -> Checked {
        let quarantined = self.all(collection::QUARANTINE).await;
        for (id, entry) in &quarantined {
            ensure(matches!(self.truth.observations.get(id), Some(None)), || {
                format!("{id} is in quarantine although it is valid")
            })?;
            ensure(entry["reason"].as_str().is_some_and(|reason| !reason.is_empty()), || {
                format!("{id} is in quarantine without a reason")
            })?;
        }
        if complete {
            let invalid = self.truth.observations.iter().filter(|(_, it)| it.is_none());
            let missing: BTreeSet<_> =
                invalid.map(|(id, _)| id).filter(|id| !quarantined.contains_key(*id)).collect();
            if !missing.is_empty() {
                let stored = self.all(collection::OBSERVATIONS).await;
                let is_due = |id: &&&String| !self.is_yet_to_come(stored.get(**id));
                let told = |id: &&String| format!("{id} {:?}", stored.get(*id));
                let told: Vec<_> = missing.iter().filter(is_due).map(told).collect();
                ensure(told.is_empty(), || format!("not in quarantine: {}", told.join("; ")))?;
            }
        }
        Ok(())
    }

    /// What claimed a time too far ahead when it was written waits until that time is near:
    /// nobody looks at the hour to come.
    fn is_yet_to_come(&self, document: Option<&Map<String, Value>>) -> bool {
        let ts = document.and_then(|document| document.get("ts")).and_then(Value::as_i64);
        let (begins, ends) = (self.now() - MINUTE_MS, self.now() + MAX_AHEAD_OF_WRITING_MS);
        ts.is_some_and(|ts| (begins..=ends).contains(&ts))
    }

    /// Invariant 1: each observation counted once in every window that it belongs to.
    async fn check_windows(&self) -> Checked {
        let stats = self.store.all_stats(None).await.map_err(|error| error.to_string())?;
        let now = self.now();
        let mut wrong = Vec::new();
        let components: BTreeSet<_> = self.valid().map(|it| it.component.clone()).collect();
        for component in &components {
            for window in Window::ALL {
                let belongs =
                    |it: &&Observation| it.component == *component && it.ts >= window.start(now);
                let expected = self.valid().filter(belongs).count() as u64;
                let found = stats
                    .iter()
                    .find(|stats| stats.component == *component && stats.window == window);
                let counted = found.map_or(0, |stats| stats.stats.n);
                if counted != expected {
                    wrong.push(format!("{component} counts {counted} in {window}, not {expected}"));
                }
            }
        }
        ensure(wrong.is_empty(), || wrong.join("; "))
    }

    /// Invariants 3 to 6.
    async fn check_policies(&mut self) -> Checked {
        let policies = self.store.policies(None).await.map_err(|error| error.to_string())?;
        let active = policies.iter().filter(|policy| policy.status == PolicyStatus::Active).count();
        ensure(active == 1, || format!("{active} active versions"))?;
        for policy in &policies {
            let key = format!("{}@{}", policy.id, policy.version);
            let params = serde_json::to_value(&policy.params).unwrap_or_default();
            let first = self.truth.params.entry(key.clone()).or_insert_with(|| params.clone());
            ensure(*first == params, || format!("the params of {key} changed"))?;
            if policy.created_by == TUNER {
                self.check_weights(&key, policy.parent_version.as_ref(), &params)?;
            }
        }
        let trail = self.store.trail("router-core", None).await.map_err(|it| it.to_string())?;
        let by_job = trail.iter().filter(|record| record.entry.actor == TUNER).count();
        let is_quiet = !self.truth.switched_off || by_job == self.truth.by_job;
        ensure(is_quiet, || "the job changed a policy although the flags forbid it".to_owned())?;
        self.truth.by_job = by_job;
        let (replayed, contradictions) = replay(trail.iter().map(|record| &record.entry));
        ensure(contradictions.is_empty(), || format!("the trail: {contradictions:?}"))?;
        let stored: BTreeMap<_, _> =
            policies.into_iter().map(|policy| (policy.version, policy.status)).collect();
        ensure(replayed == stored, || format!("the trail gives {replayed:?}, stored {stored:?}"))
    }

    /// Invariant 6.
    fn check_weights(
        &self,
        key: &str,
        parent: Option<&semver::Version>,
        params: &Value,
    ) -> Checked {
        let Some(weights) = params["modelWeights"].as_object() else { return Ok(()) };
        let weight = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        let sum: f64 = weights.values().map(weight).sum();
        ensure(sum.to_bits() == 1.0_f64.to_bits(), || {
            format!("the weights of {key} add to {sum}")
        })?;
        ensure(weights.values().all(|it| weight(it) >= 0.05 - 1e-12), || {
            format!("a weight of {key} lies below the floor: {weights:?}")
        })?;
        let parent =
            parent.and_then(|parent| self.truth.params.get(&format!("router-core@{parent}")));
        let Some(before) = parent.and_then(|params| params["modelWeights"].as_object()) else {
            return Ok(());
        };
        let moved = weights
            .iter()
            .filter_map(|(arm, value)| Some((weight(value) - weight(before.get(arm)?)).abs()));
        let furthest = moved.fold(0.0, f64::max);
        ensure(furthest <= 0.2 + 1e-9, || format!("{key} moves a weight by {furthest}"))
    }
}
