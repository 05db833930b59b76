//! Which arms are left out for some time after an error.

use std::collections::{BTreeMap, HashMap};

use f0_learning_core::policy::{Arm, draw_arm, draw_arm_of_unit};

/// What decides between the arms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DrawBy<'a> {
    /// A number that is uniform in `[0, 1)`.
    Random(f64),
    /// A unit (a user, a session), which keeps its arm as long as the weights allow.
    Unit(&'a str),
}

/// A drawn arm, and whether it was drawn by the weights of the policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    pub arm: Arm,
    /// Whether the observation may name the version of the policy. While an arm cools down, the others
    /// get its share, and their results must not be compared as if the weights had chosen them.
    pub by_weights: bool,
}

/// The arms that cool down: after `params.cooldownAfter` errors in a row that `params.fallbackOn` lists (1
/// if it is absent), an arm is left out for `params.cooldownMs`. Times are epoch milliseconds, given by the
/// caller.
///
/// The rule, for any language: draw among the arms with a weight above 0 that neither cool down nor
/// failed in this request, in proportion to their weights. If all the others cool down, draw among them.
/// `clients/vectors.json` has examples.
#[derive(Clone, Debug, Default)]
pub struct Cooldowns {
    until: HashMap<String, i64>,
    failures: HashMap<String, u32>,
}

impl Cooldowns {
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a listed error of `arm`. The `after`th in a row leaves the arm out until
    /// `now + cooldown_ms`, or until later if an earlier error asked for that.
    pub fn failed(&mut self, arm: &str, cooldown_ms: i64, after: u32, now: i64) {
        let failures = self.failures.entry(arm.to_owned()).or_default();
        *failures += 1;
        if *failures >= after && cooldown_ms > 0 {
            *failures = 0;
            let until = now.saturating_add(cooldown_ms);
            let stored = self.until.entry(arm.to_owned()).or_insert(until);
            *stored = until.max(*stored);
        }
    }

    /// Counts a call of `arm` that had no listed error.
    pub fn succeeded(&mut self, arm: &str) {
        self.failures.remove(arm);
    }

    pub fn cools(&self, arm: &str, now: i64) -> bool {
        self.until.get(arm).is_some_and(|until| *until > now)
    }

    /// Draws an arm that is not in `without`. `None` if no arm with a weight above 0 is left.
    pub fn draw(
        &self,
        weights: &BTreeMap<String, f64>,
        now: i64,
        by: DrawBy<'_>,
        without: &[&str],
    ) -> Option<Drawn> {
        let used: Vec<_> = weights.iter().filter(|(_, weight)| **weight > 0.0).collect();
        let is_left = |(arm, _): &(&String, &f64)| !without.contains(&arm.as_str());
        let left: Vec<_> = used.iter().copied().filter(is_left).collect();
        let is_awake = |(arm, _): &(&String, &f64)| !self.cools(arm, now);
        let awake: Vec<_> = left.iter().copied().filter(is_awake).collect();
        let from = if awake.is_empty() { left } else { awake };
        let by_weights = from.len() == used.len();
        let total = if by_weights { 1.0 } else { from.iter().map(|(_, weight)| **weight).sum() };
        let shares: BTreeMap<String, f64> =
            from.into_iter().map(|(arm, weight)| (arm.clone(), weight / total)).collect();
        let arm = match by {
            DrawBy::Random(u) => draw_arm(&shares, u),
            DrawBy::Unit(unit) => draw_arm_of_unit(&shares, unit),
        }?;
        Some(Drawn { arm, by_weights })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> BTreeMap<String, f64> {
        [("a", 0.5), ("b", 0.25), ("c", 0.25)].map(|(arm, it)| (arm.to_owned(), it)).into()
    }

    fn drawn(cooldowns: &Cooldowns, now: i64, u: f64, without: &[&str]) -> (String, f64, bool) {
        let drawn = cooldowns.draw(&weights(), now, DrawBy::Random(u), without).unwrap();
        (drawn.arm.name, drawn.arm.weight, drawn.by_weights)
    }

    #[test]
    fn an_arm_that_cools_down_gives_its_share_to_the_others() {
        let mut cooldowns = Cooldowns::new();
        assert_eq!(drawn(&cooldowns, 0, 0.1, &[]), ("a".to_owned(), 0.5, true));
        cooldowns.failed("a", 100, 1, 0);
        assert_eq!(drawn(&cooldowns, 99, 0.1, &[]), ("b".to_owned(), 0.5, false));
        assert_eq!(drawn(&cooldowns, 100, 0.1, &[]), ("a".to_owned(), 0.5, true));
    }

    #[test]
    fn a_shorter_cooldown_does_not_end_a_longer_one() {
        let mut cooldowns = Cooldowns::new();
        cooldowns.failed("a", 100, 1, 0);
        cooldowns.failed("a", 10, 1, 0);
        assert!(cooldowns.cools("a", 50));
    }

    #[test]
    fn errors_cool_an_arm_down_only_in_a_row() {
        let mut cooldowns = Cooldowns::new();
        for _ in 0..5 {
            cooldowns.failed("a", 100, 2, 0);
            cooldowns.succeeded("a");
        }
        assert!(!cooldowns.cools("a", 0));
        cooldowns.failed("a", 100, 2, 0);
        cooldowns.failed("a", 100, 2, 0);
        assert!(cooldowns.cools("a", 0));
    }

    #[test]
    fn if_all_arms_cool_down_all_are_drawn_from() {
        let mut cooldowns = Cooldowns::new();
        for arm in ["a", "b", "c"] {
            cooldowns.failed(arm, 100, 1, 0);
        }
        assert_eq!(drawn(&cooldowns, 0, 0.1, &[]), ("a".to_owned(), 0.5, true));
        assert_eq!(drawn(&cooldowns, 0, 0.1, &["a"]), ("b".to_owned(), 0.5, false));
        let by = DrawBy::Random(0.1);
        assert_eq!(cooldowns.draw(&weights(), 0, by, &["a", "b", "c"]), None);
    }
}
