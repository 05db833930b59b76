//! Drawing an arm by its weight, with the same rule in every component, simulation and language.

use std::collections::BTreeMap;

use crate::hash::sha256;
use crate::number::Lossy;

/// A drawn arm.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    pub name: String,
    /// The probability with which it was drawn: its propensity.
    pub weight: f64,
}

/// The index that `u`, uniform in `[0, 1)`, selects: the first index at which the sum of the weights
/// up to and including it exceeds `u`. If rounding leaves the total below `u`, the last index with a
/// weight above 0. An index with weight 0 is never drawn; `None` if no weight is above 0.
pub fn draw_index(weights: impl IntoIterator<Item = f64>, u: f64) -> Option<usize> {
    let mut left = u;
    let mut last = None;
    for (index, weight) in weights.into_iter().enumerate() {
        if weight > 0.0 {
            last = Some(index);
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
    }
    last
}

/// The arm that `u`, uniform in `[0, 1)`, selects, with the arms sorted by name.
pub fn draw_arm(weights: &BTreeMap<String, f64>, u: f64) -> Option<Arm> {
    let index = draw_index(weights.values().copied(), u)?;
    let (name, weight) = weights.iter().nth(index)?;
    Some(Arm { name: name.clone(), weight: *weight })
}

/// The arm of a unit (a user, a session), which keeps it as long as the weights allow: when weights
/// change, units move only from arms that lose weight to arms that gain it, and no more than needed.
/// Over many units, each arm gets its weight. `None` if no weight is above 0.
///
/// The rule, for any language (weighted rendezvous hashing; Thaler and Ravishankar, IEEE/ACM Transactions
/// on Networking 1998): for each arm with a weight above 0, take the first eight bytes of the SHA-256 of
/// `{unit}:{arm}` in UTF-8, read them as a big-endian number, shift it right by 11 bits, add 0.5 and
/// divide by 2^53. That is u, and the arm's score is -ln(u) / weight. The unit gets the arm with the lowest
/// score. `clients/vectors.json` has examples.
pub fn draw_arm_of_unit(weights: &BTreeMap<String, f64>, unit: &str) -> Option<Arm> {
    let used = weights.iter().filter(|(_, weight)| **weight > 0.0);
    let scored = used.map(|(name, weight)| (score(unit, name) / weight, name, weight));
    let (_, name, weight) = scored.min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Arm { name: name.clone(), weight: *weight })
}

/// An exponentially distributed number with the mean 1, by unit and arm.
fn score(unit: &str, arm: &str) -> f64 {
    let hash = sha256(&[unit.as_bytes(), b":", arm.as_bytes()]);
    let [a, b, c, d, e, f, g, h, ..] = hash;
    let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 11;
    -libm::log((number.to_f64() + 0.5) / 2_f64.powi(53))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arms_are_drawn_in_the_order_of_their_names_by_their_weights() {
        let weights = [("a", 0.25), ("b", 0.0), ("c", 0.75)].map(|(arm, it)| (arm.to_owned(), it));
        let weights = BTreeMap::from(weights);
        for (u, name) in [(0.0, "a"), (0.2499, "a"), (0.25, "c"), (0.9999, "c"), (1.0, "c")] {
            assert_eq!(draw_arm(&weights, u).unwrap().name, name, "{u}");
        }
        assert_eq!(draw_arm(&BTreeMap::new(), 0.5), None);
    }

    fn weights(of: &[(&str, f64)]) -> BTreeMap<String, f64> {
        of.iter().map(|(arm, weight)| ((*arm).to_owned(), *weight)).collect()
    }

    fn arm_of(weights: &BTreeMap<String, f64>, unit: u32) -> String {
        draw_arm_of_unit(weights, &format!("user-{unit}")).unwrap().name
    }

    #[test]
    fn each_arm_gets_its_weight_of_the_units() {
        let weights = weights(&[("claude", 0.15), ("gemini", 0.25), ("gpt-5", 0.6), ("old", 0.0)]);
        let mut counts: BTreeMap<String, f64> = BTreeMap::new();
        for unit in 0..20_000 {
            *counts.entry(arm_of(&weights, unit)).or_default() += 1.0;
        }
        for (arm, weight) in weights {
            let share = counts.get(&arm).copied().unwrap_or_default() / 20_000.0;
            // Five standard errors of a fair draw.
            let error = 5.0 * (weight * (1.0 - weight) / 20_000.0).sqrt();
            assert!((share - weight).abs() <= error, "{arm}: {share} instead of {weight}");
        }
    }

    #[test]
    fn units_move_only_from_arms_that_lose_weight_and_no_more_than_needed() {
        let before = weights(&[("a", 0.5), ("b", 0.3), ("c", 0.2)]);
        let after = weights(&[("a", 0.4), ("b", 0.3), ("c", 0.3)]);
        let moved: Vec<(String, String)> = (0..20_000)
            .map(|unit| (arm_of(&before, unit), arm_of(&after, unit)))
            .filter(|(from, to)| from != to)
            .collect();
        assert!(moved.iter().all(|(from, to)| from == "a" || to == "c"), "{moved:?}");
        let share = moved.len().to_f64() / 20_000.0;
        assert!((0.09..0.14).contains(&share), "{share} of the units move, at least 0.1 must");
    }

    #[test]
    fn the_rule_gives_the_published_vectors() {
        let vectors = include_str!("../../../../clients/vectors.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        for case in vectors["units"].as_array().unwrap() {
            let weights: BTreeMap<String, f64> =
                serde_json::from_value(case["weights"].clone()).unwrap();
            let found = draw_arm_of_unit(&weights, case["unit"].as_str().unwrap()).unwrap();
            assert_eq!(found.name, case["arm"].as_str().unwrap(), "{case}");
        }
    }

    proptest! {
        #[test]
        fn an_arm_without_weight_is_never_drawn(
            weights in prop::collection::vec(prop_oneof![Just(0.0), 0.0..1.0], 0..8), u in 0.0..1.0,
        ) {
            match draw_index(weights.iter().copied(), u) {
                Some(index) => prop_assert!(weights[index] > 0.0),
                None => prop_assert!(weights.iter().all(|weight| *weight == 0.0)),
            }
        }
    }
}
