//! Reading experiments, and what their versions were observed to do.

use std::collections::BTreeMap;

use firestore_kit::proto::Document;
use semver::Version;

use super::document::OpenExperiment;
use crate::store::Store;
use crate::store::collection::{CONFIG, EXPERIMENTS, STATE};
use crate::store::config::TUNING;
use crate::store::{Result, StoreError};
use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::{Baseline, GuardConfig, Kind, VersionStatuses};
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use f0_learning_core::stats::Samples;
use f0_learning_core::tuning::TuningConfig;
use firestore_kit::Query;
use firestore_kit::TransactionId;
use firestore_kit::value;

/// How many of the latest are listed.
const LISTED: usize = 200;

pub(in crate::store) fn state_id(experiment: &str) -> String {
    format!("experiment|{experiment}")
}

impl Store {
    pub async fn experiment(&self, id: &str) -> Result<Option<Experiment>> {
        if !is_id(id) {
            return Ok(None);
        }
        let document = self.db.get(EXPERIMENTS, id).await?;
        document.map(|document| self.decode_experiment(&document)).transpose()
    }

    /// The latest, newest first; of one policy where it is named.
    pub async fn experiments(&self, policy: Option<&str>) -> Result<Vec<Experiment>> {
        let mut query = Query::of(EXPERIMENTS);
        if let Some(policy) = policy {
            query = query.equal("policy", value::string(policy));
        }
        let query = query.descending("startedAt").limit(LISTED).build();
        Ok(self.sound_experiments(&self.db.query_all(EXPERIMENTS, query).await?))
    }

    /// Those that go on, the oldest first.
    pub async fn open_experiments(&self) -> Result<Vec<Experiment>> {
        let query = Query::of(EXPERIMENTS).equal("open", value::boolean(true)).build();
        let mut open = self.sound_experiments(&self.db.query_all(EXPERIMENTS, query).await?);
        open.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        Ok(open)
    }

    pub(in crate::store) async fn open_experiments_of(
        &self,
        policy: &str,
        transaction: &TransactionId,
    ) -> Result<Vec<OpenExperiment>> {
        let query = Query::of(EXPERIMENTS)
            .equal("policy", value::string(policy))
            .equal("open", value::boolean(true))
            .build();
        let documents = self.db.query_in(EXPERIMENTS, query, transaction).await?;
        let decoded = documents.into_iter().filter_map(|document| {
            let experiment = self.decode_experiment(&document).ok()?;
            Some(OpenExperiment { experiment, document })
        });
        Ok(decoded.collect())
    }

    /// What activations are held to. A configuration that somebody spoilt must not keep an admin
    /// from rolling back: the defaults stand in.
    pub(in crate::store) async fn guard_config(
        &self,
        transaction: &TransactionId,
    ) -> Result<GuardConfig> {
        let name = self.db.name(CONFIG, TUNING);
        let found = self.db.get_many(vec![name.clone()], Some(transaction)).await?;
        let Some(document) = found.get(&name) else { return Ok(GuardConfig::default()) };
        let json = serde_json::Value::Object(value::fields_to_json(&document.fields));
        let guard = serde_json::from_value(json).map(|config: TuningConfig| config.guard);
        let sound = guard.ok().filter(|guard| guard.validate().is_ok());
        if sound.is_none() {
            tracing::error!("config/tuning cannot be read: activations are held to the defaults");
        }
        Ok(sound.unwrap_or_default())
    }

    /// All that was ever counted of control and candidate, and what has become of them.
    pub async fn counted(&self, experiment: &Experiment) -> Result<(Baseline, VersionStatuses)> {
        let Experiment { policy, control, candidate, kind, .. } = experiment;
        let [(control, of_control), (candidate, of_candidate)] =
            self.versions_of(policy, [control, candidate]).await?;
        // Only what is handed out, or may be gone back to, must be readable as a whole.
        let statuses = match kind {
            Kind::Ab => VersionStatuses {
                control: of_control.and_then(|it| status_of(&it)),
                candidate: of_candidate.and_then(|it| self.readable(&it)),
            },
            Kind::Watch => VersionStatuses {
                control: of_control.and_then(|it| self.readable(&it)),
                candidate: of_candidate.and_then(|it| status_of(&it)),
            },
        };
        Ok((Baseline { control, candidate }, statuses))
    }

    fn readable(&self, document: &Document) -> Option<PolicyStatus> {
        let decoded = self.decode_policy(document);
        decoded
            .inspect_err(|error| tracing::error!(%error, "an experiment ends"))
            .ok()
            .map(|it| it.status)
    }

    /// All that was ever counted of two versions of a policy.
    pub async fn counted_of(
        &self,
        policy: &str,
        control: &Version,
        candidate: &Version,
    ) -> Result<Baseline> {
        let [(control, _), (candidate, _)] = self.versions_of(policy, [control, candidate]).await?;
        Ok(Baseline { control, candidate })
    }

    /// What was counted of two versions of a policy, with their documents where there are any.
    async fn versions_of(
        &self,
        policy: &str,
        versions: [&Version; 2],
    ) -> Result<[(Samples, Option<Document>); 2]> {
        let key = |version: &Version| {
            PolicyKey::new(policy, version.clone())
                .map_err(|error| StoreError::decode(policy, "a policy's id", error))
        };
        let keys = [key(versions[0])?, key(versions[1])?];
        let mut found: BTreeMap<_, _> = self
            .versions_with_tallies(&keys)
            .await?
            .into_iter()
            .map(|(document, it)| (it.key, (it.tally.samples().clone(), Some(document))))
            .collect();
        Ok(keys.map(|key| found.remove(&key).unwrap_or_default()))
    }

    /// What the comparison is made from: of `counted` all, or of an A/B test what came since its
    /// stage began.
    pub async fn compared(&self, experiment: &Experiment, counted: &Baseline) -> Result<Baseline> {
        if experiment.kind == Kind::Watch {
            return Ok(counted.clone());
        }
        let id = state_id(&experiment.id);
        let wrong = |detail: &dyn std::fmt::Display| {
            StoreError::decode(format!("{STATE}/{id}"), "what was known before a stage", detail)
        };
        let document = self.db.get(STATE, &id).await?.ok_or_else(|| wrong(&"it is missing"))?;
        let baseline = value::as_bytes(&document.fields, "baseline");
        let baseline = baseline.ok_or_else(|| wrong(&"baseline is missing"))?;
        let before = Baseline::decode(baseline).map_err(|error| wrong(&error))?;
        Ok(Baseline {
            control: counted.control.since(&before.control),
            candidate: counted.candidate.since(&before.candidate),
        })
    }

    fn sound_experiments(&self, documents: &[Document]) -> Vec<Experiment> {
        let decode = |document| {
            let found = self.decode_experiment(document);
            let told = |error: &StoreError| {
                tracing::error!(%error, "an experiment is passed over; `experiments stop` ends it");
            };
            found.inspect_err(told).ok()
        };
        documents.iter().filter_map(decode).collect()
    }
}

fn status_of(document: &Document) -> Option<PolicyStatus> {
    value::as_str(&document.fields, "status")?.parse().ok()
}

/// Ids are made by us; anything else is nobody's, and may not even be a document's id.
fn is_id(id: &str) -> bool {
    (1..=100).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
