//! What a transaction reads of one policy before it changes it.

use std::collections::HashMap;

use f0_learning_core::document::{Experiment, Policy};
use f0_learning_core::experiment::{GuardConfig, Kind};
use f0_learning_core::policy::lifecycle::Refusal;
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use firestore_kit::proto::{Document, value::ValueType};
use firestore_kit::value::{self, Fields};
use firestore_kit::{Query, Transaction};
use semver::Version;

use super::experiment::{OpenExperiment, UnreadableExperiment};
use super::policy::{document_id, holdback_of, pin_of};
use crate::store::change::{ChangeError, ChangeResult};
use crate::store::collection::{CONFIG, POLICIES};
use crate::store::config::TUNING;
use crate::store::{Result, Store, StoreError};

pub(in crate::store) struct PolicySnapshot {
    pub(in crate::store) id: String,
    /// The active versions, in the order of their versions.
    pub(in crate::store) active: Vec<(Version, Document)>,
    pub(in crate::store) experiments: Vec<OpenExperiment>,
    /// The open experiments that cannot be read. A new active version ends them like the others.
    pub(in crate::store) unreadable: Vec<UnreadableExperiment>,
    /// The guardrails of activations.
    pub(in crate::store) guard: GuardConfig,
}

impl PolicySnapshot {
    pub(in crate::store) fn versions(&self) -> Vec<Version> {
        self.active.iter().map(|(version, _)| version.clone()).collect()
    }

    /// The version that components use: the highest active one.
    pub(in crate::store) fn serving(&self) -> Option<&(Version, Document)> {
        self.active.iter().max_by(|a, b| a.0.cmp(&b.0))
    }

    /// The pin of the policy, on whichever active version it is; empty if there is none.
    pub(in crate::store) fn pin(&self) -> Fields {
        let pins = self.active.iter().map(|(_, document)| pin_of(&document.fields));
        pins.max_by_key(HashMap::len).unwrap_or_default()
    }

    /// What moves to the next active version: the pin and the holdback.
    pub(in crate::store) fn carried(&self) -> Fields {
        let holdback = self.serving().map(|(_, document)| holdback_of(&document.fields));
        let mut carried = self.pin();
        carried.extend(holdback.unwrap_or_default());
        carried
    }

    pub(in crate::store) fn require_unpinned(&self) -> ChangeResult<()> {
        let pin = self.pin();
        if pin.is_empty() {
            return Ok(());
        }
        let reason = value::as_str(&pin, "pinReason").unwrap_or_default();
        Err(ChangeError::Pinned(self.id.clone(), reason))
    }

    /// Requires that the policy is not in an A/B test. An open experiment that cannot be read may be
    /// one.
    pub(in crate::store) fn require_no_test(&self) -> ChangeResult<()> {
        if let Some(unreadable) = self.unreadable.first() {
            return Err(ChangeError::ExperimentUnreadable {
                policy: self.id.clone(),
                experiment: unreadable.id().to_owned(),
                why: unreadable.error.to_string(),
            });
        }
        match self.test() {
            Some(test) => Err(ChangeError::ExperimentRuns {
                policy: self.id.clone(),
                experiment: test.id.clone(),
            }),
            None => Ok(()),
        }
    }

    /// The open A/B test of the policy.
    fn test(&self) -> Option<&Experiment> {
        self.experiments.iter().map(|open| &open.experiment).find(|open| open.kind == Kind::Ab)
    }

    pub(in crate::store) fn refused(
        &self,
        version: Option<&Version>,
        refusal: Refusal,
    ) -> ChangeError {
        let name =
            version.map_or_else(|| self.id.clone(), |version| document_id(&self.id, version));
        ChangeError::Refused { name, refusal }
    }
}

impl Store {
    pub(in crate::store) async fn snapshot(
        &self,
        id: &str,
        transaction: &Transaction,
    ) -> ChangeResult<PolicySnapshot> {
        let mut active = Vec::new();
        // Another version that becomes active in the meantime makes the commit fail.
        for document in self.documents_with_status(id, PolicyStatus::Active, transaction).await? {
            // Only the version is needed: a document that is otherwise corrupted can be replaced.
            let version = value::as_str(&document.fields, "version");
            let version =
                version.and_then(|text| text.parse::<Version>().ok()).ok_or_else(|| {
                    let name = self.db.short_name(&document.name);
                    let detail = "its version is not a semantic version";
                    StoreError::decode(name, "a policy version", detail)
                })?;
            active.push((version, document));
        }
        active.sort_by(|a, b| a.0.cmp(&b.0));
        let (experiments, unreadable) = self.open_experiments_in(id, transaction).await?;
        let guard = self.guard_config(transaction).await?;
        Ok(PolicySnapshot { id: id.to_owned(), active, experiments, unreadable, guard })
    }

    /// The version that a change is about, with its document.
    pub(in crate::store) async fn require_version(
        &self,
        key: &PolicyKey,
        transaction: &Transaction,
    ) -> ChangeResult<(Document, Policy)> {
        let document = self.db.get_in(POLICIES, &key.to_string(), transaction).await?;
        let document = document.ok_or_else(|| ChangeError::UnknownVersion(key.to_string()))?;
        let policy = self.decode_policy(&document)?;
        Ok((document, policy))
    }

    /// Requires that the policy has at least one version.
    pub(in crate::store) async fn require_policy(
        &self,
        id: &str,
        transaction: &Transaction,
    ) -> ChangeResult<()> {
        let query = Query::of(POLICIES).equal("id", value::string(id)).limit(1).build();
        match self.db.query_in(POLICIES, query, transaction).await?.is_empty() {
            true => Err(ChangeError::UnknownPolicy(id.to_owned())),
            false => Ok(()),
        }
    }

    pub(in crate::store) async fn documents_with_status(
        &self,
        id: &str,
        status: PolicyStatus,
        transaction: &Transaction,
    ) -> Result<Vec<Document>> {
        let query = Query::of(POLICIES)
            .equal("id", value::string(id))
            .equal("status", value::string(status.as_str()));
        self.db.query_in(POLICIES, query.build(), transaction).await
    }

    /// The guardrails in `config/tuning`. An unreadable document must not keep an admin from rolling
    /// back: the defaults apply then.
    async fn guard_config(&self, transaction: &Transaction) -> Result<GuardConfig> {
        let Some(document) = self.db.get_in(CONFIG, TUNING, transaction).await? else {
            return Ok(GuardConfig::default());
        };
        // The entries of policies are read elsewhere.
        let Some(guard) = document.fields.get("guard") else { return Ok(GuardConfig::default()) };
        let fields = match guard.value_type.as_ref() {
            Some(ValueType::MapValue(map)) => map.fields.clone(),
            _ => Fields::default(),
        };
        let valid = value::from_fields(&fields).map_err(|error| error.to_string());
        let valid = valid.and_then(|guard: GuardConfig| match guard.validate() {
            Ok(()) => Ok(guard),
            Err(error) => Err(error.to_string()),
        });
        Ok(valid.unwrap_or_else(|error| {
            tracing::error!(error, "cannot read config/tuning guard: the defaults apply");
            GuardConfig::default()
        }))
    }
}
