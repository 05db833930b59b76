//! A document of `ops_experiments`.

use firestore::gcloud_sdk::google::firestore::v1::{Document, Write};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use crate::domain::experiment::{
    Breach, Comparison, GuardConfig, Kind, Metric, STAGES, Setting, Status,
};
use crate::domain::observation::{MAX_TS, MIN_TS};
use crate::domain::policy::PolicyKey;
use crate::store::collection::EXPERIMENTS;
use crate::store::error::{Result, StoreError};
use crate::store::value::{self, Fields};
use crate::store::{Store, write};

/// Two versions that are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Experiment {
    pub id: String,
    #[schema(example = "router-core")]
    pub policy: String,
    pub kind: Kind,
    pub status: Status,
    /// Whether it goes on.
    pub open: bool,
    /// The version that was there before.
    #[schema(value_type = String)]
    pub control: Version,
    #[schema(value_type = String)]
    pub candidate: Version,
    #[serde(default)]
    pub metric: Metric,
    /// Which of the stages an A/B test is at, from 0.
    #[serde(default)]
    pub stage: usize,
    /// The share of units that the candidate has, 0 to 1.
    pub share: f64,
    /// What it is held to.
    #[serde(default)]
    pub guard: GuardConfig,
    /// Epoch milliseconds, as all times.
    pub started_at: i64,
    pub started_by: String,
    pub stage_started_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ended_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ended_by: Option<String>,
    /// Why it ended, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub breach: Option<Breach>,
    /// What its last move rested on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub comparison: Option<Comparison>,
}

/// One that was read in a transaction, with its document.
pub(in crate::store) struct OpenExperiment {
    pub experiment: Experiment,
    pub document: Document,
}

impl Experiment {
    pub fn setting(&self) -> Setting {
        Setting {
            kind: self.kind,
            metric: self.metric,
            stage: self.stage,
            started_at: self.started_at,
            stage_started_at: self.stage_started_at,
        }
    }

    /// The probability of error of each claim about it.
    pub fn tail(&self) -> f64 {
        self.guard.tail(self.kind)
    }

    /// Whether it could have been written by us; if not, why.
    fn check(&self) -> std::result::Result<(), String> {
        PolicyKey::check_id(&self.policy).map_err(|error| format!("policy: {error}"))?;
        self.guard.validate().map_err(|error| error.to_string())?;
        if !self.status.is_open() {
            return Err(format!("it is open, but its status is {}", self.status.as_str()));
        }
        if self.stage >= STAGES.len() {
            return Err(format!("stage is {}, must be below {}", self.stage, STAGES.len()));
        }
        if !(0.0..=1.0).contains(&self.share) {
            return Err(format!("share is {}, must be between 0 and 1", self.share));
        }
        for ts in [self.started_at, self.stage_started_at] {
            if !(MIN_TS..=MAX_TS).contains(&ts) {
                return Err(format!("it began at {ts}, must be between {MIN_TS} and {MAX_TS}"));
            }
        }
        Ok(())
    }
}

impl Store {
    pub(super) fn decode_experiment(&self, document: &Document) -> Result<Experiment> {
        let name = self.short_name(&document.name);
        let json = Json::Object(value::fields_to_json(&document.fields));
        let found: Experiment = serde_json::from_value(json)
            .map_err(|error| StoreError::decode(name, "an experiment", error))?;
        if found.id != value::document_id(document) {
            let detail = format!("its field id says {}", found.id);
            return Err(StoreError::decode(name, "an experiment", detail));
        }
        // What ended moves nothing any more, whatever it says.
        if found.open {
            found.check().map_err(|detail| StoreError::decode(name, "an experiment", detail))?;
        }
        Ok(found)
    }

    /// The write that stores a new one.
    pub(super) fn create_experiment(&self, experiment: &Experiment) -> Write {
        write::create(self.name(EXPERIMENTS, &experiment.id), json_fields(experiment))
    }
}

/// The fields of anything that is a JSON object.
pub(super) fn json_fields(value: &impl Serialize) -> Fields {
    match serde_json::to_value(value) {
        Ok(Json::Object(object)) => value::fields_from_json(&object),
        _ => Fields::default(),
    }
}
