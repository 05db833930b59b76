//! The evidence for a decision, for the draft and the audit trail.

use serde::{Deserialize, Serialize};

use super::believe::BeliefEvidence;
use super::blocks::{Claims, Compared};
use super::checks::{self, Check};
use super::standing::{ArmStanding, interval_alpha, standings};
use super::{ArmInput, Goal, TuningInput, WEIGHT_STEPS, budget, identify};
use crate::belief::Allocation;
use crate::estimate::{
    Cells, Cost, Interval, Logged, Measured, OffPolicy, difference, off_policy, quantile_interval,
};
use crate::hash::Fingerprint;

/// The name of the rule that computes weights and evidence from an input. It must change whenever the
/// same input may lead to another result, even in the last digit.
pub fn rule(input: &TuningInput) -> &'static str {
    let claims = input.blocks.as_ref().map(|it| it.claims);
    match (&input.belief, claims) {
        (Some(_), Some(Claims::Arms)) if input.config.goal == Goal::Identify => identify::RULE,
        (Some(_), Some(Claims::Arms)) => "belief-5",
        // It made a claim for each pair of arms.
        (Some(_), _) => "belief-5-pairs",
        (None, Some(Claims::Arms)) => "elimination-7",
        // As above.
        (None, Some(Claims::Pairs)) => "elimination-6",
        // It compared all observations of an arm, whatever the version.
        (None, None) => "elimination-5",
    }
}

/// What was known of the arms when the tuner decided. Every interval holds at every look, and the
/// decision is based on the same intervals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    pub as_of: i64,
    /// The [`rule`] that decided.
    pub rule: String,
    /// The version of `config/tuning`.
    pub tuning_version: String,
    /// The version of `config/reward_config`.
    pub reward_version: String,
    /// The period of the error budget, counted from 1970 in steps of 30 days.
    pub period: i64,
    /// The allowed probability of any error within the period.
    pub alpha: f64,
    /// Sorted by name.
    pub arms: Vec<ArmEvidence>,
    /// What the weights are believed from; absent if they were decided by proof. Belief moves weights
    /// and proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub belief: Option<BeliefEvidence>,
    /// The expected change of the mean reward.
    pub gain: Gain,
    /// For each pair of an arm that loses weight and an arm that gains weight, how much more the
    /// latter earns.
    pub differences: Vec<Difference>,
    /// How arms were compared; absent if an earlier rule decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_versions: Option<Within>,
    /// The estimated reward of the proposed weights from the log of the active version; absent if the
    /// log is not sufficient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_policy: Option<OffPolicy>,
    pub checks: Vec<Check>,
    /// The fingerprint of the input, without `asOf` and the last draft.
    pub digest: String,
}

/// What was known of one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmEvidence {
    pub arm: String,
    pub component: String,
    pub weight: f64,
    pub proposed: f64,
    pub n: u64,
    /// Documents that could not be scored.
    #[serde(default)]
    pub rejected: u64,
    /// Epoch milliseconds: older observations were ignored; 0 if none were.
    pub since: i64,
    /// How often the arm restarted in the period.
    pub restarts: u32,
    /// The probability of error of each interval below.
    pub alpha: f64,
    /// Whether the arm has enough observations.
    pub judged: bool,
    /// Whether it is proven to earn less than `thresholds.retrain`.
    pub failing: bool,
    /// The arms that are proven to earn more.
    pub beaten_by: Vec<String>,
    /// The probability that the arm earns the most.
    pub p_best: f64,
    /// How much more the best arm is expected to earn: the loss if this arm is used instead.
    pub expected_loss: f64,
    /// The assumed mean reward of the arm: the observed mean if the arm is judged, otherwise the average
    /// of the judged arms, but at least `thresholds.minAcceptable`.
    pub taken_at: f64,
    /// This and the following fields are measured; absent without any observation.
    pub reward: Option<Measured>,
    pub success_rate: Option<Measured>,
    /// In US dollars, over the observations with a cost. A cost above the bound of
    /// `config/reward_config` counts as the bound.
    pub cost_usd: Option<Measured>,
    /// In milliseconds.
    pub p50_latency: Option<Interval>,
    pub p95_latency: Option<Interval>,
}

/// The change of the mean reward that a proposal makes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    pub expected: f64,
    /// `low` and `high` are absent if an arm without enough observations changes its weight.
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// The basis of comparisons: actions are compared only with others of the same version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Within {
    /// The observations of the arms that name a version of the policy.
    pub named: u64,
    /// Those that do not, which cannot be compared.
    pub unnamed: u64,
}

/// How much more one arm earns than another.
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
        sample_ratio: Check,
        believed: Option<&Allocation>,
    ) -> Self {
        let expected = match believed {
            Some(it) => it.expected_gain,
            None => expected_gain(input, standings, proposed),
        };
        let (differences, low, high) = differences(input, standings, proposed);
        let arms = standings.iter().zip(proposed);
        Self {
            as_of: input.as_of,
            rule: rule(input).to_owned(),
            tuning_version: input.tuning_version.clone(),
            reward_version: input.rewards.version.clone(),
            period: budget::period_of(input.as_of),
            alpha: input.config.alpha,
            arms: arms.map(|(it, to)| ArmEvidence::of(input, standings, it, *to)).collect(),
            belief: believed.map(|it| BeliefEvidence::of(input, it)),
            gain: Gain { expected, low, high },
            differences,
            within_versions: within_versions(input, standings),
            off_policy: estimated_from_log(input, proposed),
            checks: [
                sample_ratio,
                checks::sample_rates(input),
                checks::rejected_share(input, standings),
            ]
            .into_iter()
            .chain(checks::of_observations(input))
            .chain(believed.map(|_| checks::concentration(&proposed_weights(standings, proposed))))
            .collect(),
            digest: digest(input),
        }
    }
}

/// What is known of each arm now, independent of any decision.
pub fn arm_evidence(input: &TuningInput) -> Vec<ArmEvidence> {
    let all = standings(input);
    all.iter().map(|it| ArmEvidence::of(input, &all, it, it.weight)).collect()
}

/// The expected rise of the mean reward. Two judged arms differ by what they differed by within versions;
/// otherwise their assumed mean rewards are compared.
pub(super) fn expected_gain(
    input: &TuningInput,
    standings: &[ArmStanding],
    proposed: &[f64],
) -> f64 {
    let Some(compared) = Compared::of(input) else {
        return standings.iter().zip(proposed).map(|(it, to)| (to - it.weight) * it.reward).sum();
    };
    let gain = |Flow { from, to, weight }: Flow<'_>| {
        let within = compared.contrast([&to.arm, &from.arm]).estimate();
        let within = within.filter(|_| from.judged && to.judged);
        weight * within.unwrap_or(to.reward - from.reward)
    };
    flows(standings, proposed).map(gain).sum()
}

/// A part of the weight that moves from one arm to another.
struct Flow<'a> {
    from: &'a ArmStanding,
    to: &'a ArmStanding,
    weight: f64,
}

/// The weight that an arm loses is divided among the arms that gain, in proportion to what they gain.
fn flows<'a>(
    standings: &'a [ArmStanding],
    proposed: &[f64],
) -> impl Iterator<Item = Flow<'a>> + use<'a> {
    // A change of less than a step only rounds a weight that was written by hand.
    let step = 1.0 / f64::from(WEIGHT_STEPS);
    let moved = |(it, to): (&'a ArmStanding, &f64)| (it, to - it.weight);
    let moved: Vec<(&ArmStanding, f64)> =
        standings.iter().zip(proposed).map(moved).filter(|(_, by)| by.abs() >= step).collect();
    let gains: Vec<_> = moved.iter().filter(|(_, by)| *by > 0.0).copied().collect();
    let gained: f64 = gains.iter().map(|(_, by)| by).sum();
    let losses = moved.into_iter().filter(|(_, by)| *by < 0.0);
    losses.flat_map(move |(from, loss)| {
        let of =
            |(to, gain): &(&'a ArmStanding, f64)| Flow { from, to, weight: -loss * gain / gained };
        gains.iter().map(of).collect::<Vec<_>>()
    })
}

/// The differences behind a proposal, and the bounds of its gain: the weighted sums of the bounds of
/// the differences.
fn differences(
    input: &TuningInput,
    standings: &[ArmStanding],
    proposed: &[f64],
) -> (Vec<Difference>, Option<f64>, Option<f64>) {
    let compared = Compared::of(input);
    let mut found = Vec::new();
    let (mut low, mut high) = (Some(0.0), Some(0.0));
    for Flow { from: worse, to: better, weight: flow } in flows(standings, proposed) {
        if !better.judged || !worse.judged {
            (low, high) = (None, None);
            continue;
        }
        let restarts = [better.restarts, worse.restarts];
        let alpha = budget::of_pair(interval_alpha(input), standings.len(), restarts);
        let known = match &compared {
            Some(compared) => {
                let contrast = compared.contrast([&better.arm, &worse.arm]);
                contrast.estimate().map(|it| (it, contrast.interval(alpha)))
            }
            // The opposite claim has a budget of its own, so that each end may err with `alpha`.
            None => Some((
                better.cells.mean() - worse.cells.mean(),
                difference(&better.cells, &worse.cells, 2.0 * alpha),
            )),
        };
        let Some((estimate, interval)) = known else {
            (low, high) = (None, None);
            continue;
        };
        low = low.map(|sum| sum + flow * interval.low);
        high = high.map(|sum| sum + flow * interval.high);
        found.push(Difference {
            better: better.arm.clone(),
            worse: worse.arm.clone(),
            estimate,
            low: interval.low,
            high: interval.high,
            alpha,
        });
    }
    (found, low, high)
}

fn proposed_weights<'a>(standings: &'a [ArmStanding], proposed: &[f64]) -> Vec<(&'a str, f64)> {
    standings.iter().map(|it| it.arm.as_str()).zip(proposed.iter().copied()).collect()
}

/// `None` if an earlier rule decides.
pub(super) fn within_versions(input: &TuningInput, standings: &[ArmStanding]) -> Option<Within> {
    let compared = Compared::of(input)?;
    let (mut named, mut unnamed) = (0, 0);
    for arm in standings {
        let n = compared.n(&arm.arm);
        named += n;
        unnamed += arm.n.saturating_sub(n);
    }
    Some(Within { named, unnamed })
}

fn estimated_from_log(input: &TuningInput, proposed: &[f64]) -> Option<OffPolicy> {
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
        let alpha = budget::of_interval(interval_alpha(input), all.len(), standing.restarts);
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
            rejected: standing.rejected,
            since: memory.since,
            restarts: memory.restarts,
            alpha,
            judged: standing.judged,
            failing: standing.failing,
            beaten_by: named.collect(),
            p_best: standing.p_best,
            expected_loss: standing.expected_loss,
            taken_at: standing.reward,
            reward: Measured::of(&standing.cells, alpha, 1.0),
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
    Fingerprint::new().raw(&bytes).to_string()
}
