//! What the arms of a policy earned under each of its versions, which is what they are compared by.
//!
//! Within one version the weights are fixed, so that a [`Contrast`] of two arms holds whatever else
//! changes with time. What was counted of a version only grows. When an arm restarts, a [`Mark`] keeps
//! what was counted until then; only what was added since is compared. A mark is also a [`Pilot`]: the
//! rewards until then say which bets on later ones are useful.

use std::collections::BTreeMap;

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::TuningInput;
use crate::estimate::{ArmLog, Contrast, Drawn, Limits, Pilot};

/// The rewards of arms, by name.
pub type Logs = BTreeMap<String, ArmLog>;

/// What was counted of the versions of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Blocks {
    /// By version.
    pub versions: BTreeMap<String, Block>,
    /// By time, what was counted earlier.
    pub marks: BTreeMap<i64, Mark>,
    /// The time of the mark from which an arm counts. Everything counts of an arm that is not listed.
    pub starts: BTreeMap<String, i64>,
    /// How arms are compared; stored with the input.
    #[serde(skip)]
    pub claims: Claims,
}

/// How it is proven that an arm is not the best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claims {
    /// By a claim for each pair of arms, with bets that are the same for all rewards.
    Pairs,
    /// By a claim for each arm, with bets that depend on a pilot.
    #[default]
    Arms,
}

/// What was counted of one version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Block {
    pub weights: BTreeMap<String, f64>,
    /// The rewards of the observations that name the version, of all arms that it has weights for.
    pub logs: Logs,
    /// Epoch milliseconds: when the rewards started again, because `config/reward_config` changed.
    pub rewards_since: Option<i64>,
}

/// What was counted at one time, by version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark(BTreeMap<String, Marked>);

/// What was counted of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marked {
    /// `None` if there was no space: nothing counts that was added since.
    logs: Option<Logs>,
    /// As in [`Block`]. If the rewards of the version started again since, all of them are later.
    rewards_since: Option<i64>,
}

impl Mark {
    /// What is counted now, in at most `most` bytes if possible: the largest versions are stored
    /// without logs.
    pub(super) fn of(versions: &BTreeMap<String, Block>, most: usize) -> Self {
        let counted = versions.iter().filter(|(_, block)| !block.is_empty());
        let of = |(version, block): (&String, &Block)| {
            let Block { logs, rewards_since, .. } = block.clone();
            (version.clone(), Marked { logs: Some(logs), rewards_since })
        };
        let mut mark = Self(counted.map(of).collect());
        while mark.encode().len() > most {
            let size = |it: &Marked| it.logs.as_ref().map_or(0, |it| encode(it).len());
            match mark.0.values_mut().max_by_key(|it| size(it)) {
                Some(largest) if largest.logs.is_some() => largest.logs = None,
                _ => break,
            }
        }
        mark
    }

    /// What was added to a version since; `None` if that is not known.
    fn since(&self, version: &str, block: &Block) -> Option<Logs> {
        let before = self.0.get(version).filter(|it| it.rewards_since == block.rewards_since);
        let Some(before) = before else { return Some(block.logs.clone()) };
        let before = before.logs.as_ref()?;
        let of = |(arm, log): (&String, &ArmLog)| {
            let log = before.get(arm).map_or_else(|| log.clone(), |before| log.since(before));
            (arm.clone(), log)
        };
        Some(block.logs.iter().map(of).collect())
    }

    /// The first rewards of all arms, if they are enough for a pilot.
    pub(super) fn pilot(&self) -> Option<Pilot> {
        let logs: Option<Vec<&Logs>> = self.0.values().map(|it| it.logs.as_ref()).collect();
        Pilot::of(logs?.into_iter().flat_map(BTreeMap::values))
    }

    /// What was counted at this time since the mark `start`; `None` if that is not known.
    fn counted_since(&self, start: Option<&Self>, version: &str, now: &Block) -> Option<Logs> {
        let Some(then) = self.0.get(version) else { return Some(Logs::new()) };
        if then.rewards_since != now.rewards_since {
            return Some(Logs::new());
        }
        let block = Block { logs: then.logs.clone()?, ..now.clone() };
        start.map_or_else(|| Some(block.logs.clone()), |it| it.since(version, &block))
    }

    /// The versions of which something was added since.
    pub(super) fn grown(&self, versions: &BTreeMap<String, Block>) -> usize {
        let is_grown = |(version, block): &(&String, &Block)| {
            let before = self.0.get(*version);
            let before = before.filter(|it| it.rewards_since == block.rewards_since);
            !block.is_empty()
                && before.is_none_or(|it| it.logs.as_ref().is_some_and(|it| *it != block.logs))
        };
        versions.iter().filter(is_grown).count()
    }

    fn encode(&self) -> Vec<u8> {
        encode(&self.0)
    }

    fn coarsen(&mut self, points: u16) {
        let logs = self.0.values_mut().filter_map(|it| it.logs.as_mut());
        let logs = logs.flat_map(BTreeMap::values_mut);
        logs.for_each(|it| it.coarsen(points));
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("numbers, texts and maps of them always encode")
}

/// Two hexadecimal digits a byte where documents are read by people, which also have no keys that are
/// version numbers.
impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let hex = self.encode().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            return serializer.serialize_str(&hex);
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return Deserialize::deserialize(deserializer).map(Self);
        }
        let hex = String::deserialize(deserializer)?;
        decode_hex(&hex).map(Self).ok_or_else(|| de::Error::custom("a mark is not hexadecimal"))
    }
}

fn decode_hex<T: DeserializeOwned>(hex: &str) -> Option<T> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(byte).collect();
    postcard::from_bytes(&bytes?).ok()
}

impl Block {
    pub fn is_empty(&self) -> bool {
        self.logs.values().all(ArmLog::is_empty)
    }
}

impl Blocks {
    fn start(&self, arm: &str) -> Option<i64> {
        self.starts.get(arm).copied()
    }

    fn logs(&self) -> impl Iterator<Item = &ArmLog> {
        self.versions.values().flat_map(|it| it.logs.values())
    }

    pub(super) fn coarsen(&mut self, points: u16) {
        let logs = self.versions.values_mut().flat_map(|it| it.logs.values_mut());
        logs.for_each(|it| it.coarsen(points));
        self.marks.values_mut().for_each(|it| it.coarsen(points));
    }

    /// What was added since the mark of this time.
    fn since(&self, start: Option<i64>) -> Vec<Block> {
        self.blocks(|version, block| match start {
            None => Some(block.logs.clone()),
            Some(at) => self.marks.get(&at)?.since(version, block),
        })
    }

    /// What was added since the mark `start` and before the mark `end`.
    fn between(&self, start: Option<i64>, end: &Mark) -> Vec<Block> {
        let start = start.and_then(|it| self.marks.get(&it));
        self.blocks(|version, block| end.counted_since(start, version, block))
    }

    /// The pilot of arms that count since `start`: the first mark from then on that is one.
    fn pilot(&self, start: Option<i64>) -> Option<(i64, Pilot)> {
        let marks = self.marks.iter().filter(|(at, _)| start.is_none_or(|start| start <= **at));
        marks.filter_map(|(at, mark)| Some((*at, mark.pilot()?))).next()
    }

    fn blocks(&self, logs: impl Fn(&str, &Block) -> Option<Logs>) -> Vec<Block> {
        let of = |(version, block): (&String, &Block)| {
            Some(Block { logs: logs(version, block)?, ..block.clone() })
        };
        let mut found: Vec<Block> = Vec::new();
        for block in self.versions.iter().filter_map(of).filter(|it| !it.is_empty()) {
            // Versions with the same weights are one block.
            match found.iter_mut().find(|it| it.weights == block.weights) {
                None => found.push(block),
                Some(same) => {
                    for (arm, log) in block.logs {
                        same.logs.entry(arm).or_default().merge(&log);
                    }
                }
            }
        }
        found
    }
}

/// The blocks of a decision, ready to compare arms.
pub(super) struct Compared<'a> {
    blocks: &'a Blocks,
    limits: Limits,
    /// By the start of a pair.
    since: BTreeMap<Option<i64>, Since>,
}

/// What was added since the start of a pair.
struct Since {
    blocks: Vec<Block>,
    /// The pilot, and what was added after it. The blocks then end where it does.
    after: Option<(Pilot, Vec<Block>)>,
}

impl Since {
    fn of(blocks: &Blocks, start: Option<i64>) -> Self {
        let pilot = match blocks.claims {
            Claims::Pairs => None,
            Claims::Arms => blocks.pilot(start),
        };
        let end = pilot.and_then(|(at, pilot)| Some((at, pilot, blocks.marks.get(&at)?)));
        match end {
            None => Self { blocks: blocks.since(start), after: None },
            Some((at, pilot, mark)) => Self {
                blocks: blocks.between(start, mark),
                after: Some((pilot, blocks.since(Some(at)))),
            },
        }
    }

    fn all(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().chain(self.after.iter().flat_map(|(_, blocks)| blocks))
    }
}

impl<'a> Compared<'a> {
    /// `None` for a decision of an earlier rule, which pooled the observations of all versions.
    pub(super) fn of(input: &'a TuningInput) -> Option<Self> {
        let blocks = input.blocks.as_ref()?;
        let declared_weight = 1.0 / input.config.min_sample_rate;
        let max_weight = blocks.logs().map(ArmLog::max_weight).fold(declared_weight, f64::max);
        let least_propensity = input.config.min_propensity;
        let limits = Limits { declared_weight, max_weight, least_propensity };
        let starts = input.weights.keys().map(|arm| blocks.start(arm));
        let since = starts.map(|start| (start, Since::of(blocks, start))).collect();
        Some(Self { blocks, limits, since })
    }

    /// How claims are made.
    pub(super) fn claims(&self) -> Claims {
        self.blocks.claims
    }

    /// Whether the first arm is proven to earn more than the second.
    pub(super) fn is_better(&self, pair: [&str; 2], alpha: f64) -> bool {
        // Other arms do not matter to a difference of 0.
        self.contrast_among(pair, |_| false).is_positive(alpha)
    }

    /// The logarithm of the capital of the claim that the first arm earns more than the second; `None`
    /// if it is too small to matter to a claim with this `alpha`.
    pub(super) fn log_capital(&self, pair: [&str; 2], alpha: f64) -> Option<f64> {
        self.contrast_among(pair, |_| false).log_capital_if_enough(-alpha.ln())
    }

    /// What is known of the first arm's reward minus the second's.
    pub(super) fn contrast(&self, pair: [&str; 2]) -> Contrast {
        self.contrast_among(pair, |arm| !pair.contains(&arm))
    }

    fn contrast_among(&self, pair: [&str; 2], is_other: impl Fn(&str) -> bool) -> Contrast {
        let start = pair.map(|arm| self.blocks.start(arm)).into_iter().max().flatten();
        let Some(since) = self.since.get(&start) else { return Contrast::new(self.limits) };
        let mut contrast = match &since.after {
            Some((pilot, _)) => Contrast::with_pilot(self.limits, *pilot),
            None => Contrast::new(self.limits),
        };
        let none = ArmLog::default();
        let after = since.after.iter().flat_map(|(_, blocks)| blocks).map(|it| (it, true));
        for (block, is_after) in since.blocks.iter().map(|it| (it, false)).chain(after) {
            let drawn = pair.map(|arm| Drawn {
                log: block.logs.get(arm).unwrap_or(&none),
                weight: block.weights.get(arm).copied().unwrap_or_default(),
            });
            let others = block.logs.iter().filter(|(arm, _)| is_other(arm.as_str()));
            let others = others.map(|(_, log)| log);
            match is_after {
                true => contrast.add_after_pilot(drawn, others),
                false => contrast.add(drawn, others),
            }
        }
        contrast
    }

    /// The observations of an arm that name a version.
    pub(super) fn n(&self, arm: &str) -> u64 {
        let blocks = self.since.get(&self.blocks.start(arm)).into_iter().flat_map(Since::all);
        blocks.filter_map(|it| it.logs.get(arm)).map(ArmLog::n).sum()
    }
}
