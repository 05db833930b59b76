//! `ops_observations`: what components write, in the order of (`ts`, document id).

use firestore_kit::Timestamp;
use firestore_kit::proto::Document;
use serde_json::{Map, Value as Json};
use tokio::task::JoinSet;

use crate::store::scoring::cursor::{Cursor, Pending, Position};
use crate::store::scoring::stored_fields::OfShard;
use crate::store::scoring::stored_fields::StoredFields;
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::OBSERVATIONS};
use f0_learning_core::observation::{Observation, Origin, Rejection};
use f0_learning_core::sharding::{Shard, recorded_shard};
use firestore_kit::Query;
use firestore_kit::value::{self, Fields};
use firestore_kit::{Page, PageRequest, newest_first};

/// The fields that scoring reads. `meta` and whatever else components add stay where they are: a
/// page then costs memory in proportion to its count, not to what somebody put into `meta`.
pub const SCORED_FIELDS: &[&str] = &[
    "id",
    "ts",
    "component",
    "outcome",
    "durationMs",
    "tokensIn",
    "tokensOut",
    "costUsd",
    "policyVersion",
    "errorCode",
    "sampleRate",
    "propensity",
    "shard",
];

/// A stored observation as scoring takes it.
#[derive(Debug)]
pub enum Item {
    /// With the number that its reward is recorded under.
    Valid {
        observation: Observation,
        shard: i64,
    },
    Invalid(Box<Invalid>),
}

impl Item {
    pub fn id(&self) -> &str {
        match self {
            Self::Valid { observation, .. } => &observation.id,
            Self::Invalid(invalid) => &invalid.id,
        }
    }

    /// Who sent it, as far as that can be told.
    pub fn component(&self) -> Option<&str> {
        match self {
            Self::Valid { observation, .. } => Some(&observation.component),
            Self::Invalid(invalid) => invalid.origin.component.as_deref(),
        }
    }
}

/// One that cannot be scored, and what can be told of it.
#[derive(Debug)]
pub struct Invalid {
    pub id: String,
    pub rejection: Rejection,
    pub origin: Origin,
    pub position: Position,
    /// The number that its entry in quarantine is recorded under.
    pub shard: i64,
}

/// A run of stored observations, each in the order of (`ts`, id), and how far it reaches.
#[derive(Debug, Default)]
pub struct Chunk {
    pub items: Vec<Item>,
    /// The position of the last member, and the time as of which all were read; `None` where
    /// there is none.
    pub end: Option<(Position, Timestamp)>,
    /// Whether the limit ended the chunk, so that more may follow.
    pub full: bool,
}

impl Store {
    /// The observations of a shard after `from` with `ts` up to `horizon`, at most `limit`.
    ///
    /// Membership is exact: the chunk is every document between `from` and its end that was
    /// created at or before its read time, so that [`pending_chunk`](Self::pending_chunk) finds
    /// the same set again. A stream that breaks midway ends the chunk early.
    pub async fn next_chunk(
        &self,
        shard: Shard,
        from: Option<&Position>,
        horizon: i64,
        limit: usize,
    ) -> Result<Chunk> {
        self.db
            .repeat(|| async {
                let query = after(shard, from).at_most("ts", value::int(horizon)).limit(limit);
                self.read_chunk(query, None, limit).await
            })
            .await
    }

    /// The observations between a cursor and the end of a chunk that was announced in it.
    pub async fn pending_chunk(&self, cursor: &Cursor, pending: &Pending) -> Result<Chunk> {
        let from = cursor.position.as_ref();
        self.db
            .repeat(|| async {
                let query = after(cursor.shard, from).at_most("ts", pending.end.ts.clone());
                let chunk = self.read_chunk(query, Some(pending), usize::MAX).await?;
                // A recovered chunk is all or nothing: its end is fixed by the announcement, and what
                // comes after it is not known yet.
                let end = Some((pending.end.clone(), pending.read_time));
                Ok(Chunk { end, full: true, ..chunk })
            })
            .await
    }

    async fn read_chunk(
        &self,
        query: Query,
        pending: Option<&Pending>,
        limit: usize,
    ) -> Result<Chunk> {
        let failed = |status| StoreError::rpc("querying", OBSERVATIONS, status);
        let mut answers = self.db.query(query.build()).await.map_err(failed)?;
        let mut chunk = Chunk::default();
        let mut seen = 0;
        let mut read_time = pending.map(|pending| pending.read_time);
        loop {
            let answer = match answers.message().await {
                Ok(Some(answer)) => answer,
                Ok(None) => break,
                Err(status)
                    if pending.is_none()
                        && seen > 0
                        && firestore_kit::is_transient(status.code()) =>
                {
                    tracing::debug!(%status, seen, "a page of observations broke off; using its head");
                    chunk.full = true;
                    break;
                }
                Err(status) => return Err(failed(status)),
            };
            // Later answers may carry a later read time; the first holds for all before it.
            read_time = read_time.or(answer.read_time);
            let Some(document) = answer.document else { continue };
            let position = Position::of(&document);
            if pending.is_some_and(|pending| position.is_after(&pending.end)) {
                break;
            }
            seen += 1;
            let as_of = read_time.ok_or_else(|| {
                StoreError::decode(OBSERVATIONS, "a page", "the answer has no read time")
            })?;
            if is_member(&document, &as_of) {
                chunk.items.push(parse(&document));
                chunk.end = Some((position, as_of));
            }
        }
        chunk.full |= seen >= limit;
        Ok(chunk)
    }

    /// The whole documents with these ids, as found.
    pub(in crate::store) async fn observations_as_found(
        &self,
        ids: &[&str],
    ) -> Result<Vec<Document>> {
        let names: Vec<_> = ids.iter().map(|id| self.db.name(OBSERVATIONS, id)).collect();
        let mut found = self.db.get_many(names.clone(), None).await?;
        Ok(names.iter().filter_map(|name| found.remove(name)).collect())
    }

    /// Where a stored observation stands in the order of scoring.
    pub fn position_of(&self, observation: &Observation) -> Position {
        Position {
            ts: value::int(observation.ts),
            name: self.db.name(OBSERVATIONS, &observation.id),
        }
    }

    /// How many observations are waiting behind a cursor, up to `horizon`.
    pub async fn backlog(&self, cursor: &Cursor, horizon: i64) -> Result<u64> {
        let query =
            after(cursor.shard, cursor.position.as_ref()).at_most("ts", value::int(horizon));
        self.db.count(OBSERVATIONS, query.build()).await
    }

    /// The latest observations, of one component if one is named, newest first.
    pub async fn latest_observations(
        &self,
        component: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Map<String, Json>>> {
        let page = PageRequest { limit, after: None };
        Ok(self.observations_page(component, &page).await?.items)
    }

    /// The same a page at a time.
    /// Where observations are sharded those without a shard are left out: only their ids order them.
    pub async fn observations_page(
        &self,
        component: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<Map<String, Json>>> {
        let shards = self.layout().await?.layout.shards();
        let mut documents = Vec::new();
        for some in shards.chunks(LISTED_AT_ONCE) {
            let mut under_way = JoinSet::new();
            for shard in some {
                let query = of_component(component).of_shard(*shard);
                let query = newest_first(&self.db, query, OBSERVATIONS, page);
                let store = self.clone();
                under_way.spawn(async move { store.db.query_all(OBSERVATIONS, query).await });
            }
            while let Some(found) = under_way.join_next().await {
                documents.extend(found.map_err(|panic| StoreError::Task(panic.to_string()))??);
            }
        }
        if shards.len() > 1 {
            documents.sort_by(|a, b| Position::of(b).compare(&Position::of(a)));
            documents.truncate(page.limit + 1);
        }
        Page::of(page, &documents, |documents| Ok(documents.iter().map(with_id).collect()))
    }
}

/// Shards that a list asks at a time.
const LISTED_AT_ONCE: usize = 16;

fn of_component(component: Option<&str>) -> Query {
    let query = Query::of(OBSERVATIONS);
    match component {
        Some(component) => query.equal("component", value::string(component)),
        None => query,
    }
}

fn after(shard: Shard, from: Option<&Position>) -> Query {
    let query = Query::of(OBSERVATIONS).select(SCORED_FIELDS).of_shard(shard);
    let query = query.ascending("ts").ascending("__name__");
    match from {
        Some(position) => query.start_after(position.cursor_values()),
        None => query,
    }
}

fn is_member(document: &Document, as_of: &Timestamp) -> bool {
    let key = |time: &Timestamp| (time.seconds, time.nanos);
    document.create_time.as_ref().is_none_or(|created| key(created) <= key(as_of))
}

/// An observation where it was found, out of the order of scoring.
#[derive(Debug)]
pub struct StoredItem {
    pub item: Item,
    pub position: Position,
    /// What it carries as `shard`, if that is a whole number.
    pub shard: Option<i64>,
}

pub(in crate::store) fn stored_item(document: &Document) -> StoredItem {
    let shard = value::as_whole(&document.fields, "shard");
    StoredItem { item: parse(document), position: Position::of(document), shard }
}

fn parse(document: &Document) -> Item {
    let id = value::document_id(document);
    let fields = StoredFields(&document.fields);
    let shard = recorded_shard(value::as_whole(&document.fields, "shard"));
    let parsed = Observation::parse(id, &fields);
    match parsed.and_then(|observation| observation.check_clock(written_ms(document))) {
        Ok(observation) => Item::Valid { observation, shard },
        Err(rejection) => Item::Invalid(Box::new(Invalid {
            id: id.to_owned(),
            rejection,
            origin: Origin::of(&fields),
            position: Position::of(document),
            shard,
        })),
    }
}

/// When Firestore took the document; any time at all where it does not say.
fn written_ms(document: &Document) -> i64 {
    document.create_time.as_ref().map_or(i64::MAX, value::epoch_millis)
}

fn with_id(document: &Document) -> Map<String, Json> {
    let fields: &Fields = &document.fields;
    let mut json = value::fields_to_json(fields);
    json.insert("id".to_owned(), Json::from(value::document_id(document)));
    json
}
