//! Drawing an arm by its weight, with the same rule in every component, simulation and language.

use std::collections::BTreeMap;

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
