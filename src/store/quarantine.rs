//! `ops_quarantine`: observations that cannot be scored, as found, with the reason.

use firestore::gcloud_sdk::google::firestore::v1::{Document, Write};

use serde_json::{Map, Value as Json};

use super::error::{Result, StoreError};
use super::observations::Invalid;
use super::ranges::Unordered;
use super::value;
use super::{Store, collection::QUARANTINE, write};

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
            let writes = some.iter().map(|rejected| write_of(rejected, true)).collect();
            for (index, _) in self.create_batch(QUARANTINE, writes).await?.refused {
                // A document near the size or depth limit does not fit into another document.
                // The reason must not be lost for that; the original stays where it is.
                let write = write_of(some[index], false);
                let outcome = self.create_batch(QUARANTINE, vec![write]).await?;
                if let Some((_, status)) = outcome.refused.into_iter().next() {
                    let target = format!("{QUARANTINE}/{}", some[index].id);
                    return Err(StoreError::rpc("creating", target, status));
                }
            }
        }
        Ok(())
    }

    /// What stands in quarantine under an observation's id.
    pub async fn quarantined(&self, id: &str) -> Result<Option<Map<String, Json>>> {
        let document = self.get(QUARANTINE, id).await?;
        Ok(document.map(|document| value::fields_to_json(&document.fields)))
    }

    fn quarantine_write(&self, rejected: &Invalid, document: Option<&Document>, now: i64) -> Write {
        let mut fields = value::fields([
            ("obsId", value::string(rejected.id.as_str())),
            ("ts", value::int(now)),
            ("field", value::string(rejected.rejection.field)),
            ("reason", value::string(rejected.rejection.to_string())),
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
        write::create(self.name(QUARANTINE, &rejected.id), fields)
    }
}
