//! Counts a statistic again, from rewards in any order.

use std::collections::{BTreeMap, HashSet};

use crate::store::{CountedReward, Known, Recounted, Rejected, Statistic, Sums};
use f0_learning_core::reward::{Reward, RewardConfig, RewardDetails, ScoredUnder};
use f0_learning_core::stats::Series;

/// The configs whose rewards are counted apart. Beyond them the oldest are left out of the samples, as
/// if they had been replaced.
const CONFIGS: usize = 16;

/// The fingerprint of a config that is not stored any more: no later config has the same.
const UNKNOWN: &str = "unknown";

/// How observations were counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub observations: u64,
    pub rejected: u64,
    /// Of the observations, those that were written again after they were scored: what they were when
    /// they were scored is not stored.
    pub changed: u64,
    /// Of the observations, those of which only the reward is stored: counted without latency, cost,
    /// tokens and weight.
    pub by_reward: u64,
}

impl Totals {
    pub fn add(&mut self, other: Self) {
        self.observations += other.observations;
        self.rejected += other.rejected;
        self.changed += other.changed;
        self.by_reward += other.by_reward;
    }
}

/// A statistic that is being counted again.
#[derive(Clone, Debug)]
pub(super) struct Recount {
    now: i64,
    /// Only documents from this time on are counted.
    from: i64,
    /// What does not depend on a config.
    rest: Sums,
    by_config: BTreeMap<String, Part>,
    pub totals: Totals,
}

/// The rewards of one config.
#[derive(Clone, Debug)]
struct Part {
    sums: Sums,
    /// When the first and the last of its rewards were created, in epoch microseconds.
    first: i64,
    last: i64,
}

impl Recount {
    pub fn new(statistic: &Statistic, from: Option<i64>, now: i64) -> Self {
        Self {
            now,
            from: from.unwrap_or(i64::MIN),
            rest: statistic.no_sums(),
            by_config: BTreeMap::new(),
            totals: Totals::default(),
        }
    }

    pub fn now(&self) -> i64 {
        self.now
    }

    pub fn add(&mut self, counted: &CountedReward, versions: &HashSet<String>) {
        let CountedReward { observation, score, config_version, created, known } = counted;
        if observation.ts < self.from {
            return;
        }
        let details = RewardDetails {
            success_boost: 0.0,
            latency_penalty: 0.0,
            cost_penalty: 0.0,
            error_penalty: 0.0,
        };
        let reward = Reward { score: *score, details };
        let now = self.now;
        let part = self.part(config_version, *created);
        match &mut part.sums {
            Sums::Series(series) => {
                let _ = series.record(observation, &reward, now);
                if !is_version(observation.policy_version.as_deref(), versions) {
                    series.add_unversioned(Some(observation.ts), now);
                }
            }
            Sums::Tally(tally) => tally.add(observation, &reward),
        }
        self.totals.observations += 1;
        match known {
            Known::Whole => {}
            Known::Changed => self.totals.changed += 1,
            Known::Reward => self.totals.by_reward += 1,
        }
    }

    pub fn reject(&mut self, rejected: &Rejected, versions: &HashSet<String>) {
        let origin = &rejected.origin;
        if origin.ts.is_some_and(|ts| ts < self.from) {
            return;
        }
        match &mut self.rest {
            Sums::Series(series) => {
                let _ = series.reject(origin.ts, self.now);
                if !is_version(origin.policy_version.as_deref(), versions) {
                    series.add_unversioned(origin.ts, self.now);
                }
            }
            Sums::Tally(tally) => tally.reject(),
        }
        self.totals.rejected += 1;
    }

    fn part(&mut self, config: &str, created: i64) -> &mut Part {
        if !self.by_config.contains_key(config) && self.by_config.len() == CONFIGS {
            self.leave_out_oldest();
        }
        let empty = match self.rest {
            Sums::Series(_) => || Sums::Series(Series::default()),
            Sums::Tally(_) => || Sums::Tally(Box::default()),
        };
        let new = || Part { sums: empty(), first: created, last: created };
        let part = self.by_config.entry(config.to_owned()).or_insert_with(new);
        part.first = part.first.min(created);
        part.last = part.last.max(created);
        part
    }

    fn leave_out_oldest(&mut self) {
        let oldest = self.by_config.iter().min_by_key(|(_, part)| part.last);
        let Some(oldest) = oldest.map(|(config, _)| config.clone()) else { return };
        if let Some(mut part) = self.by_config.remove(&oldest) {
            part.sums.restart_rewards();
            self.rest.merge(&part.sums);
        }
    }

    /// Adds what was counted of other documents of the same statistic.
    pub fn merge(&mut self, other: Self) {
        self.rest.merge(&other.rest);
        for (config, part) in other.by_config {
            let mine = self.part(&config, part.first);
            mine.sums.merge(&part.sums);
            mine.last = mine.last.max(part.last);
        }
        self.totals.add(other.totals);
    }

    /// The statistic as scoring would have counted it: the samples hold the rewards of the config under
    /// which the last one was scored. `stamp` is the one that the stored statistic had.
    pub fn finish(mut self, current: &RewardConfig, stamp: Option<&ScoredUnder>) -> Recounted {
        if let Sums::Series(series) = &mut self.rest {
            series.advance(self.now);
        }
        let last = self.by_config.iter().max_by_key(|(_, part)| part.last);
        let Some(version) = last.map(|(config, _)| config.clone()) else {
            return Recounted { sums: self.rest, scored_under: stamp.cloned() };
        };
        let newest = self.by_config.remove(&version);
        let replaced = self.by_config.iter().max_by_key(|(_, part)| part.last);
        let replaced = replaced.map(|(config, _)| config.clone());
        let mut sums = self.rest;
        for mut part in self.by_config.into_values() {
            part.sums.restart_rewards();
            sums.merge(&part.sums);
        }
        let since = newest.as_ref().map_or(0, |part| part.first.div_euclid(1_000));
        if let Some(part) = newest {
            sums.merge(&part.sums);
        }
        let scored_under = match stamp {
            Some(stamp) if stamp.version == version => Some(stamp.clone()),
            _ if current.version == version => {
                Some(ScoredUnder { replaced, ..ScoredUnder::new(current, since) })
            }
            _ => {
                let fingerprint = UNKNOWN.to_owned();
                Some(ScoredUnder { version, fingerprint, since, replaced })
            }
        };
        Recounted { sums, scored_under }
    }
}

fn is_version(name: Option<&str>, versions: &HashSet<String>) -> bool {
    name.is_some_and(|name| versions.contains(name))
}

#[cfg(test)]
mod tests {
    use f0_learning_core::observation::Observation;
    use f0_learning_core::stats::Window;
    use serde_json::json;

    use super::*;

    fn counted(config: &str, created: i64, ts: i64) -> CountedReward {
        let json = json!({ "ts": ts, "component": "c", "outcome": "success", "durationMs": 200 });
        let observation = Observation::parse("o", json.as_object().unwrap()).unwrap();
        let (config_version, known) = (config.to_owned(), Known::Whole);
        CountedReward { observation, score: 0.5, config_version, created, known }
    }

    const NOW: i64 = 1_780_000_000_000;

    #[test]
    fn the_samples_hold_the_rewards_of_the_last_config_and_the_windows_all() {
        let statistic = Statistic::Series("c".to_owned());
        let mut whole = Recount::new(&statistic, None, NOW);
        let mut parts = [whole.clone(), whole.clone()];
        let all = [("a", 1), ("b", 5), ("a", 2), ("b", 6), ("b", 7)];
        for (index, (config, created)) in all.into_iter().enumerate() {
            let counted = counted(config, created, NOW - created);
            whole.add(&counted, &HashSet::new());
            parts[index % 2].add(&counted, &HashSet::new());
        }
        let [mut merged, other] = parts;
        merged.merge(other);
        let config = RewardConfig { version: "b".to_owned(), ..RewardConfig::default() };
        let [whole, merged] = [whole, merged].map(|it| it.finish(&config, None));
        assert_eq!((&whole.sums, &whole.scored_under), (&merged.sums, &merged.scored_under));
        let Sums::Series(series) = whole.sums else { panic!("a series") };
        assert_eq!(series.window(Window::SevenDays).n, 5);
        assert_eq!(series.timeline().since(0).n(), 3);
        assert_eq!(whole.scored_under.unwrap().replaced.as_deref(), Some("a"));
    }

    #[test]
    fn documents_before_the_date_are_left_out() {
        let mut recount = Recount::new(&Statistic::Series("c".to_owned()), Some(NOW - 5), NOW);
        for created in [3, 5, 7] {
            recount.add(&counted("a", created, NOW - created), &HashSet::new());
        }
        assert_eq!(recount.totals.observations, 2);
    }
}
