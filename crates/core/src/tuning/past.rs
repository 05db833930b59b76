//! What was decided about a policy before, and what follows for the next decision.
//!
//! A rollback, an override and a rejection are a "no" to the weights that they replace. Until
//! `vetoHours` have passed, or the evidence has changed materially since, the tuner does not move
//! the weights in the refused direction again. A draft that the tuner itself superseded was
//! withdrawn, not refused.
//!
//! A version of the tuner is a step. The next step waits for observations that name it.

use std::collections::BTreeMap;
use std::fmt;

use semver::Version;

use super::memory::Memory;
use super::{
    ArmChange, Evidence, LastDraft, MoveCause, PolicyTuning, Proposal, Reason, TuningInput, budget,
};
use crate::audit::{Action, AuditEntry};
use crate::estimate::{Cells, Measured, Sample};
use crate::number::whole_u64;
use crate::policy::PolicyStatus;
use crate::stats::Timeline;
use crate::time::HOUR_MS;

/// What was decided about a policy before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// The tuner's last draft from the active version, if it is open or was rejected by hand.
    pub draft: Option<PastDraft>,
    /// The refusals that are not overruled, the oldest first.
    pub refusals: Vec<Refusal>,
    /// The active version, if the tuner drafted it.
    pub step: Option<Step>,
}

/// A draft of the tuner, with what it was based on.
#[derive(Clone, Debug, PartialEq)]
pub struct PastDraft {
    pub last: LastDraft,
    /// `None` if this version of the service cannot read it.
    pub evidence: Option<Evidence>,
    pub expected_gain: Option<f64>,
    /// Whether an A/B test uses the draft.
    pub is_tested: bool,
}

/// The active version, since it became active.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub version: Version,
    /// Epoch milliseconds.
    pub active_since: i64,
    /// The observations that name it.
    pub named: u64,
}

/// How a version was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    RolledBack,
    Overridden,
    Rejected,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RolledBack => "rolled back",
            Self::Overridden => "overrode",
            Self::Rejected => "rejected",
        })
    }
}

/// A "no" to the weights of a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub version: Version,
    /// The weights that were kept or restored.
    pub from: BTreeMap<String, f64>,
    /// The refused weights.
    pub to: BTreeMap<String, f64>,
    /// Epoch milliseconds.
    pub at: i64,
    pub by: String,
    pub how: Refused,
    /// What was known of each arm then; see [`Refusal::with_known`].
    pub known: BTreeMap<String, Known>,
}

/// What was known of an arm at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    pub n: u64,
    pub reward: Measured,
}

/// The weights and the parent of a version.
#[derive(Clone, Debug, PartialEq)]
pub struct PastVersion {
    pub weights: BTreeMap<String, f64>,
    pub parent: Option<Version>,
}

/// Whether an entry of the audit trail refuses a version. `tuner` is the tuner's name.
pub fn refuses(entry: &AuditEntry, tuner: &str) -> bool {
    let rejects = || entry.changes.iter().any(|it| it.to == PolicyStatus::Rejected);
    entry.actor != tuner
        && (entry.is(Action::Rollback)
            || entry.is(Action::Override)
            || ((entry.is(Action::Reject) || entry.is(Action::ExperimentEnd)) && rejects()))
}

/// The versions that the entries name: their weights are needed to read the refusals.
pub fn named_versions(entries: &[AuditEntry]) -> impl Iterator<Item = Version> {
    let named = entries.iter().flat_map(|entry| {
        let texts = [&entry.from, &entry.to].into_iter().flatten();
        texts.filter_map(|text| text.parse().ok())
    });
    named.chain(entries.iter().flat_map(|it| &it.changes).map(|it| it.version.clone()))
}

/// The refusals in the entries of a policy, which are in the order of their commits. A later
/// activation that moves the weights in a refused direction overrules the refusal.
pub fn refusals(
    entries: &[AuditEntry],
    tuner: &str,
    version: impl Fn(&Version) -> Option<PastVersion>,
) -> Vec<Refusal> {
    let mut standing: Vec<Refusal> = Vec::new();
    let weights = |text: &Option<String>| {
        let found: Version = text.as_deref()?.parse().ok()?;
        Some((version(&found)?.weights, found))
    };
    for entry in entries {
        let (left, entered) = (weights(&entry.from), weights(&entry.to));
        let activates = [Action::Activate, Action::Rollback, Action::Override];
        if activates.iter().any(|it| entry.is(*it))
            && let (Some((left, _)), Some((entered, _))) = (&left, &entered)
        {
            standing.retain(|it| along(&it.from, &it.to, left, entered) <= NOTHING);
        }
        if !refuses(entry, tuner) {
            continue;
        }
        let refused = match entry.action.parse() {
            Ok(Action::Rollback) => left.zip(entered).map(|it| (it.0, it.1.0, Refused::RolledBack)),
            Ok(Action::Override) => left.zip(entered).map(|it| (it.0, it.1.0, Refused::Overridden)),
            _ => rejected(entry, &version),
        };
        let Some(((to, refused), from, how)) = refused else { continue };
        standing.push(Refusal {
            version: refused,
            from,
            to,
            at: entry.ts,
            by: entry.actor.clone(),
            how,
            known: BTreeMap::new(),
        });
    }
    standing
}

type Weights = BTreeMap<String, f64>;

/// The rejected draft, and the weights of its parent.
fn rejected(
    entry: &AuditEntry,
    version: impl Fn(&Version) -> Option<PastVersion>,
) -> Option<((Weights, Version), Weights, Refused)> {
    let change = entry.changes.iter().find(|it| it.to == PolicyStatus::Rejected)?;
    let draft = version(&change.version)?;
    let parent = version(draft.parent.as_ref()?)?;
    Some(((draft.weights, change.version.clone()), parent.weights, Refused::Rejected))
}

/// A smaller product of two directions is a rounding error.
const NOTHING: f64 = 1e-9;

/// How far the move from `from` to `to` goes in the direction from `start` to `end`: the scalar
/// product of both.
fn along(start: &Weights, end: &Weights, from: &Weights, to: &Weights) -> f64 {
    let of = |weights: &Weights, arm: &String| weights.get(arm).copied().unwrap_or_default();
    let arms = start.keys().chain(end.keys().filter(|arm| !start.contains_key(*arm)));
    arms.map(|arm| (of(end, arm) - of(start, arm)) * (of(to, arm) - of(from, arm))).sum()
}

impl Refusal {
    /// Adds what was known of each arm when the version was refused: the observations of the hours
    /// that had begun. `alpha` is the probability of error of all intervals.
    #[must_use]
    pub fn with_known(
        mut self,
        timelines: &BTreeMap<String, Timeline>,
        memory: &Memory,
        max_weight: f64,
        alpha: f64,
    ) -> Self {
        let arms = timelines.len();
        let known = timelines.iter().filter_map(|(arm, timeline)| {
            let memory = memory.of(arm);
            let mut sum = Sample::default();
            let before = |it: &(i64, _)| (memory.since..=self.at).contains(&it.0);
            timeline.buckets().filter(before).for_each(|(_, it)| sum.merge(&it.reward));
            let alpha = budget::of_interval(alpha, arms, memory.restarts);
            let reward = Measured::of(&Cells::of(&sum).within(max_weight), alpha, 1.0)?;
            Some((arm.clone(), Known { n: whole_u64(sum.n().round()), reward }))
        });
        self.known = known.collect();
        self
    }

    /// Epoch milliseconds: when the refusal ends.
    fn until(&self, config: &PolicyTuning) -> i64 {
        self.at.saturating_add(i64::from(config.veto_hours) * HOUR_MS)
    }

    /// Whether the evidence has changed materially since: an arm restarted, or its mean reward is
    /// outside the interval of then, or an arm that could not be judged now can be.
    fn is_outdated(&self, input: &TuningInput) -> bool {
        let least = input.config.min_samples;
        input.weights.keys().any(|arm| {
            let Some(now) = input.arms.get(arm) else { return false };
            // A restart begins with the next full hour, so one that was known then may begin later.
            let restarted = self.at.saturating_add(HOUR_MS)..=input.as_of;
            if now.memory.restarts > 0 && restarted.contains(&now.memory.since) {
                return true;
            }
            let n = now.n();
            match self.known.get(arm) {
                None => n >= least,
                Some(then) if then.n < least => n >= least.max(then.n.saturating_mul(2)),
                Some(then) => {
                    let cells = Cells::of(&now.samples.reward).within(input.max_weight);
                    !cells.is_empty() && is_outside(cells.mean(), then.reward)
                }
            }
        })
    }

    fn forbids(&self, input: &TuningInput, changes: &[ArmChange]) -> bool {
        let side = |of: fn(&ArmChange) -> f64| -> Weights {
            changes.iter().map(|it| (it.arm.clone(), of(it))).collect()
        };
        let (from, to) = (side(|it| it.from), side(|it| it.to));
        input.as_of < self.until(&input.config)
            && along(&from, &to, &self.from, &self.to) > NOTHING
            && !self.is_outdated(input)
    }
}

fn is_outside(mean: f64, interval: Measured) -> bool {
    mean < interval.low || mean > interval.high
}

impl Step {
    /// Why the next step has to wait: too few observations name this version. If none does, the
    /// components may not name versions at all, and time passes instead.
    pub fn awaited(&self, min_samples: u64, min_hours: u32, now: i64) -> Option<Reason> {
        let until = self.active_since.saturating_add(i64::from(min_hours) * HOUR_MS);
        let is_over = self.named == 0 && now >= until;
        (self.named < min_samples && !is_over).then(|| Reason::AwaitingFeedback {
            version: self.version.clone(),
            have: self.named,
            need: min_samples,
            until: (self.named == 0).then_some(until),
        })
    }
}

impl Past {
    /// Why these changes are not proposed, whatever the evidence: they were refused, or the last
    /// step has not been observed.
    pub(super) fn forbids(&self, input: &TuningInput, changes: &[ArmChange]) -> Option<Reason> {
        let refusal = self.refusals.iter().rev().find(|it| it.forbids(input, changes));
        if let Some(it) = refusal {
            return Some(Reason::Vetoed {
                policy: input.policy_id.clone(),
                version: it.version.clone(),
                how: it.how,
                by: it.by.clone(),
                at: it.at,
                until: it.until(&input.config),
            });
        }
        let config = &input.config;
        let step = self.step.as_ref()?;
        step.awaited(config.min_samples, config.min_hours_between_steps, input.as_of)
    }
}

impl PastDraft {
    /// Whether the draft may be renewed or replaced by one that moves the same arms in the same
    /// directions.
    pub(super) fn is_open(&self) -> bool {
        self.last.status == PolicyStatus::Draft && !self.is_tested
    }

    /// Whether the evidence has moved materially since the draft was written: the expected gain by
    /// more than 20% and 0.005, or the mean reward of an arm out of its earlier interval, or an arm
    /// restarted or can be judged for the first time, or another envelope applies.
    pub(super) fn has_moved(&self, now: &Proposal) -> bool {
        const SHARE: f64 = 0.2;
        const LEAST: f64 = 0.005;
        /// A draft by belief follows its weights in steps of this size.
        const WEIGHTS: f64 = 0.02;
        let gain = self.expected_gain.is_some_and(|then| {
            let change = (now.expected_gain - then).abs();
            change > LEAST && change > SHARE * then.abs()
        });
        let arms = self.evidence.as_ref().is_some_and(|then| {
            now.evidence.arms.iter().any(|now| {
                let Some(then) = then.arms.iter().find(|it| it.arm == now.arm) else { return true };
                let outside = match (then.reward, now.reward) {
                    (Some(then), Some(now)) => is_outside(now.estimate, then),
                    _ => false,
                };
                outside || now.restarts > then.restarts || (now.judged && !then.judged)
            })
        });
        let weights = now.evidence.belief.is_some()
            && now.weights.iter().any(|(arm, to)| {
                self.last.weights.get(arm).is_none_or(|then| (to - then).abs() >= WEIGHTS)
            });
        // A draft must respect the envelope of today.
        let envelope = self.evidence.as_ref().is_some_and(|then| {
            let number = |it: &Evidence| it.belief.as_ref().map(|it| (it.envelope, it.cause));
            let is_bound = |it: &Evidence| number(it).is_some_and(|it| it.1 == MoveCause::Bound);
            number(then).map(|it| it.0) != number(&now.evidence).map(|it| it.0)
                || is_bound(then) != is_bound(&now.evidence)
        });
        gain || arms || weights || envelope
    }
}

/// What a person should know after a "no": how long the tuner respects it.
pub fn veto_note(entry: &AuditEntry, jobs: &[&str], hours: u32) -> Option<String> {
    let is_refusal = [Action::Rollback, Action::Override, Action::Reject];
    let by_person = !jobs.contains(&entry.actor.as_str());
    let applies = hours > 0 && by_person && is_refusal.iter().any(|it| entry.is(*it));
    applies.then(|| {
        let id = &entry.id;
        format!(
            "the tuner does not move the weights of {id} in this direction again for {hours} hours, \
             unless the evidence changes materially; `policies pin {id} --reason WHY` keeps the \
             tuner away for longer"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::lifecycle::StatusChange;

    fn version(patch: u64) -> Version {
        Version::new(1, 0, patch)
    }

    /// Version n has the weight `0.1 * n` for `a`; the draft 4 has the parent 0.
    fn known(of: &Version) -> Option<PastVersion> {
        let a = match of.patch {
            it @ 0..=9 => f64::from(u8::try_from(it).ok()?) / 10.0,
            _ => return None,
        };
        let weights = BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), 1.0 - a)]);
        Some(PastVersion { weights, parent: Some(version(0)) })
    }

    fn entry(actor: &str, action: Action, from: u64, to: u64) -> AuditEntry {
        let rejected = (action == Action::Reject).then(|| StatusChange {
            version: version(from),
            from: Some(PolicyStatus::Draft),
            to: PolicyStatus::Rejected,
        });
        AuditEntry {
            ts: 1,
            actor: actor.to_owned(),
            action: action.to_string(),
            from: Some(version(from).to_string()),
            to: (action != Action::Reject).then(|| version(to).to_string()),
            changes: rejected.into_iter().collect(),
            ..AuditEntry::default()
        }
    }

    fn refused(entries: &[AuditEntry]) -> Vec<(u64, Refused, String)> {
        let found = refusals(entries, "tuner", known);
        found.into_iter().map(|it| (it.version.patch, it.how, it.by)).collect()
    }

    #[test]
    fn a_rollback_an_override_and_a_rejection_refuse_what_they_replace() {
        let ada = || "ada".to_owned();
        let rollback = entry("ada", Action::Rollback, 1, 0);
        assert_eq!(refused(&[rollback]), [(1, Refused::RolledBack, ada())]);
        let over = entry("ada", Action::Override, 1, 5);
        assert_eq!(refused(&[over]), [(1, Refused::Overridden, ada())]);
        let reject = entry("ada", Action::Reject, 4, 0);
        assert_eq!(refused(&[reject]), [(4, Refused::Rejected, ada())]);
        assert_eq!(refused(&[entry("ada", Action::Activate, 0, 1)]), []);
    }

    #[test]
    fn a_draft_that_the_tuner_superseded_is_not_refused() {
        let superseded = AuditEntry {
            action: Action::Supersede.to_string(),
            ..entry("tuner", Action::Reject, 4, 0)
        };
        assert_eq!(refused(&[superseded]), []);
    }

    #[test]
    fn a_later_decision_in_the_refused_direction_overrules_the_refusal() {
        // The override refuses 0, and the rollback to 0 refuses the override.
        let entries = [entry("ada", Action::Override, 0, 5), entry("bob", Action::Rollback, 5, 0)];
        assert_eq!(refused(&entries), [(5, Refused::RolledBack, "bob".to_owned())]);
        let entries = [entry("ada", Action::Reject, 4, 0), entry("ada", Action::Activate, 0, 1)];
        assert_eq!(refused(&entries), []);
    }

    #[test]
    fn a_step_that_no_observation_names_is_awaited_for_a_stated_time() {
        let step = |named| Step { version: version(1), active_since: 0, named };
        assert!(step(0).awaited(100, 24, 24 * HOUR_MS - 1).is_some());
        assert!(step(0).awaited(100, 24, 24 * HOUR_MS).is_none());
        assert!(step(99).awaited(100, 24, 240 * HOUR_MS).is_some());
        assert!(step(100).awaited(100, 24, 1).is_none());
        let text = step(40).awaited(100, 24, 1).unwrap().to_string();
        assert!(text.contains("40 of 100"), "{text}");
    }
}
