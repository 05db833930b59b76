//! The scenarios, by name.

use super::truth::Truth;
use crate::number::Lossy;

/// A simulated world with several arms.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// A short description.
    pub about: &'static str,
    /// The number of arms, unless the caller asks for another.
    pub arms: usize,
    /// The share of successes that components record.
    pub success_rate: f64,
    /// The share of observations that arrive late, and by how many hours at most.
    pub late: (f64, u32),
    truth: fn(Place) -> Truth,
}

/// An arm at a time.
#[derive(Clone, Copy, Debug)]
struct Place {
    arm: usize,
    arms: usize,
    /// Hours since the beginning.
    hour: f64,
    /// The length of the simulation in hours.
    hours: f64,
}

impl Place {
    /// 0 for the best arm, 1 for the worst, with even steps between. The best arm is the second by
    /// name, so that always selecting the first arm does not succeed.
    fn rank(self) -> f64 {
        let from_best = (self.arm + self.arms - 1) % self.arms;
        from_best.to_f64() / (self.arms - 1).max(1).to_f64()
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
    about: "arms that do not change; the success rate of the best is 5 to 15 points above the others",
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
        about: "half way through, the best arm becomes the worst from one hour to the next",
        arms: 3,
        truth: |at| match at.is_best() {
            true => succeeding(if at.progress() < 0.5 { 0.95 } else { 0.70 }),
            false => succeeding(0.88 - 0.04 * at.rank()),
        },
        ..PLAIN
    },
    Scenario {
        name: "drift",
        about: "the best arm gets worse gradually, and another becomes the best",
        arms: 3,
        truth: |at| match at.is_best() {
            true => succeeding(0.97 - 0.25 * at.progress()),
            false => succeeding(0.89 - 0.05 * at.rank()),
        },
        ..PLAIN
    },
    Scenario {
        name: "seasonal",
        about: "all arms do better by day than by night; the best arm does not change",
        truth: |at| {
            let day = 0.05 * (at.hour / 24.0 * std::f64::consts::TAU).sin();
            let base = if at.is_best() { 0.92 } else { 0.85 - 0.06 * at.rank() };
            succeeding(base + day)
        },
        ..PLAIN
    },
    Scenario {
        name: "late",
        about: "as stationary, and a fifth of the observations arrive up to six hours late",
        late: (0.2, 6),
        ..PLAIN
    },
    Scenario {
        name: "heavy",
        about: "the arms differ in the heavy tail of their durations",
        arms: 3,
        truth: |at| {
            let spread = if at.is_best() { 0.5 } else { 1.6 };
            Truth { success: 0.95, median_ms: 1_000.0, spread, cost_usd: 0.01 }
        },
        ..PLAIN
    },
    Scenario {
        name: "dying",
        about: "after a third of the time the best arm starts to fail nearly always",
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

    /// The truth of an arm, `hour` hours after the beginning of a simulation of `hours` hours.
    pub fn truth(&self, arm: usize, arms: usize, hour: f64, hours: f64) -> Truth {
        (self.truth)(Place { arm, arms, hour, hours })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::RewardConfig;

    #[test]
    fn every_scenario_is_valid_at_every_hour() {
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
    fn the_best_arm_changes_exactly_in_the_changing_scenarios() {
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
