//! The initial documents of a new project. Existing documents are never overwritten.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value as Json};

use crate::store::change::{Asked, ChangeError, Decided};
use crate::store::config::{FLAGS, REWARD_CONFIG, SCORING, TUNING};
use crate::store::{Result, StoreError};
use crate::store::{Store, collection::CONFIG, collection::POLICIES};
use f0_learning_core::audit::{Action, AuditEntry};
use f0_learning_core::intent::{self, Intent};
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

/// The content with which a document is seeded, by its path; `None` if it is not.
pub fn seed_text(path: &str) -> Option<&'static str> {
    let found =
        SEEDS.iter().find(|(collection, id, _)| path.split_once('/') == Some((*collection, *id)));
    found.map(|(_, _, text)| *text)
}

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
            if collection == POLICIES {
                seed.insert("createdAt".to_owned(), Json::from(now));
                let entry = seed_entry(id, now)
                    .map_err(|error| StoreError::decode(path.as_str(), "a seed document", error))?;
                let fields = value::fields_from_json(&seed);
                match self.seed_policy(id, &fields, &entry, now).await? {
                    None => report.created.push(path),
                    Some(existing) => report.existing.push(existing),
                }
                continue;
            }
            let fields = value::fields_from_json(&seed);
            let created = self.create_once(collection, id, &fields).await?;
            if created { &mut report.created } else { &mut report.existing }.push(path);
        }
        Ok(report)
    }

    /// Writes one document of `config` again as it was seeded, if it is missing or cannot be read.
    ///
    /// # Errors
    /// There is no such document to begin with, or Firestore refused the commit.
    pub async fn seed_again(&self, path: &str) -> Result<SeedReport> {
        let (collection, id) = path.split_once('/').unwrap_or_default();
        let unknown = || {
            let detail = "expected config/reward_config, config/scoring or config/tuning";
            StoreError::Encode { detail: format!("{path}: {detail}") }
        };
        let seed = SEEDS.iter().find(|seed| (seed.0, seed.1) == (collection, id));
        let (_, _, text) = seed.ok_or_else(unknown)?;
        let readable = match id {
            REWARD_CONFIG => self.reward_config().await.map(|_| ()),
            SCORING => self.asked_layout().await.map(|_| ()),
            TUNING => self.tuning_config().await.map(|_| ()),
            _ => return Err(unknown()),
        };
        match readable {
            Err(StoreError::Decode { .. }) => {}
            Err(error) => return Err(error),
            // One that is missing is read as the defaults.
            Ok(()) if self.db.get(collection, id).await?.is_some() => {
                let existing = vec![path.to_owned()];
                return Ok(SeedReport { existing, ..SeedReport::default() });
            }
            Ok(()) => {}
        }
        let json: Map<String, Json> = serde_json::from_str(text)
            .map_err(|error| StoreError::decode(path, "a seed document", error))?;
        let update_time = self.db.get(collection, id).await?.and_then(|found| found.update_time);
        let fields = value::fields_from_json(&json);
        let write = write::set_if_unchanged(self.db.name(collection, id), fields, update_time);
        self.db.commit(path, vec![write]).await?;
        Ok(SeedReport { created: vec![path.to_owned()], ..SeedReport::default() })
    }

    /// Creates the first version of a policy with its audit entry. Returns what exists instead: the
    /// document, or another active version, even one that cannot be read.
    async fn seed_policy(
        &self,
        name: &str,
        fields: &value::Fields,
        entry: &AuditEntry,
        now: i64,
    ) -> Result<Option<String>> {
        let existing = Mutex::new(None);
        let (target, found) = (format!("{POLICIES}/{name}"), &existing);
        let intent = Intent::new(&entry.actor, now);
        let asked = Asked::of(Action::Seed, &entry.id);
        let outcome = self
            .change(&target, asked, &intent, |transaction| async move {
                let mut documents: Vec<_> =
                    self.db.get_in(POLICIES, name, &transaction).await?.into_iter().collect();
                let active = PolicyStatus::Active;
                documents
                    .extend(self.documents_with_status(&entry.id, active, &transaction).await?);
                if let Some(document) = documents.first() {
                    let path = self.db.short_name(&document.name).to_owned();
                    *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(path);
                    return Err(ChangeError::Outdated("a version exists"));
                }
                let write = write::create(self.db.name(POLICIES, name), fields.clone());
                Ok(Decided { writes: vec![write], entry: entry.clone() })
            })
            .await;
        match outcome {
            Ok(_) => Ok(None),
            Err(ChangeError::Outdated(_)) => {
                let existing = existing.into_inner().unwrap_or_else(PoisonError::into_inner);
                Ok(Some(existing.unwrap_or(target)))
            }
            Err(ChangeError::Store(error)) => Err(error),
            Err(refused) => Err(StoreError::Encode { detail: refused.to_string() }),
        }
    }

    /// Creates a document; `false` if it exists. A document that an attempt of this call created,
    /// although its answer was lost, counts as created.
    async fn create_once(
        &self,
        collection: &str,
        id: &str,
        fields: &value::Fields,
    ) -> Result<bool> {
        let path = format!("{collection}/{id}");
        let attempted = AtomicBool::new(false);
        let attempted = &attempted;
        self.db
            .in_transaction(&path, Repeat::Idempotent, |transaction| async move {
                if let Some(found) = self.db.get_in(collection, id, &transaction).await? {
                    let ours = attempted.load(Ordering::Relaxed) && found.fields == *fields;
                    return Ok((Vec::new(), ours));
                }
                attempted.store(true, Ordering::Relaxed);
                Ok((vec![write::create(self.db.name(collection, id), fields.clone())], true))
            })
            .await
    }
}

fn seed_entry(name: &str, now: i64) -> Result<AuditEntry, PolicyKeyError> {
    let PolicyKey { id, version } = name.parse()?;
    Ok(AuditEntry {
        ts: now,
        actor: intent::SEED.to_owned(),
        action: Action::Seed.to_string(),
        id,
        to: Some(version.to_string()),
        changes: vec![StatusChange { version, from: None, to: PolicyStatus::Active }],
        ..AuditEntry::default()
    })
}
