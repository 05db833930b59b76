//! Which units the candidate has.

use sha2::{Digest as _, Sha256};

/// Whether the candidate of `experiment` has this unit (a user, a session, a request), given the
/// `share` of units that it is to have, 0 to 1.
///
/// The rule, for any language: the first four bytes of the SHA-256 of `{experiment}:{unit}` in
/// UTF-8, read as a big-endian number and divided by 2^32, are below the share. A unit that has the
/// candidate keeps it while the share rises, and units meet each experiment anew.
pub fn takes_candidate(experiment: &str, unit: &str, share: f64) -> bool {
    let mut hash = Sha256::new();
    hash.update(experiment.as_bytes());
    hash.update(b":");
    hash.update(unit.as_bytes());
    let hash = hash.finalize();
    let number = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    f64::from(number) / 2_f64.powi(32) < share
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rule_is_the_one_that_is_written_down() {
        // python3: int(hashlib.sha256("e1:unit-7".encode()).hexdigest()[:8], 16) / 2**32
        for (unit, number) in [("unit-7", 0.027_045), ("unit-8", 0.972_430), ("ünit", 0.055_239)] {
            assert!(!takes_candidate("e1", unit, number), "{unit}");
            assert!(takes_candidate("e1", unit, number + 1e-6), "{unit}");
        }
    }

    #[test]
    fn the_share_is_kept_whatever_the_experiment() {
        for experiment in ["a", "b"] {
            for share in [0.1, 0.25, 0.5] {
                let taken = (0..20_000)
                    .filter(|unit| takes_candidate(experiment, &format!("user-{unit}"), share));
                let found = taken.count() as f64 / 20_000.0;
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
