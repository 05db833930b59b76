//! `ops_observations`: the documents that components write, in the order of (`ts`, document id).

use firestore_kit::Timestamp;
use firestore_kit::proto::Document;
use serde_json::{Map, Value as Json};
use tokio::task::JoinSet;

use crate::store::scoring::admission::Admission;
use crate::store::scoring::cursor::{Cursor, Pending, Position};
use crate::store::scoring::stored_fields::OfShard;
use crate::store::scoring::stored_fields::StoredFields;
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::OBSERVATIONS};
use f0_learning_core::observation::{Observation, Origin, Rejection};
use f0_learning_core::sharding::{Shard, recorded_shard};
use firestore_kit::value::{self, Fields};
use firestore_kit::{Found, PAGE_BYTES, Page, PageOrder, PageRequest, Query, fitting};

/// The fields that scoring reads. `meta` and other fields that components add are not read, so that
/// the memory of a page depends on its count and not on the size of `meta`.
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

/// The most bytes of memory that the items of a chunk take. 25,000 usual ones take about half of it.
const CHUNK_BYTES: usize = 24 << 20;

/// A stored observation, parsed for scoring.
#[derive(Debug)]
pub enum Item {
    Valid {
        observation: Observation,
        /// The `shard` of its reward.
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

    /// About the bytes of memory that it takes.
    fn memory(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let texts = match self {
            Self::Valid { observation, .. } => {
                observation.id.len()
                    + observation.component.len()
                    + text(&observation.policy_version)
                    + text(&observation.error_code)
            }
            Self::Invalid(invalid) => {
                let Origin { component, policy_version, .. } = &invalid.origin;
                let texts = invalid.id.len() + invalid.position.name.len();
                size_of::<Invalid>() + texts + text(component) + text(policy_version)
            }
        };
        size_of::<Self>() + texts
    }

    /// The component that wrote it, if that can be read.
    pub fn component(&self) -> Option<&str> {
        match self {
            Self::Valid { observation, .. } => Some(&observation.component),
            Self::Invalid(invalid) => invalid.origin.component.as_deref(),
        }
    }

    /// The item, invalid if it is not admitted.
    fn checked(
        self,
        admission: Admission<'_>,
        position: impl FnOnce(&Observation) -> Position,
    ) -> Self {
        let Self::Valid { observation, shard } = self else { return self };
        let Err(rejection) = admission.check(&observation) else {
            return Self::Valid { observation, shard };
        };
        let origin = Origin {
            component: Some(observation.component.clone()),
            ts: Some(observation.ts),
            policy_version: observation.policy_version.clone(),
        };
        let position = position(&observation);
        Self::Invalid(Box::new(Invalid { id: observation.id, rejection, origin, position, shard }))
    }
}

/// An observation that cannot be scored, and what could be read of it.
#[derive(Debug)]
pub struct Invalid {
    pub id: String,
    pub rejection: Rejection,
    pub origin: Origin,
    pub position: Position,
    /// The `shard` of its entry in quarantine.
    pub shard: i64,
}

/// Consecutive stored observations in the order of (`ts`, id), and the position of their end.
#[derive(Debug, Default)]
pub struct Chunk {
    pub items: Vec<Item>,
    /// The position of the last member and the read time of all members; `None` if there are none.
    pub end: Option<(Position, Timestamp)>,
    /// Whether more may follow.
    pub full: bool,
}

impl Store {
    /// The observations of a shard after `from` with `ts` up to `horizon`, at most `limit`.
    ///
    /// Membership is exact: the chunk is every document between `from` and its end that was
    /// created at or before its read time, so that [`pending_chunk`](Self::pending_chunk) finds
    /// the same set again. A stream that breaks off ends the chunk early, and so do items that take
    /// more memory than `CHUNK_BYTES`.
    pub async fn next_chunk(
        &self,
        shard: Shard,
        from: Option<&Position>,
        horizon: i64,
        limit: usize,
    ) -> Result<Chunk> {
        self.db
            .retry(|| async {
                let query = after(shard, from).at_most("ts", value::int(horizon)).limit(limit);
                self.read_chunk(query, None, limit).await
            })
            .await
    }

    /// The observations between a cursor and the end of its announced chunk.
    pub async fn pending_chunk(&self, cursor: &Cursor, pending: &Pending) -> Result<Chunk> {
        let from = cursor.position.as_ref();
        self.db
            .retry(|| async {
                let query = after(cursor.shard, from).at_most("ts", pending.end.ts.clone());
                let chunk = self.read_chunk(query, Some(pending), usize::MAX).await?;
                // A recovered chunk must be complete: the announcement defines its end. More may
                // follow it.
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
        let failed = |status| StoreError::rpc("query", OBSERVATIONS, status);
        let mut stream = self.db.query(query.build()).await.map_err(failed)?;
        let mut chunk = Chunk::default();
        let (mut read, mut bytes) = (0, 0);
        let mut read_time = pending.map(|pending| pending.read_time);
        loop {
            let response = match stream.message().await {
                Ok(Some(response)) => response,
                Ok(None) => break,
                Err(status)
                    if pending.is_none()
                        && read > 0
                        && firestore_kit::is_transient(status.code()) =>
                {
                    tracing::debug!(%status, read, "a page of observations broke off; using its start");
                    chunk.full = true;
                    break;
                }
                Err(status) => return Err(failed(status)),
            };
            // Later responses may have a later read time; the first one is valid for all of them.
            read_time = read_time.or(response.read_time);
            let Some(document) = response.document else { continue };
            let position = Position::of(&document);
            if pending.is_some_and(|pending| position.is_after(&pending.end)) {
                break;
            }
            read += 1;
            let read_time = read_time.ok_or_else(|| {
                StoreError::decode(OBSERVATIONS, "a page", "the response has no read time")
            })?;
            if is_member(&document, &read_time) {
                let item = parse(&document);
                bytes += item.memory();
                chunk.items.push(item);
                chunk.end = Some((position, read_time));
            }
            if pending.is_none() && bytes >= CHUNK_BYTES {
                chunk.full = true;
                break;
            }
        }
        chunk.full |= read >= limit;
        Ok(chunk)
    }

    /// The members of a range that is announced with this time: invalid where they are older than what
    /// was archived, because an earlier copy may have been counted, and its reward archived.
    pub fn checked(&self, items: Vec<Item>, admission: Admission<'_>) -> Vec<Item> {
        let position = |observation: &Observation| self.position_of(observation);
        items.into_iter().map(|item| item.checked(admission, position)).collect()
    }

    /// The documents that exist among the first of these ids, with all fields, and how many ids those
    /// are: as many as fit into a page, and at least one.
    pub(in crate::store) async fn whole_observations(
        &self,
        ids: &[&str],
    ) -> Result<(Vec<Document>, usize)> {
        let names: Vec<_> = ids.iter().map(|id| self.db.name(OBSERVATIONS, id)).collect();
        let (mut found, read) = self.db.get_page(OBSERVATIONS, &names).await?;
        Ok((names.iter().filter_map(|name| found.remove(name)).collect(), read))
    }

    /// The position of a stored observation in the order of scoring.
    pub fn position_of(&self, observation: &Observation) -> Position {
        Position {
            ts: value::int(observation.ts),
            name: self.db.name(OBSERVATIONS, &observation.id),
        }
    }

    /// The number of observations after a cursor, up to `horizon`.
    pub async fn backlog(&self, cursor: &Cursor, horizon: i64) -> Result<u64> {
        let query =
            after(cursor.shard, cursor.position.as_ref()).at_most("ts", value::int(horizon));
        self.db.count(OBSERVATIONS, query.build()).await
    }

    /// The same, counted up to `most`.
    pub async fn backlog_up_to(&self, cursor: &Cursor, horizon: i64, most: usize) -> Result<u64> {
        let query = after(cursor.shard, cursor.position.as_ref());
        let query = query.at_most("ts", value::int(horizon)).limit(most);
        self.db.count(OBSERVATIONS, query.build()).await
    }

    /// The `ts` of the first observation after a cursor, in epoch milliseconds.
    pub async fn oldest_after(&self, cursor: &Cursor) -> Result<Option<i64>> {
        let query = after(cursor.shard, cursor.position.as_ref()).select(&["ts"]).limit(1);
        let documents = self.db.query_all(OBSERVATIONS, query.build()).await?;
        Ok(documents.first().map(|document| Position::of(document).ts_ms()))
    }

    /// The latest observations, newest first; of one component if it is given.
    pub async fn latest_observations(
        &self,
        component: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Map<String, Json>>> {
        let mut page = PageRequest { limit, after: None };
        let mut latest = Vec::new();
        loop {
            let found = self.observations_page(component, &page).await?;
            page.limit = page.limit.saturating_sub(found.items.len());
            page.after = found.next;
            latest.extend(found.items);
            if page.limit == 0 || page.after.is_none() {
                return Ok(latest);
            }
        }
    }

    /// The same, one page at a time. If observations are sharded, those without a shard are left out,
    /// because they have no index over `ts`.
    pub async fn observations_page(
        &self,
        component: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<Map<String, Json>>> {
        let shards = self.layout().await?.layout.shards();
        let mut newest = Newest::default();
        for batch in shards.chunks(SHARDS_AT_ONCE) {
            let mut tasks = JoinSet::new();
            for shard in batch {
                let query = of_component(component).of_shard(*shard);
                let (store, page) = (self.clone(), page.clone());
                let read = async move { ORDER.read(&store.db, OBSERVATIONS, query, &page).await };
                tasks.spawn(read);
            }
            while let Some(found) = tasks.join_next().await {
                let found = found.map_err(|panic| StoreError::Task(panic.to_string()))??;
                newest.add(found, page.limit + 1);
            }
        }
        let found = newest.found;
        Ok(Page::of(ORDER, page, &found, |shown| shown.iter().map(with_id).collect()))
    }
}

/// The newest documents of several shards, as many as fit into a page.
#[derive(Default)]
struct Newest {
    found: Found,
    /// Documents before this position are not all known.
    end: Option<Position>,
}

impl Newest {
    /// Adds the newest documents of a shard, which are in this order.
    fn add(&mut self, found: Found, limit: usize) {
        self.end = Position::furthest(self.end.iter().chain(&found.last().map(Position::of)));
        let documents = &mut self.found.documents;
        documents.extend(found.documents);
        documents.sort_by(|a, b| Position::of(b).compare(&Position::of(a)));
        let known =
            |end: &Position| documents.partition_point(|it| !end.is_after(&Position::of(it)));
        let kept = self.end.as_ref().map_or(documents.len(), known).min(limit);
        let kept = fitting(PAGE_BYTES, documents[..kept].iter().map(value::memory));
        if kept < documents.len() {
            documents.truncate(kept);
            self.end = documents.last().map(Position::of);
        }
        self.found.more = self.end.is_some();
    }
}

/// The order of lists.
const ORDER: PageOrder = PageOrder::NewestFirst("ts");

/// Shards that a list queries concurrently. Each answer may take the memory of a page.
const SHARDS_AT_ONCE: usize = 4;

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

fn is_member(document: &Document, read_time: &Timestamp) -> bool {
    let key = |time: &Timestamp| (time.seconds, time.nanos);
    document.create_time.as_ref().is_none_or(|created| key(created) <= key(read_time))
}

/// An observation that was found outside the order of scoring.
#[derive(Debug)]
pub struct StoredItem {
    pub item: Item,
    pub position: Position,
    /// Its field `shard`, if that is a whole number.
    pub shard: Option<i64>,
}

impl StoredItem {
    /// The observation, invalid if it is not admitted.
    #[must_use]
    pub fn checked(self, admission: Admission<'_>) -> Self {
        let Self { item, position, shard } = self;
        let item = item.checked(admission, |_| position.clone());
        Self { item, position, shard }
    }
}

pub(in crate::store) fn stored_item(document: &Document) -> StoredItem {
    let shard = value::as_whole(&document.fields, "shard");
    StoredItem { item: parse(document), position: Position::of(document), shard }
}

pub(in crate::store) fn parse(document: &Document) -> Item {
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

/// When Firestore stored the document as it is; `i64::MAX` if that is unknown.
fn written_ms(document: &Document) -> i64 {
    let written = document.update_time.as_ref().or(document.create_time.as_ref());
    written.map_or(i64::MAX, value::epoch_millis)
}

fn with_id(document: &Document) -> Map<String, Json> {
    let fields: &Fields = &document.fields;
    let mut json = value::fields_to_json(fields);
    json.insert("id".to_owned(), Json::from(value::document_id(document)));
    json
}
