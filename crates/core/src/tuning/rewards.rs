//! Evidence on reward after a change of `config/reward_config`.

use std::collections::BTreeMap;

use super::checks::RewardRestart;
use super::memory::Memory;
use super::{ArmInput, budget};
use crate::estimate::Sample;
use crate::reward::ScoredUnder;

/// By arm, the config that its rewards were scored under.
pub type Stamps = BTreeMap<String, ScoredUnder>;

/// The stamp of the latest config that any arm has rewards of.
pub fn latest(stamps: &Stamps) -> Option<&ScoredUnder> {
    stamps.values().max_by_key(|it| it.since)
}

/// Leaves out the rewards of arms that have none under the latest config. Returns the change of the
/// config, if it is recent enough to matter.
pub fn leave_out(
    arms: &mut BTreeMap<String, ArmInput>,
    stamps: &Stamps,
    now: i64,
) -> Option<RewardRestart> {
    let latest = latest(stamps)?;
    let mut waiting = Vec::new();
    for (arm, input) in arms.iter_mut() {
        if !ScoredUnder::is_same(stamps.get(arm), Some(latest)) {
            input.samples.reward = Sample::default();
            waiting.push(arm.clone());
        }
    }
    let of_latest = stamps.values().filter(|it| it.fingerprint == latest.fingerprint);
    let restarted = of_latest.filter_map(|it| Some((it.since, it.replaced.clone()?)));
    let (at, from) = restarted.max()?;
    let is_recent = now.saturating_sub(at) < 2 * budget::PERIOD_MS;
    is_recent.then(|| RewardRestart { at, from, to: latest.version.clone(), waiting })
}

impl Memory {
    /// The memory once the rewards of arms have started again. As after a change of the arm, new
    /// comparisons need a part of the error budget of their own.
    #[must_use]
    pub fn restarted(mut self, stamps: &Stamps) -> Self {
        for (arm, stamp) in stamps.iter().filter(|(_, stamp)| stamp.replaced.is_some()) {
            if self.rewards_since.get(arm) != Some(&stamp.since) {
                self.rewards_since.insert(arm.clone(), stamp.since);
                self.arms.entry(arm.clone()).or_default().restarts += 1;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::arm;
    use super::*;

    fn stamp(version: &str, since: i64, replaced: Option<&str>) -> ScoredUnder {
        let replaced = replaced.map(str::to_owned);
        ScoredUnder {
            version: version.to_owned(),
            fingerprint: version.to_owned(),
            since,
            replaced,
        }
    }

    #[test]
    fn rewards_of_an_earlier_config_are_left_out_and_nothing_else() {
        let mut arms: BTreeMap<_, _> =
            ["a", "b", "c"].map(|name| (name.to_owned(), arm(50, 0.5))).into();
        let stamps: Stamps = [
            ("a", stamp("1.1.0", 70, Some("1.0.0"))),
            ("b", stamp("1.0.0", 10, None)),
            ("d", stamp("1.1.0", 80, None)),
        ]
        .map(|(name, it)| (name.to_owned(), it))
        .into();
        let found = leave_out(&mut arms, &stamps, 100).unwrap();
        assert_eq!((found.at, found.from.as_str(), found.to.as_str()), (70, "1.0.0", "1.1.0"));
        assert_eq!(found.waiting, ["b"]);
        assert_eq!(arms["b"].n(), 0);
        assert_eq!((arms["a"].n(), arms["c"].n()), (50, 50), "an arm of an earlier release counts");
        assert!(arms.values().all(|it| !it.samples.success.is_empty()));
        assert_eq!(leave_out(&mut arms, &stamps, 100 * budget::PERIOD_MS), None);
        assert_eq!(leave_out(&mut arms, &Stamps::new(), 100), None);
        let memory = Memory::default().restarted(&stamps);
        assert_eq!((memory.of("a").restarts, memory.of("b").restarts), (1, 0));
        assert_eq!(memory.clone().restarted(&stamps), memory, "once");
    }
}
