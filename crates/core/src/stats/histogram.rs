//! Quantiles of rewards within a stated absolute error.

use serde::{Deserialize, Serialize};

use crate::bins::Bins;
use crate::observation::Weight;

/// Rewards lie in 0..1, where an absolute error says more than a relative one: each goes to the
/// nearest multiple of 1/200. The ends, 0 and 1, where clamped rewards gather, are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RewardHistogram {
    bins: Bins<{ RewardHistogram::STEPS + 1 }>,
}

impl RewardHistogram {
    const STEPS: u16 = 200;
    /// A quantile is off by at most this.
    pub const MAX_ERROR: f64 = 0.5 / Self::STEPS as f64;

    pub fn add(&mut self, score: f64, weight: Weight) {
        let bin = (score.clamp(0.0, 1.0) * f64::from(Self::STEPS)).round() as u16;
        self.bins.add(bin, weight.units());
    }

    pub fn merge(&mut self, other: &Self) {
        self.bins.merge(&other.bins);
    }

    /// The smallest score such that scores up to it make up the share `q` of the weight.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.bins.quantile(q).map(|bin| f64::from(bin) / f64::from(Self::STEPS))
    }
}
