//! Observations that match no arm, and arms without observations.

use serde::{Deserialize, Serialize};

use super::Check;
use crate::tuning::TuningInput;

/// The components that are kept by name.
const NAMED: usize = 5;
/// The characters of a component that a text shows, and that are compared with the arms.
const SHOWN: usize = 80;

/// The components that name the active version and are not the component of an arm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmatched {
    /// The number of these components.
    pub components: u64,
    /// The number of their observations.
    pub n: u64,
    /// Those with the most observations.
    pub most: Vec<UnmatchedComponent>,
}

/// A component that is not the component of an arm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmatchedComponent {
    pub component: String,
    pub n: u64,
    /// The component of the arm with the most similar name.
    pub nearest: Option<String>,
}

impl Unmatched {
    /// `found` are all components that name the active version with their numbers of observations;
    /// `arms` are the components of the arms.
    pub fn of<'a>(found: impl IntoIterator<Item = (&'a str, u64)>, arms: &[String]) -> Self {
        let is_arm = |component: &str| arms.iter().any(|arm| arm == component);
        let mut all: Vec<(&str, u64)> =
            found.into_iter().filter(|(component, n)| *n > 0 && !is_arm(component)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let components = u64::try_from(all.len()).unwrap_or(u64::MAX);
        let n = all.iter().map(|(_, n)| n).sum();
        let most = all.into_iter().take(NAMED).map(|(component, n)| UnmatchedComponent {
            component: component.to_owned(),
            n,
            nearest: nearest(component, arms).map(str::to_owned),
        });
        Self { components, n, most: most.collect() }
    }

    /// `"router:gpt-5 " (1200, nearest arm router:gpt-5)`, for each.
    fn list(&self) -> String {
        let one = |it: &UnmatchedComponent| {
            let shown: String = it.component.chars().take(SHOWN).collect();
            let nearest = it.nearest.as_ref().map_or_else(
                || "similar to no arm".to_owned(),
                |arm| format!("nearest arm {arm:?}"),
            );
            format!("{shown:?} ({}, {nearest})", it.n)
        };
        let named: Vec<String> = self.most.iter().map(one).collect();
        let more = self.components.saturating_sub(u64::try_from(named.len()).unwrap_or(0));
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", named.join(", "))
    }

    /// What to say about them; `None` if there are none.
    fn note(&self, version: &str) -> Option<String> {
        (self.n > 0).then(|| {
            format!(
                "{} observations that name {version} match no arm: {}; fix the component's name, or \
                 the arm's name in modelWeights",
                self.n,
                self.list()
            )
        })
    }
}

/// The arms with a weight above 0 and without any observation.
fn unobserved(input: &TuningInput) -> Vec<(&str, f64)> {
    let without = |arm: &str| {
        input.arms.get(arm).is_none_or(|it| it.samples.success.is_empty() && it.n() == 0)
    };
    let used = input.weights.iter().filter(|(arm, weight)| **weight > 0.0 && without(arm));
    used.map(|(arm, weight)| (arm.as_str(), *weight)).collect()
}

fn unobserved_note(input: &TuningInput) -> Option<String> {
    let found = unobserved(input);
    let list: Vec<String> = found
        .iter()
        .map(|(arm, weight)| {
            let component = input.config.component_of(arm);
            format!("{arm} (weight {weight:.3}, component {component:?})")
        })
        .collect();
    (!list.is_empty()).then(|| format!("without any observation: {}", list.join(", ")))
}

/// What to add to a reason: the observations that match no arm, and the arms without observations.
pub(in crate::tuning) fn notes(input: &TuningInput) -> [Option<String>; 2] {
    [input.signals.unmatched.note(&input.parent.to_string()), unobserved_note(input)]
}

/// Whether every component that names the active version is that of an arm. Other components may
/// name it, too; the check fails only if one of them looks like an arm, or an arm lacks observations.
pub(in crate::tuning) fn matched(input: &TuningInput) -> Check {
    let name = "components".to_owned();
    let unmatched = &input.signals.unmatched;
    let Some(detail) = unmatched.note(&input.parent.to_string()) else {
        let (passed, detail) = match input.routed {
            Some(_) => {
                (Some(true), "every component that names the active version is that of an arm")
            }
            None => (None, "too many components name the active version to count them separately"),
        };
        return Check { name, passed, detail: detail.to_owned() };
    };
    let resembles = unmatched.most.iter().any(|it| it.nearest.is_some());
    let passed = !resembles && unobserved(input).is_empty();
    Check { name, passed: Some(passed), detail }
}

/// Whether each arm with a weight above 0 has observations.
pub(in crate::tuning) fn observed(input: &TuningInput) -> Check {
    let note = unobserved_note(input);
    let passed = Some(note.is_none());
    let all = || "each arm with a weight above 0 has observations".to_owned();
    Check { name: "observedArms".to_owned(), passed, detail: note.unwrap_or_else(all) }
}

/// The most similar of the arms' components: equal except for spaces at the ends and case; or one
/// continues the other, with the longest common part; or they differ in few characters.
fn nearest<'a>(component: &str, arms: &'a [String]) -> Option<&'a str> {
    let plain = |text: &str| text.trim().to_lowercase().chars().take(SHOWN).collect::<Vec<_>>();
    let own = plain(component);
    let rank = |arm: &str| {
        let arm = plain(arm);
        let longer = own.len().max(arm.len());
        if own == arm {
            return Some((0, 0));
        }
        if !arm.is_empty() && !own.is_empty() && (own.starts_with(&arm) || arm.starts_with(&own)) {
            return Some((1, longer - own.len().min(arm.len())));
        }
        let distance = edit_distance(&own, &arm);
        (distance <= (longer / 5).max(2) && distance < longer).then_some((2, distance))
    };
    let ranked = arms.iter().filter_map(|arm| Some((rank(arm)?, arm.as_str())));
    ranked.min().map(|(_, arm)| arm)
}

/// The number of characters to insert, delete or replace (Levenshtein).
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arms() -> Vec<String> {
        ["router:gpt-5", "router:gpt-5-mini", "router:gemini", "router:claude"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn the_nearest_arm_of_a_wrong_name_is_found() {
        let arms = arms();
        for (wrong, right) in [
            ("router:gpt-5 ", Some("router:gpt-5")),
            ("Router:GPT-5", Some("router:gpt-5")),
            ("router:gpt-5-2025-08-07", Some("router:gpt-5")),
            ("router:gpt-5-mini-2025", Some("router:gpt-5-mini")),
            ("router:gemni", Some("router:gemini")),
            ("router-claude", Some("router:claude")),
            ("tool:web-search", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, &arms), right, "{wrong:?}");
        }
    }

    #[test]
    fn components_without_an_arm_are_counted_and_the_largest_are_named() {
        let names: Vec<String> = (0..9).map(|n| format!("tool:{n}")).collect();
        let tools = names.iter().zip(1..).map(|(name, n)| (name.as_str(), n));
        let all = tools.chain([("router:gpt-5", 500), ("router:gpt-5 ", 1_200)]);
        let found = Unmatched::of(all, &arms());
        assert_eq!((found.components, found.n, found.most.len()), (10, 1_245, 5));
        let note = found.note("1.0.0").unwrap();
        for part in [
            "1245 observations that name 1.0.0 match no arm",
            r#""router:gpt-5 " (1200, nearest arm "router:gpt-5")"#,
            "and 5 more",
        ] {
            assert!(note.contains(part), "{part} in {note}");
        }
        assert_eq!(Unmatched::default().note("1.0.0"), None);
    }
}
