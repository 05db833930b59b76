//! Which statistics there may be.

use std::collections::{BTreeSet, HashMap, HashSet};

use firestore_kit::proto::Document;
use firestore_kit::{MAX_BATCH, Query, value, write};

use super::Statistic;
use crate::store::collection::{POLICIES, QUARANTINE, REWARDS, STATE};
use crate::store::scoring::Item;
use crate::store::scoring::cursor::Position;
use crate::store::scoring::rewards::stored_reward;
use crate::store::scoring::stored_fields::OfShard;
use crate::store::{Result, Store};
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::sharding::Shard;

/// Documents read in one request.
const PAGE: usize = 1_000;

impl Store {
    /// Every component that has rewards, quarantined documents or a series, and every version of a
    /// policy: a read for each, and one for each document of `ops_state` and `ops_policies`.
    pub async fn statistics(&self) -> Result<Vec<Statistic>> {
        let mut components = BTreeSet::new();
        for collection in [REWARDS, QUARANTINE] {
            self.components_in(collection, &mut components).await?;
        }
        let mut versions = self.version_keys().await?;
        let mut after = None;
        loop {
            let (ids, next) = self.state_ids(after.as_deref(), PAGE).await?;
            for id in ids {
                match Statistic::of_state_id(&id) {
                    Some(Statistic::Series(component)) => drop(components.insert(component)),
                    Some(Statistic::Tally(key)) => drop(versions.insert(key)),
                    None => {}
                }
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        let series = components.into_iter().map(Statistic::Series);
        Ok(series.chain(versions.into_iter().map(Statistic::Tally)).collect())
    }

    /// The components of a collection. Skips from one to the next.
    async fn components_in(
        &self,
        collection: &str,
        components: &mut BTreeSet<String>,
    ) -> Result<()> {
        let mut last: Option<String> = None;
        loop {
            let mut query = Query::of(collection).select(&["component"]).ascending("component");
            if let Some(last) = &last {
                query = query.start_after(vec![value::string(last.as_str())]);
            }
            let documents = self.db.query_all(collection, query.limit(1).build()).await?;
            // Components of other types come after all strings.
            let found = documents.first().and_then(|it| value::as_str(&it.fields, "component"));
            let Some(component) = found else { return Ok(()) };
            components.insert(component.clone());
            last = Some(component);
        }
    }

    /// The names of all versions of policies.
    pub async fn version_names(&self) -> Result<HashSet<String>> {
        Ok(self.version_keys().await?.iter().map(ToString::to_string).collect())
    }

    async fn version_keys(&self) -> Result<BTreeSet<PolicyKey>> {
        let query = Query::of(POLICIES).select(&["id"]).build();
        let key = |document: Document| value::document_id(&document).parse().ok();
        Ok(self.db.query_map(POLICIES, query, key).await?.into_iter().collect())
    }

    /// A page of the ids in `ops_state`, and the id after which the next page starts.
    pub async fn state_ids(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<String>, Option<String>)> {
        let query = Query::of(STATE).select(&["sequence"]).ascending("__name__");
        let query = match after {
            Some(id) => query.start_after(vec![value::reference(self.db.name(STATE, id))]),
            None => query,
        };
        let found = self.db.query_page("ops_state by name", query, limit).await?;
        let id = |document: &Document| value::document_id(document).to_owned();
        let next = found.last().map(id);
        Ok((found.documents.iter().map(id).collect(), next))
    }

    /// Adds the statistics of what a shard's cursor will count again after a boundary.
    pub(super) async fn counted_after(
        &self,
        shard: Shard,
        boundary: Option<&Position>,
        statistics: &mut Vec<Statistic>,
    ) -> Result<()> {
        for (collection, time, fields) in [
            (REWARDS, "ts", &["ts", "shard", "late", "component", "policyVersion"][..]),
            (QUARANTINE, "obsTs", &["obsTs", "component", "document.policyVersion"][..]),
        ] {
            let query = Query::of(collection).select(fields).of_shard(shard);
            let query = query.ascending(time).ascending("__name__");
            let mut after = boundary.map(|boundary| {
                let id = boundary.name.rsplit('/').next().unwrap_or_default();
                vec![boundary.ts.clone(), value::reference(self.db.name(collection, id))]
            });
            loop {
                let page = match &after {
                    Some(position) => query.clone().start_after(position.clone()),
                    None => query.clone(),
                };
                let found = self.db.query_page(collection, page, PAGE).await?;
                add(&found.documents, statistics);
                if collection == REWARDS {
                    self.keep_moved(&found.documents).await?;
                }
                let Some(last) = found.last() else { break };
                let ts = last.fields.get(time).cloned().unwrap_or_default();
                after = Some(vec![ts, value::reference(last.name.clone())]);
            }
        }
        Ok(())
    }

    /// Scoring counts the rewards after a boundary again when it finds their observations. Those whose
    /// observation was written to another place since, or is gone, it would not find: they are marked
    /// as late, so that they stay counted.
    async fn keep_moved(&self, rewards: &[Document]) -> Result<()> {
        let ids: Vec<_> = rewards.iter().map(|it| value::document_id(it).to_owned()).collect();
        let items = self.stored_items(&ids).await?;
        let items: HashMap<&str, &Item> =
            items.iter().map(|found| (found.item.id(), &found.item)).collect();
        let is_there = |reward: &Document| {
            let id = value::document_id(reward);
            items.get(id).is_some_and(|item| match item {
                Item::Valid { observation, shard } => {
                    stored_reward(reward).is_of_range(observation, *shard)
                }
                Item::Invalid(_) => false,
            })
        };
        let is_late = |reward: &&Document| value::as_bool(&reward.fields, "late") == Some(true);
        let moved = rewards.iter().filter(|it| !is_late(it) && !is_there(it));
        let mark = |reward: &Document| {
            let late = value::fields([("late", value::boolean(true))]);
            reward
                .update_time
                .map(|time| write::patch_if_unchanged(reward.name.clone(), late, time))
        };
        let marks: Vec<_> = moved.filter_map(mark).collect();
        for some in marks.chunks(MAX_BATCH) {
            self.db.commit(REWARDS, some.to_vec()).await?;
        }
        Ok(())
    }

    /// Adds the statistics of all late observations, and returns the furthest of those that no shard of
    /// the layout has.
    pub(super) async fn counted_late(
        &self,
        is_unsharded: impl Fn(Option<i64>) -> bool,
        statistics: &mut Vec<Statistic>,
    ) -> Result<Option<Position>> {
        let late = Query::of(REWARDS).equal("late", value::boolean(true));
        let late = late.select(&["ts", "shard", "component", "policyVersion"]);
        let late = late.ascending("__name__");
        let mut furthest: Option<Position> = None;
        let mut after: Option<String> = None;
        loop {
            let page = match &after {
                Some(name) => late.clone().start_after(vec![value::reference(name.clone())]),
                None => late.clone(),
            };
            let found = self.db.query_page(REWARDS, page, PAGE).await?;
            add(&found.documents, statistics);
            let unsharded = found
                .documents
                .iter()
                .filter(|it| is_unsharded(value::as_int(&it.fields, "shard")))
                .filter_map(|it| self.place_of(it, "ts"));
            furthest = Position::furthest(furthest.iter().chain(&unsharded.collect::<Vec<_>>()));
            after = found.last().map(|it| it.name.clone());
            if after.is_none() {
                break;
            }
        }
        // What a batch rejected last may not be counted.
        let rejected = Query::of(QUARANTINE).select(&["component", "document.policyVersion"]);
        let rejected = rejected.descending("ts").limit(PAGE).build();
        let mut of_rejected = Vec::new();
        for named in self.db.query_map(QUARANTINE, rejected, |it| Some(statistics_of(&it))).await? {
            of_rejected.extend(named);
        }
        add_new(of_rejected, statistics);
        Ok(furthest)
    }

    /// The position of the observation before the last `tail` rewards of a shard that were written for
    /// its cursor; `None` if it has no more than those.
    pub(super) async fn position_before_last(
        &self,
        shard: Shard,
        tail: usize,
    ) -> Result<Option<Position>> {
        let query = Query::of(REWARDS).select(&["ts", "late"]).of_shard(shard);
        let query = query.descending("ts").descending("__name__");
        let mut left = tail;
        let mut after: Option<Vec<_>> = None;
        loop {
            let page = match &after {
                Some(position) => query.clone().start_after(position.clone()),
                None => query.clone(),
            };
            let found = self.db.query_page(REWARDS, page, PAGE).await?;
            for document in &found.documents {
                if value::as_bool(&document.fields, "late") == Some(true) {
                    continue;
                }
                if left == 0 {
                    return Ok(self.place_of(document, "ts"));
                }
                left -= 1;
            }
            let Some(last) = found.last() else { return Ok(None) };
            let ts = last.fields.get("ts").cloned().unwrap_or_default();
            after = Some(vec![ts, value::reference(last.name.clone())]);
        }
    }
}

/// Adds the statistics that rewards or entries of quarantine count in.
fn add(documents: &[Document], statistics: &mut Vec<Statistic>) {
    add_new(documents.iter().flat_map(statistics_of), statistics);
}

fn add_new(found: impl IntoIterator<Item = Statistic>, statistics: &mut Vec<Statistic>) {
    for statistic in found {
        if !statistics.contains(&statistic) {
            statistics.push(statistic);
        }
    }
}

fn statistics_of(document: &Document) -> Vec<Statistic> {
    let text = |name| value::as_str(&document.fields, name);
    let copied = value::as_map(&document.fields, "document");
    let version = text("policyVersion").or_else(|| value::as_str(copied?, "policyVersion"));
    let series = text("component").map(Statistic::Series);
    let tally = version.and_then(|name| name.parse().ok()).map(Statistic::Tally);
    series.into_iter().chain(tally).collect()
}
