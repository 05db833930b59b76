//! How effective tuning is for a policy: figures from its audit trail and from the rewards of its
//! versions.

use std::collections::BTreeMap;

use semver::Version;
use serde::Serialize;

use crate::audit::{Action, AuditEntry};
use crate::number::Lossy;
use crate::policy::PolicyStatus;
use crate::stats::WindowStats;
use crate::time::DAY_MS;

/// Figures of a period, and the effect of each activation in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effectiveness {
    /// Epoch milliseconds: the requested start, or the policy's first entry if that is later.
    pub since: i64,
    pub until: i64,
    pub proposed: u64,
    /// Per day of 24 hours; a period of less than a day counts as one day.
    pub proposed_per_day: f64,
    /// Drafts that became active.
    pub activated: u64,
    /// The activated drafts that a job activated.
    pub auto_activated: u64,
    /// `autoActivated` divided by `activated`, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_activation_rate: Option<f64>,
    pub rejected: u64,
    pub superseded: u64,
    /// Versions written by hand.
    pub overrides: u64,
    pub rollbacks: u64,
    /// The median time from a proposal to its activation or rejection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_decision_ms: Option<i64>,
    /// Newest first.
    pub activations: Vec<Activation>,
}

/// An activation, with the rewards of the version before and of the activated version.
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
    /// The rewards of the replaced version, over all observations that name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Earned>,
    /// The rewards of the activated version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Earned>,
    /// The mean reward of `after` minus that of `before`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<f64>,
}

/// The figures of a version, over the observations that name it in `policyVersion`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Earned {
    /// Observations.
    pub n: u64,
    /// The actions that they represent. This and the following figures are weighted by the sample
    /// rates.
    pub population: f64,
    pub avg_reward: f64,
    pub success_rate: f64,
    pub p95_latency: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg_cost_usd: Option<f64>,
}

impl Earned {
    /// `None` for a version that no observation names.
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

/// The figures from `since` to `until`. `entries` are all entries of one policy, in any order;
/// `jobs` are the actors that are jobs rather than people.
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
    let count = |action| within.iter().filter(|it| it.is(action)).count() as u64;
    let activated = count(Action::Activate);
    let by_job = |it: &&&AuditEntry| it.is(Action::Activate) && jobs.contains(&it.actor.as_str());
    let auto_activated = within.iter().filter(by_job).count() as u64;
    let renewed = within.iter().filter(|entry| entry.is_renewal()).count() as u64;
    let proposed = count(Action::Propose) - renewed;
    let days = ((until - since).to_f64() / DAY_MS.to_f64()).max(1.0);
    Effectiveness {
        since,
        until,
        proposed,
        proposed_per_day: proposed.to_f64() / days,
        activated,
        auto_activated,
        auto_activation_rate: (activated > 0).then(|| auto_activated.to_f64() / activated.to_f64()),
        rejected: count(Action::Reject),
        superseded: count(Action::Supersede),
        overrides: count(Action::Override),
        rollbacks: count(Action::Rollback),
        median_decision_ms: median(decision_times(entries, &within)),
        activations: within.iter().flat_map(|entry| activations(entry, earned)).collect(),
    }
}

/// How long each decision of the period took; its proposal may be older than the period.
fn decision_times(all: &[AuditEntry], within: &[&AuditEntry]) -> Vec<i64> {
    let proposals = all.iter().filter(|entry| entry.is(Action::Propose) && !entry.is_renewal());
    let proposed: BTreeMap<&str, i64> =
        proposals.filter_map(|entry| Some((entry.to.as_deref()?, entry.ts))).collect();
    let decided = within.iter().filter_map(|entry| {
        let version = match entry.action.parse().ok()? {
            Action::Activate => entry.to.as_deref()?,
            Action::Reject => entry.from.as_deref()?,
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
    entered.filter(|_| !entry.is(Action::Seed)).map(|change| {
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

    fn entry(
        ts: i64,
        actor: &str,
        action: Action,
        from: Option<u64>,
        to: Option<u64>,
    ) -> AuditEntry {
        let name = |patch: Option<u64>| patch.map(|patch| version(patch).to_string());
        AuditEntry {
            ts,
            actor: actor.to_owned(),
            action: action.to_string(),
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

    fn trail() -> Vec<AuditEntry> {
        use PolicyStatus::{Active, Archived, Draft};
        let mut activate = entry(3_000, "ada", Action::Activate, Some(0), Some(1));
        activate.changes = vec![change(0, Active, Archived), change(1, Draft, Active)];
        let mut auto = entry(9_000, "tuner", Action::Activate, Some(1), Some(2));
        auto.changes = vec![change(1, Active, Archived), change(2, Draft, Active)];
        let mut back = entry(9_500, "ada", Action::Rollback, Some(2), Some(1));
        back.changes = vec![change(2, Active, Archived), change(1, Archived, Active)];
        vec![
            entry(1_000, "tuner", Action::Propose, Some(0), Some(1)),
            activate,
            entry(8_000, "tuner", Action::Propose, Some(1), Some(2)),
            auto,
            back,
            entry(9_600, "tuner", Action::Propose, Some(1), Some(3)),
            entry(9_900, "ada", Action::Reject, Some(3), None),
        ]
    }

    #[test]
    fn the_figures_are_computed_from_the_trail() {
        let found = effectiveness(&trail(), &BTreeMap::new(), &["tuner"], 0, 10_000);
        assert_eq!((found.proposed, found.activated, found.auto_activated), (3, 2, 1));
        assert_eq!((found.rejected, found.rollbacks, found.overrides), (1, 1, 0));
        assert_eq!(found.auto_activation_rate, Some(0.5));
        assert_eq!(found.proposed_per_day, 3.0, "less than a day counts as one");
        assert_eq!(found.median_decision_ms, Some(1_000), "of 300, 1000 and 2000");
    }

    #[test]
    fn each_activation_shows_the_rewards_before_and_after() {
        let earned =
            BTreeMap::from([(version(0), earned(100, 0.5)), (version(1), earned(40, 0.75))]);
        let found = effectiveness(&trail(), &earned, &["tuner"], 0, 10_000);
        let shown: Vec<_> = found
            .activations
            .iter()
            .map(|it| (it.action.as_str(), &it.version, it.change))
            .collect();
        assert_eq!(
            shown,
            [
                ("rollback", &version(1), None),
                ("activate", &version(2), None),
                ("activate", &version(1), Some(0.25)),
            ]
        );
        assert_eq!(found.activations[2].before.as_ref().unwrap().n, 100);
    }

    #[test]
    fn an_empty_trail_has_no_rates_or_medians() {
        let found = effectiveness(&[], &BTreeMap::new(), &["tuner"], 0, 10_000);
        assert_eq!(
            (found.proposed, found.auto_activation_rate, found.median_decision_ms),
            (0, None, None)
        );
    }

    #[test]
    fn only_entries_of_the_period_count() {
        let found = effectiveness(&trail(), &BTreeMap::new(), &["tuner"], 9_200, 9_700);
        assert_eq!((found.proposed, found.activated, found.rollbacks), (1, 0, 1));
    }
}
