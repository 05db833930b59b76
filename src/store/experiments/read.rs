//! Reading experiments, and what was counted of their versions.

use std::collections::BTreeMap;

use firestore_kit::proto::Document;
use semver::Version;

use crate::store::Store;
use crate::store::collection::{EXPERIMENTS, STATE};
use crate::store::scoring::stored_fields::scored_under;
use crate::store::{Result, StoreError};
use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::{Baseline, Kind, VersionStatuses};
use f0_learning_core::policy::{PolicyKey, PolicyStatus};
use firestore_kit::{Page, PageOrder, PageRequest, Query, Unreadable, value};

/// The fields next to a baseline: the configs that the rewards of control and candidate were scored
/// under.
pub(super) const SCORED_UNDER_FIELDS: [&str; 2] = ["controlScoredUnder", "candidateScoredUnder"];

/// The most experiments that a list returns.
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

    /// The latest experiments that can be read, newest first; of one policy if it is given.
    pub async fn experiments(&self, policy: Option<&str>) -> Result<Vec<Experiment>> {
        Ok(self.experiments_list(policy).await?.items)
    }

    /// The latest experiments, newest first, and those that cannot be read.
    pub async fn experiments_list(&self, policy: Option<&str>) -> Result<Page<Experiment>> {
        let mut query = Query::of(EXPERIMENTS);
        if let Some(policy) = policy {
            query = query.equal("policy", value::string(policy));
        }
        let page = PageRequest { limit: LISTED, after: None };
        let order = PageOrder::NewestFirst("startedAt");
        let read = order.read(&self.db, EXPERIMENTS, query, &page).await?;
        let mut found =
            Page::decoded(order, &page, &read, |document| self.decode_experiment(document));
        // An open one matters even if its policy or its start cannot be read.
        for error in self.all_open_experiments().await?.1 {
            let unreadable = Unreadable::from(error);
            if !found.unreadable.contains(&unreadable) {
                found.unreadable.push(unreadable);
            }
        }
        Ok(found)
    }

    /// The open experiments that can be read, oldest first.
    pub async fn open_experiments(&self) -> Result<Vec<Experiment>> {
        Ok(self.all_open_experiments().await?.0)
    }

    /// The open experiments, oldest first, and why others cannot be read.
    pub async fn all_open_experiments(&self) -> Result<(Vec<Experiment>, Vec<StoreError>)> {
        let query = Query::of(EXPERIMENTS).equal("open", value::boolean(true)).build();
        let (mut open, mut unreadable) = (Vec::new(), Vec::new());
        for document in &self.db.query_all(EXPERIMENTS, query).await? {
            match self.decode_experiment(document) {
                Ok(experiment) => open.push(experiment),
                Err(error) => unreadable.push(error),
            }
        }
        open.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        Ok((open, unreadable))
    }

    /// All that was counted of control and candidate, and the status of both.
    pub async fn counted(&self, experiment: &Experiment) -> Result<(Baseline, VersionStatuses)> {
        let Experiment { policy, control, candidate, kind, .. } = experiment;
        let (counted, [of_control, of_candidate]) =
            self.versions_of(policy, [control, candidate]).await?;
        // Only the version that components receive, or that may be rolled back to, must decode.
        let statuses = match kind {
            Kind::Ab => VersionStatuses {
                control: of_control.and_then(|document| status_of(&document)),
                candidate: of_candidate.and_then(|document| self.readable_status(&document)),
            },
            Kind::Watch => VersionStatuses {
                control: of_control.and_then(|document| self.readable_status(&document)),
                candidate: of_candidate.and_then(|document| status_of(&document)),
            },
        };
        Ok((counted, statuses))
    }

    fn readable_status(&self, document: &Document) -> Option<PolicyStatus> {
        let decoded = self.decode_policy(document);
        decoded
            .inspect_err(|error| tracing::error!(%error, "an experiment ends without its version"))
            .ok()
            .map(|policy| policy.status)
    }

    /// All that was counted of two versions of a policy.
    pub async fn counted_of(
        &self,
        policy: &str,
        control: &Version,
        candidate: &Version,
    ) -> Result<Baseline> {
        Ok(self.versions_of(policy, [control, candidate]).await?.0)
    }

    /// The same, with the documents of the versions that exist.
    async fn versions_of(
        &self,
        policy: &str,
        versions: [&Version; 2],
    ) -> Result<(Baseline, [Option<Document>; 2])> {
        let key = |version: &Version| {
            PolicyKey::new(policy, version.clone())
                .map_err(|error| StoreError::decode(policy, "a policy id", error))
        };
        let keys = [key(versions[0])?, key(versions[1])?];
        let mut found: BTreeMap<_, _> = self
            .versions_with_tallies(&keys)
            .await?
            .into_iter()
            .map(|(document, version)| {
                let samples = version.tally.samples().clone();
                (version.key, (samples, version.scored_under, Some(document)))
            })
            .collect();
        let [control, candidate] = keys.map(|key| found.remove(&key).unwrap_or_default());
        let scored_under = [control.1, candidate.1];
        let counted = Baseline { control: control.0, candidate: candidate.0, scored_under };
        Ok((counted, [control.2, candidate.2]))
    }

    /// The samples to compare: all of `counted`, or, for an A/B test, those since its stage started.
    /// Without rewards, if those of the versions were scored under different configs.
    pub async fn compared(&self, experiment: &Experiment, counted: &Baseline) -> Result<Baseline> {
        if experiment.kind == Kind::Watch {
            return Ok(counted.clone().comparable());
        }
        let id = state_id(&experiment.id);
        let malformed = |detail: &dyn std::fmt::Display| {
            StoreError::decode(format!("{STATE}/{id}"), "the counts before a stage", detail)
        };
        let document = self.db.get(STATE, &id).await?.ok_or_else(|| malformed(&"it is missing"))?;
        let baseline = value::as_bytes(&document.fields, "baseline");
        let baseline = baseline.ok_or_else(|| malformed(&"baseline is missing"))?;
        let mut before = Baseline::decode(baseline).map_err(|error| malformed(&error))?;
        for (stamp, field) in before.scored_under.iter_mut().zip(SCORED_UNDER_FIELDS) {
            *stamp = scored_under(&document.fields, field).map_err(|detail| malformed(&detail))?;
        }
        Ok(counted.since(&before).comparable())
    }
}

fn status_of(document: &Document) -> Option<PolicyStatus> {
    value::as_str(&document.fields, "status")?.parse().ok()
}

/// Whether it can be the id of an experiment. Other texts may not even be valid document ids.
fn is_id(id: &str) -> bool {
    (1..=100).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
