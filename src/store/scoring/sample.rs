//! A bounded sample of the observations of a range of time, for previews of a configuration.

use firestore_kit::proto::Document;
use firestore_kit::{Query, value};
use tokio::task::JoinSet;

use crate::store::scoring::observations::{Item, SCORED_FIELDS, parse};
use crate::store::scoring::stored_fields::OfShard;
use crate::store::{Result, Store, StoreError, collection::OBSERVATIONS};
use f0_learning_core::observation::Observation;
use f0_learning_core::sharding::Shard;

/// Equal parts of the range, each read from its beginning: so the sample is of the whole range, and
/// not of its end.
const PARTS: usize = 40;
/// Observations of a part.
const OF_A_PART: usize = 50;
/// Parts that are read concurrently.
const AT_ONCE: usize = 8;

/// The most observations of a sample.
pub const MAX_SAMPLE: usize = PARTS * OF_A_PART;

impl Store {
    /// Valid observations with `ts` from `since` up to `until`, at most [`MAX_SAMPLE`].
    pub async fn sample_observations(&self, since: i64, until: i64) -> Result<Vec<Observation>> {
        let shards = self.layout().await?.layout.shards();
        let found = self.query_each(parts(&shards, since, until)).await?;
        let valid = found.iter().filter_map(|document| match parse(document) {
            Item::Valid { observation, .. } => Some(observation),
            Item::Invalid(_) => None,
        });
        Ok(valid.collect())
    }

    /// The `ts` of the first observation at or after `since`, in epoch milliseconds: a read for each
    /// shard, of at most `PARTS` of them.
    pub async fn first_observed(&self, since: i64) -> Result<Option<i64>> {
        let shards = self.layout().await?.layout.shards();
        let first_of = |shard: &Shard| {
            let query = Query::of(OBSERVATIONS).select(&["ts"]).of_shard(*shard);
            query.at_least("ts", value::int(since)).ascending("ts").ascending("__name__").limit(1)
        };
        let found = self.query_each(spread(&shards).map(first_of).collect()).await?;
        Ok(found.iter().filter_map(|document| value::as_millis(&document.fields, "ts")).min())
    }

    async fn query_each(&self, queries: Vec<Query>) -> Result<Vec<Document>> {
        let mut all = Vec::new();
        for batch in queries.chunks(AT_ONCE) {
            let mut tasks = JoinSet::new();
            for query in batch {
                let (store, query) = (self.clone(), query.clone());
                tasks.spawn(async move { store.db.query_all(OBSERVATIONS, query.build()).await });
            }
            while let Some(found) = tasks.join_next().await {
                all.extend(found.map_err(|panic| StoreError::Task(panic.to_string()))??);
            }
        }
        Ok(all)
    }
}

/// Some of the shards, at most [`PARTS`]: observations are spread over shards by their ids.
fn spread(shards: &[Shard]) -> impl Iterator<Item = &Shard> {
    shards.iter().step_by(shards.len().div_ceil(PARTS).max(1))
}

/// The queries of a sample. With many shards each has fewer parts, and with more shards than parts
/// some shards have none.
fn parts(shards: &[Shard], since: i64, until: i64) -> Vec<Query> {
    let sampled = shards.len().clamp(1, PARTS);
    let parts = i64::try_from(PARTS / sampled).unwrap_or(1).max(1);
    let step = ((until - since) / parts).max(1);
    let of_part = |shard: Shard, part: i64| {
        let start = since + part * step;
        Query::of(OBSERVATIONS)
            .select(SCORED_FIELDS)
            .of_shard(shard)
            .at_least("ts", value::int(start))
            .below("ts", value::int((start + step).min(until + 1)))
            .ascending("ts")
            .ascending("__name__")
            .limit(OF_A_PART)
    };
    spread(shards).flat_map(|shard| (0..parts).map(move |part| of_part(*shard, part))).collect()
}
