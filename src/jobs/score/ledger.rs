//! Counting a chunk: observations into the series of their components, in memory, until they are
//! committed together with the cursor.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use crate::store::{
    Changes, ComponentSeries, Invalid, Item, Position, Result, Store, VersionTally,
};
use f0_learning_core::observation::Observation;
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::reward::{self, RewardConfig};

/// Bytes of series in one commit. Firestore takes requests of 10 MiB, and a series may grow while
/// it is folded; beyond this a chunk is counted in several commits.
const COMMIT_BYTES: usize = 4 << 20;

/// What a component adds to a commit besides its series: three documents of statistics and the
/// growth of the series in one chunk.
const COMPONENT_BYTES: usize = 4 << 10;

/// Bytes of encoded series kept between chunks. Past this they are read again when needed: one
/// read for each component, against memory that would grow with the number of components.
const KEPT_BYTES: usize = 16 << 20;

/// Series read in one request.
const READ_AT_ONCE: usize = 100;

/// Unknown names in `policyVersion` that are looked up for one commit. A component that writes
/// rubbish there costs no more reads than this, and has what is beyond it uncounted.
const LOOKED_UP: usize = 50;

/// Names that were no version when they were looked up; past this they are all looked up again.
const KEPT_NAMES: usize = 1_000;

/// The series and tallies that this worker knows. What it knows only saves reads: a commit over
/// one that somebody else has changed is refused.
#[derive(Debug, Default)]
pub struct Ledger {
    known: HashMap<String, ComponentSeries>,
    touched: HashSet<String>,
    /// By what observations call them; `None` of what is no version of a policy.
    versions: HashMap<String, Option<VersionTally>>,
    touched_versions: HashSet<String>,
    as_of: Option<i64>,
}

/// What a call of [`Ledger::fold`] did.
#[derive(Debug, Default)]
pub struct Folded {
    /// Items from the front that are now counted in memory.
    pub taken: usize,
    /// The position of the last of them.
    pub last: Option<Position>,
    pub scored: u64,
    pub invalid: u64,
}

impl Ledger {
    /// Keeps what is known only if the cursor is as this worker left it: else somebody else is at
    /// work, and what is known would only be refused.
    pub fn expect(&mut self, sequence: i64) {
        if self.as_of != Some(sequence) {
            self.forget();
        }
        self.as_of = Some(sequence);
    }

    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Counts items from the front, as many as one commit can hold.
    pub async fn fold(
        &mut self,
        store: &Store,
        items: &[Item],
        config: &RewardConfig,
        now: i64,
    ) -> Result<Folded> {
        let items = self.load_for(store, items).await?;
        self.load_versions(store, items).await?;
        let mut folded = Folded { taken: items.len(), ..Folded::default() };
        for item in items {
            match item {
                Item::Valid { observation, .. } => {
                    self.record(observation, config, now);
                    folded.scored += 1;
                }
                Item::Invalid(invalid) => {
                    self.reject(invalid, now);
                    folded.invalid += 1;
                }
            }
        }
        folded.last = items.last().map(|item| match item {
            Item::Valid { observation, .. } => store.position_of(observation),
            Item::Invalid(invalid) => invalid.position.clone(),
        });
        Ok(folded)
    }

    fn reject(&mut self, invalid: &Invalid, now: i64) {
        if let Some(component) = &invalid.origin.component
            && let Some(known) = self.known.get_mut(component)
        {
            let _ = known.series.reject(invalid.origin.ts, now);
        }
    }

    fn record(&mut self, observation: &Observation, config: &RewardConfig, now: i64) {
        let reward = reward::score(config, observation);
        if let Some(component) = self.known.get_mut(&observation.component) {
            // One that is older than the longest window has its reward, and no window to be in.
            let _ = component.series.record(observation, &reward, now);
        }
        if let Some(name) = &observation.policy_version
            && let Some(Some(version)) = self.versions.get_mut(name)
        {
            version.tally.add(observation, &reward);
            if !self.touched_versions.contains(name) {
                self.touched_versions.insert(name.clone());
            }
        }
    }

    /// Looks up what the items call their policy's version, the most frequent names first.
    async fn load_versions(&mut self, store: &Store, items: &[Item]) -> Result<()> {
        let mut unknown: HashMap<&str, usize> = HashMap::new();
        for item in items {
            if let Item::Valid { observation, .. } = item
                && let Some(name) = &observation.policy_version
                && !self.versions.contains_key(name)
            {
                *unknown.entry(name).or_default() += 1;
            }
        }
        let mut unknown: Vec<_> = unknown.into_iter().collect();
        unknown.sort_by_key(|(name, count)| (Reverse(*count), *name));
        unknown.truncate(LOOKED_UP);
        let keys: Vec<PolicyKey> =
            unknown.iter().filter_map(|(name, _)| name.parse().ok()).collect();
        for (name, _) in unknown {
            self.versions.insert(name.to_owned(), None);
        }
        for found in store.version_tallies(&keys).await? {
            self.versions.insert(found.key.to_string(), Some(found));
        }
        Ok(())
    }

    /// Reads the series that the items need, and says how many items from the front one commit
    /// can hold.
    async fn load_for<'a>(&mut self, store: &Store, items: &'a [Item]) -> Result<&'a [Item]> {
        let mut bytes = 0;
        let mut from = 0;
        while from < items.len() {
            let upto = self.load_some(store, &items[from..]).await? + from;
            for (index, item) in items[from..upto].iter().enumerate() {
                let Some(component) = item.component() else { continue };
                if self.touched.contains(component) {
                    continue;
                }
                let known = self.known.get(component);
                let weight = COMPONENT_BYTES + known.map_or(0, |component| component.weight);
                if bytes + weight > COMMIT_BYTES && !self.touched.is_empty() {
                    return Ok(&items[..from + index]);
                }
                bytes += weight;
                self.touched.insert(component.to_owned());
            }
            from = upto;
        }
        Ok(items)
    }

    /// Reads the unknown series of as many items from the front as one request can serve.
    async fn load_some(&mut self, store: &Store, items: &[Item]) -> Result<usize> {
        let mut unknown: HashSet<&str> = HashSet::new();
        let mut upto = 0;
        for item in items {
            if let Some(component) = item.component()
                && !self.known.contains_key(component)
            {
                if unknown.len() == READ_AT_ONCE && !unknown.contains(component) {
                    break;
                }
                unknown.insert(component);
            }
            upto += 1;
        }
        let unknown: Vec<_> = unknown.into_iter().collect();
        for component in store.series(&unknown).await? {
            self.known.insert(component.component.clone(), component);
        }
        Ok(upto)
    }

    /// What was folded since the last commit. After a commit that was refused, or may have been,
    /// the ledger must [`forget`](Self::forget).
    pub fn take_changes(&mut self) -> Changes<'_> {
        let touched = std::mem::take(&mut self.touched);
        let counted = std::mem::take(&mut self.touched_versions);
        let series = self.known.iter_mut().filter(|(component, _)| touched.contains(*component));
        let versions = self.versions.iter_mut().filter(|(name, _)| counted.contains(*name));
        Changes {
            series: series.map(|(_, series)| series).collect(),
            versions: versions.filter_map(|(_, version)| version.as_mut()).collect(),
        }
    }

    /// What was taken is committed, and the cursor stands at `sequence`.
    pub fn committed(&mut self, sequence: Option<i64>) {
        self.as_of = sequence;
        let kept: usize = self.known.values().map(|series| series.weight + COMPONENT_BYTES).sum();
        if kept > KEPT_BYTES {
            self.known.clear();
        }
        if self.versions.len() > KEPT_NAMES {
            self.versions.clear();
        }
    }

    /// Takes over series that were committed by other means.
    pub fn replace(&mut self, series: Vec<ComponentSeries>) {
        for series in series {
            self.known.insert(series.component.clone(), series);
        }
    }
}
