//! What the arms of a policy earned under each of its versions, which is what they are compared by.
//!
//! Within one version the weights are fixed, so that a [`Contrast`] of two arms holds whatever else
//! changes with time. What was counted of a version only grows. When an arm restarts, a [`Mark`] keeps
//! what was counted until then; only what was added since is compared.

use std::collections::BTreeMap;

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::TuningInput;
use crate::estimate::{ArmLog, Contrast, Drawn, Limits};

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
        let of = |(version, block): (&String, &Block)| {
            let logs = match start {
                None => block.logs.clone(),
                Some(at) => self.marks.get(&at)?.since(version, block)?,
            };
            Some(Block { logs, ..block.clone() })
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
    since: BTreeMap<Option<i64>, Vec<Block>>,
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
        let since = starts.map(|start| (start, blocks.since(start))).collect();
        Some(Self { blocks, limits, since })
    }

    /// Whether the first arm is proven to earn more than the second.
    pub(super) fn is_better(&self, pair: [&str; 2], alpha: f64) -> bool {
        // Other arms do not matter to a difference of 0.
        self.contrast_among(pair, |_| false).is_positive(alpha)
    }

    /// What is known of the first arm's reward minus the second's.
    pub(super) fn contrast(&self, pair: [&str; 2]) -> Contrast {
        self.contrast_among(pair, |arm| !pair.contains(&arm))
    }

    fn contrast_among(&self, pair: [&str; 2], is_other: impl Fn(&str) -> bool) -> Contrast {
        let mut contrast = Contrast::new(self.limits);
        let start = pair.map(|arm| self.blocks.start(arm)).into_iter().max().flatten();
        let none = ArmLog::default();
        for block in self.since.get(&start).into_iter().flatten() {
            let drawn = pair.map(|arm| Drawn {
                log: block.logs.get(arm).unwrap_or(&none),
                weight: block.weights.get(arm).copied().unwrap_or_default(),
            });
            let others = block.logs.iter().filter(|(arm, _)| is_other(arm.as_str()));
            contrast.add(drawn, others.map(|(_, log)| log));
        }
        contrast
    }

    /// The observations of an arm that name a version.
    pub(super) fn n(&self, arm: &str) -> u64 {
        let blocks = self.since.get(&self.blocks.start(arm)).into_iter().flatten();
        blocks.filter_map(|it| it.logs.get(arm)).map(ArmLog::n).sum()
    }
}
