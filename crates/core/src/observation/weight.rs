//! The weight of an observation: how many actions it represents.

use serde::{Deserialize, Serialize};

use super::MIN_SAMPLE_RATE;
use crate::number::{Lossy, whole_u64};

/// The weight 1 / sampleRate in units of 2^-20.
///
/// Fixed point rather than a double, so that sums are exact: the same observations lead to the same
/// statistics, independent of the order and grouping in which they were added. The rounding error is
/// below one part in two million; whole weights (rates such as 1, 0.5, 0.1) have none. The smallest
/// rate has about 2^40 units, so that 64 bits hold the sum of millions of such observations, or of
/// 2^44 unsampled ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(u64);

impl Weight {
    const FRACTION_BITS: u32 = 20;
    /// The weight of an observation that was not sampled.
    pub const ONE: Self = Self(1 << Self::FRACTION_BITS);

    /// Rates outside of the bounds that parsing enforces count as the nearer bound, NaN as 1.
    pub fn from_sample_rate(rate: f64) -> Self {
        if rate < 1.0 {
            Self(whole_u64((Self::ONE.0.to_f64() / rate.max(MIN_SAMPLE_RATE)).round()))
        } else {
            // NaN is not below 1 either.
            Self::ONE
        }
    }

    pub const fn units(self) -> u64 {
        self.0
    }

    pub fn as_f64(self) -> f64 {
        units_to_f64(self.0)
    }
}

/// Converts a sum of [`Weight::units`] into a number of actions.
pub(crate) fn units_to_f64(units: u64) -> f64 {
    units.to_f64() / Weight::ONE.0.to_f64()
}

#[cfg(test)]
mod tests {
    use super::Weight;

    #[test]
    fn common_rates_are_exact() {
        for (rate, weight) in [(1.0, 1.0), (0.5, 2.0), (0.1, 10.0), (0.01, 100.0), (1e-6, 1e6)] {
            assert_eq!(Weight::from_sample_rate(rate).as_f64(), weight, "rate {rate}");
        }
    }

    #[test]
    fn rates_outside_of_the_bounds_count_as_the_bound() {
        assert_eq!(Weight::from_sample_rate(7.0), Weight::ONE);
        assert_eq!(Weight::from_sample_rate(f64::NAN), Weight::ONE);
        assert_eq!(Weight::from_sample_rate(-1.0), Weight::from_sample_rate(1e-6));
    }
}
