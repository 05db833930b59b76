//! A document of `ops_experiments`: reading, creating and ending it.

use f0_learning_core::document::Experiment;
use f0_learning_core::experiment::{GuardConfig, Kind, Metric, STAGES, Status};
use f0_learning_core::intent::Intent;
use firestore_kit::proto::{Document, Write};
use firestore_kit::value::{self, Fields};
use firestore_kit::{Query, Transaction, write};
use semver::Version;

use crate::store::collection::EXPERIMENTS;
use crate::store::ids::random_id;
use crate::store::{Result, Store, StoreError};

/// An open experiment that was read in a transaction, with its document.
pub(in crate::store) struct OpenExperiment {
    pub experiment: Experiment,
    pub document: Document,
}

/// An open experiment that cannot be read, with its document.
pub(in crate::store) struct UnreadableExperiment {
    pub document: Document,
    pub error: StoreError,
}

impl UnreadableExperiment {
    pub(in crate::store) fn id(&self) -> &str {
        value::document_id(&self.document)
    }
}

impl Store {
    pub(in crate::store) fn decode_experiment(&self, document: &Document) -> Result<Experiment> {
        let name = self.db.short_name(&document.name);
        let experiment: Experiment = value::from_fields(&document.fields)
            .map_err(|error| StoreError::decode(name, "an experiment", error))?;
        if experiment.id != value::document_id(document) {
            let detail = format!("its field id is {}", experiment.id);
            return Err(StoreError::decode(name, "an experiment", detail));
        }
        // An experiment that has ended changes nothing, even if its fields are invalid.
        if experiment.open {
            experiment
                .check()
                .map_err(|detail| StoreError::decode(name, "an experiment", detail))?;
        }
        Ok(experiment)
    }

    pub(in crate::store) async fn open_experiments_in(
        &self,
        policy: &str,
        transaction: &Transaction,
    ) -> Result<(Vec<OpenExperiment>, Vec<UnreadableExperiment>)> {
        let query = Query::of(EXPERIMENTS)
            .equal("policy", value::string(policy))
            .equal("open", value::boolean(true))
            .build();
        let documents = self.db.query_in(EXPERIMENTS, query, transaction).await?;
        let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
        for document in documents {
            match self.decode_experiment(&document) {
                Ok(experiment) => readable.push(OpenExperiment { experiment, document }),
                Err(error) => unreadable.push(UnreadableExperiment { document, error }),
            }
        }
        Ok((readable, unreadable))
    }

    /// The write that creates an experiment.
    pub(in crate::store) fn create_experiment(&self, experiment: &Experiment) -> Result<Write> {
        let fields = value::to_fields(experiment)?;
        Ok(write::create(self.db.name(EXPERIMENTS, &experiment.id), fields))
    }
}

/// An experiment that starts now, on rewards.
pub(in crate::store) fn new_experiment(
    kind: Kind,
    policy: &str,
    [control, candidate]: [&Version; 2],
    guard: GuardConfig,
    intent: &Intent,
) -> Experiment {
    Experiment {
        id: random_id(),
        policy: policy.to_owned(),
        kind,
        status: Status::Running,
        open: true,
        control: control.clone(),
        candidate: candidate.clone(),
        metric: Metric::Reward,
        stage: 0,
        share: if kind == Kind::Ab { STAGES[0] } else { 1.0 },
        guard,
        started_at: intent.now,
        started_by: intent.actor.clone(),
        stage_started_at: intent.now,
        ended_at: None,
        ended_by: None,
        reason: None,
        breach: None,
        comparison: None,
    }
}

/// The fields that end an experiment.
pub(in crate::store) fn ended_fields(status: Status, why: &str, intent: &Intent) -> Fields {
    value::fields([
        ("status", value::string(status.as_str())),
        ("open", value::boolean(false)),
        ("endedAt", value::int(intent.now)),
        ("endedBy", value::string(intent.actor.as_str())),
        ("reason", value::string(why)),
    ])
}
