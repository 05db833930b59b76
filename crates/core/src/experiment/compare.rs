//! The metrics of two versions, side by side.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Kind;
use super::controls::{Controls, OtherComponent, Shift};
use super::sides::{Compared, Ranges, Sides, compared};
use crate::estimate::{Cells, Measured};
use crate::number::{Lossy, whole_u64};
use crate::stats::Samples;

/// Control and candidate. The decision uses exactly these intervals: each end of an interval is
/// wrong, at any look, with at most the probability `tail`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Observations of the control.
    pub control_n: u64,
    /// Observations of the candidate.
    pub candidate_n: u64,
    pub tail: f64,
    /// This and the following fields are absent until both versions have observations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<Compared>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<Compared>,
    /// In milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_latency: Option<Ranges>,
    /// In US dollars, over the observations with a cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Compared>,
    /// The share of documents that could not be scored; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_share: Option<RejectedShare>,
    /// What other components did at the same time, if both versions were not used at the same time;
    /// absent if no other component was observed before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controls: Option<Controls>,
    /// Present if the candidate states a cost for fewer of its observations than the control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_costs: Option<MissingCosts>,
}

/// The share of each version's observations that state a cost. An observation without a cost has no
/// penalty for cost, and the mean cost is that of the others: a candidate that leaves costs out is not
/// better for it, neither in reward nor in cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MissingCosts {
    pub control: f64,
    pub candidate: f64,
}

/// How much smaller the candidate's share of observations with a cost may be: 5 percentage points. Its
/// advantage in mean reward is then at most 5% of `weights.cost`.
pub const COST_SHARE_MARGIN: f64 = 0.05;

/// The fewest observations from which the share of a version is known well enough.
const KNOWN_FROM: f64 = 20.0;

impl MissingCosts {
    fn of(control: &Samples, candidate: &Samples) -> Option<Self> {
        let share = |samples: &Samples| {
            let n = samples.success.n();
            // An empty sum is -0.
            (n >= KNOWN_FROM).then(|| (samples.cost.n() / n).min(1.0) + 0.0)
        };
        let (control, candidate) = (share(control)?, share(candidate)?);
        (control - candidate > COST_SHARE_MARGIN).then_some(Self { control, candidate })
    }
}

/// The share of each version's documents that could not be scored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RejectedShare {
    /// Absent if all that was observed of the control is from the time before rejected documents
    /// were counted, like `change`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Measured>,
    pub candidate: Measured,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Measured>,
}

impl Comparison {
    /// The change of the mean reward: where there are controls, every value that the change itself or
    /// the change beyond theirs allows.
    pub fn change_of_reward(&self) -> Option<Measured> {
        let change = self.reward?.change;
        let beyond = self.controls.and_then(|it| it.reward).map(|it| it.beyond);
        Some(beyond.map_or(change, |beyond| Measured {
            low: change.low.min(beyond.low),
            high: change.high.max(beyond.high),
            ..beyond
        }))
    }

    /// A result with what it is based on, unless both versions were used at the same time.
    pub fn qualified(&self, kind: Kind, result: impl fmt::Display) -> String {
        match kind {
            Kind::Ab => result.to_string(),
            Kind::Watch => format!("{result} ({})", self.basis()),
        }
    }

    /// What a watch is based on.
    pub fn basis(&self) -> String {
        let Some(controls) = self.controls else {
            return "before against after, without controls: no other component was observed before \
                    and after"
                .to_owned();
        };
        let others = match controls.components {
            1 => "1 other component".to_owned(),
            n => format!("{n} other components"),
        };
        match controls.reward.or(controls.success_rate) {
            Some(Shift { others: Measured { low, high, .. }, .. }) => format!(
                "before against after; {others} changed by {low:+.2} to {high:+.2} at the same time"
            ),
            None => format!("before against after; {others} at the same time"),
        }
    }

    /// Whether nothing may be claimed in the candidate's favour about reward and cost.
    pub const fn lacks_costs(&self) -> bool {
        self.missing_costs.is_some()
    }

    /// Whether both versions were observed, and their rewards are not comparable: they were scored under
    /// different versions of `config/reward_config`.
    pub const fn lacks_rewards(&self) -> bool {
        self.control_n > 0 && self.candidate_n > 0 && self.reward.is_none()
    }

    /// Whether more than `most` of the candidate's documents were rejected, and more than of the
    /// control's. The documents that are missing may be its failures: nothing is then claimed in its
    /// favour.
    pub fn is_incomplete(&self, most: f64) -> bool {
        self.rejected_share.is_some_and(|it| {
            it.candidate.estimate > most && it.change.is_none_or(|change| change.estimate > 0.0)
        })
    }
}

/// Compares two samples. A cost above `max_cost_usd` counts as `max_cost_usd`, and no sample rate
/// may be below `min_sample_rate`. Each end of an interval is wrong with at most the probability
/// `tail`.
pub fn compare(
    control: &Samples,
    candidate: &Samples,
    max_cost_usd: f64,
    min_sample_rate: f64,
    tail: f64,
) -> Comparison {
    compare_beyond(control, candidate, &[], max_cost_usd, min_sample_rate, tail)
}

/// The same for samples of different times, with other components as controls.
pub fn compare_beyond(
    control: &Samples,
    candidate: &Samples,
    others: &[OtherComponent],
    max_cost_usd: f64,
    min_sample_rate: f64,
    tail: f64,
) -> Comparison {
    let sides = Sides::of([control, candidate], max_cost_usd, min_sample_rate);
    Comparison {
        control_n: whole_u64(control.success.n().round()),
        candidate_n: whole_u64(candidate.success.n().round()),
        tail,
        reward: sides.reward(tail),
        success_rate: sides.success_rate(tail),
        p95_latency: sides.p95_latency(tail),
        cost_usd: sides.cost_usd(tail),
        rejected_share: rejected_share([control, candidate], tail),
        controls: Controls::of(&sides, others, tail),
        missing_costs: MissingCosts::of(control, candidate),
    }
}

fn rejected_share(samples: [&Samples; 2], tail: f64) -> Option<RejectedShare> {
    if samples.iter().all(|it| it.rejected == 0) {
        return None;
    }
    let cells = samples.map(|it| {
        let scored = it.documents().saturating_sub(it.rejected);
        let points = [(1.0, 1.0, it.rejected.to_f64()), (1.0, 0.0, scored.to_f64())];
        Cells::from_points(points.into_iter().filter(|(_, _, n)| *n > 0.0))
    });
    let at_candidate = Measured::of(&cells[1], 2.0 * tail, 1.0)?;
    let both = compared(&cells, 1.0, tail);
    let (control, change) = both.map(|it| (it.control, it.change)).unzip();
    Some(RejectedShare { control, candidate: at_candidate, change })
}
