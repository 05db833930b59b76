//! Counts of observations in a range, and of the rewards and quarantine entries that account for
//! them. Firestore bills one read for each 1,000 entries of an index.

use std::collections::HashSet;
use std::ops::Range;

use firestore_kit::proto::{Document, Value};

use crate::store::Result;
use crate::store::Store;
use crate::store::collection::{OBSERVATIONS, QUARANTINE, REWARDS};
use crate::store::scoring::cursor::Position;
use crate::store::scoring::observations::{SCORED_FIELDS, StoredItem, stored_item};
use crate::store::scoring::stored_fields::OfShard;
use f0_learning_core::hash::Fingerprint;
use f0_learning_core::sharding::{MAX_SHARDS, Shard, UNSHARDED};
use firestore_kit::{Aggregated, Query, Sum, Timestamp, value};

/// A count and the sum of the times. Two sets of documents that agree in both have the same times,
/// unless documents were deleted and as many created: a comparison of ids finds those.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counted {
    pub n: u64,
    pub sum: Sum,
}

impl Counted {
    /// What is left without a part of it; `None` if the sums are too large to be exact.
    fn without(self, part: Self) -> Option<Self> {
        Some(Self { n: self.n.checked_sub(part.n)?, sum: self.sum.less(part.sum)? })
    }
}

/// The counts of a range of times, as they were at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeCount {
    /// When that was, in Firestore's time.
    at: Option<Timestamp>,
    pub observations: Counted,
    pub rewards: Counted,
    pub quarantined: Counted,
}

impl RangeCount {
    /// Whether rewards and quarantine account for exactly the observations; `None` if the sums are too
    /// large to be exact, and smaller ranges must be counted.
    pub fn is_settled(&self) -> Option<bool> {
        if self.observations.n != self.rewards.n + self.quarantined.n {
            return Some(false);
        }
        Sum::adds_up(self.rewards.sum, self.quarantined.sum, self.observations.sum)
    }

    /// How many observations are not accounted for, and the sum of their times in epoch milliseconds,
    /// if no more are accounted for than there are. `None` if the sums are too large to be exact.
    pub fn missing(&self) -> Option<(u64, f64)> {
        let accounted = self.rewards.n + self.quarantined.n;
        let sum = self.observations.sum.less(self.rewards.sum)?.less(self.quarantined.sum)?;
        Some((self.observations.n.checked_sub(accounted)?, sum.exact()?))
    }

    /// The counts of what is left without a part of the range that was counted at the same moment.
    pub fn without(&self, part: &Self) -> Option<Self> {
        if self.at.is_none() || self.at != part.at {
            return None;
        }
        Some(Self {
            at: self.at,
            observations: self.observations.without(part.observations)?,
            rewards: self.rewards.without(part.rewards)?,
            quarantined: self.quarantined.without(part.quarantined)?,
        })
    }

    /// Rewards and quarantine entries whose observation was deleted.
    pub fn orphans(&self) -> u64 {
        (self.rewards.n + self.quarantined.n).saturating_sub(self.observations.n)
    }

    /// Identifies this state of the range, so that it is not examined twice. It is short, as many of
    /// them are stored.
    pub fn fingerprint(&self) -> String {
        let describe = |counted: &Counted| format!("{} {:?}", counted.n, counted.sum);
        let all = [&self.observations, &self.rewards, &self.quarantined].map(describe).join(" ");
        Fingerprint::new().raw(all.as_bytes()).to_string()
    }
}

/// Observations that no query over a range of times finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unordered {
    /// `ts` is not a number.
    Type,
    /// `ts` is missing.
    Missing,
}

impl Unordered {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Missing => "missing",
        }
    }
}

/// A range of ids: `from` is included and `until` is not; `None` is unbounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdRange {
    pub from: Option<String>,
    pub until: Option<String>,
}

/// Observations that only queries in the order of ids find.
#[derive(Clone, Copy, Debug)]
pub enum Group<'a> {
    /// Those of a shard without a `ts`.
    Shard(Shard),
    /// Those that belong to none of these shards.
    Unsharded(&'a [Shard]),
    /// All of them.
    Any,
}

impl Group<'_> {
    fn contains(&self, document: &Document) -> bool {
        match self {
            Self::Any => true,
            Self::Shard(_) => !document.fields.contains_key("ts"),
            Self::Unsharded(shards) => {
                let number = value::as_whole(&document.fields, "shard");
                let number = number.and_then(|number| u32::try_from(number).ok());
                number.is_none_or(|number| !shards.contains(&Shard::One(number)))
            }
        }
    }
}

/// The counts of a range of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdCount {
    /// The documents to read in order to find the observations that are not accounted for.
    pub documents: u64,
    /// The observations of the group, with `ts` or without.
    pub observations: u64,
    /// The rewards and quarantine entries that account for them.
    pub accounted: u64,
}

impl Store {
    /// Counts the documents of a shard with a time in `range`, in epoch milliseconds, all at one moment.
    pub async fn count_range(&self, shard: Shard, range: Range<f64>) -> Result<RangeCount> {
        match self.count_at(shard, &range, None).await {
            Err(error) if error.is_too_old() => self.count_at(shard, &range, None).await,
            result => result,
        }
    }

    /// The counts of a part of a range at the moment at which the whole was counted; `None` if
    /// Firestore keeps no versions of that time any more.
    pub async fn count_part(
        &self,
        shard: Shard,
        part: &Range<f64>,
        whole: &RangeCount,
    ) -> Result<Option<RangeCount>> {
        let Some(at) = whole.at else { return Ok(None) };
        match self.count_at(shard, part, Some(at)).await {
            Err(error) if error.is_too_old() => Ok(None),
            counted => counted.map(Some),
        }
    }

    /// Counts a range as it was `at` a time, or as it is now.
    async fn count_at(
        &self,
        shard: Shard,
        range: &Range<f64>,
        at: Option<Timestamp>,
    ) -> Result<RangeCount> {
        let observations = self.count_within(OBSERVATIONS, "ts", shard, range, at).await?;
        let at = at.or(observations.at);
        let (rewards, quarantined) = tokio::try_join!(
            self.count_within(REWARDS, "ts", shard, range, at),
            self.count_within(QUARANTINE, "obsTs", shard, range, at),
        )?;
        let counted = |it: Aggregated| Counted { n: it.n, sum: it.sum };
        Ok(RangeCount {
            at,
            observations: counted(observations),
            rewards: counted(rewards),
            quarantined: counted(quarantined),
        })
    }

    async fn count_within(
        &self,
        collection: &str,
        field: &str,
        shard: Shard,
        range: &Range<f64>,
        at: Option<Timestamp>,
    ) -> Result<Aggregated> {
        let query = Query::of(collection)
            .of_shard(shard)
            .at_least(field, value::double(range.start))
            .below(field, value::double(range.end));
        self.db.count_and_sum(collection, query.build(), field, at).await
    }

    /// The `ts` of the oldest observation of a shard at or after `from`, in epoch milliseconds.
    pub async fn oldest_ts(&self, shard: Shard, from: i64) -> Result<Option<i64>> {
        let query = Query::of(OBSERVATIONS)
            .of_shard(shard)
            .select(&["ts"])
            .at_least("ts", value::int(from))
            .ascending("ts")
            .limit(1);
        let documents = self.db.query_all(OBSERVATIONS, query.build()).await?;
        Ok(documents.first().map(|document| Position::of(document).ts_ms()))
    }

    /// The observations on one page of a range that have neither a reward nor a quarantine entry, and
    /// the document after which the next page starts.
    pub async fn unaccounted(
        &self,
        shard: Shard,
        range: Range<f64>,
        after: Option<&Document>,
        limit: usize,
    ) -> Result<(Vec<StoredItem>, Option<Document>)> {
        let query = Query::of(OBSERVATIONS)
            .of_shard(shard)
            .select(SCORED_FIELDS)
            .at_least("ts", value::double(range.start))
            .below("ts", value::double(range.end))
            .ascending("ts")
            .ascending("__name__");
        self.unaccounted_of(query, after, limit).await
    }

    /// The same for observations whose `ts` is not a number.
    pub async fn unaccounted_of_type(
        &self,
        shard: Shard,
        after: Option<&Document>,
        limit: usize,
    ) -> Result<(Vec<StoredItem>, Option<Document>)> {
        let (low, high) = with_other_types(shard);
        // The types that sort before numbers come first, then those that sort after.
        let is_high = after.is_some_and(|document| is_above_numbers(document.fields.get("ts")));
        if !is_high {
            let low = low.select(SCORED_FIELDS).ascending("ts").ascending("__name__");
            let (items, next) = self.unaccounted_of(low, after, limit).await?;
            if next.is_some() {
                return Ok((items, next));
            }
            let high = high.select(SCORED_FIELDS).ascending("ts").ascending("__name__");
            let (more, next) = self.unaccounted_of(high, None, limit).await?;
            return Ok((items.into_iter().chain(more).collect(), next));
        }
        let high = high.select(SCORED_FIELDS).ascending("ts").ascending("__name__");
        self.unaccounted_of(high, after, limit).await
    }

    async fn unaccounted_of(
        &self,
        query: Query,
        after: Option<&Document>,
        limit: usize,
    ) -> Result<(Vec<StoredItem>, Option<Document>)> {
        let query = match after {
            Some(document) => {
                let ts = document.fields.get("ts").cloned().unwrap_or_default();
                query.start_after(vec![ts, value::reference(document.name.clone())])
            }
            None => query,
        };
        let found = self.db.query_page(OBSERVATIONS, query, limit).await?;
        let next = found.last().map(|last| Document {
            name: last.name.clone(),
            fields: last
                .fields
                .get_key_value("ts")
                .map(|(name, ts)| (name.clone(), ts.clone()))
                .into_iter()
                .collect(),
            ..Document::default()
        });
        let documents = found.documents;
        let accounted = self.accounted(&documents).await?;
        let unaccounted = documents
            .iter()
            .filter(|document| !accounted.contains(value::document_id(document)))
            .map(stored_item)
            .collect();
        Ok((unaccounted, next))
    }

    /// The observations with these ids that exist and have neither a reward nor a quarantine entry.
    pub async fn unaccounted_among(&self, ids: &[String]) -> Result<Vec<StoredItem>> {
        let mut items = self.stored_items(ids).await?;
        let accounted = self.accounted_ids(items.iter().map(|found| found.item.id())).await?;
        items.retain(|found| !accounted.contains(found.item.id()));
        Ok(items)
    }

    /// The ids of the documents that have a reward or a quarantine entry. Where all of 30 documents that
    /// follow each other have one, or none of them, this costs two reads.
    async fn accounted(&self, documents: &[Document]) -> Result<HashSet<String>> {
        self.accounted_ids(documents.iter().map(value::document_id)).await
    }

    async fn accounted_ids<'a>(
        &self,
        ids: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<HashSet<String>> {
        let mut accounted = HashSet::new();
        for collection in [REWARDS, QUARANTINE] {
            let open = ids.clone().filter(|id| !accounted.contains(*id));
            let names: Vec<_> = open.clone().map(|id| self.db.name(collection, id)).collect();
            let existing = self.db.existing(collection, &names).await?;
            let found = open.zip(&names).filter(|(_, name)| existing.contains(*name));
            let found: Vec<_> = found.map(|(id, _)| id.to_owned()).collect();
            accounted.extend(found);
        }
        Ok(accounted)
    }

    /// The number of all observations; one read for each 1,000.
    pub async fn count_observations(&self) -> Result<u64> {
        self.db.count(OBSERVATIONS, Query::of(OBSERVATIONS).build()).await
    }

    /// The number of observations of a shard that queries over times do not find, and how many of
    /// them are in quarantine. For those without `ts`, this costs one read for each 1,000 observations
    /// of the shard.
    pub async fn count_unordered(&self, shard: Shard, kind: Unordered) -> Result<(u64, u64)> {
        let quarantined =
            Query::of(QUARANTINE).of_shard(shard).equal("unordered", value::string(kind.as_str()));
        let quarantined = self.db.count(QUARANTINE, quarantined.build()).await?;
        let count = |query: Query| self.db.count(OBSERVATIONS, query.build());
        let found = match kind {
            Unordered::Type => {
                let (low, high) = with_other_types(shard);
                count(low.ascending("ts")).await? + count(high.ascending("ts")).await?
            }
            Unordered::Missing => {
                let of_shard = || Query::of(OBSERVATIONS).of_shard(shard);
                let with_ts = count(of_shard().ascending("ts")).await?;
                count(of_shard()).await?.saturating_sub(with_ts)
            }
        };
        Ok((found, quarantined))
    }

    /// The number of observations that the queries of none of these shards find, and the number of
    /// rewards and quarantine entries that account for them.
    pub async fn count_unsharded(&self, shards: &[Shard]) -> Result<(u64, u64)> {
        let whole = IdRange::default();
        let count = self.count_ids(&Group::Unsharded(shards), &whole).await?;
        Ok((count.observations, count.accounted))
    }

    /// The shards that observations belong to, independent of the active layout.
    pub async fn observed_shards(&self) -> Result<Vec<Shard>> {
        self.shards_in(OBSERVATIONS).await
    }

    /// The whole numbers below the maximum that documents of a collection have as `shard`; one read
    /// for each.
    pub(in crate::store) async fn shards_in(&self, collection: &str) -> Result<Vec<Shard>> {
        let mut shards = Vec::new();
        let mut from = 0.0;
        loop {
            let query = Query::of(collection)
                .select(&["shard"])
                .at_least("shard", value::double(from))
                .below("shard", value::int(i64::from(MAX_SHARDS)))
                .ascending("shard")
                .limit(1);
            let documents = self.db.query_all(collection, query.build()).await?;
            let Some(document) = documents.first() else { return Ok(shards) };
            let found = document.fields.get("shard").map(value::to_json);
            let found = found.and_then(|json| json.as_f64()).unwrap_or(f64::MAX);
            let number = value::as_whole(&document.fields, "shard");
            let number = number.and_then(|number| u32::try_from(number).ok());
            shards.extend(number.map(Shard::One));
            from = found.floor() + 1.0;
        }
    }

    /// Counts the observations in a range of ids, and their rewards and quarantine entries.
    pub async fn count_ids(&self, group: &Group<'_>, range: &IdRange) -> Result<IdCount> {
        let count =
            |collection: &'static str, query: Query| self.db.count(collection, query.build());
        let (number, others) = match group {
            Group::Any | Group::Shard(Shard::All) => (None, &[][..]),
            Group::Shard(Shard::One(number)) => (Some(i64::from(*number)), &[][..]),
            Group::Unsharded(shards) => (Some(UNSHARDED), *shards),
        };
        let accounting = |collection: &'static str| {
            let query = self.of_ids(collection, range);
            let query = match number {
                Some(number) => query.equal("shard", value::int(number)),
                None => query,
            };
            count(collection, query)
        };
        let (rewards, quarantined) = tokio::try_join!(accounting(REWARDS), accounting(QUARANTINE))?;
        let all = match group {
            Group::Shard(shard) => self.of_ids(OBSERVATIONS, range).of_shard(*shard),
            Group::Any | Group::Unsharded(_) => self.of_ids(OBSERVATIONS, range),
        };
        let documents = count(OBSERVATIONS, all).await?;
        let mut sharded = 0;
        for shard in others {
            sharded +=
                count(OBSERVATIONS, self.of_ids(OBSERVATIONS, range).of_shard(*shard)).await?;
        }
        let observations = documents.saturating_sub(sharded);
        Ok(IdCount { documents, observations, accounted: rewards + quarantined })
    }

    /// The observations of the group on one page of a range of ids that are not accounted for, the id at
    /// which the next page starts, and the number of documents on the page.
    pub async fn found_by_id(
        &self,
        group: &Group<'_>,
        range: &IdRange,
        limit: usize,
    ) -> Result<(Vec<StoredItem>, Option<String>, usize)> {
        let query = self.of_ids(OBSERVATIONS, range).select(SCORED_FIELDS).ascending("__name__");
        let query = match group {
            Group::Shard(shard) => query.of_shard(*shard),
            Group::Any | Group::Unsharded(_) => query,
        };
        let found = self.db.query_page(OBSERVATIONS, query, limit).await?;
        let next = found.last().map(|document| format!("{}\0", value::document_id(document)));
        let read = found.documents.len();
        let documents: Vec<_> =
            found.documents.into_iter().filter(|document| group.contains(document)).collect();
        let accounted = self.accounted(&documents).await?;
        let unaccounted =
            documents.iter().filter(|document| !accounted.contains(value::document_id(document)));
        Ok((unaccounted.map(stored_item).collect(), next, read))
    }

    fn of_ids(&self, collection: &str, range: &IdRange) -> Query {
        let mut query = Query::of(collection);
        if let Some(from) = &range.from {
            // A trailing NUL means "after this id": no id ends in NUL.
            let (id, is_after) = match from.strip_suffix('\0') {
                Some(id) => (id, true),
                None => (from.as_str(), false),
            };
            let name = value::reference(self.db.name(collection, id));
            query = match is_after {
                true => query.above("__name__", name),
                false => query.at_least("__name__", name),
            };
        }
        if let Some(until) = &range.until {
            query = query.below("__name__", value::reference(self.db.name(collection, until)));
        }
        query
    }
}

/// The observations of a shard whose `ts` sorts before all numbers (null, booleans and NaN) and after
/// them (infinity, timestamps, strings and other types) in Firestore's order of types.
fn with_other_types(shard: Shard) -> (Query, Query) {
    let of_shard = || Query::of(OBSERVATIONS).of_shard(shard);
    let low = of_shard().end_before(vec![value::double(f64::NEG_INFINITY)]);
    let high = of_shard().start_at(vec![value::double(f64::INFINITY)]);
    (low, high)
}

fn is_above_numbers(ts: Option<&Value>) -> bool {
    use firestore_kit::proto::value::ValueType;
    match ts.and_then(|ts| ts.value_type.as_ref()) {
        None | Some(ValueType::NullValue(_) | ValueType::BooleanValue(_)) => false,
        Some(ValueType::IntegerValue(_)) => false,
        Some(ValueType::DoubleValue(number)) => *number == f64::INFINITY,
        Some(_) => true,
    }
}
