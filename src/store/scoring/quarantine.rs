//! `ops_quarantine`: observations that cannot be scored, as found, with the reason.

use firestore_kit::proto::{Document, Write};

use firestore_kit::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::store::scoring::observations::Invalid;
use crate::store::scoring::ranges::Unordered;
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::QUARANTINE};
use firestore_kit::Query;
use firestore_kit::value;
use firestore_kit::write;
use firestore_kit::{Page, PageRequest, by_name};

/// An entry, without the document.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    pub id: String,
    /// When it was put there, in epoch milliseconds.
    pub ts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The field that is wrong.
    pub field: String,
    pub reason: String,
    #[serde(skip)]
    seen: Option<Timestamp>,
}

/// Which entries to look at; all of them where nothing is set.
#[derive(Clone, Debug, Default)]
pub struct QuarantineFilter {
    /// Only these observations.
    pub ids: Vec<String>,
    pub component: Option<String>,
    pub field: Option<String>,
}

/// The fields of an entry that lists show.
const LISTED: &[&str] = &["ts", "component", "field", "reason"];

/// Documents copied at a time: each may be 1 MiB, and a request takes 10 MiB.
const COPIED_AT_ONCE: usize = 4;

impl Store {
    /// Puts each observation into quarantine, if it is not there already.
    pub async fn quarantine(&self, rejected: &[&Invalid], now: i64) -> Result<()> {
        for some in rejected.chunks(COPIED_AT_ONCE) {
            let ids: Vec<_> = some.iter().map(|rejected| rejected.id.as_str()).collect();
            let found = self.observations_as_found(&ids).await?;
            let write_of = |rejected: &Invalid, copy: bool| {
                let document = found
                    .iter()
                    .find(|document| copy && value::document_id(document) == rejected.id);
                self.quarantine_write(rejected, document, now)
            };
            let writes: Vec<_> = some.iter().map(|rejected| write_of(rejected, true)).collect();
            for (index, _) in self.db.create_batch(QUARANTINE, &writes).await?.refused {
                // A document near the size or depth limit does not fit into another document.
                // The reason must not be lost for that; the original stays where it is.
                let write = write_of(some[index], false);
                let outcome = self.db.create_batch(QUARANTINE, &[write]).await?;
                if let Some((_, status)) = outcome.refused.into_iter().next() {
                    let target = format!("{QUARANTINE}/{}", some[index].id);
                    return Err(StoreError::rpc("creating", target, status));
                }
            }
        }
        Ok(())
    }

    /// What stands in quarantine, a page at a time, in the order of ids. Ids that are asked for and
    /// do not stand there are left out.
    pub async fn quarantine_page(
        &self,
        filter: &QuarantineFilter,
        page: &PageRequest,
    ) -> Result<Page<Quarantined>> {
        if !filter.ids.is_empty() {
            let names = filter.ids.iter().map(|id| self.db.name(QUARANTINE, id)).collect();
            let mut found = self.db.get_masked(names, LISTED).await?;
            let entries =
                filter.ids.iter().filter_map(|id| found.remove(&self.db.name(QUARANTINE, id)));
            let items = entries.map(|document| entry(&document)).collect();
            return Ok(Page { items, next: None });
        }
        let mut query = Query::of(QUARANTINE).select(LISTED);
        for (name, asked) in [("component", &filter.component), ("field", &filter.field)] {
            if let Some(asked) = asked {
                query = query.equal(name, value::string(asked.as_str()));
            }
        }
        let documents =
            self.db.query_all(QUARANTINE, by_name(&self.db, query, QUARANTINE, page)).await?;
        Page::of(page, &documents, |documents| Ok(documents.iter().map(entry).collect()))
    }

    /// Takes an entry out of quarantine if it is as it was read; `false` where it is not.
    pub async fn release(&self, entry: &Quarantined) -> Result<bool> {
        let Some(seen) = entry.seen else { return Ok(false) };
        let target = format!("{QUARANTINE}/{}", entry.id);
        let write = write::delete_if_unchanged(self.db.name(QUARANTINE, &entry.id), seen);
        match self.db.commit(&target, vec![write], None).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            // It is out, or it is not and stands there to be asked for again.
            Err(error) if error.is_ambiguous() => {
                Ok(self.db.get(QUARANTINE, &entry.id).await?.is_none())
            }
            Err(error) => Err(error),
        }
    }

    /// What stands in quarantine under an observation's id.
    pub async fn quarantined(&self, id: &str) -> Result<Option<Map<String, Json>>> {
        let document = self.db.get(QUARANTINE, id).await?;
        Ok(document.map(|document| value::fields_to_json(&document.fields)))
    }

    fn quarantine_write(&self, rejected: &Invalid, document: Option<&Document>, now: i64) -> Write {
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
        // Where the document stands among the observations: what counts of ranges compare.
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
                fields.insert("document".to_owned(), value::map(document.fields.clone()));
            }
            None => {
                let note = "too large or too deep to copy: see ops_observations";
                fields.insert("documentNote".to_owned(), value::string(note));
            }
        }
        write::create(self.db.name(QUARANTINE, &rejected.id), fields)
    }
}

fn entry(document: &Document) -> Quarantined {
    let text = |name| value::as_str(&document.fields, name);
    Quarantined {
        id: value::document_id(document).to_owned(),
        ts: value::as_int(&document.fields, "ts").unwrap_or_default(),
        component: text("component"),
        field: text("field").unwrap_or_default(),
        reason: text("reason").unwrap_or_default(),
        seen: document.update_time,
    }
}
