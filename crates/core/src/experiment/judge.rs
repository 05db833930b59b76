//! Deciding what follows from a comparison.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Compared, Comparison, GuardConfig, Invalidated, Kind, Metric, RatioShift, STAGES, Shift,
};
use crate::time::{HOUR_MS, MINUTE_MS};

/// The state of an experiment when it is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    pub kind: Kind,
    pub metric: Metric,
    /// The index into [`STAGES`] of an A/B test.
    pub stage: usize,
    /// Epoch milliseconds.
    pub started_at: i64,
    pub stage_started_at: i64,
}

/// What follows for an experiment.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    Continue,
    /// The candidate gets a larger share of units.
    NextStage,
    /// The candidate is proven to be better.
    Success,
    /// A watch ended without a broken guardrail.
    Passed,
    Breach(Breach),
    NoGain,
    Inconclusive,
    /// Its versions do not have the required status.
    Invalidated(Invalidated),
}

/// A guardrail that is proven to be broken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breach {
    pub guardrail: Guardrail,
    /// The limit: the largest fall, or the largest ratio to the control.
    pub allowed: f64,
    /// The smallest fall, or the smallest ratio, that the data allow.
    pub proven: f64,
}

/// A metric that must not get worse by more than a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Guardrail {
    Reward,
    SuccessRate,
    P95Latency,
    CostUsd,
    RejectedShare,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { guardrail, allowed, proven } = self;
        match guardrail {
            Guardrail::Reward => {
                write!(f, "the mean reward fell by at least {proven:.4}; {allowed} is allowed")
            }
            Guardrail::SuccessRate => {
                write!(f, "the success rate fell by at least {proven:.4}; {allowed} is allowed")
            }
            Guardrail::P95Latency => write!(
                f,
                "the 95th percentile of durations is at least {proven:.2} times the control's; \
                 {allowed} times is allowed"
            ),
            Guardrail::CostUsd => write!(
                f,
                "the mean cost is at least {proven:.2} times the control's; {allowed} times is allowed"
            ),
            Guardrail::RejectedShare => write!(
                f,
                "the rejected share, of documents that could not be scored, is at least {proven:.4} and \
                 above the control's; {allowed} is allowed"
            ),
        }
    }
}

/// Decides what follows for an experiment at `now` (epoch milliseconds).
pub fn judge(
    setting: &Setting,
    config: &GuardConfig,
    comparison: &Comparison,
    now: i64,
) -> Judgement {
    if let Some(breach) = breach(config, comparison) {
        return Judgement::Breach(breach);
    }
    let is_over = config.is_over(setting.started_at, now);
    match setting.kind {
        Kind::Watch => judge_watch(setting, config, comparison, is_over, now),
        Kind::Ab => judge_ab(setting, config, comparison, is_over, now),
    }
}

fn judge_watch(
    setting: &Setting,
    config: &GuardConfig,
    comparison: &Comparison,
    is_over: bool,
    now: i64,
) -> Judgement {
    let lasted = now.saturating_sub(setting.started_at);
    let long = lasted >= i64::from(config.watch_hours) * HOUR_MS;
    let known = comparison
        .reward
        .is_some_and(|it| it.change.high - it.change.low <= 2.0 * config.min_effect.max(1e-3));
    let complete =
        !comparison.is_incomplete(config.guardrails.rejected_share) && !comparison.lacks_costs();
    match (long && known && complete, is_over) {
        (true, _) => Judgement::Passed,
        (_, true) => Judgement::Inconclusive,
        _ => Judgement::Continue,
    }
}

fn judge_ab(
    setting: &Setting,
    config: &GuardConfig,
    comparison: &Comparison,
    is_over: bool,
    now: i64,
) -> Judgement {
    let gain = setting.metric.gain(comparison);
    if gain.is_some_and(|gain| gain.high < config.min_effect) {
        return Judgement::NoGain;
    }
    let is_last = setting.stage + 1 >= STAGES.len();
    let lasted = now.saturating_sub(setting.stage_started_at);
    let long = lasted >= i64::from(config.stage_minutes) * MINUTE_MS;
    let complete = !comparison.is_incomplete(config.guardrails.rejected_share);
    let enough = long && complete && comparison.candidate_n >= config.min_samples;
    let proven = gain.is_some_and(|gain| gain.low > 0.0 && gain.estimate >= config.min_effect);
    match (enough, is_last) {
        (true, true) if proven => Judgement::Success,
        // The time limit also applies when the next stage is due: the kill switch may have
        // delayed that stage.
        _ if is_over => Judgement::Inconclusive,
        (true, false) => Judgement::NextStage,
        _ => Judgement::Continue,
    }
}

/// The first guardrail that is proven to be broken.
fn breach(config: &GuardConfig, comparison: &Comparison) -> Option<Breach> {
    let rails = &config.guardrails;
    let controls = comparison.controls;
    let fell = |guardrail, compared: Option<Compared>, shift: Option<Shift>, allowed: f64| {
        let change = compared?.change.high;
        let proven = -shift.map_or(change, |it| change.max(it.beyond.high));
        (proven > allowed).then_some(Breach { guardrail, allowed, proven })
    };
    let rose =
        |guardrail, [control, candidate]: [f64; 2], shift: Option<RatioShift>, allowed: f64| {
            let ratio = candidate / control;
            let is_broken = candidate > allowed * control;
            let is_beyond = shift.is_none_or(|it| it.beyond.low > allowed);
            let proven = shift.map_or(ratio, |it| ratio.min(it.beyond.low));
            (is_broken && is_beyond).then_some(Breach { guardrail, allowed, proven })
        };
    let (of_reward, of_success) = controls.map_or((None, None), |it| (it.reward, it.success_rate));
    let (of_latency, of_cost) = controls.map_or((None, None), |it| (it.p95_latency, it.cost_usd));
    let latency = comparison.p95_latency;
    let cost = comparison.cost_usd;
    fell(Guardrail::Reward, comparison.reward, of_reward, rails.reward)
        .or_else(|| {
            fell(Guardrail::SuccessRate, comparison.success_rate, of_success, rails.success_rate)
        })
        .or_else(|| {
            let it = latency?;
            let ends = [it.control.high, it.candidate.low];
            rose(Guardrail::P95Latency, ends, of_latency, rails.p95_latency)
        })
        .or_else(|| {
            let it = cost?;
            let ends = [it.control.high, it.candidate.low];
            rose(Guardrail::CostUsd, ends, of_cost, rails.cost_usd)
        })
        .or_else(|| {
            let it = comparison.rejected_share?;
            let (allowed, proven) = (rails.rejected_share, it.candidate.low);
            let is_broken = proven > allowed && it.change?.low > 0.0;
            is_broken.then_some(Breach { guardrail: Guardrail::RejectedShare, allowed, proven })
        })
}
