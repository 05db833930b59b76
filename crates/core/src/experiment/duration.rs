//! How long an A/B test is expected to take.

use serde::Serialize;

use super::{GuardConfig, Kind, Metric, STAGES};
use crate::estimate::{Grid, Moments, Sample};
use crate::number::Lossy;
use crate::stats::Samples;
use crate::time::{HOUR_MS, MINUTE_MS};

/// What is known of the traffic before the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traffic {
    /// Observations an hour that name the policy.
    pub per_hour: f64,
    /// The variance of the metric from action to action.
    pub variance: f64,
}

/// Less time than this says nothing of an hour.
const SHORTEST_MS: i64 = MINUTE_MS;

impl Traffic {
    /// Observations an hour, by those of some time.
    pub fn an_hour(n: u64, passed_ms: i64) -> f64 {
        n.to_f64() * HOUR_MS.to_f64() / passed_ms.max(SHORTEST_MS).to_f64()
    }

    /// The traffic of a version with these samples, whose components make so many observations an hour;
    /// `None` without observations.
    pub fn of(samples: &Samples, metric: Metric, per_hour: f64) -> Option<Self> {
        if samples.success.is_empty() || per_hour <= 0.0 {
            return None;
        }
        let variance = match metric {
            Metric::Reward => variance(&samples.reward),
            Metric::SuccessRate => variance(&samples.success),
            Metric::CostUsd => variance(&samples.cost),
        };
        Some(Self { per_hour, variance })
    }
}

/// The variance from action to action.
fn variance<G: Grid>(sample: &Sample<G>) -> f64 {
    let Moments { weight, sum, squares, .. } = sample.moments();
    if weight > 0.0 { (squares / weight - (sum / weight).powi(2)).max(0.0) } else { 0.0 }
}

/// How long it takes until a gain is proven.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpectedDuration {
    /// The true gain, in units of the metric.
    pub gain: f64,
    /// `None` if the test ends before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<f64>,
}

/// Intervals that hold at every look are wider than those of a single look with the same error, by about
/// this factor in observations. Measured by `tests::the_estimate_agrees_with_simulated_tests`.
const EVERY_LOOK: f64 = 1.6;

/// When a gain is expected to be proven, with the stages and the limits of `config`. Each stage ignores
/// what was observed before it.
pub fn expected_duration(config: &GuardConfig, traffic: Traffic, gain: f64) -> ExpectedDuration {
    let none = ExpectedDuration { gain, hours: None };
    let is_known = traffic.per_hour > 0.0 && traffic.variance > 0.0;
    // A smaller gain than the smallest that matters is never claimed.
    if !is_known || gain <= 0.0 || gain < config.min_effect {
        return none;
    }
    let limit = f64::from(config.max_days) * 24.0;
    let mut before = 0.0;
    for (index, share) in STAGES.into_iter().enumerate() {
        let needed = hours_needed(config, traffic, gain, share);
        let is_last = index + 1 == STAGES.len();
        let stage = f64::from(config.stage_minutes) / 60.0;
        let stage = stage.max(config.min_samples.to_f64() / (traffic.per_hour * share));
        if needed <= stage || is_last {
            let hours = before + needed.max(1.0 / 60.0);
            return ExpectedDuration { hours: (hours <= limit).then_some(hours), ..none };
        }
        before += stage;
    }
    none
}

/// The hours of a stage after which the interval of the difference excludes 0.
fn hours_needed(config: &GuardConfig, traffic: Traffic, gain: f64, share: f64) -> f64 {
    let looks = EVERY_LOOK * 2.0 * -libm::log(config.tail(Kind::Ab));
    looks * traffic.variance / (traffic.per_hour * share * (1.0 - share) * gain * gain)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::super::compare;
    use super::*;
    use crate::observation::Weight;

    fn traffic(per_hour: f64) -> Traffic {
        Traffic { per_hour, variance: 0.21 }
    }

    #[test]
    fn a_larger_gain_and_more_traffic_take_less_time() {
        let config = GuardConfig::default();
        let hours = |per_hour, gain| expected_duration(&config, traffic(per_hour), gain).hours;
        assert!(hours(1_000.0, 0.05).unwrap() < hours(1_000.0, 0.03).unwrap());
        assert!(hours(4_000.0, 0.03).unwrap() < hours(1_000.0, 0.03).unwrap());
        assert_eq!(hours(10.0, 0.02), None, "the test ends after 14 days");
        assert_eq!(hours(1_000.0, 0.005), None, "below minEffect");
        assert_eq!(hours(0.0, 0.5), None);
    }

    /// The observations of each side until the interval of a single stage at 50% excludes 0, with a
    /// true difference of 0.1: the median of simulated tests is within a third of the estimate.
    #[test]
    fn the_estimate_agrees_with_simulated_tests() {
        let config = GuardConfig::default();
        let gain = 0.1;
        let mut random = StdRng::seed_from_u64(13);
        let mut taken: Vec<f64> = Vec::new();
        for _ in 0..9 {
            let [mut control, mut candidate] = [Samples::default(), Samples::default()];
            let mut n = 0.0;
            loop {
                for _ in 0..50 {
                    for (samples, rate) in [(&mut control, 0.6), (&mut candidate, 0.6 + gain)] {
                        let value = f64::from(u8::from(random.random_bool(rate)));
                        samples.reward.add(value, Weight::ONE);
                        samples.success.add(value, Weight::ONE);
                    }
                    n += 2.0;
                }
                let compared = compare(&control, &candidate, 1.0, 1.0, config.tail(Kind::Ab));
                if compared.reward.unwrap().change.low > 0.0 || n > 50_000.0 {
                    break;
                }
            }
            taken.push(n);
        }
        taken.sort_by(f64::total_cmp);
        let median = taken[4];
        let traffic = Traffic { per_hour: 1.0, variance: 0.6 * 0.4 };
        let estimate = hours_needed(&config, traffic, gain, 0.5);
        let ratio = estimate / median;
        assert!((0.75..1.34).contains(&ratio), "{estimate} against {median}");
    }
}
