//! The initial documents of a new project. Existing documents are never overwritten.

use serde_json::{Map, Value as Json};

use crate::store::config::{FLAGS, REWARD_CONFIG, SCORING, TUNING};
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::CONFIG, collection::POLICIES};
use f0_learning_core::audit::{Action, AuditEntry};
use f0_learning_core::policy::lifecycle::StatusChange;
use f0_learning_core::policy::{PolicyKey, PolicyKeyError, PolicyStatus};
use firestore_kit::Repeat;
use firestore_kit::{value, write};

/// Collection, document id, and content from the repository's `config` folder.
const SEEDS: [(&str, &str, &str); 5] = [
    (CONFIG, FLAGS, include_str!("../../../config/flags.json")),
    (CONFIG, REWARD_CONFIG, include_str!("../../../config/reward_config.json")),
    (CONFIG, SCORING, include_str!("../../../config/scoring.json")),
    (CONFIG, TUNING, include_str!("../../../config/tuning.json")),
    (POLICIES, "router-core@1.0.0", include_str!("../../../config/router-core@1.0.0.json")),
];

/// The documents that seeding created, and those that existed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeedReport {
    pub created: Vec<String>,
    pub existing: Vec<String>,
}

impl Store {
    /// Creates the seed documents that do not exist.
    pub async fn seed(&self, now: i64) -> Result<SeedReport> {
        let mut report = SeedReport::default();
        for (collection, id, text) in SEEDS {
            let path = format!("{collection}/{id}");
            let mut seed: Map<String, Json> = serde_json::from_str(text)
                .map_err(|error| StoreError::decode(path.as_str(), "a seed document", error))?;
            let entry = match collection {
                POLICIES => {
                    seed.insert("createdAt".to_owned(), Json::from(now));
                    Some(seed_entry(id, now).map_err(|error| {
                        StoreError::decode(path.as_str(), "a seed document", error)
                    })?)
                }
                _ => None,
            };
            let fields = value::fields_from_json(&seed);
            let created = self.create_with_entry(collection, id, &fields, entry.as_ref()).await?;
            if created { &mut report.created } else { &mut report.existing }.push(path);
        }
        Ok(report)
    }

    /// Creates a document with its audit entry, if it has one; `false` if the document exists.
    async fn create_with_entry(
        &self,
        collection: &str,
        id: &str,
        fields: &value::Fields,
        entry: Option<&AuditEntry>,
    ) -> Result<bool> {
        let path = format!("{collection}/{id}");
        self.db
            .in_transaction(&path, Repeat::Idempotent, |transaction| async move {
                if self.db.get_in(collection, id, &transaction).await?.is_some() {
                    return Ok((Vec::new(), false));
                }
                let mut writes = vec![write::create(self.db.name(collection, id), fields.clone())];
                writes.extend(entry.map(|entry| self.audit_write(entry)));
                Ok((writes, true))
            })
            .await
    }
}

fn seed_entry(name: &str, now: i64) -> Result<AuditEntry, PolicyKeyError> {
    let PolicyKey { id, version } = name.parse()?;
    Ok(AuditEntry {
        ts: now,
        actor: "system".to_owned(),
        action: Action::Seed.to_string(),
        id,
        to: Some(version.to_string()),
        changes: vec![StatusChange { version, from: None, to: PolicyStatus::Active }],
        ..AuditEntry::default()
    })
}
