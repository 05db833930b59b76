//! Which units use the candidate.

use crate::hash::sha256;

/// Whether this unit (a user, a session, a request) uses the candidate of `experiment`, when the
/// candidate is given `share` of all units, 0 to 1.
///
/// The rule, for any language: take the first four bytes of the SHA-256 of `{experiment}:{unit}` in
/// UTF-8, read them as a big-endian number and divide by 2^32. The unit uses the candidate if the
/// result is below the share. A unit that uses the candidate keeps it while the share rises, and
/// each experiment assigns the units independently.
pub fn takes_candidate(experiment: &str, unit: &str, share: f64) -> bool {
    let [a, b, c, d, ..] = sha256(&[experiment.as_bytes(), b":", unit.as_bytes()]);
    f64::from(u32::from_be_bytes([a, b, c, d])) / 2_f64.powi(32) < share
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::number::Lossy;

    #[test]
    fn the_rule_gives_the_documented_numbers() {
        // python3: int(hashlib.sha256("e1:unit-7".encode()).hexdigest()[:8], 16) / 2**32
        for (unit, number) in [("unit-7", 0.027_045), ("unit-8", 0.972_430), ("ünit", 0.055_239)] {
            assert!(!takes_candidate("e1", unit, number), "{unit}");
            assert!(takes_candidate("e1", unit, number + 1e-6), "{unit}");
        }
    }

    #[test]
    fn the_candidate_gets_its_share_of_units_in_every_experiment() {
        for experiment in ["a", "b"] {
            for share in [0.1, 0.25, 0.5] {
                let taken = (0..20_000)
                    .filter(|unit| takes_candidate(experiment, &format!("user-{unit}"), share));
                let found = taken.count().to_f64() / 20_000.0;
                // Five standard errors of a fair draw.
                assert!((found - share).abs() < 5.0 * (share * (1.0 - share) / 2e4).sqrt());
            }
        }
    }

    proptest! {
        #[test]
        fn a_unit_keeps_the_candidate_while_the_share_rises(
            unit in ".*", low in 0.0..1.0_f64, more in 0.0..1.0_f64
        ) {
            let high = low + (1.0 - low) * more;
            prop_assert!(!takes_candidate("e", &unit, low) || takes_candidate("e", &unit, high));
        }
    }
}
