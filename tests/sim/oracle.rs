//! The expected state, and whether the store agrees with it.

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

/// Everything that follows from the acknowledged writes.
#[derive(Default)]
pub struct Truth {
    /// By id; `None` for invalid observations.
    pub observations: BTreeMap<String, Option<Observation>>,
    /// The times that observations had before they were set again, by id.
    pub earlier: BTreeMap<String, Vec<i64>>,
    /// Every reward configuration so far, by its version.
    pub configs: BTreeMap<String, RewardConfig>,
    /// The params of every version as they were first seen; of a draft of the tuner, once it was decided
    /// on.
    pub params: BTreeMap<String, Value>,
    /// Whether the flags forbid tuning.
    pub switched_off: bool,
    /// The number of audit entries by the tune job.
    pub by_job: usize,
    /// Whether the flags forbid activations by the tune job.
    pub auto_off: bool,
    /// The most activations by the tune job in 24 hours without an envelope.
    pub cap: usize,
    /// The number of entries of the trail whose moves were checked.
    pub moves_checked: usize,
    /// The number of entries of the trail whose times were checked.
    pub times_checked: usize,
    /// Documents that no component and no worker wrote, by collection and id.
    pub aliens: BTreeSet<(&'static str, String)>,
    /// An answer to an admin that was false.
    pub false_answer: Option<String>,
}

pub type Checked = Result<(), String>;

pub fn ensure(holds: bool, error: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(error()) }
}

impl World {
    /// Checks what must hold at every moment.
    pub async fn check(&mut self) -> Checked {
        ensure(self.truth.false_answer.is_none(), || self.truth.false_answer.clone().unwrap())?;
        self.check_rewards(false).await?;
        self.check_quarantine(false).await?;
        self.check_moves().await?;
        self.check_times_of_changes().await?;
        self.check_policies().await
    }

    fn is_alien(&self, collection: &'static str, id: &str) -> bool {
        self.truth.aliens.contains(&(collection, id.to_owned()))
    }

    /// Checks what must hold once all work is finished.
    pub async fn compare(&mut self) -> Checked {
        self.check_rewards(true).await?;
        self.check_quarantine(true).await?;
        self.check_windows().await?;
        self.check_policies().await
    }

    /// All documents of a collection by id.
    pub async fn all(&self, collection: &str) -> BTreeMap<String, Map<String, Value>> {
        let db = self.store.db().clone().into_inner();
        let documents: Vec<Document> = db.fluent().select().from(collection).query().await.unwrap();
        let json = |document: &Document| {
            (value::document_id(document).to_owned(), value::fields_to_json(&document.fields))
        };
        documents.iter().map(json).collect()
    }

    /// Invariant 1: every reward is of a valid observation and has the right score; once all work
    /// is finished, every valid observation has one.
    async fn check_rewards(&self, complete: bool) -> Checked {
        let rewards = self.all(collection::REWARDS).await;
        for (id, reward) in rewards.iter().filter(|it| !self.is_alien(collection::REWARDS, it.0)) {
            let Some(Some(observation)) = self.truth.observations.get(id) else {
                return Err(format!("a reward for {id}, which is not a valid observation"));
            };
            let version = reward["configVersion"].as_str().unwrap_or_default();
            let config = self.truth.configs.get(version).cloned().unwrap_or_default();
            let expected = score(&config, observation).score;
            let given = reward["score"].as_f64().unwrap_or(f64::NAN);
            ensure((expected - given).abs() < 1e-12, || {
                format!("the reward of {id} is {given}, expected {expected}")
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

    /// Invariant 2: only invalid observations are in quarantine, each with a reason; once all work
    /// is finished, all of them are.
    async fn check_quarantine(&self, complete: bool) -> Checked {
        let quarantined = self.all(collection::QUARANTINE).await;
        let own = |it: &(&String, _)| !self.is_alien(collection::QUARANTINE, it.0);
        for (id, entry) in quarantined.iter().filter(own) {
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
                let shown = |id: &&String| format!("{id} {:?}", stored.get(*id));
                let due: Vec<_> = missing.iter().filter(is_due).map(shown).collect();
                ensure(due.is_empty(), || format!("not in quarantine: {}", due.join("; ")))?;
            }
        }
        Ok(())
    }

    /// A document whose time was too far ahead when it was written is quarantined only once that
    /// time is near, because no pass reads the coming hour.
    fn is_yet_to_come(&self, document: Option<&Map<String, Value>>) -> bool {
        let ts = document.and_then(|document| document.get("ts")).and_then(Value::as_i64);
        let (begins, ends) = (self.now() - MINUTE_MS, self.now() + MAX_AHEAD_OF_WRITING_MS);
        ts.is_some_and(|ts| (begins..=ends).contains(&ts))
    }

    /// Invariant 1: each observation counted once in every window that it belongs to. One that was set
    /// again counts once, at one of the times that it had.
    async fn check_windows(&self) -> Checked {
        let stats = self.store.all_stats(None).await.map_err(|error| error.to_string())?;
        let now = self.now();
        let mut wrong = Vec::new();
        let components: BTreeSet<_> = self.valid().map(|it| it.component.clone()).collect();
        for component in &components {
            for window in Window::ALL {
                let start = window.start(now);
                let mine = || self.valid().filter(|it| it.component == *component);
                let earlier = |it: &Observation| self.truth.earlier.get(&it.id).cloned();
                let times = |it: &Observation| {
                    earlier(it).into_iter().flatten().chain([it.ts]).collect::<Vec<_>>()
                };
                let least = mine().filter(|it| times(it).iter().all(|ts| *ts >= start)).count();
                let most = mine().filter(|it| times(it).iter().any(|ts| *ts >= start)).count();
                let expected = least as u64..=most as u64;
                let found = stats
                    .iter()
                    .find(|stats| stats.component == *component && stats.window == window);
                let counted = found.map_or(0, |stats| stats.stats.n);
                if !expected.contains(&counted) {
                    wrong.push(format!(
                        "{component} counts {counted} in {window}, expected {expected:?}"
                    ));
                }
            }
        }
        ensure(wrong.is_empty(), || wrong.join("; "))
    }

    /// Invariants 3 to 6.
    async fn check_policies(&mut self) -> Checked {
        let policies = self.store.policies(None).await.map_err(|error| error.to_string())?;
        let policies: Vec<_> = policies.into_iter().filter(|it| it.id == "router-core").collect();
        let active = policies.iter().filter(|policy| policy.status == PolicyStatus::Active).count();
        ensure(active == 1, || format!("{active} active versions"))?;
        for policy in &policies {
            let key = format!("{}@{}", policy.id, policy.version);
            let params = serde_json::to_value(&policy.params).unwrap_or_default();
            // The tuner renews its open drafts.
            let is_renewed = policy.status == PolicyStatus::Draft && policy.created_by == TUNER;
            if !is_renewed {
                let first = self.truth.params.entry(key.clone()).or_insert_with(|| params.clone());
                ensure(*first == params, || format!("the params of {key} changed"))?;
            }
            if policy.created_by == TUNER {
                self.check_weights(&key, policy.parent_version.as_ref(), &params)?;
            }
        }
        let trail = self.store.trail("router-core", None).await.map_err(|it| it.to_string())?;
        let by_job = trail.iter().filter(|record| record.entry.actor == TUNER).count();
        let is_quiet = !self.truth.switched_off || by_job == self.truth.by_job;
        ensure(is_quiet, || {
            "the tune job changed a policy although learning is disabled".to_owned()
        })?;
        self.truth.by_job = by_job;
        let (replayed, contradictions) = replay(trail.iter().map(|record| &record.entry));
        ensure(contradictions.is_empty(), || {
            format!("the trail contradicts itself: {contradictions:?}")
        })?;
        let stored: BTreeMap<_, _> =
            policies.into_iter().map(|policy| (policy.version, policy.status)).collect();
        ensure(replayed == stored, || format!("the trail gives {replayed:?}, stored is {stored:?}"))
    }

    /// Invariant 6: sum, floor and step bound.
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
            format!("the weights of {key} add up to {sum}")
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
