//! The worlds, by name.

use super::truth::Truth;

/// A world of several arms.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// What it is like, in a few words.
    pub about: &'static str,
    /// How many arms it has where nobody asks for another number.
    pub arms: usize,
    /// The share of successes that components record.
    pub success_rate: f64,
    /// The share of observations that arrive late, up to so many hours.
    pub late: (f64, u32),
    truth: fn(Place) -> Truth,
}

/// Which arm, when.
#[derive(Clone, Copy, Debug)]
struct Place {
    arm: usize,
    arms: usize,
    /// Hours since the beginning, and in all.
    hour: f64,
    hours: f64,
}

impl Place {
    /// 0 for the best arm, 1 for the worst, even steps between. The best is the second by name, so
    /// that nothing is won by taking the first.
    fn rank(self) -> f64 {
        let from_best = (self.arm + self.arms - 1) % self.arms;
        from_best as f64 / (self.arms - 1).max(1) as f64
    }

    /// 0 at the beginning, 1 at the end.
    fn progress(self) -> f64 {
        (self.hour / self.hours).clamp(0.0, 1.0)
    }

    fn is_best(self) -> bool {
        self.arm == 1 % self.arms
    }
}

fn succeeding(success: f64) -> Truth {
    Truth { success, ..Truth::USUAL }
}

const PLAIN: Scenario = Scenario {
    name: "stationary",
    about: "arms that stay as they are, the best 5 to 15 points above the others in success",
    arms: 4,
    success_rate: 1.0,
    late: (0.0, 0),
    truth: |at| {
        if at.is_best() { succeeding(0.95) } else { succeeding(0.90 - 0.10 * at.rank()) }
    },
};

pub const SCENARIOS: [Scenario; 11] = [
    PLAIN,
    Scenario {
        name: "equal",
        about: "arms that do not differ: every proposal is a false one",
        truth: |_| succeeding(0.9),
        ..PLAIN
    },
    Scenario {
        name: "close",
        about: "the best arm is 2 points above the others",
        arms: 3,
        truth: |at| succeeding(if at.is_best() { 0.92 } else { 0.90 }),
        ..PLAIN
    },
    Scenario {
        name: "shift",
        about: "half way the best arm becomes the worst from one hour to the next",
        arms: 3,
        truth: |at| match at.is_best() {
            true => succeeding(if at.progress() < 0.5 { 0.95 } else { 0.70 }),
            false => succeeding(0.88 - 0.04 * at.rank()),
        },
        ..PLAIN
    },
    Scenario {
        name: "drift",
        about: "the best arm gets worse little by little, and is overtaken",
        arms: 3,
        truth: |at| match at.is_best() {
            true => succeeding(0.97 - 0.25 * at.progress()),
            false => succeeding(0.89 - 0.05 * at.rank()),
        },
        ..PLAIN
    },
    Scenario {
        name: "seasonal",
        about: "all arms do better by day than by night, the best always best",
        truth: |at| {
            let day = 0.05 * (at.hour / 24.0 * std::f64::consts::TAU).sin();
            let base = if at.is_best() { 0.92 } else { 0.85 - 0.06 * at.rank() };
            succeeding(base + day)
        },
        ..PLAIN
    },
    Scenario {
        name: "late",
        about: "as stationary, and a fifth of the observations come up to six hours late",
        late: (0.2, 6),
        ..PLAIN
    },
    Scenario {
        name: "heavy",
        about: "durations with a heavy tail, which is what the arms differ in",
        arms: 3,
        truth: |at| {
            let spread = if at.is_best() { 0.5 } else { 1.6 };
            Truth { success: 0.95, median_ms: 1_000.0, spread, cost_usd: 0.01 }
        },
        ..PLAIN
    },
    Scenario {
        name: "dying",
        about: "after a third of the time the best arm fails nearly always",
        arms: 3,
        truth: |at| match at.is_best() {
            true => succeeding(if at.progress() < 1.0 / 3.0 { 0.97 } else { 0.03 }),
            false => succeeding(0.90 - 0.05 * at.rank()),
        },
        ..PLAIN
    },
    Scenario { name: "many", about: "as stationary, with 50 arms", arms: 50, ..PLAIN },
    Scenario {
        name: "sampled",
        about: "as stationary, and a tenth of the successes is recorded",
        success_rate: 0.1,
        ..PLAIN
    },
];

impl Scenario {
    pub fn named(name: &str) -> Option<Self> {
        SCENARIOS.into_iter().find(|scenario| scenario.name == name)
    }

    /// What an arm is like, `hour` hours after the beginning of a simulation that lasts `hours`.
    pub fn truth(&self, arm: usize, arms: usize, hour: f64, hours: f64) -> Truth {
        (self.truth)(Place { arm, arms, hour, hours })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::RewardConfig;

    #[test]
    fn every_scenario_has_a_sound_truth_at_every_hour() {
        for scenario in SCENARIOS {
            assert_eq!(Scenario::named(scenario.name).unwrap().about, scenario.about);
            for arms in [2, scenario.arms] {
                for hour in 0..48 {
                    for arm in 0..arms {
                        let truth = scenario.truth(arm, arms, f64::from(hour), 48.0);
                        assert!((0.0..=1.0).contains(&truth.success), "{} {hour}", scenario.name);
                        let reward = truth.reward(&RewardConfig::default());
                        assert!((0.0..=1.0).contains(&reward), "{} {hour}", scenario.name);
                    }
                }
            }
        }
    }

    #[test]
    fn the_best_arm_changes_where_the_scenario_says_so() {
        let best = |name: &str, hour: f64| {
            let scenario = Scenario::named(name).unwrap();
            let config = RewardConfig::default();
            let of = |arm: usize| scenario.truth(arm, 3, hour, 100.0).reward(&config);
            (0..3).max_by(|a, b| of(*a).total_cmp(&of(*b))).unwrap()
        };
        for (name, changes) in [
            ("stationary", false),
            ("shift", true),
            ("drift", true),
            ("dying", true),
            ("heavy", false),
        ] {
            assert_eq!(best(name, 0.0), 1, "{name}");
            assert_eq!(best(name, 99.0) != 1, changes, "{name}");
        }
    }
}
