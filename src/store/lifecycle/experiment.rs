//! Reading and writing a document of `ops_experiments`.

use f0_learning_core::document::Experiment;
use firestore_kit::proto::{Document, Write};
use firestore_kit::value::{self, Fields};
use firestore_kit::write;
use serde::Serialize;
use serde_json::Value as Json;

use crate::store::collection::EXPERIMENTS;
use crate::store::{Result, Store, StoreError};

/// One that was read in a transaction, with its document.
pub(in crate::store) struct OpenExperiment {
    pub experiment: Experiment,
    pub document: Document,
}

impl Store {
    pub(in crate::store) fn decode_experiment(&self, document: &Document) -> Result<Experiment> {
        let name = self.db.short_name(&document.name);
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
    pub(in crate::store) fn create_experiment(&self, experiment: &Experiment) -> Write {
        write::create(self.db.name(EXPERIMENTS, &experiment.id), json_fields(experiment))
    }
}

/// The fields of anything that is a JSON object.
pub(in crate::store) fn json_fields(value: &impl Serialize) -> Fields {
    match serde_json::to_value(value) {
        Ok(Json::Object(object)) => value::fields_from_json(&object),
        _ => Fields::default(),
    }
}
