//! Quantiles of durations within a stated relative error, in bounded memory.

use serde::{Deserialize, Serialize};

use crate::bins::Bins;
use crate::observation::{MAX_DURATION_MS, Weight};

/// A DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with
/// relative-error guarantees", PVLDB 12(12), 2019), weighted.
///
/// A value x > 0 goes into bin `ceil(log_gamma(x))` with `gamma = (1 + alpha) / (1 - alpha)`; a
/// bin's estimate lies within alpha of everything in it. The paper collapses bins to bound memory,
/// at the price of the guarantee; durations have a range of their own, so here the range is fixed
/// and the guarantee holds throughout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sketch {
    bins: Bins<{ Sketch::BINS }>,
}

impl Sketch {
    /// A quantile is off by at most this share of the true value ...
    pub const ALPHA: f64 = 0.01;
    /// ... unless it is smaller than this, which reads as 0: a microsecond is no duration that
    /// anybody measures here.
    pub const MIN_VALUE: f64 = 1e-3;
    /// Anything longer counts as this.
    pub const MAX_VALUE: f64 = MAX_DURATION_MS;

    /// `ln(gamma)`, written out because `ln` is not available to constants.
    const LN_GAMMA: f64 = 0.020_000_666_706_669_52;
    /// The exponent of `MIN_VALUE`'s bin, which is number 1; number 0 is for zero.
    const FIRST_EXPONENT: i32 = -345;
    /// The exponent of `MAX_VALUE`'s bin.
    const LAST_EXPONENT: i32 = 1011;
    const BINS: u16 = (Self::LAST_EXPONENT - Self::FIRST_EXPONENT + 2) as u16;

    pub fn add(&mut self, value: f64, weight: Weight) {
        self.bins.add(Self::bin(value), weight.units());
    }

    pub fn merge(&mut self, other: &Self) {
        self.bins.merge(&other.bins);
    }

    /// The smallest value such that values up to it make up the share `q` of the weight.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.bins.quantile(q).map(Self::estimate)
    }

    /// NaN and whatever is negative would count as zero; no valid observation has such a duration.
    fn bin(value: f64) -> u16 {
        if value >= Self::MIN_VALUE {
            let exponent = (value.min(Self::MAX_VALUE).ln() / Self::LN_GAMMA).ceil() as i32;
            let exponent = exponent.clamp(Self::FIRST_EXPONENT, Self::LAST_EXPONENT);
            (exponent - Self::FIRST_EXPONENT + 1) as u16
        } else {
            0
        }
    }

    /// The point that is equally far, in relative terms, from both ends of the bin:
    /// `2 gamma^i / (gamma + 1)`, which is `(1 - alpha) gamma^i`.
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
    fn the_written_out_constants_are_what_they_say() {
        let ln_gamma = ((1.0 + Sketch::ALPHA) / (1.0 - Sketch::ALPHA)).ln();
        assert!((ln_gamma / Sketch::LN_GAMMA - 1.0).abs() < 1e-14);
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
