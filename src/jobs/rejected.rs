//! What a pass counted by component: valid observations, invalid ones, and malformed fields.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use super::score::scored::Scored;
use crate::observability::metrics::Volume;

/// Components that a report names; those beyond it are not listed.
const MAX_NAMED: usize = 1_000;

/// The name of all others. It has no meaning where a component has it, too.
const OTHERS: &str = "other";

/// The valid observations of each component.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volumes(BTreeMap<String, Volume>);

impl Volumes {
    pub(super) fn count(&mut self, items: &[Scored<'_>]) {
        for item in items {
            let Scored::Valid { observation, .. } = item else { continue };
            let component = &observation.component;
            if let Some(volume) = self.0.get_mut(component) {
                volume.add(observation);
            } else {
                // Those beyond the bound are counted together.
                let has_room = self.0.len() < MAX_NAMED;
                let name = if has_room { component.clone() } else { OTHERS.to_owned() };
                self.0.entry(name).or_default().add(observation);
            }
        }
    }
}

impl Deref for Volumes {
    type Target = BTreeMap<String, Volume>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// How many each component sent; under the empty name those without a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected(BTreeMap<String, u64>);

impl Rejected {
    /// Counts the invalid ones among these items, and returns how many they are.
    pub(super) fn count(&mut self, items: &[Scored<'_>]) -> u64 {
        let mut counted = 0;
        for invalid in items.iter().filter_map(Scored::invalid) {
            add(&mut self.0, invalid.origin.component.as_deref().unwrap_or_default(), 1);
            counted += 1;
        }
        counted
    }
}

fn add(counts: &mut BTreeMap<String, u64>, component: &str, count: u64) {
    if let Some(counted) = counts.get_mut(component) {
        *counted += count;
    } else if counts.len() < MAX_NAMED {
        counts.insert(component.to_owned(), count);
    }
}

/// The malformed fields of valid observations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MalformedFields {
    /// How many each component sent.
    pub by_component: BTreeMap<String, u64>,
    /// How often each field was malformed.
    pub by_field: BTreeMap<&'static str, u64>,
}

impl MalformedFields {
    pub(super) fn count(&mut self, items: &[Scored<'_>]) {
        for item in items {
            let Scored::Valid { observation, .. } = item else { continue };
            if observation.malformed.is_empty() {
                continue;
            }
            add(&mut self.by_component, &observation.component, observation.malformed.count());
            for field in observation.malformed.fields() {
                *self.by_field.entry(field).or_default() += 1;
            }
        }
    }
}

/// `; malformed fields: durationMs 3, errorCode 1`; nothing if there are none.
impl fmt::Display for MalformedFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (field, count)) in self.by_field.iter().enumerate() {
            let before = if index == 0 { "; malformed fields:" } else { "," };
            write!(f, "{before} {field} {count}")?;
        }
        Ok(())
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
        add(&mut rejected.0, "", 1);
        for number in 0..2 * MAX_NAMED {
            add(&mut rejected.0, &number.to_string(), 1);
        }
        add(&mut rejected.0, "0", 1);
        assert_eq!((rejected.len(), rejected[""], rejected["0"]), (MAX_NAMED, 1, 2));
    }
}
