//! Conversions between numbers that `From` and `TryFrom` do not offer.
//!
//! Counts are kept as integers so that sums are exact, and estimates are computed in floating
//! point. Every conversion that may round or saturate is here, and states which.

/// A number that may be too large for an exact `f64`.
pub(crate) trait Lossy {
    /// The nearest `f64`. Exact up to 2^53; beyond, the relative error is at most 2^-53.
    fn to_f64(self) -> f64;
}

macro_rules! lossy {
    ($($number:ty),+) => {$(
        impl Lossy for $number {
            #[expect(
                clippy::cast_precision_loss,
                reason = "an error of 2^-53 is far below that of any estimate"
            )]
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )+};
}

lossy!(usize, u64, i64, u128);

macro_rules! whole {
    ($($name:ident, $number:ty, [$($lint:path),+];)+) => {$(
        /// The value without its fraction. A value outside of the range becomes the nearer end of
        /// it, and NaN becomes 0.
        #[expect($($lint),+, reason = "drops the fraction and saturates, as documented")]
        pub(crate) const fn $name(value: f64) -> $number {
            value as $number
        }
    )+};
}

whole! {
    whole_i32, i32, [clippy::cast_possible_truncation];
    whole_i64, i64, [clippy::cast_possible_truncation];
    whole_u16, u16, [clippy::cast_possible_truncation, clippy::cast_sign_loss];
    whole_u64, u64, [clippy::cast_possible_truncation, clippy::cast_sign_loss];
    whole_u128, u128, [clippy::cast_possible_truncation, clippy::cast_sign_loss];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_integers_become_the_nearest_double() {
        assert_eq!(((1_u64 << 53) + 1).to_f64(), 9_007_199_254_740_992.0);
        assert_eq!(u128::MAX.to_f64(), 2_f64.powi(128));
        assert_eq!((-3_i64).to_f64(), -3.0);
    }

    #[test]
    fn doubles_outside_of_the_range_become_the_nearer_end() {
        assert_eq!((whole_u16(7.9), whole_u16(-1.0), whole_u16(1e9)), (7, 0, u16::MAX));
        assert_eq!((whole_u64(f64::NAN), whole_u128(-1.0)), (0, 0));
        assert_eq!((whole_i32(f64::NAN), whole_i32(-1e300)), (0, i32::MIN));
        assert_eq!((whole_i64(-1e300), whole_i64(1e300)), (i64::MIN, i64::MAX));
    }
}
