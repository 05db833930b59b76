//! Quantiles of rewards within a known absolute error.

use serde::{Deserialize, Serialize};

use crate::bins::Bins;
use crate::number::whole_u16;
use crate::observation::Weight;

/// A histogram of rewards. Rewards are between 0 and 1, where an absolute error is more useful than a
/// relative one: each reward is rounded to the nearest multiple of 1/200. The ends 0 and 1, which
/// clamped rewards have, are exact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RewardHistogram {
    bins: Bins<{ RewardHistogram::STEPS + 1 }>,
}

impl RewardHistogram {
    const STEPS: u16 = 200;
    /// The largest error of a quantile: half a step.
    pub const MAX_ERROR: f64 = 0.0025;

    pub fn add(&mut self, score: f64, weight: Weight) {
        let bin = whole_u16((score.clamp(0.0, 1.0) * f64::from(Self::STEPS)).round());
        self.bins.add(bin, weight.units());
    }

    pub fn merge(&mut self, other: &Self) {
        self.bins.merge(&other.bins);
    }

    /// Each score that was observed, and its weight.
    pub(super) fn scores(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bins.iter().map(|(bin, units)| (f64::from(bin) / f64::from(Self::STEPS), units))
    }

    /// The smallest score such that the scores up to it have the share `q` of the weight.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.bins.quantile(q).map(|bin| f64::from(bin) / f64::from(Self::STEPS))
    }
}
