//! What a decision rested on, for the draft and the audit trail.

use serde::{Deserialize, Serialize};

use super::{TuningInput, Window, WindowStats};
use crate::domain::digest::Digest;

/// What was known of the arms when the tuner decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    pub window: Window,
    pub as_of: i64,
    /// By name.
    pub arms: Vec<ArmEvidence>,
    /// Equal for equal input and only then: the same statistics, weights, thresholds and bounds.
    /// `asOf` is not part of it.
    pub digest: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmEvidence {
    pub arm: String,
    pub component: String,
    pub weight: f64,
    pub n: u64,
    /// Whether there were enough observations to go by.
    pub judged: bool,
    /// What the arm was taken to earn: its mean reward, or for want of evidence what the judged
    /// arms earn on average, but no less than `thresholds.minAcceptable`.
    pub reward: f64,
    /// The rest as measured; absent without any observation.
    pub avg_reward: Option<f64>,
    pub success_rate: Option<f64>,
    pub p95_latency: Option<f64>,
}

impl Evidence {
    pub(super) fn gather(input: &TuningInput<'_>) -> Self {
        let unjudged = unjudged_reward(input);
        let arms = input
            .weights
            .iter()
            .map(|(arm, weight)| ArmEvidence::of(input, arm, *weight, unjudged));
        let arms: Vec<ArmEvidence> = arms.collect();
        let digest = digest(input, &arms).to_string();
        Self { window: input.config.window, as_of: input.as_of, arms, digest }
    }

    pub(super) fn weights(&self) -> Vec<f64> {
        self.arms.iter().map(|it| it.weight).collect()
    }

    pub(super) fn rewards(&self) -> Vec<f64> {
        self.arms.iter().map(|it| it.reward).collect()
    }
}

impl ArmEvidence {
    fn of(input: &TuningInput<'_>, arm: &str, weight: f64, unjudged: f64) -> Self {
        let stats = input.stats.get(arm).filter(|it| it.n > 0);
        let judged = judged(input, arm);
        Self {
            arm: arm.to_owned(),
            component: input.config.component_of(arm),
            weight,
            n: stats.map_or(0, |it| it.n),
            judged: judged.is_some(),
            reward: judged.map_or(unjudged, |it| it.avg_reward),
            avg_reward: stats.map(|it| it.avg_reward),
            success_rate: stats.map(|it| it.success_rate),
            p95_latency: stats.map(|it| it.p95_latency),
        }
    }

    /// Whether the arm is known to do badly enough for the larger step.
    pub(super) fn needs_retraining(&self, retrain: f64) -> bool {
        self.judged && self.reward < retrain
    }
}

fn judged<'a>(input: &TuningInput<'a>, arm: &str) -> Option<&'a WindowStats> {
    input.stats.get(arm).filter(|it| can_judge(it, input.config.min_samples))
}

/// What to take an arm for that too little is known of. Taking it for the average of the others
/// keeps it from losing or winning traffic merely for being new; should the others do badly, it
/// is given the benefit of the doubt.
fn unjudged_reward(input: &TuningInput<'_>) -> f64 {
    let known =
        input.weights.iter().filter_map(|(arm, weight)| Some((weight, judged(input, arm)?)));
    let (weight, earned) = known.fold((0.0, 0.0), |(weight, earned), (share, stats)| {
        (weight + share, earned + share * stats.avg_reward)
    });
    let average = if weight > 0.0 { earned / weight } else { 0.0 };
    average.max(input.thresholds.min_acceptable)
}

/// Statistics come from a store that others write to as well: a mean that cannot be one is no
/// evidence.
fn can_judge(stats: &WindowStats, min_samples: u64) -> bool {
    stats.n >= min_samples && (0.0..=1.0).contains(&stats.avg_reward)
}

fn digest(input: &TuningInput<'_>, arms: &[ArmEvidence]) -> Digest {
    let config = input.config;
    let start = Digest::new()
        .text(input.policy_id)
        .text(&input.parent.to_string())
        .text(config.window.as_str())
        .number(config.min_samples);
    let bounds = [
        config.step_bound,
        config.retrain_step_bound,
        config.exploration_floor,
        config.min_change,
        config.min_gain,
        config.learning_rate,
        input.thresholds.min_acceptable,
        input.thresholds.retrain,
    ];
    let bounded = bounds.into_iter().fold(start, Digest::float);
    arms.iter().fold(bounded, |digest, it| {
        let measured = [it.avg_reward, it.success_rate, it.p95_latency];
        let digest = digest.text(&it.arm).text(&it.component).float(it.weight).number(it.n);
        // NaN is not a value that sound statistics have, so it can stand for none.
        measured.into_iter().fold(digest, |digest, it| digest.float(it.unwrap_or(f64::NAN)))
    })
}
