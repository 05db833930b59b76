//! The sums of one stretch of time, from which the figures of a window are computed.

use serde::{Deserialize, Serialize};

use super::histogram::RewardHistogram;
use super::sketch::Sketch;
use super::timeline::Samples;
use super::window::WindowStats;
use crate::number::{Lossy, whole_u64};
use crate::observation::{Observation, Outcome, Weight, units_to_f64};
use crate::reward::Reward;

/// Costs are summed in billionths of a dollar; a single token costs a few hundred.
const NANO_USD: f64 = 1e9;
/// Scores are summed in units of 2^-32, which is finer than needed.
const SCORE_UNITS: f64 = 4_294_967_296.0;

/// Weighted sums in fixed point.
///
/// Integers make merging exact. A sum of 128 bits holds 2^38 of the largest addends (weight 2^40 times
/// cost 2^50, or tokens 2^40), and then saturates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    n: u64,
    /// Documents that could not be scored; they do not count anywhere else here.
    rejected: u64,
    /// Invalid fields of the observations. Not in the encoding of a bucket, but after it, so that
    /// earlier versions can read what this one writes; see
    /// `crate::appended`.
    #[serde(skip)]
    malformed: u64,
    /// Documents, rejected ones included, that count for no version of a policy: their `policyVersion`
    /// is missing or malformed, or no version has that name. Stored like `malformed`.
    #[serde(skip)]
    unversioned: u64,
    success: u64,
    failure: u64,
    timeout: u64,
    latency: Sketch,
    reward: RewardHistogram,
    reward_sum: u128,
    cost_sum: u128,
    /// The weight of the observations with a cost.
    costed: u64,
    tokens_in: u128,
    tokens_out: u128,
}

/// Values with the number of actions that have them, the smallest value first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// In milliseconds, each within [`Sketch::ALPHA`].
    pub durations: Vec<(f64, f64)>,
    /// Each within [`RewardHistogram::MAX_ERROR`].
    pub rewards: Vec<(f64, f64)>,
}

impl Bucket {
    pub fn add(&mut self, observation: &Observation, reward: &Reward) {
        let weight = observation.weight();
        let units = weight.units();
        add(&mut self.n, 1);
        add(&mut self.malformed, observation.malformed.count());
        match observation.outcome {
            Outcome::Success => add(&mut self.success, units),
            Outcome::Failure => add(&mut self.failure, units),
            Outcome::Timeout => add(&mut self.timeout, units),
        }
        if let Some(duration_ms) = observation.duration_ms {
            self.latency.add(duration_ms, weight);
        }
        self.reward.add(reward.score, weight);
        add_product(&mut self.reward_sum, weight, fixed(reward.score, SCORE_UNITS));
        if let Some(cost) = observation.cost_usd {
            add_product(&mut self.cost_sum, weight, fixed(cost, NANO_USD));
            add(&mut self.costed, units);
        }
        add_product(&mut self.tokens_in, weight, observation.tokens_in.unwrap_or(0));
        add_product(&mut self.tokens_out, weight, observation.tokens_out.unwrap_or(0));
    }

    /// Counts a document that is not an observation.
    pub fn reject(&mut self) {
        add(&mut self.rejected, 1);
    }

    /// Counts that a document names no version.
    pub fn add_unversioned(&mut self) {
        add(&mut self.unversioned, 1);
    }

    /// A rejected document that named no version was released from quarantine.
    pub fn release_unversioned(&mut self) {
        self.unversioned = self.unversioned.saturating_sub(1);
    }

    pub const fn unversioned(&self) -> u64 {
        self.unversioned
    }

    /// Restores what is stored after the encoding.
    pub fn set_unversioned(&mut self, unversioned: u64) {
        self.unversioned = unversioned;
    }

    /// A rejected document was released from quarantine.
    pub fn release(&mut self) {
        self.rejected = self.rejected.saturating_sub(1);
    }

    /// Exactly associative and commutative; an empty bucket changes nothing.
    pub fn merge(&mut self, other: &Self) {
        add(&mut self.n, other.n);
        add(&mut self.rejected, other.rejected);
        add(&mut self.malformed, other.malformed);
        add(&mut self.unversioned, other.unversioned);
        add(&mut self.success, other.success);
        add(&mut self.failure, other.failure);
        add(&mut self.timeout, other.timeout);
        self.latency.merge(&other.latency);
        self.reward.merge(&other.reward);
        self.reward_sum = self.reward_sum.saturating_add(other.reward_sum);
        self.cost_sum = self.cost_sum.saturating_add(other.cost_sum);
        add(&mut self.costed, other.costed);
        self.tokens_in = self.tokens_in.saturating_add(other.tokens_in);
        self.tokens_out = self.tokens_out.saturating_add(other.tokens_out);
    }

    pub const fn n(&self) -> u64 {
        self.n
    }

    pub const fn rejected(&self) -> u64 {
        self.rejected
    }

    pub const fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Restores what is stored after the encoding.
    pub fn set_malformed(&mut self, malformed: u64) {
        self.malformed = malformed;
    }

    /// The rewards and successes as samples, without cost and latency; `None` if some observation
    /// represents more than one action, because a bucket does not keep the weight of each.
    pub fn samples(&self) -> Option<Samples> {
        let one = Weight::ONE.units();
        let population = self.success.saturating_add(self.failure).saturating_add(self.timeout);
        if self.n == 0 || population != self.n.saturating_mul(one) {
            return None;
        }
        let mut samples = Samples::default();
        samples.success.add_times(1.0, self.success / one);
        samples.success.add_times(0.0, (population - self.success) / one);
        // The histogram rounds scores, the sum does not.
        let rounded =
            self.reward.scores().map(|(score, units)| score * units.to_f64()).sum::<f64>();
        let exact = weighted(self.reward_sum) / SCORE_UNITS;
        let error = exact / self.n.to_f64() - rounded / population.to_f64();
        for (score, units) in self.reward.scores() {
            samples.reward.add_times((score + error).clamp(0.0, 1.0), units / one);
        }
        Some(samples)
    }

    /// The figures of the bucket, as those of a window that starts at `window_start`.
    pub fn stats(&self, window_start: i64) -> WindowStats {
        let population =
            units_to_f64(self.success) + units_to_f64(self.failure) + units_to_f64(self.timeout);
        let (rejected, unversioned) = (self.rejected, self.unversioned);
        if self.n == 0 || population == 0.0 {
            return WindowStats { rejected, unversioned, window_start, ..WindowStats::default() };
        }
        let rate = |units| units_to_f64(units) / population;
        WindowStats {
            n: self.n,
            rejected,
            malformed: self.malformed,
            unversioned,
            population,
            success_rate: rate(self.success),
            failure_rate: rate(self.failure),
            timeout_rate: rate(self.timeout),
            p50_latency: self.latency.quantile(0.5).unwrap_or_default(),
            p95_latency: self.latency.quantile(0.95).unwrap_or_default(),
            avg_cost_usd: self.avg_cost_usd(),
            avg_reward: (weighted(self.reward_sum) / SCORE_UNITS / population).clamp(0.0, 1.0),
            p50_reward: self.reward.quantile(0.5).unwrap_or_default(),
            p95_reward: self.reward.quantile(0.95).unwrap_or_default(),
            tokens_in: weighted(self.tokens_in),
            tokens_out: weighted(self.tokens_out),
            window_start,
        }
    }

    /// How durations and rewards are distributed.
    pub fn distribution(&self) -> Distribution {
        let weighed = |(value, units): (f64, u64)| (value, units_to_f64(units));
        Distribution {
            durations: self.latency.values().map(weighed).collect(),
            rewards: self.reward.scores().map(weighed).collect(),
        }
    }

    fn avg_cost_usd(&self) -> Option<f64> {
        let costed = units_to_f64(self.costed);
        (costed > 0.0).then(|| weighted(self.cost_sum) / NANO_USD / costed)
    }
}

fn fixed(value: f64, units: f64) -> u64 {
    whole_u64((value * units).round())
}

/// Saturates, like all sums of counts; see `crate::bins`.
fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

fn add_product(sum: &mut u128, weight: Weight, value: u64) {
    *sum = sum.saturating_add(u128::from(weight.units()) * u128::from(value));
}

/// Converts a sum of products with [`Weight::units`] into a number.
fn weighted(sum: u128) -> f64 {
    sum.to_f64() / Weight::ONE.units().to_f64()
}
