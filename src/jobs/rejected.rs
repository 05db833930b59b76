//! Invalid observations, by the component that sent them.

use std::collections::BTreeMap;
use std::ops::Deref;

use super::score::scored::Scored;

/// Components that a report names; those beyond it are not listed.
const MAX_NAMED: usize = 1_000;

/// How many each component sent; under the empty name those without a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected(BTreeMap<String, u64>);

impl Rejected {
    /// Counts the invalid ones among these items, and returns how many they are.
    pub(super) fn count(&mut self, items: &[Scored<'_>]) -> u64 {
        let mut counted = 0;
        for invalid in items.iter().filter_map(Scored::invalid) {
            self.count_one(invalid.origin.component.as_deref());
            counted += 1;
        }
        counted
    }

    fn count_one(&mut self, component: Option<&str>) {
        let name = component.unwrap_or_default();
        if let Some(count) = self.0.get_mut(name) {
            *count += 1;
        } else if self.0.len() < MAX_NAMED {
            self.0.insert(name.to_owned(), 1);
        }
    }
}

impl Deref for Rejected {
    type Target = BTreeMap<String, u64>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_named_up_to_a_bound_and_named_ones_are_still_counted() {
        let mut rejected = Rejected::default();
        rejected.count_one(None);
        for number in 0..2 * MAX_NAMED {
            rejected.count_one(Some(&number.to_string()));
        }
        rejected.count_one(Some("0"));
        assert_eq!((rejected.len(), rejected[""], rejected["0"]), (MAX_NAMED, 1, 2));
    }
}
