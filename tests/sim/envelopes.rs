//! What people do about the tuner's own versions, and whether the tuner respects all of it. The audit
//! trail holds every approval, freeze, pin and rejection in the order of the commits, so that the oracle
//! knows what was in force when a version was activated.

use std::collections::BTreeMap;

use f0_learning::store::{AuditRecord, ChangeError, EnvelopeTerms, TUNER};
use f0_learning_core::audit::{Action, AuditEntry};
use f0_learning_core::document::Policy;
use f0_learning_core::experiment::Kind;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use f0_learning_core::time::{DAY_MS, HOUR_MS};
use f0_learning_core::tuning::MoveCause;
use f0_learning_core::tuning::envelope::{ApprovedGuardrails, Envelope, WeightRange};
use rand::RngExt;
use serde_json::{Value, json};

use crate::collection;
use crate::oracle::{Checked, ensure};
use crate::world::{MODELS, World};

pub const POLICY: &str = "router-core";

type Weights = BTreeMap<String, f64>;

/// The number of a tally that counts an event.
type Counter = fn(&mut crate::Tally) -> &mut u64;

/// What the tuner's reports say, and where that is counted.
const SAID: [(&str, Counter); 6] = [
    ("were activated automatically in the last hour", |it| &mut it.hourly),
    ("were activated automatically in the last 24 hours", |it| &mut it.daily),
    ("is frozen:", |it| &mut it.frozen),
    ("does not move the weights in that direction again", |it| &mut it.vetoed),
    ("skipped: pinned", |it| &mut it.pinned),
    ("the regret budget of envelope", |it| &mut it.spent),
];

impl World {
    /// Counts what the report of a tuning pass says.
    pub fn hear(&mut self, report: &str) {
        for (part, counter) in SAID {
            *counter(&mut self.tally) += u64::from(report.contains(part));
        }
    }

    fn terms(&mut self) -> EnvelopeTerms {
        let rng = &mut self.rng;
        let mut arms = BTreeMap::new();
        if rng.random_bool(0.6) {
            let arm = MODELS[rng.random_range(0..MODELS.len())].to_owned();
            let min = rng.random_range(0.05..0.3);
            arms.insert(arm, WeightRange { min, max: rng.random_range(0.5..0.95) });
        }
        let guardrails = match rng.random_bool(0.5) {
            true => ApprovedGuardrails { cost_usd: Some(1.5), ..ApprovedGuardrails::default() },
            false => ApprovedGuardrails::default(),
        };
        EnvelopeTerms {
            arms,
            floor: 0.05,
            step_bound: [0.05, 0.1, 0.2][rng.random_range(0..3)],
            versions_an_hour: rng.random_range(1..3),
            versions_a_day: rng.random_range(1..5),
            holdback: [0.0, 0.1][rng.random_range(0..2)],
            regret_budget: rng.random_bool(0.2).then_some(2.0),
            alpha: rng.random_bool(0.5).then_some(0.01),
            guardrails,
            hours: rng.random_range(1..72),
        }
    }

    /// An admin approves an envelope, or freezes the one there is.
    pub async fn admin_approves(&mut self) -> String {
        if self.rng.random_bool(0.2) {
            return self.admin_freezes().await;
        }
        let terms = self.terms();
        let answer = self.store.approve_envelope(POLICY, &terms, &self.intent()).await;
        self.tally.approved += u64::from(answer.is_ok());
        format!("an admin approves {terms:?}: {}", said(answer.map(drop)))
    }

    pub async fn admin_freezes(&mut self) -> String {
        let answer = self.store.freeze_envelope(POLICY, &self.intent()).await;
        format!("an admin freezes the envelope: {}", said(answer.map(drop)))
    }

    /// An admin pins the policy or lifts the pin.
    pub async fn admin_pins(&mut self) -> String {
        if self.rng.random_bool(0.3) {
            return self.admin_pins_at_once().await;
        }
        let answer = self.store.unpin(POLICY, &self.intent()).await;
        format!("an admin unpins: {}", said(answer.map(drop)))
    }

    pub async fn admin_pins_at_once(&mut self) -> String {
        let answer = self.store.pin(POLICY, &self.intent()).await;
        format!("an admin pins: {}", said(answer.map(drop)))
    }

    /// The most versions in 24 hours without an envelope.
    pub async fn the_cap_changes(&mut self) -> String {
        let cap = self.rng.random_range(0..5);
        self.truth.cap = cap;
        self.put(collection::CONFIG, "tuning", &eager(cap)).await;
        format!("config/tuning allows {cap} versions a day")
    }

    /// A person rejects the tuner's draft, and the tuner evaluates the same evidence at once.
    pub async fn admin_rejects(&mut self) -> String {
        let drafts: Vec<Policy> = self.store.policies(Some(POLICY)).await.unwrap();
        let is_open = |it: &Policy| it.status == PolicyStatus::Draft && it.created_by == TUNER;
        let Some(draft) = drafts.into_iter().rfind(is_open) else {
            return "there is no draft to reject".to_owned();
        };
        let key = PolicyKey::new(POLICY, draft.version.clone()).unwrap();
        if self.store.reject(&key, &self.intent()).await.is_err() {
            return format!("{key} cannot be rejected");
        }
        self.tally.rejected += 1;
        let before = self.store.trail(POLICY, None).await.unwrap().len();
        let remembered = self.store.tuner_memory(POLICY).await.unwrap().memory.arms;
        let now = self.now();
        let index = self.rng.random_range(0..self.workers.len());
        let report = self.workers[index].tune.pass(now).await;
        let report = report.map_or_else(|error| error.to_string(), |report| report.to_string());
        self.hear(&report);
        let after = self.store.trail(POLICY, None).await.unwrap();
        let weights = self.weights().await;
        let parent = draft.parent_version.as_ref().map(ToString::to_string).unwrap_or_default();
        let refused = (weights.get(&parent), weights.get(&draft.version.to_string()));
        // An arm that restarts in this very pass is a material change of the evidence.
        let restarted = self.store.tuner_memory(POLICY).await.unwrap().memory.arms != remembered;
        let is_move = |it: &&AuditRecord| {
            let entry = &it.entry;
            entry.actor == TUNER && (entry.is(Action::Propose) || entry.is(Action::Activate))
        };
        let moves = after[before..].iter().filter(is_move).filter(|_| !restarted);
        for AuditRecord { entry, .. } in moves {
            let moved = (of(&weights, entry.from.as_ref()), of(&weights, entry.to.as_ref()));
            if let ((Some(from), Some(to)), (Some(left), Some(entered))) = (refused, moved)
                && along(from, to, left, entered) > 1e-9
            {
                let answer = format!("{key} was rejected, and {entry:?} proposes the same again");
                self.truth.false_answer = Some(answer);
            }
        }
        format!("an admin rejects {key}, and the tuner says: {report}")
    }

    /// The weights of every version.
    async fn weights(&self) -> BTreeMap<String, Weights> {
        let all = self.store.policies(Some(POLICY)).await.unwrap();
        let of = |it: Policy| Some((it.version.to_string(), it.params.model_weights().ok()??));
        all.into_iter().filter_map(of).collect()
    }

    /// What people approved, froze and pinned held at the commit of every activation by the tuner; the
    /// holdback is where the envelope says; and each version states its cause and is watched.
    pub async fn check_moves(&mut self) -> Checked {
        let trail = self.store.trail(POLICY, None).await.map_err(|it| it.to_string())?;
        let weights = self.weights().await;
        let mut force = Force::default();
        let known = self.truth.moves_checked;
        for (number, AuditRecord { entry, .. }) in trail.iter().enumerate() {
            if number >= known && entry.actor == TUNER {
                self.check_move(entry, &force, &weights).await?;
            }
            force.add(entry);
        }
        self.truth.moves_checked = trail.len();
        self.check_holdback(&force).await
    }

    async fn check_move(
        &mut self,
        entry: &AuditEntry,
        force: &Force,
        weights: &BTreeMap<String, Weights>,
    ) -> Checked {
        let what = format!("{} of {:?}", entry.action, entry.to);
        let moves = entry.is(Action::Propose) || entry.is(Action::Activate);
        ensure(!moves || !force.is_pinned, || format!("{what} although the policy is pinned"))?;
        if !entry.is(Action::Activate) {
            return Ok(());
        }
        ensure(!self.truth.auto_off, || {
            format!("{what} although autoActivatePolicies or learning is off")
        })?;
        let reason = entry.reason.clone().unwrap_or_default();
        let causes = [MoveCause::Learn, MoveCause::Change, MoveCause::Suspect];
        ensure(causes.iter().any(|it| reason.starts_with(it.as_str())), || {
            format!("{what} states no cause: {reason:?}")
        })?;
        let (day, hour) = (force.count(entry.ts, DAY_MS), force.count(entry.ts, HOUR_MS));
        let Some(envelope) = &force.envelope else {
            let cap = self.truth.cap;
            ensure(day < cap, || format!("{what}: {day} of {cap} were activated in 24 hours"))?;
            return self.check_watch(entry, None).await;
        };
        self.tally.within += 1;
        let frozen = envelope.closed(entry.ts);
        ensure(frozen.is_none(), || format!("{what} although {}", frozen.unwrap_or_default()))?;
        let (from, to) = (of(weights, entry.from.as_ref()), of(weights, entry.to.as_ref()));
        let (Some(from), Some(to)) = (from, to) else { return Err(format!("{what}: no weights")) };
        let left = leaves(envelope, from, to);
        ensure(left.is_none(), || format!("{what}: {}", left.unwrap_or_default()))?;
        ensure((hour as u64) < u64::from(envelope.versions_an_hour), || {
            format!("{what}: {hour} of {} in the last hour", envelope.versions_an_hour)
        })?;
        ensure((day as u64) < u64::from(envelope.versions_a_day), || {
            format!("{what}: {day} of {} in the last 24 hours", envelope.versions_a_day)
        })?;
        self.check_watch(entry, Some(envelope)).await
    }

    /// A version that the tuner activated is watched by the approved limits.
    async fn check_watch(&self, entry: &AuditEntry, envelope: Option<&Envelope>) -> Checked {
        let id = entry.experiment.clone().unwrap_or_default();
        let found = self.store.experiment(&id).await.map_err(|it| it.to_string())?;
        let Some(watch) = found.filter(|it| it.kind == Kind::Watch) else {
            return Err(format!("{:?} is not watched", entry.to));
        };
        let cost = envelope.and_then(|it| it.guardrails.cost_usd).unwrap_or(1.25);
        let alpha = envelope.and_then(|it| it.alpha).unwrap_or(0.05);
        let found = (watch.guard.alpha, watch.guard.guardrails.cost_usd);
        ensure(found == (alpha, cost), || {
            format!("{:?} is watched with {found:?}, approved are {alpha} and {cost}", entry.to)
        })
    }

    /// The active version names the holdback of the latest envelope.
    async fn check_holdback(&mut self, force: &Force) -> Checked {
        let Some(envelope) = &force.envelope else { return Ok(()) };
        let active = self.store.active_policies().await.map_err(|it| it.to_string())?.remove(0);
        let found = active.holdback.as_ref().map(|it| (it.id.clone(), it.share));
        let id = format!("holdback|{POLICY}@{}", envelope.number);
        let expected = (envelope.holdback > 0.0).then_some((id, envelope.holdback));
        self.tally.held += u64::from(expected.is_some() && active.created_by == TUNER);
        ensure(found == expected, || {
            format!("{} has the holdback {found:?}, approved is {expected:?}", active.name())
        })
    }
}

/// Written apart from `Envelope::leaves`, which it checks.
fn leaves(envelope: &Envelope, from: &Weights, to: &Weights) -> Option<String> {
    to.iter().find_map(|(arm, weight)| {
        let before = from.get(arm).copied().unwrap_or_default();
        let range = envelope.arms.get(arm)?;
        let slack = 1e-6;
        let inside = *weight >= range.min - slack && *weight <= range.max + slack;
        let near = (weight - before).abs() <= envelope.step_bound + slack;
        let above = *weight >= envelope.floor.min(before) - slack;
        (!inside || !near || !above)
            .then(|| format!("{arm} {before} → {weight} leaves {envelope:?}"))
    })
}

fn of<'a>(all: &'a BTreeMap<String, Weights>, version: Option<&String>) -> Option<&'a Weights> {
    all.get(version?)
}

/// How far a move goes in the direction of another one.
fn along(start: &Weights, end: &Weights, from: &Weights, to: &Weights) -> f64 {
    let weight = |of: &Weights, arm: &str| of.get(arm).copied().unwrap_or_default();
    MODELS
        .iter()
        .map(|it| (weight(end, it) - weight(start, it)) * (weight(to, it) - weight(from, it)))
        .sum()
}

fn said(answer: Result<(), ChangeError>) -> String {
    answer.map_or_else(|error| error.to_string(), |()| "done".to_owned())
}

/// What people and the guard have decided, up to an entry of the trail.
#[derive(Default)]
struct Force {
    envelope: Option<Envelope>,
    is_pinned: bool,
    /// The times of the activations by the tuner.
    activations: Vec<i64>,
}

impl Force {
    fn add(&mut self, entry: &AuditEntry) {
        let evidence = entry.evidence.clone().unwrap_or(Value::Null);
        if entry.is(Action::EnvelopeApprove) {
            self.envelope = serde_json::from_value(evidence).ok();
        }
        let by_guard = entry.is(Action::Rollback) && entry.actor == f0_learning::store::GUARD;
        if (entry.is(Action::EnvelopeFreeze) || by_guard)
            && let Some(envelope) = &mut self.envelope
        {
            envelope.frozen.get_or_insert_with(|| entry.reason.clone().unwrap_or_default());
        }
        match entry.action.parse() {
            Ok(Action::Pin) => self.is_pinned = true,
            Ok(Action::Unpin) => self.is_pinned = false,
            Ok(Action::Activate) if entry.actor == TUNER => self.activations.push(entry.ts),
            _ => {}
        }
    }

    /// The activations by the tuner within a time before `ts`.
    fn count(&self, ts: i64, within: i64) -> usize {
        self.activations.iter().filter(|at| **at >= ts - within).count()
    }
}

/// `config/tuning` of every simulation: bounds under which a few observations can change the weights.
pub fn eager(cap: usize) -> Value {
    let mut tuning: Value = serde_json::from_str(include_str!("../../config/tuning.json")).unwrap();
    let router = &mut tuning["policies"]["router-core"];
    (router["minSamples"], router["alpha"]) = (json!(5), json!(0.5));
    router["maxAutoActivationsPerDay"] = json!(cap);
    // One document in eight is malformed.
    router["maxRejectedShare"] = json!(0.9);
    tuning
}
