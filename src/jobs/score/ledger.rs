//! Counts a chunk in memory: observations into the series of their components and the tallies of
//! their versions, until all are committed together with the cursor.
//!
//! [`Ledger::load`] reads what is needed; [`Ledger::fold`] then counts without any IO.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::scored::Scored;
use crate::store::{
    Changes, ComponentSeries, Invalid, Parked, Result, Store, StoreError, VersionTally,
};
use f0_learning_core::observation::Observation;
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::reward::{Reward, RewardConfig, ScoredUnder};
use f0_learning_core::stats::{Window, WindowStats};
use firestore_kit::tonic::Code;

/// Bytes of series and tallies in one commit. Firestore takes requests of 10 MiB, index entries
/// included, and a series may grow while it is folded; beyond this a chunk is counted in several
/// commits.
const COMMIT_BYTES: usize = 4 << 20;

/// The least that a commit is reduced to after Firestore refused a larger one.
const MIN_COMMIT_BYTES: usize = 64 << 10;

/// What a component adds to a commit besides its series: three documents of statistics and the
/// growth of the series in one chunk.
const COMPONENT_BYTES: usize = 4 << 10;

/// How often the name of a component is in what it adds to a commit: in the names and fields of its
/// four documents, and in their index entries (`firestore.indexes.json`), each of which has the name
/// of its document and a value.
const NAMES_OF_COMPONENT: usize = 24;

/// What a component adds to a commit, in bytes, with its index entries.
fn commit_bytes(series: &ComponentSeries) -> usize {
    component_bytes(&series.component) + series.weight
}

fn component_bytes(component: &str) -> usize {
    COMPONENT_BYTES + NAMES_OF_COMPONENT * component.len()
}

/// How many of these series, from the front, fit into one commit; at least one.
pub fn fitting(series: &[ComponentSeries]) -> usize {
    firestore_kit::fitting(COMMIT_BYTES, series.iter().map(commit_bytes))
}

/// Bytes of encoded series kept between chunks. Past this they are read again when needed: one
/// read for each component, against memory that would grow with the number of components.
const KEPT_BYTES: usize = 16 << 20;

/// Series read in one request.
const READ_AT_ONCE: usize = 100;

/// Unknown names in `policyVersion` that are looked up for one commit. This bounds the reads that a
/// component with arbitrary names there can cause; names beyond it are not counted.
const LOOKED_UP: usize = 50;

/// Names in `policyVersion` that are kept; past this they are all looked up again.
const KEPT_NAMES: usize = 1_000;

/// The windows that a pass reports, each of which is computed once more for it.
const SHOWN_WINDOWS: usize = 200;

/// Adds the last hour of these components, as far as there is room.
pub fn show<'a>(
    series: impl IntoIterator<Item = &'a ComponentSeries>,
    windows: &mut BTreeMap<String, WindowStats>,
) {
    for it in series {
        if windows.len() < SHOWN_WINDOWS || windows.contains_key(&it.component) {
            windows.insert(it.component.clone(), it.series.window(Window::OneHour));
        }
    }
}

/// The series and tallies that this worker keeps. They only save reads: a commit over one that
/// another worker has changed is refused.
#[derive(Debug, Default)]
pub struct Ledger {
    known: HashMap<String, ComponentSeries>,
    touched: HashSet<String>,
    /// By the name in `policyVersion`; `None` where no version of a policy has that name.
    versions: HashMap<String, Option<VersionTally>>,
    touched_versions: HashSet<String>,
    as_of: Option<i64>,
    /// How often the bytes of a commit are halved, because Firestore refused a larger one.
    halvings: u32,
}

impl Ledger {
    /// Keeps the series and tallies only if the cursor is as this worker left it: else another
    /// worker has changed them, and commits over them would be refused.
    pub fn expect(&mut self, sequence: i64) {
        if self.as_of != Some(sequence) {
            self.forget();
        }
        self.as_of = Some(sequence);
    }

    pub fn forget(&mut self) {
        *self = Self { halvings: self.halvings, ..Self::default() };
    }

    /// Whether a commit of `taken` items that failed may succeed with fewer of them: Firestore refused
    /// it as a whole, which may be because of its size. It was not applied, and is forgotten.
    pub fn retries_with_fewer(&mut self, error: &StoreError, taken: usize) -> bool {
        let is_refused = error.code() == Some(Code::InvalidArgument);
        if !is_refused || taken <= 1 || self.limit() <= MIN_COMMIT_BYTES {
            return false;
        }
        tracing::warn!(%error, taken, "counting fewer observations in one commit");
        self.halvings += 1;
        self.forget();
        true
    }

    fn limit(&self) -> usize {
        COMMIT_BYTES >> self.halvings
    }

    /// Forgets which names in `policyVersion` are not versions: they may have been created since. A
    /// document that could not be read may have been corrected.
    pub fn begin_pass(&mut self) {
        self.halvings = 0;
        self.versions.retain(|_, found| found.as_ref().is_some_and(|it| it.parked.is_none()));
        self.known.retain(|_, series| series.parked.is_none());
    }

    /// The documents that cannot be read among those that were counted into.
    pub fn damaged(&self) -> impl Iterator<Item = Parked> {
        let series = self.known.values().flat_map(ComponentSeries::damage);
        series.chain(self.versions.values().flatten().flat_map(VersionTally::damage))
    }

    /// Reads the series and tallies that the items need, and returns how many items from the front
    /// fit into one commit.
    pub async fn load(&mut self, store: &Store, items: &[Scored<'_>]) -> Result<usize> {
        let mut items = items;
        loop {
            let (taken, bytes) = self.load_series(store, items).await?;
            self.load_versions(store, &items[..taken]).await?;
            // Tallies are few, but each may have a mebibyte.
            if bytes + self.tally_bytes(&items[..taken]) <= 2 * self.limit() || taken <= 1 {
                return Ok(taken);
            }
            items = &items[..taken / 2];
            self.touched.clear();
        }
    }

    /// The bytes of the tallies that these items count in.
    fn tally_bytes(&self, items: &[Scored<'_>]) -> usize {
        let names: HashSet<&str> = items.iter().filter_map(Scored::policy_version).collect();
        let tallies = names.into_iter().filter_map(|name| self.versions.get(name)?.as_ref());
        tallies.map(|version| version.weight).sum()
    }

    /// Counts items that were [loaded](Self::load) for, and that were scored under `config`.
    pub fn fold(&mut self, items: &[Scored<'_>], config: &RewardConfig, now: i64) {
        let under = ScoredUnder::new(config, now);
        for item in items {
            match item {
                Scored::Valid { observation, reward, .. } => {
                    self.record(observation, reward, &under, now);
                }
                Scored::Invalid(invalid) => self.reject(invalid, now),
            }
        }
    }

    /// Takes back that these documents were rejected; they were [loaded](Self::load) for.
    pub fn release(&mut self, items: &[Scored<'_>], now: i64) {
        for item in items {
            let Scored::Valid { observation, .. } = item else { continue };
            let version = observation.policy_version.as_deref().and_then(|name| self.version(name));
            let is_versioned = version.map(|it| it.tally.release()).is_some();
            if let Some(component) = self.known.get_mut(&observation.component) {
                component.series.release(observation.ts, now);
                if !is_versioned {
                    component.series.release_unversioned(observation.ts, now);
                }
            }
        }
    }

    fn reject(&mut self, invalid: &Invalid, now: i64) {
        let version = invalid.origin.policy_version.as_deref().and_then(|name| self.version(name));
        let is_versioned = version.map(|it| it.tally.reject()).is_some();
        if let Some(component) = &invalid.origin.component
            && let Some(known) = self.known.get_mut(component)
        {
            let _ = known.series.reject(invalid.origin.ts, now);
            if !is_versioned {
                known.series.add_unversioned(invalid.origin.ts, now);
            }
        }
    }

    fn record(
        &mut self,
        observation: &Observation,
        reward: &Reward,
        under: &ScoredUnder,
        now: i64,
    ) {
        let version = observation.policy_version.as_deref().and_then(|name| self.version(name));
        let is_versioned = version.is_some();
        if let Some(version) = version {
            if under.replace(&mut version.scored_under) {
                version.tally.restart_rewards();
            }
            version.tally.add(observation, reward);
        }
        if let Some(component) = self.known.get_mut(&observation.component) {
            if under.replace(&mut component.scored_under) {
                component.series.restart_rewards();
            }
            // An observation older than the longest window is in no window; it only has a reward.
            let _ = component.series.record(observation, reward, now);
            if !is_versioned {
                component.series.add_unversioned(Some(observation.ts), now);
            }
        }
    }

    /// A version, whose tally is to be changed; `None` for a name that no version has.
    fn version(&mut self, name: &str) -> Option<&mut VersionTally> {
        let version = self.versions.get_mut(name)?.as_mut()?;
        if !self.touched_versions.contains(name) {
            self.touched_versions.insert(name.to_owned());
        }
        Some(version)
    }

    /// Looks up the names in `policyVersion`, the most frequent first.
    async fn load_versions(&mut self, store: &Store, items: &[Scored<'_>]) -> Result<()> {
        let mut unknown: HashMap<&str, usize> = HashMap::new();
        for item in items {
            if let Some(name) = item.policy_version()
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
        for found in store.tallies_to_count(&keys).await? {
            self.versions.insert(found.key.to_string(), Some(found));
        }
        Ok(())
    }

    /// Reads the series that the items need, and returns how many items from the front fit into one
    /// commit, and how many bytes they add to it.
    async fn load_series(&mut self, store: &Store, items: &[Scored<'_>]) -> Result<(usize, usize)> {
        let mut bytes = 0;
        let mut from = 0;
        while from < items.len() {
            let upto = from + self.load_some(store, &items[from..]).await?;
            for (index, item) in items[from..upto].iter().enumerate() {
                let Some(component) = item.component() else { continue };
                if self.touched.contains(component) {
                    continue;
                }
                let known = self.known.get(component);
                let weight = known.map_or_else(|| component_bytes(component), commit_bytes);
                if bytes + weight > self.limit() && !self.touched.is_empty() {
                    return Ok((from + index, bytes));
                }
                bytes += weight;
                self.touched.insert(component.to_owned());
            }
            from = upto;
        }
        Ok((items.len(), bytes))
    }

    /// Reads the unknown series of as many items from the front as one request can serve.
    async fn load_some(&mut self, store: &Store, items: &[Scored<'_>]) -> Result<usize> {
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
        for component in store.series_to_count(&unknown).await? {
            self.known.insert(component.component.clone(), component);
        }
        Ok(upto)
    }

    /// The changes since the last commit. After a commit that may have been refused the caller must
    /// [`forget`](Self::forget).
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

    /// Adds the last hour of the components of these items, as far as there is room.
    pub fn show(&self, items: &[Scored<'_>], windows: &mut BTreeMap<String, WindowStats>) {
        let components: HashSet<&str> = items.iter().filter_map(Scored::component).collect();
        let known = components.into_iter().filter_map(|component| self.known.get(component));
        show(known, windows);
    }

    /// The changes that were taken are committed, and the cursor is at `sequence`.
    pub fn committed(&mut self, sequence: Option<i64>) {
        self.as_of = sequence;
        let kept: usize = self.known.values().map(commit_bytes).sum();
        if kept > KEPT_BYTES {
            self.known.clear();
        }
        let tallies = self.versions.values().flatten().map(|version| version.weight);
        if self.versions.len() > KEPT_NAMES || tallies.sum::<usize>() > KEPT_BYTES {
            self.versions.clear();
        }
    }

    /// Takes over series that were committed without this ledger.
    pub fn replace(&mut self, series: Vec<ComponentSeries>) {
        for series in series {
            self.known.insert(series.component.clone(), series);
        }
    }
}

#[cfg(test)]
mod tests {
    use f0_learning_core::observation::Outcome;
    use serde_json::json;

    use super::*;
    use crate::store::Item;

    #[test]
    fn items_are_counted_without_a_store() {
        let ts = 1_780_000_000_000;
        let json = json!({ "ts": ts, "component": "c", "outcome": "success", "durationMs": 200 });
        let observation = Observation::parse("o", json.as_object().unwrap()).unwrap();
        assert_eq!(observation.outcome, Outcome::Success);
        let items = [Item::Valid { observation, shard: 0 }];
        let mut ledger = Ledger::default();
        ledger.known.insert("c".to_owned(), ComponentSeries::new("c"));
        ledger.touched.insert("c".to_owned());
        let config = RewardConfig::default();
        ledger.fold(&Scored::all(&items, &config), &config, ts);
        let changes = ledger.take_changes();
        let windows = changes.series[0].series.windows();
        assert!(windows.iter().any(|(window, stats)| *window == Window::SevenDays && stats.n == 1));
    }
}
