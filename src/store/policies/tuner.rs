//! `ops_state/tuner|{policy}`: the time from which each arm of a policy counts; and
//! `ops_state/decision|{id}@{version}`: the input of a decision, so that it can be reproduced.

use firestore_kit::Timestamp;
use firestore_kit::proto::{Document, Write};

use crate::store::{Result, StoreError};
use crate::store::{Store, collection::STATE};
use f0_learning_core::policy::PolicyKey;
use f0_learning_core::tuning::TuningInput;
use f0_learning_core::tuning::memory::Memory;
use firestore_kit::{value, write};

/// The memory of the tuner, with the update time that the next write must find unchanged.
#[derive(Clone, Debug, Default)]
pub struct TunerMemory {
    pub memory: Memory,
    update_time: Option<Timestamp>,
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

    /// Replaces the memory of the tuner.
    ///
    /// # Errors
    /// A conflict if another worker was first.
    pub async fn remember(&self, policy: &str, before: &TunerMemory, next: &Memory) -> Result<()> {
        let id = memory_id(policy);
        let mut fields = value::to_fields(next)?;
        fields.insert("policy".to_owned(), value::string(policy));
        let write = write::set_if_unchanged(self.db.name(STATE, &id), fields, before.update_time);
        self.db.commit(&format!("{STATE}/{id}"), vec![write]).await?;
        Ok(())
    }

    /// The input of the decision to propose a version; `None` if the tuner did not propose it.
    pub async fn decision(&self, key: &PolicyKey) -> Result<Option<TuningInput>> {
        let id = decision_id(key);
        let Some(document) = self.db.get(STATE, &id).await? else { return Ok(None) };
        let malformed = |detail: &str| {
            StoreError::decode(format!("{STATE}/{id}"), "the input of a decision", detail)
        };
        let input = value::as_bytes(&document.fields, "input")
            .ok_or_else(|| malformed("input is missing"))?;
        TuningInput::decode(input).map(Some).map_err(|error| malformed(&error.to_string()))
    }

    pub(in crate::store) fn decision_write(&self, key: &PolicyKey, input: Vec<u8>) -> Write {
        let fields = value::fields([
            ("policyVersion", value::string(key.to_string())),
            ("input", value::bytes(input)),
        ]);
        write::set(self.db.name(STATE, &decision_id(key)), fields)
    }
}

fn decode(document: &Document) -> Result<TunerMemory> {
    let memory = value::from_fields(&document.fields).map_err(|error| {
        let path = format!("{STATE}/{}", value::document_id(document));
        StoreError::decode(path, "the memory of the tuner", error)
    })?;
    Ok(TunerMemory { memory, update_time: document.update_time })
}
