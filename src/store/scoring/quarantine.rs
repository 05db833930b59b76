//! `ops_quarantine`: copies of observations that cannot be scored, with the reason.

use std::collections::HashSet;

use firestore_kit::Timestamp;
use firestore_kit::proto::{Document, Write};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::store::scoring::cursor::Position;
use crate::store::scoring::observations::Invalid;
use crate::store::scoring::ranges::Unordered;
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::QUARANTINE};
use firestore_kit::{MAX_BATCH, Page, PageOrder, PageRequest, Query, value, write};

/// An entry, without the copy of the document.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    pub id: String,
    /// When it was created, in epoch milliseconds.
    pub ts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The invalid field.
    pub field: String,
    pub reason: String,
    #[serde(skip)]
    update_time: Option<Timestamp>,
}

/// Which entries to list; all of them if nothing is set.
#[derive(Clone, Debug, Default)]
pub struct QuarantineFilter {
    /// Only these observations.
    pub ids: Vec<String>,
    pub component: Option<String>,
    pub field: Option<String>,
}

/// The fields of an entry that a list reads.
const LISTED: &[&str] = &["ts", "component", "field", "reason"];

/// Documents copied together, if they are small.
const COPIED_AT_ONCE: usize = 100;

impl Store {
    /// Quarantines each observation that is not in quarantine already. `early` says that no cursor has
    /// reached them, so that they are not counted yet. Returns the ids of those that were quarantined
    /// and counted before, at another place.
    pub async fn quarantine(
        &self,
        rejected: &[&Invalid],
        early: bool,
        now: i64,
    ) -> Result<HashSet<String>> {
        let mut existing: Vec<&Invalid> = Vec::new();
        let mut rest = rejected;
        while !rest.is_empty() {
            let some = &rest[..rest.len().min(COPIED_AT_ONCE)];
            let ids: Vec<_> = some.iter().map(|rejected| rejected.id.as_str()).collect();
            let (found, read) = self.whole_observations(&ids).await?;
            let (batch, after) = rest.split_at(read);
            rest = after;
            // They are in the order of the batch.
            let mut found = found.into_iter().peekable();
            let mut write_of = |rejected: &Invalid| {
                let document = found.next_if(|it| value::document_id(it) == rejected.id);
                self.quarantine_write(rejected, document, early, now)
            };
            let writes: Vec<_> = batch.iter().map(|rejected| write_of(rejected)).collect();
            let outcome = self.db.create_batch(QUARANTINE, &writes).await?;
            existing.extend(outcome.existing_at.iter().map(|index| batch[*index]));
            for (index, _) in outcome.refused {
                // A document near the size or depth limit does not fit into another document. The
                // entry is then created without the copy; the original is not deleted.
                let write = self.quarantine_write(batch[index], None, early, now);
                let outcome = self.db.create_batch(QUARANTINE, &[write]).await?;
                if let Some((_, status)) = outcome.refused.into_iter().next() {
                    let target = format!("{QUARANTINE}/{}", batch[index].id);
                    return Err(StoreError::rpc("create", target, status));
                }
            }
        }
        if early {
            return Ok(HashSet::new());
        }
        self.counted_elsewhere(&existing).await
    }

    /// The ids of those whose entry was written, and counted, when they were at another place.
    async fn counted_elsewhere(&self, existing: &[&Invalid]) -> Result<HashSet<String>> {
        let mut elsewhere = HashSet::new();
        for some in existing.chunks(MAX_BATCH) {
            let names = some.iter().map(|invalid| self.db.name(QUARANTINE, &invalid.id)).collect();
            let found = self.db.get_masked(names, PLACE).await?;
            let moved = some.iter().filter(|invalid| {
                let entry = found.get(&self.db.name(QUARANTINE, &invalid.id));
                entry.is_some_and(|entry| is_elsewhere(invalid, entry))
            });
            elsewhere.extend(moved.map(|invalid| invalid.id.clone()));
        }
        Ok(elsewhere)
    }

    /// The entries in quarantine, one page at a time, in the order of ids. Requested ids without an
    /// entry are left out.
    pub async fn quarantine_page(
        &self,
        filter: &QuarantineFilter,
        page: &PageRequest,
    ) -> Result<Page<Quarantined>> {
        if !filter.ids.is_empty() {
            let names: Vec<_> = filter.ids.iter().map(|id| self.db.name(QUARANTINE, id)).collect();
            let read = |document: Document| entry(&document);
            let mut found = self.db.get_map(&names, Some(LISTED), read).await?;
            let items = names.iter().filter_map(|name| found.remove(name)).collect();
            return Ok(Page { items, unreadable: Vec::new(), next: None });
        }
        let mut query = Query::of(QUARANTINE).select(LISTED);
        for (name, wanted) in [("component", &filter.component), ("field", &filter.field)] {
            if let Some(wanted) = wanted {
                query = query.equal(name, value::string(wanted.as_str()));
            }
        }
        let order = PageOrder::ByName;
        let found = order.read(&self.db, QUARANTINE, query, page).await?;
        Ok(Page::of(order, page, &found, |shown| shown.iter().map(entry).collect()))
    }

    /// The number of entries, counted up to `most`: a read for each 1,000.
    pub async fn quarantine_count(&self, most: usize) -> Result<u64> {
        self.db.count(QUARANTINE, Query::of(QUARANTINE).limit(most).build()).await
    }

    /// Deletes an entry if it is unchanged since it was read; `false` if it changed.
    pub async fn release(&self, entry: &Quarantined) -> Result<bool> {
        let Some(update_time) = entry.update_time else { return Ok(false) };
        let target = format!("{QUARANTINE}/{}", entry.id);
        let write = write::delete_if_unchanged(self.db.name(QUARANTINE, &entry.id), update_time);
        match self.db.commit(&target, vec![write]).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            // The response was lost: reading shows whether the entry was deleted.
            Err(error) if error.is_ambiguous() => {
                Ok(self.db.get(QUARANTINE, &entry.id).await?.is_none())
            }
            Err(error) => Err(error),
        }
    }

    /// The entry of an observation, with all fields.
    pub async fn quarantined(&self, id: &str) -> Result<Option<Map<String, Json>>> {
        let document = self.db.get(QUARANTINE, id).await?;
        Ok(document.map(|document| value::fields_to_json(&document.fields)))
    }

    fn quarantine_write(
        &self,
        rejected: &Invalid,
        document: Option<Document>,
        early: bool,
        now: i64,
    ) -> Write {
        let mut fields = value::fields([
            ("obsId", value::string(rejected.id.as_str())),
            ("ts", value::int(now)),
            ("field", value::string(rejected.rejection.field)),
            ("reason", value::string(rejected.rejection.to_string())),
            ("shard", value::int(rejected.shard)),
        ]);
        if let Some(component) = &rejected.origin.component {
            fields.insert("component".to_owned(), value::string(component.as_str()));
        }
        if early {
            fields.insert("early".to_owned(), value::boolean(true));
        }
        // The time of the observation, by which ranges are counted and compared.
        if rejected.position.is_number() {
            fields.insert("obsTs".to_owned(), rejected.position.ts.clone());
        } else {
            let kind = match rejected.position.ts.value_type {
                None => Unordered::Missing,
                Some(_) => Unordered::Type,
            };
            fields.insert("unordered".to_owned(), value::string(kind.as_str()));
        }
        match document {
            Some(document) => {
                fields.insert("document".to_owned(), value::map(document.fields));
            }
            None => {
                let note = "too large or too deep to copy: see ops_observations";
                fields.insert("documentNote".to_owned(), value::string(note));
            }
        }
        write::create(self.db.name(QUARANTINE, &rejected.id), fields)
    }
}

/// The fields that say where an observation was when it was quarantined.
const PLACE: &[&str] = &["obsTs", "unordered", "shard", "early"];

fn is_elsewhere(invalid: &Invalid, entry: &Document) -> bool {
    let fields = &entry.fields;
    if value::as_bool(fields, "early") == Some(true) {
        return false;
    }
    let other_shard = value::as_int(fields, "shard").is_some_and(|shard| shard != invalid.shard);
    let other_time = match fields.get("obsTs") {
        Some(ts) => {
            let then = Position { ts: ts.clone(), name: invalid.position.name.clone() };
            !invalid.position.is_number() || then.compare(&invalid.position).is_ne()
        }
        None => invalid.position.is_number() && fields.contains_key("unordered"),
    };
    other_shard || other_time
}

fn entry(document: &Document) -> Quarantined {
    let text = |name| value::as_str(&document.fields, name);
    Quarantined {
        id: value::document_id(document).to_owned(),
        ts: value::as_millis(&document.fields, "ts").unwrap_or_default(),
        component: text("component"),
        field: text("field").unwrap_or_default(),
        reason: text("reason").unwrap_or_default(),
        update_time: document.update_time,
    }
}
