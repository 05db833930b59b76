//! `ops_state/tuner|{policy}`: since when each of a policy's arms counts; and
//! `ops_state/decision|{id}@{version}`: what a proposal was decided from, so that the decision can
//! be made again.

use firestore_kit::Timestamp;
use firestore_kit::proto::{Document, Write};
use serde_json::Value as Json;

use crate::store::{Result, StoreError};
use crate::store::{Store, collection::STATE};
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::tuning::TuningInput;
use f0_learning_core::tuning::memory::Memory;
use firestore_kit::value::{self, Fields};
use firestore_kit::write;

/// What the tuner remembers, with the update time that the next write must find unchanged.
#[derive(Clone, Debug, Default)]
pub struct TunerMemory {
    pub memory: Memory,
    seen: Option<Timestamp>,
}

fn memory_id(policy: &str) -> String {
    format!("tuner|{policy}")
}

fn decision_id(key: &PolicyKey) -> String {
    format!("decision|{key}")
}

impl Store {
    pub async fn tuner_memory(&self, policy: &str) -> Result<TunerMemory> {
        match self.db.get(STATE, &memory_id(policy)).await? {
            None => Ok(TunerMemory::default()),
            Some(document) => decode(&document),
        }
    }

    /// Stores what the tuner remembers now over what it had read.
    ///
    /// # Errors
    /// A conflict where another worker was first.
    pub async fn remember(&self, policy: &str, before: &TunerMemory, next: &Memory) -> Result<()> {
        let id = memory_id(policy);
        let mut fields = json_fields(next);
        fields.insert("policy".to_owned(), value::string(policy));
        let write = write::set_if_unchanged(self.db.name(STATE, &id), fields, before.seen);
        self.db.commit(&format!("{STATE}/{id}"), vec![write], None).await?;
        Ok(())
    }

    /// What a version was proposed from; none where the tuner did not propose it.
    pub async fn decision(&self, key: &PolicyKey) -> Result<Option<TuningInput>> {
        let id = decision_id(key);
        let Some(document) = self.db.get(STATE, &id).await? else { return Ok(None) };
        let wrong = |detail: &str| {
            StoreError::decode(format!("{STATE}/{id}"), "what a decision was made from", detail)
        };
        let input =
            value::as_bytes(&document.fields, "input").ok_or_else(|| wrong("input is missing"))?;
        TuningInput::decode(input).map(Some).map_err(|error| wrong(&error.to_string()))
    }

    pub(in crate::store) fn decision_write(&self, key: &PolicyKey, input: Vec<u8>) -> Write {
        let fields = value::fields([
            ("policyVersion", value::string(key.to_string())),
            ("input", value::bytes(input)),
        ]);
        write::set(self.db.name(STATE, &decision_id(key)), fields)
    }
}

fn json_fields(memory: &Memory) -> Fields {
    let json = serde_json::to_value(memory).unwrap_or_default();
    json.as_object().map(value::fields_from_json).unwrap_or_default()
}

fn decode(document: &Document) -> Result<TunerMemory> {
    let json = Json::Object(value::fields_to_json(&document.fields));
    let memory = serde_json::from_value(json).map_err(|error| {
        let path = format!("{STATE}/{}", value::document_id(document));
        StoreError::decode(path, "what the tuner remembers", error)
    })?;
    Ok(TunerMemory { memory, seen: document.update_time })
}
