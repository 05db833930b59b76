//! What a decision rested on, for the draft and the audit trail.

use serde::{Deserialize, Serialize};

use super::checks::{self, Check};
use super::standing::{ArmStanding, standings};
use super::{ArmInput, TuningInput, WEIGHT_STEPS, budget};
use crate::digest::Digest;
use crate::estimate::{
    Cells, Cost, Interval, Logged, Measured, OffPolicy, difference, off_policy, quantile_interval,
};

/// The rule by which the weights were found, raised whenever it changes.
pub const RULE: &str = "elimination-3";

/// What was known of the arms when the tuner decided. Every interval holds at every look, and is
/// what the decision itself went by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    pub as_of: i64,
    /// The rule that decided, and the versions of the configurations that it was given.
    pub rule: String,
    pub tuning_version: String,
    pub reward_version: String,
    /// The period that the budget is for, counted from 1970 in steps of 30 days.
    pub period: i64,
    /// The error that the policy may make within the period, in all.
    pub alpha: f64,
    /// By name.
    pub arms: Vec<ArmEvidence>,
    /// What the proposal changes, in mean reward.
    pub gain: Gain,
    /// Of each arm that gives way and each that gains, how much more the latter earns.
    pub differences: Vec<Difference>,
    /// What the log of the active version says of the proposed weights; absent where it names too
    /// little.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_policy: Option<OffPolicy>,
    pub checks: Vec<Check>,
    /// Equal for equal input and only then. `asOf` is not part of it.
    pub digest: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmEvidence {
    pub arm: String,
    pub component: String,
    pub weight: f64,
    pub proposed: f64,
    pub n: u64,
    /// Epoch milliseconds: what is older was left out; 0 where nothing was.
    pub since: i64,
    /// How often the arm began anew in the period.
    pub restarts: u32,
    /// The probability of error of each interval below.
    pub alpha: f64,
    /// Whether there were enough observations to go by.
    pub judged: bool,
    /// Whether it is proven to earn less than `thresholds.retrain`.
    pub failing: bool,
    /// Arms that are proven to earn more.
    pub beaten_by: Vec<String>,
    /// How probable it is to earn the most.
    pub p_best: f64,
    /// By how much the best arm is expected to earn more: what is lost by taking this one for it.
    pub expected_loss: f64,
    /// What the arm was taken to earn: its mean reward, or for want of evidence what the judged
    /// arms earn on average, but no less than `thresholds.minAcceptable`.
    pub taken_at: f64,
    /// The rest as measured; absent without any observation.
    pub reward: Option<Measured>,
    pub success_rate: Option<Measured>,
    /// In US dollars, over the observations that gave a cost; what exceeds the bound of
    /// `config/reward_config` counts as that.
    pub cost_usd: Option<Measured>,
    /// In milliseconds.
    pub p50_latency: Option<Interval>,
    pub p95_latency: Option<Interval>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    pub expected: f64,
    /// Absent where an arm of which too little is known is to gain or to give way.
    pub low: Option<f64>,
    pub high: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    pub better: String,
    pub worse: String,
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
    pub alpha: f64,
}

impl Evidence {
    pub(super) fn gather(
        input: &TuningInput,
        standings: &[ArmStanding],
        proposed: &[f64],
        check: Check,
    ) -> Self {
        let expected = expected_gain(standings, proposed);
        let (differences, low, high) = differences(input, standings, proposed);
        let arms = standings.iter().zip(proposed);
        Self {
            as_of: input.as_of,
            rule: RULE.to_owned(),
            tuning_version: input.tuning_version.clone(),
            reward_version: input.rewards.version.clone(),
            period: budget::period_of(input.as_of),
            alpha: input.config.alpha,
            arms: arms.map(|(it, to)| ArmEvidence::of(input, standings, it, *to)).collect(),
            gain: Gain { expected, low, high },
            differences,
            off_policy: logged(input, proposed),
            checks: vec![check, checks::sample_rates(input)],
            digest: digest(input),
        }
    }
}

/// What is known of each arm now, whether or not anything follows from it.
pub fn known(input: &TuningInput) -> Vec<ArmEvidence> {
    let all = standings(input);
    all.iter().map(|it| ArmEvidence::of(input, &all, it, it.weight)).collect()
}

pub(super) fn expected_gain(standings: &[ArmStanding], proposed: &[f64]) -> f64 {
    standings.iter().zip(proposed).map(|(it, to)| (to - it.weight) * it.reward).sum()
}

/// Each arm's loss is shared among those that gain, in proportion to what they gain; the gain's
/// bounds are the sums of the differences' bounds.
fn differences(
    input: &TuningInput,
    standings: &[ArmStanding],
    proposed: &[f64],
) -> (Vec<Difference>, Option<f64>, Option<f64>) {
    // Less than a step is how a weight that was written by hand comes to stand at a whole one.
    let step = 1.0 / f64::from(WEIGHT_STEPS);
    let moved = |it: &ArmStanding, to: f64| Some(to - it.weight).filter(|it| it.abs() >= step);
    let moved: Vec<f64> =
        standings.iter().zip(proposed).map(|(it, to)| moved(it, *to).unwrap_or_default()).collect();
    let gained: f64 = moved.iter().filter(|it| **it > 0.0).sum();
    let mut found = Vec::new();
    let (mut low, mut high) = (Some(0.0), Some(0.0));
    for (worse, loss) in moved.iter().enumerate().filter(|(_, it)| **it < 0.0) {
        for (better, gain) in moved.iter().enumerate().filter(|(_, it)| **it > 0.0) {
            let (better, worse) = (&standings[better], &standings[worse]);
            if !better.judged || !worse.judged {
                (low, high) = (None, None);
                continue;
            }
            let restarts = [better.restarts, worse.restarts];
            let alpha = budget::of_pair(input.config.alpha, standings.len(), restarts);
            // The other half of the pair's budget belongs to the opposite claim.
            let interval = difference(&better.cells, &worse.cells, 2.0 * alpha);
            let flow = -loss * gain / gained;
            low = low.map(|sum| sum + flow * interval.low);
            high = high.map(|sum| sum + flow * interval.high);
            found.push(Difference {
                better: better.arm.clone(),
                worse: worse.arm.clone(),
                estimate: better.cells.mean() - worse.cells.mean(),
                low: interval.low,
                high: interval.high,
                alpha,
            });
        }
    }
    (found, low, high)
}

fn logged(input: &TuningInput, proposed: &[f64]) -> Option<OffPolicy> {
    let routed = input.routed.as_ref()?;
    let arms: Vec<_> = input
        .weights
        .iter()
        .zip(proposed)
        .filter_map(|((arm, weight), to)| {
            let log = routed.get(arm)?;
            Some(Logged { chosen: log.chosen(*weight).collect(), proposed: *to })
        })
        .collect();
    let is_complete = arms.len() == input.weights.len();
    is_complete.then(|| off_policy(&arms, input.expected_of_log(), input.config.alpha)).flatten()
}

impl ArmEvidence {
    fn of(input: &TuningInput, all: &[ArmStanding], standing: &ArmStanding, proposed: f64) -> Self {
        let known = input.arms.get(&standing.arm);
        let alpha = budget::of_interval(input.config.alpha, all.len(), standing.restarts);
        let most = Cost::point_from(input.rewards.bounds.max_cost_usd);
        let max_weight = input.max_weight;
        let latency = |share| quantile_interval(&known?.samples.latency, max_weight, share, alpha);
        let memory = known.map(|it| it.memory).unwrap_or_default();
        let named = standing.beaten_by.iter().map(|arm| all[*arm].arm.clone());
        let measured = |cells: fn(&ArmInput) -> Cells| {
            known.and_then(|it| Measured::of(&cells(it).within(max_weight), alpha, 1.0))
        };
        Self {
            arm: standing.arm.clone(),
            component: input.config.component_of(&standing.arm),
            weight: standing.weight,
            proposed,
            n: standing.n,
            since: memory.since,
            restarts: memory.restarts,
            alpha,
            judged: standing.judged,
            failing: standing.failing,
            beaten_by: named.collect(),
            p_best: standing.p_best,
            expected_loss: standing.expected_loss,
            taken_at: standing.reward,
            reward: measured(|it| Cells::of(&it.samples.reward)),
            success_rate: measured(|it| Cells::of(&it.samples.success)),
            cost_usd: known.and_then(|it| {
                let cells = Cells::scaled(&it.samples.cost, most).within(max_weight);
                Measured::of(&cells, alpha, most)
            }),
            p50_latency: latency(0.5),
            p95_latency: latency(0.95),
        }
    }
}

fn digest(input: &TuningInput) -> String {
    let timeless = TuningInput { as_of: 0, last_draft: None, ..input.clone() };
    let bytes = timeless.encode();
    Digest::new().raw(&bytes).to_string()
}

/// Checks that are made before arms are compared.
pub(super) fn check(input: &TuningInput) -> Check {
    checks::sample_ratio(input)
}
