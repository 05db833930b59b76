//! What tuning and deciding have done for a policy, from its audit trail and what each of its
//! versions earned.

use std::collections::BTreeMap;

use semver::Version;
use serde::Serialize;

use super::audit::{AuditEntry, action};
use super::policy::PolicyStatus;
use super::stats::WindowStats;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Figures over a stretch of time, and the effect of each activation in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effectiveness {
    /// Epoch milliseconds: from the later of what was asked for and the policy's first entry.
    pub since: i64,
    pub until: i64,
    pub proposed: u64,
    /// Over days of 24 hours; less than a day counts as one.
    pub proposed_per_day: f64,
    /// Drafts that became active.
    pub activated: u64,
    /// Those of them that no person activated.
    pub auto_activated: u64,
    /// `autoActivated` of `activated`, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_activation_rate: Option<f64>,
    pub rejected: u64,
    pub superseded: u64,
    /// Versions written by hand.
    pub overrides: u64,
    pub rollbacks: u64,
    /// From a proposal to its activation or rejection; half took no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_decision_ms: Option<i64>,
    /// Newest first.
    pub activations: Vec<Activation>,
}

/// A version that came into force, and what the one before and it have earned.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Activation {
    pub ts: i64,
    /// `activate`, `rollback`, `override` or `repair`.
    pub action: String,
    pub actor: String,
    pub version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Version>,
    /// What the replaced version earned, over all observations that name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Earned>,
    /// The same of the version that came into force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Earned>,
    /// `after` less `before`, in mean reward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<f64>,
}

/// What the observations that name a version in `policyVersion` say of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Earned {
    /// Observations.
    pub n: u64,
    /// The actions that they stand for, weighed by their sample rates; so is every figure below.
    pub population: f64,
    pub avg_reward: f64,
    pub success_rate: f64,
    pub p95_latency: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg_cost_usd: Option<f64>,
}

impl Earned {
    /// `None` of a version that no observation names.
    pub fn of(stats: &WindowStats) -> Option<Self> {
        (stats.n > 0).then_some(Self {
            n: stats.n,
            population: stats.population,
            avg_reward: stats.avg_reward,
            success_rate: stats.success_rate,
            p95_latency: stats.p95_latency,
            avg_cost_usd: stats.avg_cost_usd,
        })
    }
}

/// `entries` are one policy's since its beginning, in any order; `jobs` are the actors that no
/// person stands behind.
pub fn effectiveness(
    entries: &[AuditEntry],
    earned: &BTreeMap<Version, Earned>,
    jobs: &[&str],
    since: i64,
    until: i64,
) -> Effectiveness {
    let first = entries.iter().map(|entry| entry.ts).min().unwrap_or(until);
    let since = since.max(first).min(until);
    let mut within: Vec<_> =
        entries.iter().filter(|entry| (since..=until).contains(&entry.ts)).collect();
    within.sort_by_key(|entry| std::cmp::Reverse(entry.ts));
    let count = |wanted: &str| within.iter().filter(|it| it.action == wanted).count() as u64;
    let activated = count(action::ACTIVATE);
    let by_job =
        |it: &&&AuditEntry| it.action == action::ACTIVATE && jobs.contains(&it.actor.as_str());
    let auto_activated = within.iter().filter(by_job).count() as u64;
    let proposed = count(action::PROPOSE);
    let days = ((until - since) as f64 / DAY_MS as f64).max(1.0);
    Effectiveness {
        since,
        until,
        proposed,
        proposed_per_day: proposed as f64 / days,
        activated,
        auto_activated,
        auto_activation_rate: (activated > 0).then(|| auto_activated as f64 / activated as f64),
        rejected: count(action::REJECT),
        superseded: count(action::SUPERSEDE),
        overrides: count(action::OVERRIDE),
        rollbacks: count(action::ROLLBACK),
        median_decision_ms: median(decision_times(entries, &within)),
        activations: within.iter().flat_map(|entry| activations(entry, earned)).collect(),
    }
}

/// How long each decision within the time took, whenever its proposal was made.
fn decision_times(all: &[AuditEntry], within: &[&AuditEntry]) -> Vec<i64> {
    let proposals = all.iter().filter(|entry| entry.action == action::PROPOSE);
    let proposed: BTreeMap<&str, i64> =
        proposals.filter_map(|entry| Some((entry.to.as_deref()?, entry.ts))).collect();
    let decided = within.iter().filter_map(|entry| {
        let version = match entry.action.as_str() {
            action::ACTIVATE => entry.to.as_deref()?,
            action::REJECT => entry.from.as_deref()?,
            _ => return None,
        };
        Some((entry.ts - proposed.get(version)?).max(0))
    });
    decided.collect()
}

fn median(mut times: Vec<i64>) -> Option<i64> {
    times.sort_unstable();
    times.get(times.len().checked_sub(1)? / 2).copied()
}

fn activations<'a>(
    entry: &'a AuditEntry,
    earned: &'a BTreeMap<Version, Earned>,
) -> impl Iterator<Item = Activation> + 'a {
    let entered = entry.changes.iter().filter(|change| {
        change.to == PolicyStatus::Active && change.from != Some(PolicyStatus::Active)
    });
    entered.filter(|_| entry.action != action::SEED).map(|change| {
        let left = entry.changes.iter().filter(|change| change.to == PolicyStatus::Archived);
        let replaced = left.map(|change| change.version.clone()).max();
        let before = replaced.as_ref().and_then(|version| earned.get(version)).cloned();
        let after = earned.get(&change.version).cloned();
        Activation {
            ts: entry.ts,
            action: entry.action.clone(),
            actor: entry.actor.clone(),
            version: change.version.clone(),
            replaced,
            change: before.as_ref().zip(after.as_ref()).map(|(b, a)| a.avg_reward - b.avg_reward),
            before,
            after,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::lifecycle::StatusChange;

    fn version(patch: u64) -> Version {
        Version::new(1, 0, patch)
    }

    fn entry(ts: i64, actor: &str, action: &str, from: Option<u64>, to: Option<u64>) -> AuditEntry {
        let name = |patch: Option<u64>| patch.map(|patch| version(patch).to_string());
        AuditEntry {
            ts,
            actor: actor.to_owned(),
            action: action.to_owned(),
            id: "router-core".to_owned(),
            from: name(from),
            to: name(to),
            ..AuditEntry::default()
        }
    }

    fn change(patch: u64, from: PolicyStatus, to: PolicyStatus) -> StatusChange {
        StatusChange { version: version(patch), from: Some(from), to }
    }

    fn earned(n: u64, avg_reward: f64) -> Earned {
        let stats = WindowStats { n, avg_reward, ..WindowStats::default() };
        Earned::of(&stats).unwrap()
    }

    fn story() -> Vec<AuditEntry> {
        use PolicyStatus::{Active, Archived, Draft};
        let mut activate = entry(3_000, "ada", action::ACTIVATE, Some(0), Some(1));
        activate.changes = vec![change(0, Active, Archived), change(1, Draft, Active)];
        let mut auto = entry(9_000, "tuner", action::ACTIVATE, Some(1), Some(2));
        auto.changes = vec![change(1, Active, Archived), change(2, Draft, Active)];
        let mut back = entry(9_500, "ada", action::ROLLBACK, Some(2), Some(1));
        back.changes = vec![change(2, Active, Archived), change(1, Archived, Active)];
        vec![
            entry(1_000, "tuner", action::PROPOSE, Some(0), Some(1)),
            activate,
            entry(8_000, "tuner", action::PROPOSE, Some(1), Some(2)),
            auto,
            back,
            entry(9_600, "tuner", action::PROPOSE, Some(1), Some(3)),
            entry(9_900, "ada", action::REJECT, Some(3), None),
        ]
    }

    #[test]
    fn the_figures_follow_from_the_trail() {
        let found = effectiveness(&story(), &BTreeMap::new(), &["tuner"], 0, 10_000);
        assert_eq!((found.proposed, found.activated, found.auto_activated), (3, 2, 1));
        assert_eq!((found.rejected, found.rollbacks, found.overrides), (1, 1, 0));
        assert_eq!(found.auto_activation_rate, Some(0.5));
        assert_eq!(found.proposed_per_day, 3.0, "less than a day counts as one");
        assert_eq!(found.median_decision_ms, Some(1_000), "of 300, 1000 and 2000");
    }

    #[test]
    fn each_activation_shows_what_was_earned_before_and_after() {
        let earned =
            BTreeMap::from([(version(0), earned(100, 0.5)), (version(1), earned(40, 0.75))]);
        let found = effectiveness(&story(), &earned, &["tuner"], 0, 10_000);
        let told: Vec<_> = found
            .activations
            .iter()
            .map(|it| (it.action.as_str(), &it.version, it.change))
            .collect();
        assert_eq!(
            told,
            [
                ("rollback", &version(1), None),
                ("activate", &version(2), None),
                ("activate", &version(1), Some(0.25)),
            ]
        );
        assert_eq!(found.activations[2].before.as_ref().unwrap().n, 100);
    }

    #[test]
    fn of_an_empty_trail_nothing_is_claimed() {
        let found = effectiveness(&[], &BTreeMap::new(), &["tuner"], 0, 10_000);
        assert_eq!(
            (found.proposed, found.auto_activation_rate, found.median_decision_ms),
            (0, None, None)
        );
    }

    #[test]
    fn only_what_lies_within_the_time_counts() {
        let found = effectiveness(&story(), &BTreeMap::new(), &["tuner"], 9_200, 9_700);
        assert_eq!((found.proposed, found.activated, found.rollbacks), (1, 0, 1));
    }
}
