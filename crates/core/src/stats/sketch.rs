//! Quantiles of durations within a known relative error, in bounded memory.

use serde::{Deserialize, Serialize};

use crate::bins::Bins;
use crate::number::whole_u16;
use crate::observation::{MAX_DURATION_MS, Weight};

/// A DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with
/// relative-error guarantees", PVLDB 12(12), 2019), weighted.
///
/// A value x > 0 goes into the bin `ceil(log_gamma(x))` with `gamma = (1 + alpha) / (1 - alpha)`; the
/// estimate of a bin is within alpha of every value in it. The paper collapses bins to bound memory,
/// which gives up the guarantee. Durations have a known range, so that the range of bins is fixed here
/// and the guarantee always holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sketch {
    bins: Bins<{ Sketch::BINS }>,
}

impl Sketch {
    /// The largest relative error of a quantile, unless it is below [`Self::MIN_VALUE`].
    pub const ALPHA: f64 = 0.01;
    /// Smaller values count as 0: durations below a microsecond do not occur.
    pub const MIN_VALUE: f64 = 1e-3;
    /// Larger values count as this.
    pub const MAX_VALUE: f64 = MAX_DURATION_MS;

    /// `ln(gamma)`, as a literal because `ln` cannot be used in constants.
    const LN_GAMMA: f64 = 0.020_000_666_706_669_52;
    /// The exponent of the bin of `MIN_VALUE`, which is number 1; number 0 is the bin of zero.
    const FIRST_EXPONENT: i32 = -345;
    /// The exponent of the bin of `MAX_VALUE`.
    const LAST_EXPONENT: i32 = 1011;
    /// One for each exponent, and one for zero.
    const BINS: u16 = 1_358;

    pub fn add(&mut self, value: f64, weight: Weight) {
        self.bins.add(Self::bin(value), weight.units());
    }

    pub fn merge(&mut self, other: &Self) {
        self.bins.merge(&other.bins);
    }

    /// The smallest value such that the values up to it have the share `q` of the weight.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.bins.quantile(q).map(Self::estimate)
    }

    /// Each value that was observed, as its bin estimates it, and its weight; the smallest first.
    pub(super) fn values(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bins.iter().map(|(bin, units)| (Self::estimate(bin), units))
    }

    /// NaN and negative values count as zero; no valid observation has such a duration.
    fn bin(value: f64) -> u16 {
        if value >= Self::MIN_VALUE {
            let exponent = (value.min(Self::MAX_VALUE).ln() / Self::LN_GAMMA).ceil();
            // All these numbers are small and whole, so that the difference is exact.
            let first = f64::from(Self::FIRST_EXPONENT);
            let exponent = exponent.clamp(first, f64::from(Self::LAST_EXPONENT));
            whole_u16(exponent - first + 1.0)
        } else {
            0
        }
    }

    /// The value with the same relative distance to both ends of the bin: `2 gamma^i / (gamma + 1)`,
    /// which equals `(1 - alpha) gamma^i`.
    fn estimate(bin: u16) -> f64 {
        if bin == 0 {
            return 0.0;
        }
        let exponent = i32::from(bin) - 1 + Self::FIRST_EXPONENT;
        (1.0 - Self::ALPHA) * (f64::from(exponent) * Self::LN_GAMMA).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::Sketch;

    #[test]
    fn the_literal_constants_equal_their_definitions() {
        let ln_gamma = ((1.0 + Sketch::ALPHA) / (1.0 - Sketch::ALPHA)).ln();
        assert!((ln_gamma / Sketch::LN_GAMMA - 1.0).abs() < 1e-14);
        let exponents = Sketch::LAST_EXPONENT - Sketch::FIRST_EXPONENT + 1;
        assert_eq!(i32::from(Sketch::BINS), exponents + 1);
        assert_eq!(Sketch::bin(Sketch::MIN_VALUE), 1);
        assert_eq!(Sketch::bin(Sketch::MIN_VALUE * 0.999), 0);
        assert_eq!(Sketch::bin(Sketch::MAX_VALUE), Sketch::BINS - 1);
        assert_eq!(Sketch::bin(f64::INFINITY), Sketch::BINS - 1);
        assert_eq!(Sketch::bin(f64::NAN), 0);
    }

    #[test]
    fn an_empty_sketch_has_no_quantiles() {
        assert_eq!(Sketch::default().quantile(0.5), None);
    }
}
